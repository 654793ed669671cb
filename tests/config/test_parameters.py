"""Fields that tasks declare: types, bounds and names as in a section written by hand."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from mtl.config.parameters import with_fields
from mtl.config.retrain import load_config
from mtl.config.section import Section
from mtl.parameter import Parameter

SHARE = Parameter("share", "part of it", 0.25, low=0, high=1, open=True)
STYLE = Parameter("style", "how", "plain", choices=("plain", "formal"))


@with_fields([SHARE, STYLE])
class Both(Section):
    """Of two tasks."""

    size: int = 1


@with_fields([SHARE, STYLE], optional=True)
class Asked(Section):
    """Of a request."""


def test_a_section_gets_the_fields_behind_its_own() -> None:
    made = Both().model_dump()
    assert list(made.items()) == [("size", 1), ("share", 0.25), ("style", "plain")]
    schema = Both.model_json_schema()
    assert (schema["title"], schema["description"]) == ("Both", "Of two tasks.")
    assert schema["properties"]["share"]["exclusiveMaximum"] == 1
    assert schema["properties"]["style"]["enum"] == ["plain", "formal"]


@pytest.mark.parametrize("wrong", [{"share": 0}, {"share": 1}, {"style": "other"}, {"styles": "plain"}])
def test_what_a_parameter_does_not_allow_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Both.model_validate(wrong)


def test_a_field_of_a_request_may_be_left_out() -> None:
    assert Asked().model_dump(exclude_none=True) == {}
    assert Asked.model_validate({"style": "formal", "share": None}).model_dump(exclude_none=True) == {"style": "formal"}


def test_a_name_that_the_section_has_is_refused() -> None:
    with pytest.raises(TypeError, match="a task's parameter cannot be called 'size': Sized has that field"):

        @with_fields([Parameter("size", "", 1)])
        class Sized(Section):
            """Has one."""

            size: int = 1


def test_a_configuration_survives_pickle() -> None:
    config = load_config(Path("demo"))
    assert pickle.loads(pickle.dumps(config)) == config
