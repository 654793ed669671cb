"""PrefectApi: the few questions that are asked of a Prefect server over HTTP, without importing Prefect (2 seconds).

Errors of all methods: TransientError if it does not answer in time, PermanentError if it refuses.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from mtl.errors import NotFoundError, PermanentError
from mtl.http import Server, ask, http_errors, through_proxy
from mtl.redact import clean
from mtl.service.deployments import RENAMED
from mtl.settings import PrefectSettings
from mtl.settings.variables import shown

Document = dict[str, Any]


class PrefectApi:
    """A server at `settings.url`. timeout: seconds for one request."""

    def __init__(self, settings: PrefectSettings, *, timeout: float = 5.0) -> None:
        assert settings.url, "an embedded Prefect has no address"
        self.url = settings.url
        self._timeout = timeout
        hint = "is the server up (mtl stack status), and is PREFECT_API_URL its address with /api at the end?"
        self._proxy = through_proxy(settings.url)
        self._server = Server("Prefect", clean(settings.url), "PREFECT_API_URL", hint + self._proxy)
        user, _, password = (shown(settings.auth) or "").partition(":")
        bearer = {"Authorization": f"Bearer {shown(settings.key)}"} if settings.key and not settings.auth else {}
        with http_errors(self._server):
            self._client = httpx.Client(
                base_url=settings.url,
                auth=(user, password) if settings.auth else None,
                headers=bearer,
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
        where = f"{self._server.address}{path}"
        answer = ask(self._server, method, path, timeout=self._timeout, client=self._client, **arguments)
        if answer.status_code in (401, 403):
            raise self._server.refused(
                answer.status_code,
                f"Prefect refuses the credentials at {where} ({answer.status_code})",
                field="PREFECT_API_AUTH_STRING",
                hint="set PREFECT_API_AUTH_STRING to user:password of the server (mtl stack env prints it)"
                + self._proxy,
            )
        if answer.status_code == 404:
            hint = "mtl deploy registers the deployments"
            raise self._server.refused(404, f"Prefect knows nothing at {where}", hint=hint)
        if answer.status_code >= 300:
            said = f"Prefect answered {answer.status_code} at {where}: {clean(answer.text[:300])}"
            raise self._server.refused(answer.status_code, said)
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
