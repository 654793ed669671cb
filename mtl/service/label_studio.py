"""Projects of a Label Studio server, by its SDK (the extra label-studio)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from mtl.errors import InputError, PermanentError
from mtl.http import Server
from mtl.settings.traffic import LabelStudioSettings
from mtl.traffic.label_studio import CONFIGURATION, item_of

Document = dict[str, Any]
_SECONDS = 60
_INSTALL = "pip install --constraint constraints.txt 'mtl-retrain[label-studio]'"
_EMPTY = ("", "<View></View>")


class Project:
    """A project of the server at LABEL_STUDIO_URL.

    Errors of its methods: TransientError if the server does not answer, PermanentError if it refuses the key,
    NotFoundError if there is no such project.
    """

    def __init__(self, settings: LabelStudioSettings, project: int) -> None:
        if not settings.url or not settings.key:
            hint = "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, or name a file instead of a project"
            raise InputError("no Label Studio server is named", field="LABEL_STUDIO_URL", hint=hint)
        try:
            from label_studio_sdk.client import LabelStudio
        except ImportError:
            raise InputError("label-studio-sdk is not installed", field="project", hint=_INSTALL) from None
        hint = "LABEL_STUDIO_URL is its address, such as http://localhost:8080"
        self._server = Server("Label Studio", settings.url, variable="LABEL_STUDIO_URL", hint=hint)
        self._client = LabelStudio(base_url=settings.url, api_key=settings.key.get_secret_value(), timeout=_SECONDS)
        self._project = project

    def add(self, tasks: Sequence[Document]) -> int:
        """Import the tasks that are not there yet, and set the labelling configuration of an empty project; how many.

        Errors: InputError for a project with another configuration.
        """
        with self._errors():
            self._configure()
            there = {item_of(task.data) for task in self._client.tasks.list(project=self._project, fields="task_only")}
            missing = [task for task in tasks if item_of(task["data"]) not in there]
            if missing:
                self._client.projects.import_tasks(self._project, request=missing)
            return len(missing)

    def export(self) -> list[Document]:
        """All tasks with their annotations, in the format JSON."""
        with self._errors():
            found = self._client.projects.exports.as_json(self._project, timeout=_SECONDS)
        return list(found)

    def _configure(self) -> None:
        there = (self._client.projects.get(self._project).label_config or "").strip()
        if there in _EMPTY:
            self._client.projects.update(self._project, label_config=CONFIGURATION)
        elif 'name="verdict"' not in there or 'name="correction"' not in there:
            raise InputError(
                f"project {self._project} has another labelling configuration",
                field="project",
                hint="name an empty project, or set the configuration that mtl feedback export FILE writes beside FILE",
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns what the SDK raises into errors of this project. What the server says may hold texts, and is left."""
        from label_studio_sdk.core.api_error import ApiError

        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._server.failed(error) from None
        except ApiError as error:
            status = error.status_code or 500
            said = f"Label Studio answered {status} about project {self._project}"
            raise self._server.refused(status, said, field="LABEL_STUDIO_API_KEY", hint=_hint(status)) from None
        except ValueError as error:  # of JSON
            raise PermanentError(f"Label Studio answered what is no export ({type(error).__name__})") from None


def _hint(status: int) -> str:
    if status in (401, 403):
        return "LABEL_STUDIO_API_KEY is the access token of an account that may see the project"
    return "its address in the browser ends with the number of the project" if status == 404 else "see its log"
