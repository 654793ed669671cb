from __future__ import annotations

from typing import Any

import pytest

from mtl.config.retrain import parse_config
from mtl.errors import ConfigError

SOURCES = [{"task": "mcq", "uri": "demo"}]
FILES = {"task": "summarize", "uri": "articles"}
FEEDBACK = {"task": "summarize", "uri": "feedback"}


@pytest.mark.parametrize(
    ("data", "field", "problem"),
    [
        ({"sources": []}, "data.sources", "at least 1 item"),
        ({"requests": {"all": 0, "one": 0, "level": 0, "subset": 0}}, "data.requests", "at least one of all, one"),
        ({"requests": {"al": 1}}, "data.requests.al", "unknown key; did you mean 'all'?"),
        ({"requests_per_passage": 0}, "data.requests_per_passage", "greater than or equal to 1, got 0"),
        ({"holdout": {"validation": 1.0}}, "data", "holdout shares must be over 0 and together under 1"),
        ({"holdout": {"validation": 0.6, "test": 0.5}}, "data", "holdout shares must be over 0 and together under 1"),
        ({"mixture": {"kind": "explicit"}}, "data", "mixture.kind explicit needs mixture.rates"),
        (
            {"mixture": {"kind": "explicit", "rates": {"mqc": 1}}},
            "data",
            "mixture.rates are of ['mqc'], the sources of ['mcq']",
        ),
        ({"mixture": {"kind": "capped"}}, "data", "mixture.kind capped needs mixture.cap"),
        ({"sources": [{"task": "mcq", "uri": "hub:a/b"}]}, "data", "source hub:a/b needs a revision"),
        ({"sources": [{**SOURCES[0], "rows": {"train": 0}}]}, "data.sources.0", "rows.train must be at least 1, got 0"),
        (
            {"sources": [{**SOURCES[0], "rows": {"dev": 1}}]},
            "data.sources.0.rows.dev",
            "'train', 'validation' or 'test'",
        ),
        ({"sources": [{**SOURCES[0], "sha256": "ab"}]}, "data.sources.0.sha256", "match pattern"),
        ({"max_bad_share": float("nan")}, "data.max_bad_share", "finite number"),
        ({"sources": [{**FILES, "delimiter": "\n"}]}, "data.sources.0.delimiter", "cannot divide columns"),
        ({"sources": [{**FILES, "encoding": "cp1525"}]}, "data.sources.0.encoding", "did you mean 'cp1252'?"),
        ({"sources": [{**SOURCES[0], "encoding": "cp1252"}]}, "data.sources.0", "a property of files; demo has none"),
        ({"sources": [{**FILES, "columns": {"article": []}}]}, "data.sources.0", "columns.article names no column"),
        ({"sources": [{**FEEDBACK, "delimiter": ";"}]}, "data.sources.0", "a property of files; feedback has none"),
        ({"sources": [{**FEEDBACK, "columns": {"article": "a"}}]}, "data.sources.0", "columns are not needed"),
        ({"sources": [{**FEEDBACK, "files": {"train": "50%"}}]}, "data.sources.0", "got {train: 50%}"),
        ({"sources": [{**FEEDBACK, "files": {"test": "half"}}]}, "data.sources.0", "got {test: half}"),
        (
            {"sources": [{**FEEDBACK, "files": {"test": "60%", "validation": "50%"}}]},
            "data.sources.0",
            "ask for more than there is",
        ),
    ],
)
def test_faults_name_their_field(data: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"data": {"sources": SOURCES, **data}})
    (fault,) = caught.value.faults
    assert fault[0].startswith(field) and problem in fault[1], fault


def test_held_out_feedback_is_read() -> None:
    source = {**FEEDBACK, "files": {"validation": "20%", "test": "10%"}}
    assert parse_config({"data": {"sources": [source]}}).data.sources[0].files == {"validation": "20%", "test": "10%"}
