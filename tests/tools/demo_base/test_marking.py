"""The pre-training tasks that end in a letter: the letter is right, it alone counts, and no question is made up."""

import random
import re

from transformers import AutoTokenizer

from mtl.model.base import resolve_base
from tools.demo_base import marking, tasks
from tools.demo_base.material import Material, Pair, Task
from tools.demo_base.pretrain import KEY_WEIGHT, encode

ITEM = re.compile(r"Options: A\. (.+?) B\. (.+?) C\. (.+?) D\. (.+?) Correct: ([ABCD])(?= \d+\. Options:|$)")


def _made(task: Task, count: int) -> list[Pair]:
    rngs = [random.Random(f"{task.__name__}:{index}") for index in range(count)]
    return [task(rng, Material(rng)) for rng in rngs]


def test_the_letter_stands_before_the_given_answer() -> None:
    for inputs, targets in _made(marking.mark, 300):
        rights = [options["ABCD".index(letter)] for *options, letter in ITEM.findall(targets)]
        assert rights and inputs == f"Mark: {marking.numbered(rights)}"


def test_options_that_nobody_can_foresee_have_no_weight() -> None:
    tokenizer = AutoTokenizer.from_pretrained(resolve_base("demo").location)
    for task, others in ((marking.mark, 0.0), (marking.spot, 0.0), (marking.exam, 0.0), (marking.propose, 1.0)):
        for _, targets, weights in encode(tokenizer, _made(task, 20)):
            words = tokenizer.convert_ids_to_tokens(targets)
            keys = {place for place, word in enumerate(words[:-1], 1) if word == "▁Correct:"}
            assert keys
            assert all(weight == (KEY_WEIGHT if place in keys else others) for place, weight in enumerate(weights))


def test_no_question_with_options_is_made_up() -> None:
    for index in range(3000):
        inputs, targets = tasks.example(1, 60_000 + index)
        for question in re.findall(r"Question: (.+?) Options: A\. ", targets):
            assert question in inputs
