"""Fields of a section that the tasks declare: a `Parameter` becomes a field with its type, bounds and description."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, create_model

from mtl.config.section import Section
from mtl.parameter import Parameter

S = TypeVar("S", bound=Section)


def with_fields(parameters: Iterable[Parameter], *, optional: bool = False) -> Callable[[type[S]], type[S]]:
    """Decorator: the section with a field for each parameter behind its own.

    optional: each field may also be null, which is its default. Errors: TypeError for a name that the section has.
    """
    chosen = {parameter.name: parameter for parameter in parameters}

    def extend(section: type[S]) -> type[S]:
        if taken := chosen.keys() & section.model_fields.keys():
            raise TypeError(f"a task's parameter cannot be called {min(taken)!r}: {section.__name__} has that field")
        return _model(section, chosen, optional=optional)

    return extend


def _model(section: type[S], parameters: Mapping[str, Parameter], *, optional: bool) -> type[S]:
    fields: Any = {name: _field(parameter, optional=optional) for name, parameter in parameters.items()}
    return create_model(
        section.__name__, __base__=section, __module__=section.__module__, __doc__=section.__doc__, **fields
    )


def _field(parameter: Parameter, *, optional: bool) -> tuple[Any, Any]:
    """(annotation, field) as `create_model` takes them."""
    if parameter.parts:
        section, checked = _part(parameter)
        return checked, Field(section(), description=parameter.description)
    annotation: Any = Literal[parameter.choices] if parameter.choices else parameter.kind
    low, high = ("gt", "lt") if parameter.open else ("ge", "le")
    bounds: dict[str, Any] = {low: parameter.low, high: parameter.high}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    if optional:
        return annotation | None, Field(None, description=parameter.description, **given)
    return annotation, Field(parameter.default, description=parameter.description, **given)


def _part(parameter: Parameter) -> tuple[type[Section], Any]:
    """(a section of its own, the same with the parameter's check); `requests` becomes RequestsConfig."""
    check = parameter.check

    def whole(section: Section) -> Section:
        problem = check(section.model_dump()) if check else None
        if problem:
            raise ValueError(problem)
        return section

    class Part(Section):
        pass

    Part.__name__ = f"{parameter.name.title().replace('_', '')}Config"
    made = _model(Part, {part.name: part for part in parameter.parts}, optional=False)
    globals()[made.__name__] = made  # where pickle looks for it
    return made, Annotated[made, AfterValidator(whole)]
