"""The settings themselves: known names, whole pairs, values that can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mtl.doctor.result import CheckResult, fault, ok, warning
from mtl.errors import did_you_mean
from mtl.settings.table import GROUPS, KNOWN

_PAIRS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
)


_OTHERS = ("MTL_TEST_", "MTL_DEPLOY_")  # of the tests; and what `mtl deploy` gives to its file


def variables(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    """Every fault of the environment at once."""
    found = [*_unknown(environ), *_halves(environ), *_values(environ), *_addresses(environ)]
    yield from found
    if not found:
        given = sorted(name for name in KNOWN if environ.get(name))
        yield ok("settings", f"set: {', '.join(given) or 'none, so everything is embedded'}")


def _unknown(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    for name in sorted(environ):
        if name.startswith("MTL_") and name not in KNOWN and not name.startswith(_OTHERS):
            own = [known for known in KNOWN if known.startswith("MTL_")]
            yield warning("settings", f"Unknown setting {name}", did_you_mean(name, own))


def _halves(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    for one, other in _PAIRS:
        if bool(environ.get(one)) != bool(environ.get(other)):
            have, lack = (one, other) if environ.get(one) else (other, one)
            yield fault("settings", f"{have} is set, {lack} is not", f"set {lack} too, or unset {have}")


def _values(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    errors = [error for group in GROUPS for error in group.examine(environ)[1]]
    for message, error in {error.message: error for error in errors}.items():
        yield fault("settings", message, error.hint or "correct it")


def _addresses(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    url = environ.get("PREFECT_API_URL", "")
    if url and not url.rstrip("/").endswith("/api") and "/workspaces/" not in url:
        yield fault(
            "settings",
            "PREFECT_API_URL does not end with /api",
            "set it to an address such as http://127.0.0.1:4200/api",
        )
    if environ.get("MTL_STORE", "").startswith("s3://") and not environ.get("AWS_ACCESS_KEY_ID"):
        do = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, unless the machine has a role that boto3 finds by itself"
        yield warning("settings", "MTL_STORE is in S3, but no credentials are set", do)
