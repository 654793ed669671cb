"""What the form of an approval asks."""

from __future__ import annotations

from typing import Any

from mtl.chain.hand_over import question

DECISION = {"reasons": ["mcq: counts_obeyed is better."]}
REGISTERED: dict[str, Any] = {"model": "m", "version": 3, "release": "releases/m/v3"}


def test_the_question_names_version_and_reasons_and_links_the_report() -> None:
    asked = question(REGISTERED | {"report_url": "http://mlflow/report"}, DECISION)
    assert asked.startswith("Make m v3 champion?\n\n- mcq: counts")
    assert asked.endswith("[Read the report](http://mlflow/report)")


def test_without_a_page_it_names_the_release() -> None:
    assert question(REGISTERED, DECISION).endswith("Release: releases/m/v3")
