"""MLflow's errors in this project's words: what may be tried again, what may not, and no secret in either."""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from mlflow.exceptions import MlflowException
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, Timeout
from requests.exceptions import ConnectionError as RequestsConnectionError
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from urllib3.exceptions import HTTPError as TransportError

from mtl.certificates import certificate_fault
from mtl.errors import MtlError, NotFoundError, PermanentError, TransientError
from mtl.shortages import by_text, explained
from mtl.tracking.address import redact

_TRANSIENT = {
    "INTERNAL_ERROR",  # also what MLflow calls a refused or cut connection
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "CANCELLED",
}
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND"}
_LOGIN = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user of the server that may do this "
    "(mtl stack env prints them)"
)
_DENIED = {"PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"}
# A connection that cannot be had, or breaks; the last three while the body of an answer arrives.
_BROKEN = (RequestsConnectionError, Timeout, BotoCoreError, ChunkedEncodingError, ContentDecodingError, TransportError)

# What SQLite, PostgreSQL and MySQL say when two processes insert one row: the same call finds it next time.
_RACED = re.compile(r"UNIQUE constraint failed|violates unique constraint|Duplicate entry", re.IGNORECASE)
_SQLITE = "sqlite3."
_OUTDATED = "Detected out-of-date database schema"
_LOCKED = re.compile(r"database (?:table )?is locked|database schema is locked", re.IGNORECASE)


@contextmanager
def mlflow_errors(action: str) -> Iterator[None]:
    """Turn what MLflow and its artifact stores raise into TransientError, NotFoundError or PermanentError.

    `action` completes the sentence "could not ...".
    """
    try:
        yield
    except MtlError:
        raise
    except MlflowException as error:
        _check_certificate(error)
        raise _translate(action, error) from error
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        kind = TransientError if status >= 500 or status == 429 else PermanentError
        raise kind(_sentence(action, error)) from error
    except NoCredentialsError as error:
        raise PermanentError(_sentence(action, error), hint="set the AWS_* variables of the artifact store") from error
    except _BROKEN as error:
        _check_certificate(error)
        raise TransientError(_sentence(action, error)) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        away = isinstance(error, OperationalError) and _SQLITE not in str(error)  # a server that does not answer
        kind = TransientError if away else PermanentError
        raise _of_database(action, error) or kind(_sentence(action, error)) from error
    except OSError as error:
        _check_certificate(error)
        lack = explained(error)
        hint, said = (lack.hint, lack.message) if lack else (None, str(error)[:500])
        raise PermanentError(redact(f"could not {action}: {said}"), hint=hint) from error


class PatientClient:
    """An MlflowClient whose calls are made again after a collision with another process that wrote the same moment.

    The database undid what collided, so that the call can be made again as if for the first time.
    """

    def __init__(self, client: Any, *, seconds: float = 10.0) -> None:
        self._client = client
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return partial(self._call, found) if callable(found) else found

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        deadline, pause = time.monotonic() + self._seconds, 0.05
        while True:
            try:
                return method(*args, **kwargs)
            except (MlflowException, SQLAlchemyError) as error:
                if not _collided(error) or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))  # or those that collided would do so again
            pause = min(2 * pause, 1.0)


def _collided(error: Exception) -> bool:
    return bool(_RACED.search(str(error)) or _LOCKED.search(str(error)))


def _of_database(action: str, error: Exception) -> MtlError | None:
    """The error for what a database says of the machine or of another writer; None if it says neither."""
    lack = by_text(str(error))
    if lack is not None:
        return PermanentError(
            f"could not {action}: {lack.cause} ({redact(str(error).splitlines()[0])})", hint=lack.hint
        )
    if _LOCKED.search(str(error)):
        return TransientError(_sentence(action, error), hint="another process was writing for long; try again")
    return None


def _check_certificate(error: Exception) -> None:
    """PermanentError for a certificate that is not trusted, which MLflow tries again and wraps."""
    variable = "AWS_CA_BUNDLE" if isinstance(error, BotoCoreError) else "REQUESTS_CA_BUNDLE"
    untrusted = certificate_fault(error, server="the MLflow server or its artifact store", variable=variable)
    if untrusted is not None:
        raise untrusted from None


def _translate(action: str, error: MlflowException) -> MtlError:
    if _SQLITE in str(error) and (found := _of_database(action, error)):
        return found
    if _OUTDATED in str(error):
        hint = "back the database up, then: mlflow db upgrade $MLFLOW_TRACKING_URI; mtl doctor compares the versions"
        return PermanentError(_sentence(action, error), hint=hint)
    if error.error_code in _MISSING:
        return NotFoundError(_sentence(action, error))
    if error.error_code in _DENIED:
        return PermanentError(f"could not {action}: MLflow refuses the credentials ({error.error_code})", hint=_LOGIN)
    if _RACED.search(str(error)):
        return TransientError(_sentence(action, error), hint="another process recorded the same at the same moment")
    if error.error_code in _TRANSIENT:
        return TransientError(_sentence(action, error), hint="is the server of MLFLOW_TRACKING_URI up?")
    return PermanentError(_sentence(action, error))


def _sentence(action: str, error: Exception) -> str:
    return redact(f"could not {action}: {str(error)[:500]}")
