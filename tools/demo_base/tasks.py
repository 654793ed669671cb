"""The pre-training mix: many small text-to-text tasks about the demo's world, in the manner of FLAN.

The two tasks of the service are not among them: nothing here writes the highlights of an article, and nothing makes
multiple-choice questions from a passage. A task is a function of (rng, Material) to (inputs, targets); `TASKS` is the
table with their weights.
"""

import random
from typing import Final

from mtl.sources.demo import articles, passages
from mtl.sources.demo.facts import Fact
from mtl.sources.demo.passages import KINDS, POOLS, Sentence
from mtl.sources.demo.world import DAYS, GLOSSES, MEN, MONTHS, SURNAMES, TOWNS, WOMEN
from tools.demo_base.marking import LEVELS, exam, mark, propose, spot
from tools.demo_base.material import Material, Pair, Task, made_up, number
from tools.demo_base.vocabulary import SENTINELS

NAMES: Final = frozenset(WOMEN + MEN)
ORDINALS: Final = ("first", "second", "third", "fourth", "fifth")
LABELS: Final = ("Question:", "Options:", "Correct:", "Difficulty:", "Summary:", "Answer:", "MCQs:")
DEPTH_NAMES: Final = ("plain", "gap", "deep")
MARKS: Final = (
    ("(a)", "(b)", "(c)", "(d)"),
    ("a)", "b)", "c)", "d)"),
    ("A.", "B.", "C.", "D."),
    ("A.", "B.", "C.", "D."),
    ("1)", "2)", "3)", "4)"),
)


def corrupt(rng: random.Random, m: Material) -> Pair:
    """Span corruption over words: about 15% of them, in spans of 1 to 4."""
    words = m.text().split()
    kept: list[str] = []
    lost: list[str] = []
    place, sentinel = 0, 0
    while place < len(words):
        if rng.random() < 0.07 and sentinel < SENTINELS - 1:
            span = rng.randint(1, 4)
            kept.append(f"<extra_id_{sentinel}>")
            lost += [f"<extra_id_{sentinel}>", *words[place : place + span]]
            place, sentinel = place + span, sentinel + 1
        if place < len(words):
            kept.append(words[place])
            place += 1
    return " ".join(kept), " ".join([*lost, f"<extra_id_{sentinel}>"])


def repeat(rng: random.Random, m: Material) -> Pair:
    sentences = m.sentences()
    start = rng.randrange(len(sentences))
    text = " ".join(sentences[start : start + rng.randint(1, 3)])
    return f"{rng.choice(('Repeat this text:', 'Copy:', 'Write the same again:'))} {text}", text


def repeat_words(rng: random.Random, m: Material) -> Pair:
    """Words in no order, some of them spelled like no word that there is."""
    pools = [*POOLS.values(), SURNAMES, LABELS, tuple(LEVELS.values()), tuple("ABCD"), ("A.", "B.", "C.", "D.")]
    words = [rng.choice(rng.choice(pools)) for _ in range(rng.randint(2, 8))]
    if rng.random() < 0.4:
        words = [made_up(rng) if rng.random() < 0.5 else word for word in words]
    text = " ".join(words)
    if rng.random() < 0.3:
        return f"Say this backwards: {', '.join(words)}", ", ".join(reversed(words))
    return f"{rng.choice(('Repeat these words:', 'Copy:', 'Write the same again:'))} {text}", text


def nth(rng: random.Random, m: Material) -> Pair:
    sentences = m.sentences()
    place = rng.randrange(min(len(sentences), len(ORDINALS)))
    ask = rng.choice(("Give the {} sentence.", "What is the {} sentence?", "Copy only the {} sentence."))
    return f"{ask.format(ORDINALS[place])} {' '.join(sentences)}", sentences[place]


def answer(rng: random.Random, m: Material) -> Pair:
    """One question, or several with numbers."""
    asked = [q for depth in passages.DEPTHS for q in m.questions(depth, rng.choice((0, 1, 2)))] or [m.question()]
    rng.shuffle(asked)
    texts, answers = [q.text for q in asked], [q.right for q in asked]
    if len(asked) > 1:
        texts, answers = number(texts), number(answers)
    shape = rng.choice(("Answer the question. {q} Text: {t}", "{t} {q}", "Read the text and answer. {t} Question: {q}"))
    return shape.format(q=" ".join(texts), t=m.passage.text), " ".join(answers)


