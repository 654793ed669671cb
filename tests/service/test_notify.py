"""Notifications, to a real HTTP server and a real mail server: what arrives, what must not, and nobody there."""

from __future__ import annotations

import datetime
import json
import logging
import socket
import ssl
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from mtl.service.notify import Notice, notify
from mtl.service.signing import verify
from mtl.settings.service import NotifySettings, notify_settings
from tests.support.http import Answer, serving

NOTICE = Notice(
    "run.failed", "mtl-flan-t5", "retrain <!channel> failed", "it said s3cr3t-word & stopped", "http://ui/1"
)


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "s3cr3t-word")


def test_slack_gets_a_text_without_markup_and_without_secrets() -> None:
    with serving() as server:
        assert notify(NOTICE, NotifySettings(slack=f"{server.url}/services/T/B/x")) == ["slack"]
    (asked,) = server.asked
    text = json.loads(asked.body)["text"]
    assert text == "retrain &lt;!channel&gt; failed\nit said *** &amp; stopped\nhttp://ui/1"


def test_a_post_is_signed_over_id_time_and_body() -> None:
    with serving() as server:
        assert notify(NOTICE, NotifySettings(url=server.url, secret="key of the receiver")) == ["url"]
    (asked,) = server.asked
    document = json.loads(asked.body)
    assert (document["event"], document["model"], document["id"]) == ("run.failed", "mtl-flan-t5", NOTICE.id)
    assert "s3cr3t-word" not in asked.body.decode()
    verify(
        "key of the receiver",
        message_id=asked.headers["webhook-id"],
        timestamp=asked.headers["webhook-timestamp"],
        body=asked.body,
        signature=asked.headers["webhook-signature"],
    )


class Box(MessageHandler):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.got.append(message)

    def prepare_message(self, session: Session, envelope: Envelope) -> Message:
        assert isinstance(envelope.content, bytes)
        return message_from_bytes(envelope.content)


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Box]]:
    """A mail server with STARTTLS and a login, trusted through SSL_CERT_FILE."""
    certificate = certificate_for_loopback(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ann", b"p@ss-word")
        return AuthResult(success=right, handled=False)  # the server sends the refusal

    box = Box()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    controller = Controller(
        box, hostname="127.0.0.1", port=port, tls_context=context, authenticator=login, auth_require_tls=True
    )
    controller.start()
    yield f"smtp://ann:p%40ss-word@127.0.0.1:{port}", box
    controller.stop()


def certificate_for_loopback(folder: Path) -> Path:
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "loopback.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_mail_goes_out_encrypted_after_a_login(mailbox: tuple[str, Box]) -> None:
    address, box = mailbox
    environ = {"MTL_NOTIFY_SMTP": address, "MTL_NOTIFY_EMAIL": "ann@example.org, bob@example.org"}
    assert notify(NOTICE, notify_settings(environ)) == ["email"]
    (message,) = box.got
    assert message["Subject"] == NOTICE.title
    assert message["To"] == "ann@example.org, bob@example.org"
    assert "it said *** & stopped" in str(message.get_payload())


def test_a_wrong_login_or_an_unknown_certificate_is_a_warning_without_the_password(
    mailbox: tuple[str, Box], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address, box = mailbox
    with caplog.at_level(logging.WARNING):
        assert notify(NOTICE, NotifySettings(smtp=address.replace("p%40ss", "wr0ng"), email=("a@b",))) == []
        monkeypatch.delenv("SSL_CERT_FILE")
        assert notify(NOTICE, NotifySettings(smtp=address, email=("a@b",))) == []
    assert box.got == []
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("mtl"))
    assert "by email was not taken: SMTPAuthenticationError" in said
    assert "SSLCertVerificationError" in said
    assert "ss-word" not in said
    assert "wr0ng" not in said


def test_nobody_there_and_a_refusal_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    with serving({"*": Answer(500)}) as server, caplog.at_level(logging.WARNING):
        settings = NotifySettings(slack=f"{server.url}/T0KEN", url="http://127.0.0.1:9", secret="x")
        assert notify(NOTICE, settings) == []
    assert len(server.asked) == 2  # tried again once
    assert "the notification by slack was not taken: HTTPStatusError 500" in caplog.text
    assert "the notification by url was not taken: ConnectError" in caplog.text
    assert "T0KEN" not in caplog.text


def test_only_the_events_that_were_asked_for() -> None:
    with serving() as server:
        assert notify(NOTICE, NotifySettings(slack=server.url, events=("champion.changed",))) == []
        assert notify(NOTICE, NotifySettings()) == []
    assert server.asked == []
    assert "T0KEN" not in repr(NotifySettings(slack="http://x/T0KEN", secret="T0KEN", smtp="smtp://T0KEN@x"))
