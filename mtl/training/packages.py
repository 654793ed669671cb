"""What is installed: name, version and licence of each distribution."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import distributions

_FIELD = re.compile(r"^(Name|Version|License-Expression|License):[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_LONGEST_LICENCE = 64  # some packages put the whole text there


@dataclass(frozen=True, slots=True)
class Package:
    """licence: as the package itself names it, None where it does not in a word or two."""

    name: str
    version: str
    licence: str | None


def installed() -> dict[str, Package]:
    """Every installed distribution by its name, as `pip list` has them; of two of one name the one imported."""
    found: dict[str, Package] = {}
    for item in distributions():
        text = item.read_text("METADATA") or item.read_text("PKG-INFO") or ""
        head = dict(reversed(_FIELD.findall(text.partition("\n\n")[0])))  # parsed whole, all of them take seconds
        if "Name" in head and "Version" in head:
            licence = head.get("License-Expression", head.get("License"))
            short = licence if licence and len(licence) <= _LONGEST_LICENCE else None
            found.setdefault(head["Name"], Package(head["Name"], head["Version"], short))
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def installed_versions() -> dict[str, str]:
    """Name -> version of the same."""
    return {name: package.version for name, package in installed().items()}