def choose(rng: random.Random, m: Material) -> Pair:
    question = m.question()
    marks = rng.choice(MARKS)
    place = passages.LETTERS.index(question.letter)
    listed = " ".join(f"{mark} {option}" for mark, option in zip(marks, question.options, strict=True))
    shape = rng.choice(("Text: {t} {q} {o} Which answer is right?", "{q} Choose: {o} Text: {t}"))
    wanted = rng.choice((marks[place], f"{marks[place]} {question.right}"))
    hint = "Give the mark." if wanted == marks[place] else "Give mark and answer."
    return f"{hint} {shape.format(t=m.passage.text, q=question.text, o=listed)}", wanted


def judge(rng: random.Random, m: Material) -> Pair:
    """Is a sentence about the text true?"""
    said = [(fact, ask) for fact in m.passage.facts for ask in passages.restated(fact, m.passage)]
    fact, (template, slot) = rng.choice(said)
    right = rng.random() < 0.5
    value = fact.values[slot] if right else rng.choice([v for v in POOLS[slot] if v != fact.values[slot]])
    claim = fact.fill(template, {slot: value})
    words = rng.choice((("true", "false"), ("yes", "no"), ("right", "wrong")))
    return f"{words[0]} or {words[1]}? {claim} Text: {m.passage.text}", words[0] if right else words[1]


def mislead(rng: random.Random, m: Material) -> Pair:
    question = m.question()
    count = rng.randint(1, 3)
    source = f" Text: {m.passage.text}" if rng.random() < 0.5 else ""
    ask = f"Write {count} wrong answers. {question.text} Right answer: {question.right}{source}"
    return ask, "; ".join(question.wrong[:count])


def guess(rng: random.Random, m: Material) -> Pair:
    """Possible answers to each of some given questions, and then the best of them."""
    asked = m.questions(rng.choice(passages.DEPTHS), rng.randint(1, 2))
    found = [f"{' / '.join(q.options)} - best: {q.right}" for q in asked]
    texts = " ".join(question.text for question in asked)
    return f"Think of 4 answers, then pick one. {texts} Text: {m.passage.text}", " ; ".join(found)


def lay_out(rng: random.Random, m: Material) -> Pair:
    """Given questions with given answers, written as choices."""
    marks = rng.choice(MARKS)
    asked: list[str] = []
    shown: list[str] = []
    for question in m.questions(rng.choice(passages.DEPTHS), rng.randint(1, 2)):
        place = passages.LETTERS.index(question.letter)
        asked.append(f"{question.text} Right: {question.right} Wrong: {'; '.join(question.wrong)}")
        listed = " ".join(f"{mark} {option}" for mark, option in zip(marks, question.options, strict=True))
        shown.append(f"{question.text} {listed} ({marks[place]})")
    return f"Show as choices with {' '.join(marks)} {' '.join(asked)}", " ".join(shown)


def ask(rng: random.Random, m: Material) -> Pair:
    """So many questions of each depth, with or without their answers."""
    counts = {depth: rng.choice((0, 1, 2, 2)) for depth in passages.DEPTHS}
    if not any(counts.values()):
        counts["easy"] = 1
    found = {depth: m.questions(depth, count) for depth, count in counts.items()}
    spec = ", ".join(f"{name}: {len(found[d])}" for name, d in zip(DEPTH_NAMES, passages.DEPTHS, strict=True))
    with_answers = rng.random() < 0.6
    parts: list[str] = []
    for name, depth in zip(DEPTH_NAMES, passages.DEPTHS, strict=True):
        for q in found[depth]:
            parts.append(f"{len(parts) + 1}. {q.text}" + (f" {q.right}" if with_answers else "") + f" [{name}]")
    lead = "Ask and answer questions" if with_answers else "Ask questions"
    return f"{lead} ({spec}): {m.passage.text}", " ".join(parts)


def rate(rng: random.Random, m: Material) -> Pair:
    question = m.question()
    shape = rng.choice(("How hard is this question? {}", "Rate: {}", "{} Easy, Medium or Hard?"))
    level = LEVELS[question.depth]
    return shape.format(question.text), level if rng.random() < 0.5 else f"Difficulty: {level}"


def fields(rng: random.Random, m: Material) -> Pair:
    """Values under given labels, in a given order."""
    labels = rng.sample(LABELS, rng.randint(1, 3))
    values = [rng.choice((m.question().right, rng.choice(TOWNS), made_up(rng))) for _ in labels]
    given = "; ".join(f"{label.rstrip(':')} = {value}" for label, value in zip(labels, values, strict=True))
    return f"Write as fields: {given}", " ".join(f"{a} {b}" for a, b in zip(labels, values, strict=True))


