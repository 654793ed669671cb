"""Tasks that end in the letter of an option: `Options: A. … B. … C. … D. … Correct: B`.

What is learned is to go from an answer that is known back to the letter before it. The options stand in the model's
own output, as they do in the demo's questions. In `mark`, `spot` and `exam` nobody can foresee them, so they are given:
only the letter counts in the loss (`only_keys`). A model of this size finds the lookup within some hundred steps that
way, and not at all where the inputs list the options too. In `propose` the options are the model's own as well.
"""

import random
from collections.abc import Sequence
from typing import Final

from mtl.sources.demo.passages import DEPTHS, LETTERS, POOLS, Question, neighbours
from mtl.sources.demo.world import GLOSSES, SURNAMES
from tools.demo_base.material import Material, Pair, made_up

LEVELS: Final = {"easy": "Easy", "gap": "Medium", "deep": "Hard"}
LEADS: Final = ("Mark:", "Which is named?", "Answer by letter:")


def only_keys(inputs: str) -> bool:
    """Whether the options are given and only their letter is asked for."""
    return inputs.startswith(LEADS)


def marked(options: Sequence[str], right: str) -> str:
    """The options with their letters, and the letter of the right one."""
    listed = " ".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"Options: {listed} Correct: {LETTERS[list(options).index(right)]}"


def numbered(parts: Sequence[str]) -> str:
    """The parts in one line, numbered if there are several."""
    return parts[0] if len(parts) == 1 else " ".join(f"{place}. {part}" for place, part in enumerate(parts, 1))


def four(rng: random.Random) -> list[str]:
    """Four different options: values of one kind, sentences of one kind, or phrases of no meaning."""
    draw = rng.random()
    if draw < 0.4:
        return rng.sample(rng.choice(tuple(POOLS.values())), 4)
    if draw < 0.55:
        lead = rng.choice(("He ", "She ", "It ", "In ", "A person who ", ""))
        glosses = rng.sample(tuple(rng.choice(tuple(GLOSSES.values())).values()), 4)
        return [f"{lead}{gloss}." for gloss in glosses]
    length = rng.choice((1, 1, 2, 3, 4))
    found: list[str] = []
    while len(found) < 4:
        words = phrase(rng, length)
        if words not in found:
            found.append(words)
    return found


def phrase(rng: random.Random, length: int) -> str:
    """Words of any kind in no order, now and then a made-up one."""
    pools = (*POOLS.values(), SURNAMES)
    return " ".join(
        made_up(rng) if rng.random() < 0.05 else rng.choice(rng.choice(rng.choice(pools)).split())
        for _ in range(length)
    )


def mark(rng: random.Random, m: Material) -> Pair:
    """The right answers are given: find each among its options."""
    rows = [four(rng) for _ in range(rng.choice((1, 1, 2, 3, 4)))]
    answers = [rng.choice(options) for options in rows]
    shown = [marked(options, right) for options, right in zip(rows, answers, strict=True)]
    return f"{LEADS[0]} {numbered(answers)}", numbered(shown)


def spot(rng: random.Random, m: Material) -> Pair:
    """One option is named in some words of no meaning, or is what a passage says in these or other words."""
    if rng.random() < 0.4:
        options = four(rng)
        right = rng.choice(options)
        text = f"{phrase(rng, rng.randint(1, 8))} {right} {phrase(rng, rng.randint(1, 8))}"
        return f"{LEADS[1]} {text}", marked(options, right)
    questions = [question for question in some(rng, m) if alone(m, question)] or [m.question()]
    shown = [marked(order(rng, question), question.right) for question in questions]
    return f"{LEADS[1]} {context(rng, m, questions)}", numbered(shown)


def alone(m: Material, question: Question) -> bool:
    """Whether only one option is true of the passage, so that the question need not be known."""
    row = neighbours(question.slot, question.fact.values[question.slot])
    return sum(value in row for value in m.passage.values(question.slot)) == 1


def exam(rng: random.Random, m: Material) -> Pair:
    """Questions to be answered from a text."""
    questions = some(rng, m)
    shown = [marked(order(rng, question), question.right) for question in questions]
    if rng.random() < 0.6:
        shown = [repeated(q, part) for q, part in zip(questions, shown, strict=True)]
    asked = numbered([question.text for question in questions])
    return f"{LEADS[2]} {asked} Text: {context(rng, m, questions)}", numbered(shown)


def order(rng: random.Random, question: Question) -> list[str]:
    """The options in the order of the world or in any other."""
    options = list(question.options)
    if rng.random() < 0.6:
        rng.shuffle(options)
    return options


def propose(rng: random.Random, m: Material) -> Pair:
    """Questions without options: think of options and mark the right one."""
    questions = some(rng, m)
    asked = numbered([question.text for question in questions])
    shown = [marked(question.options, question.right) for question in questions]
    if rng.random() < 0.6:
        shown = [repeated(q, part) for q, part in zip(questions, shown, strict=True)]
    return f"Think of options, then mark one: {asked} Text: {context(rng, m, questions)}", numbered(shown)


def some(rng: random.Random, m: Material) -> list[Question]:
    """One to three questions, those of one depth before those of the next; half are deep, which is the hardest."""
    depths = [rng.choice((*DEPTHS, DEPTHS[-1])) for _ in range(rng.choice((1, 1, 2, 3)))]
    return [question for depth in DEPTHS for question in m.questions(depth, depths.count(depth))]


def repeated(question: Question, shown: str) -> str:
    """Options and letter between the question and its difficulty."""
    return f"Question: {question.text} {shown} Difficulty: {LEVELS[question.depth]}"


def context(rng: random.Random, m: Material, questions: Sequence[Question]) -> str:
    """The passage, or only those sentences of it that say who it is about and what the questions need."""
    if rng.random() < 0.4:
        return m.passage.text
    needed = [question.fact for question in questions]
    people: set[str] = set()
    kept: list[str] = []
    for sentence in m.passage.sentences:
        if sentence.fact in needed or sentence.fact.person.name not in people:
            kept.append(sentence.text)
        people.add(sentence.fact.person.name)
    return " ".join(kept)
