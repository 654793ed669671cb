"""Migrations: do the databases have the tables that the installed libraries expect?"""

from __future__ import annotations

from collections.abc import Iterator

from mtl.doctor.result import CheckResult, fault, ok, warning
from mtl.errors import InputError, MtlError
from mtl.mlflow_backend.schema import schema
from mtl.redact import clean
from mtl.settings import PrefectSettings, Settings
from mtl.sqlite import database_path
from mtl.tracking.address import for_shell
from mtl.tracking.revisions import check_not_newer, revision_of, revisions


def mlflow(settings: Settings) -> Iterator[CheckResult]:
    """The database of MLFLOW_TRACKING_URI; a server looks after its own and refuses to start when it is behind."""
    uri = settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        return
    found, expected = schema(uri)
    if found is None:
        yield ok("mlflow", f"{clean(uri)} will be made on first use")
    elif found == expected:
        yield ok("mlflow", f"{clean(uri)}: tables up to date ({found})")
    else:
        check_not_newer("mlflow", found, where=clean(uri))
        what = f"{clean(uri)} has tables of an older MLflow, of revision {found}; expected is {expected}"
        if database_path(uri) is not None:
            yield warning("mlflow", what, "nothing: the next command upgrades them, and keeps the file as it is now")
        else:
            yield fault("mlflow", what, f"back it up, then: mlflow db upgrade {for_shell(uri)}")


def experiment(settings: Settings, name: str) -> Iterator[CheckResult]:
    """Can a run be recorded in it? A server is asked elsewhere. Errors: InputError if it was deleted."""
    uri = settings.tracking_uri
    path = database_path(uri)
    if uri.startswith(("http://", "https://")) or (path is not None and not path.exists()):
        return
    from mtl.mlflow_backend.tracker import MlflowTracker

    try:
        MlflowTracker(uri).check_experiment(name)
    except InputError:
        raise
    except MtlError:  # another check says that it does not answer, or refuses
        return
    yield ok("mlflow", f"experiment {name} was not deleted")


def prefect(settings: PrefectSettings) -> Iterator[CheckResult]:
    """The embedded server's database; a server answers for its own (`services.prefect`)."""
    path = settings.home / "prefect.db"
    if settings.url is not None or not path.exists():
        return
    found, known = revision_of(path), revisions("prefect")
    if found == known.head:
        yield ok("prefect", f"{path}: tables up to date ({found})")
    elif found in known.known:
        yield warning(
            "prefect", f"{path} has tables of an older Prefect ({found})", "nothing: the next start upgrades it"
        )
    else:
        do = "install the Prefect that created it, or move the file away: it contains only the history of embedded runs"
        yield fault("prefect", f"{path} is of revision {found}, which this Prefect does not know", do)
