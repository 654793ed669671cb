"""MLflow's errors in this project's words: what may be tried again, what may not, and no secret in either."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from mlflow.exceptions import MlflowException
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, Timeout
from requests.exceptions import ConnectionError as RequestsConnectionError
from urllib3.exceptions import HTTPError as TransportError

from mtl.errors import MtlError, NotFoundError, PermanentError, TransientError

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
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
_DENIED = {"PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"}
# A connection that cannot be had, or breaks; the last three while the body of an answer arrives.
_BROKEN = (RequestsConnectionError, Timeout, BotoCoreError, ChunkedEncodingError, ContentDecodingError, TransportError)

# What SQLite, PostgreSQL and MySQL say when two processes insert one row: the same call finds it next time.
_RACED = re.compile(r"UNIQUE constraint failed|violates unique constraint|Duplicate entry", re.IGNORECASE)


def redact(text: str) -> str:
    """`text` without the user and password of any address in it."""
    return _USERINFO.sub("***@", text)


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
        raise _translate(action, error) from error
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        kind = TransientError if status >= 500 or status == 429 else PermanentError
        raise kind(_sentence(action, error)) from error
    except NoCredentialsError as error:
        raise PermanentError(_sentence(action, error), hint="set the AWS_* variables of the artifact store") from error
    except _BROKEN as error:
        raise TransientError(_sentence(action, error)) from error
    except OSError as error:
        raise PermanentError(_sentence(action, error)) from error


def _translate(action: str, error: MlflowException) -> MtlError:
    if error.error_code in _MISSING:
        return NotFoundError(_sentence(action, error))
    if error.error_code in _DENIED:
        hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of a user that may do this"
        return PermanentError(_sentence(action, error), hint=hint)
    if _RACED.search(str(error)):
        return TransientError(_sentence(action, error), hint="another process recorded the same at the same moment")
    if error.error_code in _TRANSIENT:
        return TransientError(_sentence(action, error), hint="is the server of MLFLOW_TRACKING_URI up?")
    return PermanentError(_sentence(action, error))


def _sentence(action: str, error: Exception) -> str:
    return redact(f"could not {action}: {str(error)[:500]}")
