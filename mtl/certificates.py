"""TLS faults that no retry cures: a certificate that nobody here trusts, a bundle that is missing, no TLS at all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtl.errors import PermanentError

_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", re.IGNORECASE)
_BUNDLE = re.compile(r"TLS CA certificate bundle|no certificate or crl found", re.IGNORECASE)
_NO_FILE = re.compile(r"No such file or directory", re.IGNORECASE)
_PLAIN = re.compile(r"WRONG_VERSION_NUMBER|wrong version number|HTTP_REQUEST|RECORD_LAYER_FAILURE", re.IGNORECASE)
_REASON = re.compile(r"certificate verify failed: ([^(\]]+)")


def certificate_fault(error: BaseException, *, server: str, variable: str) -> PermanentError | None:
    """The permanent fault that an error of an HTTP client stands for; None if it is of another kind.

    server: what was asked, without credentials. variable: the one by which the client learns of a private authority.
    """
    causes = list(_causes(error))
    texts = [str(item) for item in causes]
    of_tls = any("SSL" in type(item).__name__ for item in causes)
    if any(map(_UNTRUSTED.search, texts)):
        found = next(filter(None, map(_REASON.search, texts)), None)
        reason = found[1].strip() if found else "verification failed"
        return PermanentError(
            f"the certificate of {server} is not trusted: {reason}",
            field=variable,
            hint=f"if its authority is private, set {variable} to the file with the authority's certificate (PEM)",
        )
    if any(map(_BUNDLE.search, texts)) or (of_tls and any(map(_NO_FILE.search, texts))):
        return bundle_fault(texts[0], server=server, variable=variable)
    if any(map(_PLAIN.search, texts)):
        return PermanentError(
            f"{server} does not speak TLS", field=variable, hint="its address begins with http://, not https://"
        )
    return None


def bundle_fault(text: str, *, server: str, variable: str) -> PermanentError:
    """The fault of a file of certificate authorities that cannot be read. text: what the library said."""
    return PermanentError(
        f"the file of certificate authorities cannot be used for {server}: {text[:300]}",
        field=variable,
        hint=f"set {variable} to a file that exists and holds certificates in PEM format, or unset it",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, as far as the libraries keep it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        yield from (part for part in error.args if isinstance(part, BaseException))
        error = error.__cause__ or error.__context__
