"""Which answers of a report were taken from the store: a sentence for those who read it."""

from __future__ import annotations

from mtl.evaluation.report import READER, EvalReport, Origin


def origin_sentences(report: EvalReport) -> str:
    """Of the models' answers, and of the reader's; empty for a report that does not know, as those of before are."""
    models = {name: its for name, its in report.origin.items() if name != READER}
    read = report.origin.get(READER)
    found = [_models(models)] if models else []
    found += [_share("answers of the reader", read)] if read is not None and read.answers else []
    return " ".join(found)


def _models(origin: dict[str, Origin]) -> str:
    every = Origin(sum(its.answers for its in origin.values()), sum(its.kept for its in origin.values()))
    said = _share("answers", every)
    whole = [f"all of the {name}'s" for name, its in origin.items() if its.kept == its.answers]
    parts = [f"{its.kept:,} of the {name}'s" for name, its in origin.items() if 0 < its.kept < its.answers]
    if not every.kept or len(whole) == len(origin):
        return said
    return f"{said[:-1]}: {_listed([*whole, *parts])}."


def _share(what: str, origin: Origin) -> str:
    if not origin.kept:
        return f"None of the {origin.answers:,} {what} was taken from an earlier evaluation."
    return f"Of {origin.answers:,} {what}, {origin.kept:,} were taken from earlier evaluations."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