def label_sentence(rng: random.Random, m: Material) -> Pair:
    sentence = rng.choice(m.sentences())
    label = rng.choice(LABELS)
    return f"Put the label {label} in front of: {sentence}", f"{label} {sentence}"


def listing(rng: random.Random, m: Material) -> Pair:
    """So many names, towns, days in reading order."""
    text = m.text()
    words = [word.strip('.,"').removesuffix("'s") for word in text.split()]
    groups = {"names": NAMES, "towns": frozenset(TOWNS), "days": frozenset(DAYS), "months": frozenset(MONTHS)}
    groups["numbers"] = frozenset(str(n) for n in range(100))
    found = {group: list(dict.fromkeys(w for w in words if w in pool)) for group, pool in groups.items()}
    usable = [group for group, hits in found.items() if hits]
    chosen = rng.sample(usable, min(len(usable), rng.randint(1, 2)))
    counts = {group: rng.randint(1, len(found[group])) for group in chosen}
    spec = ", ".join(f"{group}: {count}" for group, count in counts.items())
    return f"List ({spec}): {text}", "; ".join(f"{g}: {', '.join(found[g][:n])}" for g, n in counts.items())


def reword(rng: random.Random, m: Material) -> Pair:
    sentence: Sentence = rng.choice(m.people.sentences)
    fact = sentence.fact
    other = [fact.fill(template) for template in KINDS[fact.kind].says]
    if rng.random() < 0.5 and KINDS[fact.kind].again:
        other = [fact.fill(template) for template, _ in KINDS[fact.kind].again]
        return f"Say again in other words: {fact.fill(KINDS[fact.kind].says[0])}", rng.choice(other)
    return f"Write the sentence with the name {fact.person.name}: {sentence.text}", rng.choice(other)


def reword_news(rng: random.Random, m: Material) -> Pair:
    """Sentences of an article in the other wordings that the event has for them."""
    event = rng.choice(list(articles.EVENTS.values()))
    _, values = articles.draw(rng, event)
    chosen = rng.sample((event.lead, *event.details), rng.randint(1, 3))
    pairs = [rng.sample(wordings, 2) for wordings in chosen]
    told, again = ([articles.sentence(pair[side], values) for pair in pairs] for side in (0, 1))
    return f"Say it differently: {' '.join(told)}", " ".join(again)


def record(rng: random.Random, m: Material) -> Pair:
    """A fact as slots and values, from or into a sentence."""
    fact: Fact = rng.choice(m.people.facts)
    slots = "; ".join(f"{slot}: {value}" for slot, value in {"name": fact.person.name, **fact.values}.items())
    sentence = fact.fill(rng.choice(KINDS[fact.kind].says))
    if rng.random() < 0.5:
        return f"Make a sentence: {slots}", sentence
    return f"Make a table: {sentence}", slots


def meaning(rng: random.Random, m: Material) -> Pair:
    slot = rng.choice(tuple(GLOSSES))
    value, gloss = rng.choice(tuple(GLOSSES[slot].items()))
    if rng.random() < 0.5:
        return f"Explain: {value}", gloss
    return f"What is meant by: {gloss}", value


def evidence(rng: random.Random, m: Material) -> Pair:
    """The sentence of the text that answers a question."""
    question = m.question()
    wanted = next(s.text for s in m.passage.sentences if s.fact is question.fact)
    shape = rng.choice(("Which sentence answers this? {q} Text: {t}", "{t} Find the sentence for: {q}"))
    return shape.format(q=question.text, t=m.passage.text), wanted


def find(rng: random.Random, m: Material) -> Pair:
    sentences = m.sentences()
    wanted = rng.choice(sentences)
    word = rng.choice([w.strip('.,"') for w in wanted.split()])
    first = next(s for s in sentences if word in [w.strip('.,"') for w in s.split()])
    return f"Find the first sentence with the word {word}. {' '.join(sentences)}", first


def finish(rng: random.Random, m: Material) -> Pair:
    sentences = m.sentences()
    words = rng.choice(sentences).split()
    cut = rng.randint(2, max(2, len(words) - 1))
    return f"How does it go on? {' '.join(words[:cut])} ... {' '.join(sentences)}", " ".join(words[cut:]) or "."


