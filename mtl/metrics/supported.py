"""Names, numbers and dates of a summary that its article does not have. Deterministic, without a model, linear time.

What counts, word by word (each occurrence):

- A name is a word of at least two letters with a capital. At the start of a sentence or a quotation it counts only if
  one of the two texts also has it with a capital inside a sentence, or if capitals or digits are mixed into it
  ("McCain", "MH370"). Each word of a name counts: "Ann Lee" is two. Days and months are names. "I" and short titles
  ("Mr", "Dr.") do not count.
- A number is one in digits ("1,500", "2.5", "20th", "1980s") or in words from two up ("three", "twenty-five", "two
  hundred"). A word of size belongs to it ("1.5 million", "2bn"). Currencies, units, percent and the ending of an
  ordinal do not count, and neither does "one", which is rarely a number.

A name is supported if the article has the same word in any case, after NFKC and without accents, inner marks ("U.S." is
"US") and a possessive 's, or if it abbreviates neighbouring names there or is abbreviated there by its initials ("US"
and "United States"). A word in capitals alone needs a word with a capital, so that "us" is not "US". Short forms of
days and months are the long ones. A number is supported if the article has its value in digits or in words, ordinals
included ("third" is 3).

A script without capitals has no names by this rule, and a language that writes every noun with one has many. Other
forms of a name ("Spanish" for "Spain") are other names, and a name that the article has of somebody else is supported.

    >>> supported("On Monday Ann Lee won 3 cups.", "Anna Lee won three cups on Monday.")
    0.75
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

Span = tuple[int, int]
"""Start and end of a part of a text, as for slicing."""

_LETTER = r"[^\W\d_]"
_TOKEN = re.compile(
    rf"(?P<digits>\d(?:[\d.,:]*\d)?)(?P<unit>{_LETTER}*)"
    rf"|(?:{_LETTER}\.){{2,}}|{_LETTER}(?:{_LETTER}|[\u0300-\u036f]|['’](?={_LETTER}))*(?:(?<=[A-Za-z])\d[A-Za-z\d]*)?"
)
_OPENS = re.compile(r"""[.!?:;|*…\n]["'“”‘’«()\[\]\s-]*$|["“«()\[\]]$|\s['‘]$|\s[-–—]+\s*$""")
_LONGEST = 5
"""Most letters of an abbreviation by initials."""
_REACH = 8
"""Characters before a word that are searched for the end of a sentence."""
_TITLES = frozenset(
    ["mr", "mrs", "ms", "mx", "dr", "st", "prof", "gov", "sen", "rep", "gen", "col", "lt", "sgt", "capt", "rev", "hon"]
)
_DAYS = {"monday": "mon", "tuesday": "tue tues", "wednesday": "weds", "thursday": "thu thur thurs", "friday": "fri"}
_MONTHS = {"january": "jan", "february": "feb", "april": "apr", "june": "jun", "july": "jul", "august": "aug"} | {
    "september": "sep sept",
    "october": "oct",
    "november": "nov",
    "december": "dec",
}
_LONG = {short: name for name, shorts in (_DAYS | _MONTHS).items() for short in shorts.split()}
"""Short forms that are no other word, as "Sun", "Sat", "Wed" and "Mar" are."""

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_UNITS += ["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_VALUES = {word: value for value, word in enumerate(_UNITS)} | _TENS
_SIZES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SUFFIXES = {"k": 10**3, "m": 10**6, "mn": 10**6, "bn": 10**9, "b": 10**9, "tn": 10**12}
_ORDINALS = {f"{word}th": _VALUES[word] for word in _UNITS[4:]} | {
    f"{word.removesuffix('y')}ieth": value for word, value in _TENS.items()
}
_ORDINALS |= {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}

_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_POINTS = re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_DECIMAL = re.compile(r"\d+(?:[.,]\d+)?")

_NO_NAMES = _TITLES | _VALUES.keys() | _SIZES.keys()

Value = Decimal | str


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a text. opens: it may have its capital from its place."""

    start: int
    end: int
    text: str
    folded: str
    opens: bool


@dataclass(frozen=True, slots=True)
class _Number:
    """A number with all values that it can be read as; `counts` unless it is rarely one."""

    start: int
    end: int
    values: frozenset[Value]
    counts: bool = True


def supported(summary: str, article: str) -> float | None:
    """Share of the summary's names, numbers and dates that the article has, 0..1; None where there are none."""
    found = [good for _, good in _checked(summary, article)]
    return sum(found) / len(found) if found else None


def unsupported(summary: str, article: str) -> list[Span]:
    """Where the summary has a name, number or date that the article does not have, in order."""
    return [span for span, good in _checked(summary, article) if not good]


def _checked(summary: str, article: str) -> list[tuple[Span, bool]]:
    """Each name and number of the summary, and whether the article has it."""
    words, numbers = _read(summary)
    source, source_numbers = _read(article)
    known = {word.folded for word in source}
    capital = {word.folded for word in source if _capital(word.text)} | {short for _, short in _initials(source)}
    abbreviated = {word.folded for word in source if _shouted(word.text)}
    spelled_out = {word for run, short in _initials(words) if short in abbreviated for word in run}
    values = {value for number in source_numbers for value in number.values}
    values |= {Decimal(_ORDINALS[word]) for word in known & _ORDINALS.keys()}
    found = [
        ((word.start, word.end), word in spelled_out or word.folded in (capital if _shouted(word.text) else known))
        for word in _names(words, source)
    ]
    found += [((it.start, it.end), not values.isdisjoint(it.values)) for it in numbers if it.counts]
    return sorted(found)


def _names(words: Sequence[_Word], others: Sequence[_Word]) -> Iterator[_Word]:
    """Those of `words` that are names, by what they and the `others` say."""
    inside = {word.folded for word in (*words, *others) if not word.opens and _capital(word.text)}
    for word in words:
        if len(word.folded) < 2 or word.folded in _NO_NAMES or not _capital(word.text):
            continue
        if not word.opens or word.folded in inside or _mixed(word.text):
            yield word


def _initials(words: Sequence[_Word]) -> Iterator[tuple[Sequence[_Word], str]]:
    """Runs of two and more neighbouring words with a capital, and their initials."""
    for first in range(len(words)):
        for last in range(first, min(first + _LONGEST, len(words))):
            if not _capital(words[last].text) or (last > first and words[last].start != words[last - 1].end + 1):
                break
            if last > first:
                run = words[first : last + 1]
                yield run, "".join(word.folded[0] for word in run)


def _capital(text: str) -> bool:
    return text != text.lower()


def _shouted(text: str) -> bool:
    """Whether it is written in capitals alone."""
    return text == text.upper() and not _digit(text)


def _mixed(text: str) -> bool:
    """Whether the capitals or digits of a word do not come from its place."""
    return _digit(text) or (text[1:] != text[1:].lower() and not _shouted(text))


def _digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _read(text: str) -> tuple[list[_Word], list[_Number]]:
    """The words of a text and its numbers; a number in words is among both."""
    tokens = list(_TOKEN.finditer(text))
    folded = [_fold(token[0]) for token in tokens]
    words = [
        _Word(*token.span(), token[0], word, _opens(text, tokens[at - 1] if at else None, token.start()))
        for at, (token, word) in enumerate(zip(tokens, folded, strict=True))
        if not token["digits"]
    ]
    return words, list(_numbers(text, tokens, folded))


def _fold(text: str) -> str:
    """What two words are compared by."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.replace("’", "'"))
        text = "".join(char for char in text if not unicodedata.combining(char))
    plain = text.casefold().removesuffix("'s").replace("'", "").replace(".", "")
    return _LONG.get(plain, plain)


def _opens(text: str, before: re.Match[str] | None, start: int) -> bool:
    """Whether a word at `start` may have its capital from the sentence or quotation that it opens."""
    if before is None:
        return True
    if text[before.end() : start].strip() == "." and (
        _fold(before[0]) in _TITLES or before.end() - before.start() == 1
    ):
        return False
    gap = text[max(before.end(), start - _REACH) : start]
    return _OPENS.search(gap) is not None


def _numbers(text: str, tokens: Sequence[re.Match[str]], folded: Sequence[str]) -> Iterator[_Number]:
    at = 0
    while at < len(tokens):
        start, end = tokens[at].span()
        if tokens[at]["digits"]:
            values = _digits(tokens[at]["digits"], tokens[at]["unit"].casefold())
            while at + 1 < len(tokens) and folded[at + 1] in _SIZES and _joined(text, tokens, at):
                at += 1
                end, values = tokens[at].end(), {_times(value, _SIZES[folded[at]]) for value in values}
            yield _Number(start, end, frozenset(values))
        elif folded[at] in _VALUES or folded[at] in _SIZES:
            last, value = _spelled(text, tokens, folded, at)
            yield _Number(start, tokens[last].end(), frozenset([Decimal(value)]), counts=value > 1)
            at = last
        at += 1


def _joined(text: str, tokens: Sequence[re.Match[str]], at: int) -> bool:
    """Whether a space or a hyphen is all that is between a token and the next."""
    return text[tokens[at].end() : tokens[at + 1].start()] in (" ", "-")


def _spelled(text: str, tokens: Sequence[re.Match[str]], folded: Sequence[str], at: int) -> tuple[int, int]:
    """(index of the last token, value) of the number in words that begins at a token."""
    last, total, current = at, 0, 0
    while True:
        word = folded[at]
        if word in _VALUES:
            current += _VALUES[word]
        elif word == "hundred":
            current = max(current, 1) * 100
        else:
            total, current = total + max(current, 1) * _SIZES[word], 0
        last = at
        if at + 1 < len(tokens) and folded[at + 1] == "and" and (word in _SIZES) and _joined(text, tokens, at):
            at += 1
        at += 1
        if at == len(tokens) or not _joined(text, tokens, at - 1) or not _continues(folded[at], current):
            return last, total + current


def _continues(word: str, current: int) -> bool:
    """Whether a word goes on with a number whose part below a thousand is `current` so far."""
    if word in _SIZES:
        return word != "hundred" or 0 < current < 100
    rest = current % 100
    return word in _VALUES and (rest == 0 or (rest >= 20 and rest % 10 == 0 and 0 < _VALUES[word] < 10))


def _digits(text: str, unit: str) -> set[Value]:
    """What a number in digits can mean; the letters that follow it may be a size, as in 5m."""
    values: set[Value] = set()
    if _GROUPED.fullmatch(text):
        values.add(Decimal(text.replace(",", "")))
    elif _DECIMAL.fullmatch(text):
        values.add(Decimal(text.replace(",", ".")))
    if _POINTS.fullmatch(text):
        values.add(Decimal(text.replace(".", "").replace(",", ".")))
    if not values:
        return {text}
    if unit in _SIZES:
        return {_times(value, _SIZES[unit]) for value in values}
    return values | ({_times(value, _SUFFIXES[unit]) for value in values} if unit in _SUFFIXES else set())


def _times(value: Value, size: int) -> Value:
    return value * size if isinstance(value, Decimal) else value
