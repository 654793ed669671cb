"""Variables: a group of settings, a pydantic model that is read from the environment, with all its faults at once.

pydantic-settings was tried: its import takes 56 ms of every command (asyncio, a command line, three clouds), and its
sources have nothing to do: MLflow, boto3 and Prefect read the environment themselves, so that files are applied to the
environment first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from mtl.errors import ConfigError, InputError
from mtl.settings.environment import current

_CONSEQUENCES = ("default_factory_not_called",)  # a default that is made of a field that is wrong


def variable(*names: str, meaning: str, expected: str = "", hint: str | None = None, **options: Any) -> Any:
    """A field that has the value of the first of the variables `names` that is set.

    meaning: for the reference. expected, hint: what an error says of a value that is not of the field's type.
    """
    said: dict[str, JsonValue] = {"expected": expected, "hint": hint}
    return Field(validation_alias=AliasChoices(*names), description=meaning, json_schema_extra=said, **options)


def refused(error: InputError) -> PydanticCustomError:
    """What a validator raises for a value, so that `read` raises `error`."""
    return PydanticCustomError("setting", "refused", {"error": error})


class Variables(BaseModel):
    """A group of settings. Made by hand it has what it is given; `read` takes the environment. Empty is unset.

    Its schema is built when it is first used: a command reads two or three of the groups.
    """

    model_config = ConfigDict(
        frozen=True, defer_build=True, populate_by_name=True, validate_default=True, hide_input_in_errors=True
    )

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Self:
        """From the environment, or from `environ`. Errors: InputError; for several faults ConfigError, with all."""
        found, faults = cls.examine(current() if environ is None else environ)
        if found is None:
            raise faults[0] if len(faults) == 1 else all_of("the environment", faults)
        return found

    @classmethod
    def examine(cls, environ: Mapping[str, str]) -> tuple[Self | None, list[InputError]]:
        """The settings, or None and all that is wrong."""
        known = [name for field in cls.model_fields.values() for name in names(field)]
        given = {name: environ[name] for name in known if environ.get(name)}
        try:
            found = cls.model_validate(given)
        except ValidationError as error:
            details = [detail for detail in error.errors(include_url=False) if detail["type"] not in _CONSEQUENCES]
            return None, [cls._fault(detail, given) for detail in details]
        faults = list(found.faults())
        return None if faults else found, faults

    def faults(self) -> Iterator[InputError]:
        """What is wrong between variables that are right one by one."""
        yield from ()

    @classmethod
    def _fault(cls, detail: ErrorDetails, given: Mapping[str, str | None]) -> InputError:
        own = detail.get("ctx", {}).get("error")
        if isinstance(own, InputError):
            return own
        field = next(field for field in cls.model_fields.values() if detail["loc"][0] in names(field))
        name = next((name for name in names(field) if name in given), names(field)[0])
        said: Any = field.json_schema_extra
        return InputError(f"{name} is {given.get(name)!r}, {said['expected']}", field=name, hint=said["hint"])


def names(field: FieldInfo) -> tuple[str, ...]:
    """The variables that a field is read from, its own first."""
    assert isinstance(field.validation_alias, AliasChoices)
    return tuple(str(name) for name in field.validation_alias.choices)


def all_of(source: str, faults: list[InputError]) -> ConfigError:
    """Several faults as one error."""
    hints = "\n".join(f"{fault.field}: {fault.hint}" for fault in faults if fault.hint)
    said = [(str(fault.field), fault.message.removeprefix(f"{fault.field} ")) for fault in faults]
    return ConfigError(source, said, hint=hints or None)


def shown(value: SecretStr | None) -> str | None:
    """The text of a secret, for the one who needs it."""
    return None if value is None else value.get_secret_value()