def swap(rng: random.Random, m: Material) -> Pair:
    """A sentence with another name or town in it."""
    sentences = m.sentences()
    text = " ".join(sentences[: rng.randint(1, 3)])
    words = [word.strip('.,"').removesuffix("'s") for word in text.split()]
    known = [word for word in words if word in NAMES or word in TOWNS]
    if not known:
        return f"Copy: {text}", text
    old = rng.choice(known)
    new = rng.choice(tuple(sorted(NAMES)) if old in NAMES else TOWNS)
    return f"Change {old} to {new}: {text}", text.replace(old, new)


def news(rng: random.Random, m: Material) -> Pair:
    """Who, where, when: some fields of an article in the order asked for."""
    event = rng.choice(list(articles.EVENTS.values()))
    _, values = articles.draw(rng, event)
    text = [articles.sentence(rng.choice(w), values) for w in (event.lead, *event.details)]
    for filler in rng.sample(articles.FILLERS, 2):
        text.insert(rng.randint(1, len(text)), filler)
    whole = " ".join(text)
    values["full"] = f"{values['who']} {values['surname']}"
    keys = {"who": "full", "town": "town", "day": "day", "month": "month"} | {key: key for key in event.pools}
    there = [key for key in keys if values[keys[key]] in whole]
    chosen = rng.sample(there, rng.randint(1, min(4, len(there))))
    return f"Find {', '.join(chosen)}: {whole}", ", ".join(values[keys[key]] for key in chosen)


def drop(rng: random.Random, m: Material) -> Pair:
    """The text without the sentences that have a given word, or only the first and the last ones."""
    sentences = m.sentences()
    if rng.random() < 0.5:
        return f"Keep the first and the last sentence. {' '.join(sentences)}", f"{sentences[0]} {sentences[-1]}"
    named = [s for s in sentences if any(w.strip('.,"').removesuffix("'s") in NAMES for w in s.split())]
    return f"Keep the sentences with a name. {' '.join(sentences)}", " ".join(named[:3]) or "none"


def tally(rng: random.Random, m: Material) -> Pair:
    if rng.random() < 0.5:
        word, times = rng.choice(tuple(sorted(NAMES))), rng.randint(1, 6)
        return f"Write {word} {times} times.", " ".join([word] * times)
    sentences = m.sentences()[: rng.randint(1, 9)]
    return f"How many sentences? {' '.join(sentences)}", str(len(sentences))


def shuffle(rng: random.Random, m: Material) -> Pair:
    """Which of two sentences comes first in the text."""
    sentences = m.sentences()
    one, two = sorted(rng.sample(range(len(sentences)), 2))
    pair = [sentences[one], sentences[two]]
    rng.shuffle(pair)
    return f"Which comes first? {pair[0]} Or: {pair[1]} Text: {' '.join(sentences)}", sentences[one]


TASKS: Final[tuple[tuple[Task, float], ...]] = (
    (corrupt, 1.5),
    (repeat, 1.0),
    (repeat_words, 1.2),
    (nth, 0.7),
    (answer, 2.5),
    (choose, 0.7),
    (mark, 1.5),
    (spot, 6.0),
    (exam, 6.0),
    (propose, 8.0),
    (judge, 0.7),
    (mislead, 1.0),
    (guess, 1.0),
    (lay_out, 1.0),
    (ask, 7.0),
    (rate, 0.7),
    (fields, 0.7),
    (label_sentence, 0.5),
    (listing, 1.5),
    (reword, 1.0),
    (reword_news, 2.0),
    (record, 1.0),
    (meaning, 1.0),
    (evidence, 1.0),
    (find, 0.5),
    (finish, 0.5),
    (swap, 1.0),
    (news, 3.0),
    (drop, 0.7),
    (tally, 0.5),
    (shuffle, 0.4),
)
COPYING: Final = ((repeat, 2.0), (repeat_words, 2.0), (tally, 0.5), (nth, 1.0), (swap, 1.0), (find, 1.0), (answer, 1.0))
MARKING: Final = ((mark, 5.0), (spot, 2.0))
STAGES: Final = ((24_576, COPYING), (40_960, MARKING))
"""Up to these indices most examples are of the simple tasks that everything else is built on."""


def example(seed: int, index: int) -> Pair:
    """Example number `index` of the mix: a pure function of (seed, index)."""
    rng = random.Random(f"pretrain:{seed}:{index}")
    simple = next((table for end, table in STAGES if index < end), TASKS)
    table = simple if rng.random() < 0.75 else TASKS
    task = rng.choices([task for task, _ in table], [weight for _, weight in table])[0]
    return task(rng, Material(rng))
