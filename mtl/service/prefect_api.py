"""PrefectApi: the few questions that are asked of a Prefect server over HTTP, without importing Prefect (2 seconds).

Errors of all methods: TransientError if it does not answer in time, PermanentError if it refuses.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from mtl.certificates import certificate_fault
from mtl.errors import NotFoundError, PermanentError, TransientError
from mtl.service.deployments import RENAMED
from mtl.service.redact import clean
from mtl.settings import PrefectSettings, proxy_variable
from mtl.settings.variables import shown

Document = dict[str, Any]


class PrefectApi:
    """A server at `settings.url`. timeout: seconds for one request."""

    def __init__(self, settings: PrefectSettings, *, timeout: float = 5.0) -> None:
        assert settings.url, "an embedded Prefect has no address"
        self.url = settings.url
        proxy = proxy_variable(settings.url)
        self._proxy = f"; requests go through the proxy named in {proxy}, which may be what refuses" if proxy else ""
        user, _, password = (shown(settings.auth) or "").partition(":")
        self._client = httpx.Client(
            base_url=settings.url,
            timeout=timeout,
            auth=(user, password) if settings.auth else None,
            headers={"Authorization": f"Bearer {shown(settings.key)}"} if settings.key and not settings.auth else {},
        )

    def __enter__(self) -> PrefectApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, document: Document) -> Any:
        return self._ask("POST", path, json=document)

    def check(self) -> None:
        """The server answers, takes the credentials, and reaches its database, which its health page does not ask."""
        self.post("/flows/count", {})

    def version(self) -> str:
        """Version of the server."""
        return str(self.get("/admin/version"))

    def deployment(self, name: str) -> Document:
        """A deployment by `flow/deployment`, also by a name of an earlier release. Errors: NotFoundError."""
        found: Document
        try:
            found = self.get(f"/deployments/name/{name}")
        except NotFoundError:
            if name not in RENAMED:
                raise
            found = self.get(f"/deployments/name/{RENAMED[name]}")
        return found

    def flows(self) -> dict[str, str]:
        """Flow id -> name."""
        return {flow["id"]: flow["name"] for flow in self.post("/flows/filter", {"limit": 200})}

    def deployments(self, flows: dict[str, str]) -> list[Document]:
        """Every deployment, with `label`, its name as `flow/deployment`."""
        found = self.post("/deployments/filter", {"limit": 200})
        return [item | {"label": f"{flows.get(item['flow_id'], '?')}/{item['name']}"} for item in found]

    def start(self, deployment: str, parameters: Document, *, idempotency_key: str) -> Document:
        """A run of a deployment; with a key that was used before, the run that it started then."""
        found = self.deployment(deployment)
        body = {"parameters": parameters, "idempotency_key": idempotency_key, "state": {"type": "SCHEDULED"}}
        run: Document = self.post(f"/deployments/{found['id']}/create_flow_run", body)
        return run

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        where = f"{clean(self.url)}{path}"
        try:
            answer = self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            untrusted = certificate_fault(error, server=clean(self.url), variable="SSL_CERT_FILE")
            if untrusted is not None:
                raise untrusted from None
            raise TransientError(
                f"Prefect does not answer at {clean(self.url)} ({type(error).__name__})",
                field="PREFECT_API_URL",
                hint="is the server up (mtl stack status), and is PREFECT_API_URL its address with /api at the end?"
                + self._proxy,
            ) from None
        if answer.status_code in (401, 403):
            raise PermanentError(
                f"Prefect refuses the credentials at {where} ({answer.status_code})",
                field="PREFECT_API_AUTH_STRING",
                hint="set PREFECT_API_AUTH_STRING to user:password of the server (mtl stack env prints it)"
                + self._proxy,
            )
        if answer.status_code == 404:
            raise NotFoundError(f"Prefect knows nothing at {where}", hint="mtl deploy registers the deployments")
        if answer.status_code >= 300:
            kind = TransientError if answer.status_code >= 500 else PermanentError
            raise kind(f"Prefect answered {answer.status_code} at {where}: {clean(answer.text[:300])}")
        return _json(answer, where)


def _json(answer: httpx.Response, where: str) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise PermanentError(
            f"{where} answers, but it is no Prefect API",
            field="PREFECT_API_URL",
            hint="PREFECT_API_URL ends with /api, e.g. http://127.0.0.1:4200/api",
        ) from None
