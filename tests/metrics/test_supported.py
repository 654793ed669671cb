from __future__ import annotations

import time

import pytest

from mtl.metrics.supported import supported, unsupported


@pytest.mark.parametrize(
    ("summary", "article", "wrong"),
    [
        # names, word by word
        ("Then Ann Lee left.", "Anna Lee has left.", ["Ann"]),
        ("He met Anna.", "He met Ann.", ["Anna"]),
        ("He met Ann Lee's son.", "ANN LEE has a son.", []),
        ("the Lees' house and O'Brien’s car", "Lees, O’Brien", []),
        ("He saw René in São Paulo.", "Rene was in Sao Paulo.", []),
        ("He met \uff21nn.", "Ann was there.", []),
        ("Jean-Paul met a pro-Kenya group in al-Arish.", "Jean, Paul, Kenya and Arish", []),
        ("Jean-Paul was there.", "Jean was there.", ["Paul"]),
        ("The iPhone and flight MH370", "flight mh370 and an iphone", []),
        # at the start of a sentence
        ("Fire destroyed a house. Rain followed.", "There was a blaze.", []),
        ("Ann won. Then came Ann.", "Bob won.", ["Ann", "Ann"]),
        ("Ann won.", "Bob beat Ann.", []),
        ("McCain won.", "Obama won.", ["McCain"]),
        ('He said: "Nothing works."', "He spoke.", []),
        # titles and single letters are none, and their point ends no sentence
        ("They saw Mr. Lee and Dr Wu, and I saw J. Doe.", "They saw Wu.", ["Lee", "Doe"]),
        # abbreviations
        ("in the U.S. and the UK", "in the US and the United Kingdom", []),
        ("in the United States", "in the U.S.", []),
        ("The UK and the US", "It told us of Kenya.", ["UK", "US"]),
        # dates
        ("on Monday, Sept. 3", "on Mon, September 3rd", []),
        ("on Monday in May", "on Tuesday in June", ["Monday", "May"]),
        # numbers
        ("It has 3 floors and two doors.", "It has three floors and 2 doors.", []),
        ("It cost $1,500.", "It cost 1500 pounds.", []),
        ("It cost £1.5 million.", "It cost 1,500,000.", []),
        ("It cost 1.5m.", "It cost 1.5 million.", []),
        ("It cost 1.5 billion.", "It cost 1.5 million.", ["1.5 billion"]),
        ("It grew by 2.50%.", "It grew by 2.5 percent.", []),
        ("It is 13 km.", "It is 130 km and 1.3 m.", ["13"]),
        ("the 20th time in the 1980s", "the twentieth in 1980", []),
        ("the 3rd", "the third", []),
        ("two hundred and five, twenty-five, one thousand", "205, 25, 1000", []),
        ("twenty-six", "twenty, six", ["twenty-six"]),
        ("He won 3-2 at 10:30.", "He won 2-3 at 10:30.", []),
        ("one of them", "all", []),
        ("He is 64.", "He is 46.", ["64"]),
    ],
)
def test_names_numbers_and_dates_that_the_article_does_not_have(summary: str, article: str, wrong: list[str]) -> None:
    assert [summary[start:end] for start, end in unsupported(summary, article)] == wrong


def test_the_share_is_over_all_that_counts() -> None:
    assert supported("On Monday Ann Lee won 3 cups.", "On Monday Anna Lee won three cups.") == 0.75
    assert supported("On Monday Ann Lee won 3 cups.", "") == 0


@pytest.mark.parametrize("summary", ["", "nothing to check here.", "市长昨天去了北京。", "ذهب أمس", "I saw it."])
def test_a_summary_without_names_numbers_and_dates_has_no_share(summary: str) -> None:
    assert supported(summary, "Ann has 3.") is None


def test_other_scripts_have_numbers_and_those_with_capitals_names() -> None:
    assert supported("他有3只猫。", "他有5只猫。") == 0
    assert supported("Вчера Анна купила 2 книги.", "Анна купила две и 2.") == 1
    assert supported("Вчера Анна ушла.", "Вчера ушла Инна.") == 0


@pytest.mark.parametrize(
    "part", ["A", "Ann ", "1,", "1", "one hundred and ", "A.", '"', "'", "a'", ". ", "-", "Ünal's "]
)
def test_the_time_grows_with_the_length_alone(part: str) -> None:
    start = time.process_time()
    supported(part * 20_000, part * 20_000)
    assert time.process_time() - start < 5
