"""The page of `mtl serve` for everybody: with the keyboard alone, on a phone, in the dark, for a screen reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.browser import picture
from tests.support.page_server import PASSAGE, Served, focused, quiz

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_everything_can_be_done_with_the_keyboard(tab: Any, served: Served) -> None:
    def press(*keys: str) -> None:
        for key in keys:
            tab.keyboard.press(key)

    press("Tab", "Tab")  # past the link to the answer
    tab.keyboard.insert_text(PASSAGE)
    press("Tab", "m", "Tab")  # to the task that begins with m, and to its first parameter
    tab.keyboard.insert_text("1")
    press("Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
    tab.get_by_role("button", name="Check my answers").wait_for()
    assert focused(tab) == "Quiz with 2 questions"
    press("Tab", "Space", "ArrowDown", "Tab", "Space", "Tab", "Enter")
    assert focused(tab) == "You have 1 of 2 right."
    press("Tab", "ArrowDown")
    assert tab.evaluate("document.activeElement.value") == "wrong_key"
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "one sees where one is"
    press("Tab", "Enter")
    tab.get_by_text("Kept: question 1 has a wrong key.").wait_for()
    press("Tab", "Space", "ArrowUp", "Tab", "End")  # to I correct it, and into the question
    tab.keyboard.insert_text(" Of all?")
    press("Tab", "Tab", "Tab", "Tab", "Tab", "Home", "Tab", "Tab", "Enter")
    tab.get_by_text("Kept: question 2 as you corrected it.").wait_for()
    wrong, corrected = served.kept()
    assert (wrong.question, wrong.verdict) == (1, "wrong_key")
    assert isinstance(corrected.correction, Mapping)
    assert corrected.correction["question"] == "What do both of them like? Of all?"
    assert corrected.correction["answer"] == "A"


_CONTRASTS = """() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const [r, g, b, a = 1] = rgb(getComputedStyle(element).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = [...document.querySelectorAll("body *:not(script, option, .skip)")]
    .filter((element) => element.checkVisibility() && (own(element) || element.matches("textarea, select, input")));
  return texts.map((element) => {
    const [front, back] = [rgb(getComputedStyle(element).color), behind(element)].map(light);
    return [(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), element.outerHTML.slice(0, 80)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_is_readable_in_both_schemes(tab: Any, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 320, "height": 640})
    quiz(tab)
    second = tab.get_by_role("article").nth(1)
    second.get_by_text("Nearest to the key").wait_for()
    second.get_by_label("I correct it").check()
    second.get_by_role("button", name="Send feedback").click()
    second.get_by_text("Nothing was changed.").wait_for()
    first = tab.get_by_role("article").first
    first.get_by_label("Good").check()
    first.get_by_role("button", name="Send feedback").click()
    first.get_by_text("Kept").wait_for()
    picture(tab, f"phone-{scheme}")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    found = tab.evaluate(_CONTRASTS)
    assert len(found) > 40
    assert [(round(ratio, 2), what) for ratio, what in found if ratio < 4.5] == []
    small = "[...document.querySelectorAll('button, select, textarea, label.option, .chips label')]"
    heights = tab.evaluate(f"{small}.filter((it) => it.checkVisibility()).map((it) => it.offsetHeight)")
    assert min(heights) >= 44, "large enough for a thumb"


def test_names_and_roles(tab: Any) -> None:
    from playwright.sync_api import expect

    quiz(tab)
    tab.get_by_role("article").nth(1).get_by_text("Nearest to the key").wait_for()
    tab.get_by_role("article").nth(1).get_by_label("I correct it").check()
    expect(tab.locator("body")).to_match_aria_snapshot(_ROLES)
    unnamed = """[...document.querySelectorAll('input, select, textarea, button')]
        .filter((it) => it.checkVisibility() && !(it.labels?.length || it.textContent.trim())).length"""
    assert tab.evaluate(unnamed) == 0
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((it) => it.id)")
    assert len(ids) == len(set(ids))
    assert tab.evaluate("document.documentElement.lang") == "en" and tab.title()


_ROLES = """
- link "Skip to the answer"
- banner:
  - heading "Ask the model" [level=1]
- main:
  - form "Request":
    - textbox "Text"
    - combobox "Task"
    - group "Parameters":
      - spinbutton "easy"
      - spinbutton "medium"
      - spinbutton "hard"
    - checkbox "If the text is too long, leave out its end"
    - checkbox "Only questions that the reader confirms (slower)"
    - button "Ask"
    - status: The answer is below.
  - region "Answer":
    - heading "Quiz with 2 questions" [level=2]
    - paragraph
    - paragraph: You have 1 of 2 right.
    - article:
      - group /Question 1 · Easy What is Ann's work/:
        - heading "What is Ann's work?" [level=3]
        - radio "A. She drives a bus." [disabled]
        - radio "B. She is a baker. ✓ key, your choice" [checked] [disabled]
      - form "Feedback on question 1":
        - group "How is question 1?":
          - radio "Good"
          - radio "Wrong key"
          - radio "Unclear"
          - radio "Wrong level"
          - radio "I correct it"
        - button "Send feedback"
    - article:
      - group /Question 2/:
        - radio "A. Fishing on the lake. ✗ your choice" [checked] [disabled]
        - radio "D. Old towns. ✓ key" [disabled]
      - form "Feedback on question 2":
        - group "Correct question 2":
          - textbox "Question"
          - textbox "Option A"
          - combobox "Key"
          - combobox "Level"
        - button "Send feedback"
"""
