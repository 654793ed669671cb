"""notify: tell people of an event, by Slack, e-mail and signed posts, as MTL_NOTIFY_* say.

What cannot be delivered is logged and never stops a retrain. Nothing is sent unless it is configured.
"""

from __future__ import annotations

import json
import logging
import smtplib
import ssl
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from mtl.redact import clean
from mtl.service.signing import sign
from mtl.settings.service import NotifySettings
from mtl.settings.variables import shown

_log = logging.getLogger(__name__)
_TIMEOUT = 5.0
_TRIES = 2
_LONGEST = 3000
_SUBMISSION = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Notice:
    """event: one of mtl.settings.EVENTS. title: a line. text: a few. id: of the event, however often it is told."""

    event: str
    model: str
    title: str
    text: str
    url: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def notify(notice: Notice, settings: NotifySettings) -> list[str]:
    """Names of the channels that took it. No secret of the environment leaves, wherever it got into the text."""
    if notice.event not in settings.events:
        return []
    channels: dict[str, Callable[[], None]] = {}
    if settings.slack:
        channels["slack"] = lambda: _post_slack(notice, shown(settings.slack) or "")
    if settings.smtp:
        channels["email"] = lambda: _mail(notice, settings)
    if settings.url:
        channels["url"] = lambda: _post(notice, shown(settings.url) or "", shown(settings.secret) or "")
    return [name for name, send in channels.items() if _sent(name, send)]


def _sent(name: str, send: Callable[[], None]) -> bool:
    for attempt in range(1, _TRIES + 1):
        try:
            send()
        except (httpx.HTTPError, httpx.InvalidURL, OSError, smtplib.SMTPException) as error:
            if attempt == _TRIES:
                # The text of these errors may hold the address, which is a secret.
                status = getattr(getattr(error, "response", None), "status_code", "")
                _log.warning("the notification by %s was not taken: %s %s", name, type(error).__name__, status)
            else:
                time.sleep(1)
        else:
            return True
    return False


def _words(notice: Notice) -> str:
    link = f"\n{notice.url}" if notice.url else ""
    return clean(f"{notice.title}\n{notice.text[:_LONGEST]}{link}")


def _post_slack(notice: Notice, url: str) -> None:
    text = _words(notice)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # as Slack asks; also no <!channel>
        text = text.replace(character, entity)
    httpx.post(url, json={"text": text}, timeout=_TIMEOUT).raise_for_status()


def _post(notice: Notice, url: str, secret: str) -> None:
    body = clean(json.dumps(asdict(notice), ensure_ascii=False)).encode()
    now = int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, notice.id, now, body),
    }
    httpx.post(url, content=body, headers=headers, timeout=_TIMEOUT).raise_for_status()


def _mail(notice: Notice, settings: NotifySettings) -> None:
    message = EmailMessage()
    message["Subject"] = clean(" ".join(notice.title.split()))[:200]
    message["From"], message["To"] = settings.sender, ", ".join(settings.email)
    message["Message-ID"] = f"<{notice.id}@mtl>"
    message.set_content(_words(notice))
    parts = urlsplit(shown(settings.smtp) or "")
    host, port = parts.hostname or "", parts.port or _SUBMISSION[parts.scheme]
    trust = ssl.create_default_context()
    with (
        smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=trust)
        if parts.scheme == "smtps"
        else smtplib.SMTP(host, port, timeout=_TIMEOUT)
    ) as server:
        server.ehlo()
        if parts.scheme == "smtp" and (server.has_extn("starttls") or parts.password):  # no password in the clear
            server.starttls(context=trust)
        if parts.username and parts.password:
            server.login(unquote(parts.username), unquote(parts.password))
        server.send_message(message)
