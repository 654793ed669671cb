"""Which split a file belongs to, by the words in its name or in the names of its folders.

    train/a.jsonl   race.dev.jsonl.gz   raceTest.csv   testset.csv   test-00000-of-00001.parquet   eval_1.tsv

The words are those of the Hub's data sets (`datasets`, SPLIT_KEYWORDS). A word is what stands between characters that
are no letters, or begins with a capital: `contest`, `latest` and `developer` name no split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from unicodedata import normalize

from mtl.errors import DataError
from mtl.sources.base import Note
from mtl.sources.names import few, printable

SPLITS = ("train", "validation", "test")
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_NAMES = {word: split for split, words in _WORDS.items() for word in words}
_SPLIT = re.compile(rf"({'|'.join(_NAMES)})[-_ ]?(?:sets?|data|split)?")
_LOWER = re.compile(r"(?<=[A-Z]{2})[a-z]+")  # RACEtest
_LEVELS = ("middle", "high", "college")

Chosen = dict[str, list[str]]


def by_split(names: Iterable[str], uri: str, *, own: str | None = None) -> tuple[Chosen, list[Note]]:
    """(relative paths by split, what is to be said of it). If no name speaks of a split, all are of `own`, or train.

    own: the split that the source's own name speaks of. Errors: DataError for names that speak of two splits, and for
    names that speak of none beside others that do.
    """
    told = [(name, _split_of(name)) for name in names]
    unknown = [name for name, split in told if split is None]
    chosen: Chosen = {which: [name for name, split in told if (split or own) == which] for which in SPLITS}
    if not unknown or own == "train":
        return chosen, []
    if own:
        text = f"taken as {own}, after the name of the source itself: {few(unknown)}"
        return chosen, [Note("", text, usual=True)]
    _refuse_both(unknown)
    named = {name: split for name, split in told if split}
    if named:
        raise _unknown(unknown, named, uri)
    _refuse_doubtful(unknown, uri)
    files = "its one file is" if len(unknown) == 1 else f"all {len(unknown)} files are"
    text = f"no name tells a split, so {files} taken as train: {few(unknown)}"
    return {"train": unknown}, [Note("", text, usual=len(unknown) == 1)]


def own_split(folders: Iterable[str]) -> str | None:
    """The split that a source's own folder is named after (`data/dev`, `RACE/test/high`), from the outermost one."""
    for name in reversed(list(folders)):
        if name.lower() not in _LEVELS:
            found = _SPLIT.fullmatch(name.lower())
            return _NAMES[found[1]] if found else None
    return None


def split_in(name: str) -> str | None:
    """The one split that a name speaks of, None for none and for several."""
    found = _splits_in(name)
    return found[0] if len(found) == 1 else None


def _split_of(name: str) -> str | None:
    folder, _, file = name.rpartition("/")
    return split_in(file) or _split_in_folders(folder)


@cache
def _split_in_folders(folder: str) -> str | None:
    return next(filter(None, map(split_in, reversed(folder.split("/")))), None)


def _splits_in(name: str) -> list[str]:
    found = (_SPLIT.fullmatch(word.lower()) for word in _words(name))
    return list(dict.fromkeys(_NAMES[match[1]] for match in found if match))


def _words(name: str) -> Iterator[str]:
    """'raceTest_2.csv' -> raceTest, race, Test, csv. What has no upper case stands between words, accents do not."""
    cased = (char if char.lower() != char.upper() else " " for char in normalize("NFC", name))
    for run in "".join(cased).split():
        starts = [n for n in range(1, len(run)) if _begins(run, n)]
        yield run
        yield from (run[start:end] for start, end in zip([0, *starts], [*starts, None], strict=True))
        yield from _LOWER.findall(run)


def _begins(run: str, at: int) -> bool:
    """Whether a capital opens a word there: race|Test, RACE|Test."""
    return run[at].isupper() and (run[at - 1].islower() or run[at + 1 : at + 2].islower())


def _refuse_both(unknown: Iterable[str]) -> None:
    for name in unknown:
        splits = _splits_in(name.rpartition("/")[2])
        if splits:
            raise DataError(
                f"{printable(name)}: its name speaks of {' and of '.join(splits)}",
                field="sources.files",
                hint=f"say which it is under `files`, for example files: {{{splits[0]}: {printable(name)!r}}}",
            )


def _refuse_doubtful(unknown: list[str], uri: str) -> None:
    """`racetrain` and `racetest` may well be splits, unlike `contest` and `latest`, and must not both be trained on."""
    ends = [{split for word, split in _NAMES.items() if _ends(name, word)} for name in unknown]
    if all(ends) and "train" in (told := set().union(*ends)) and len(told) > 1:
        raise DataError(
            f"{few(unknown)} in {uri}: their names end like those of splits, but no split is a word of its own there",
            field="sources.files",
            hint="name the files of each split under `files`, or rename them as in race-train, race-test",
        )


def _ends(name: str, word: str) -> bool:
    return any(its.lower().endswith(word) for its in _words(name.rpartition("/")[2]))


def _unknown(unknown: list[str], named: Mapping[str, str], uri: str) -> DataError:
    whose = "its name" if len(unknown) == 1 else "their names"
    others = few(f"{name} ({split})" for name, split in named.items())
    some, split = next(iter(named.items()))
    example = f"{{train: {printable(unknown[0])!r}, {split}: {printable(some)!r}}}" if split != "train" else ""
    return DataError(
        f"{few(unknown)}: no split in {whose}, while other files in {uri} have one: {others}",
        field="sources.files",
        hint="name the files of each split under `files`" + (f", for example files: {example}" if example else ""),
    )
