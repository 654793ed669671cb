"""Licences of bases and data, as far as their publishers say them; a card that does not know says so."""

from __future__ import annotations

from collections.abc import Mapping

_KNOWN = {
    "demo": "made by this project",
    "feedback:": "written by those who gave feedback",
    "google/flan-t5": "Apache-2.0",
    "hub:abisee/cnn_dailymail": "Apache-2.0",
    "hub:ehovy/race": "non-commercial research only (see the data set's page)",
}
UNKNOWN = "not known here; say it in register.licences"


def licence_of(name: str, given: Mapping[str, str]) -> str:
    """Licence of a base or of a source's uri: what the configuration gives, else what is known of its publisher."""
    if name in given:
        return given[name]
    known = (text for start, text in _KNOWN.items() if name == start or (start != "demo" and name.startswith(start)))
    return next(known, UNKNOWN)
