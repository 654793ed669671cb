"""A server whose certificate nobody trusts: every client says so at once, and what to set."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mtl.doctor.services import mlflow as examine_mlflow
from mtl.errors import PermanentError
from mtl.service.prefect_api import PrefectApi
from mtl.settings import PrefectSettings, Settings
from mtl.store.open import open_store


def self_signed(folder: Path) -> Path:
    """Certificate and key of 127.0.0.1 in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "inside")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return file


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def serve(context: ssl.SSLContext | None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is expected
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(pem: Path) -> Iterator[str]:
    """Address of a server with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = serve(context)
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def s3(tls: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", tls)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    return tls


def test_s3_is_not_tried_again(s3: str) -> None:
    began = time.monotonic()
    with pytest.raises(
        PermanentError, match=r"the certificate of 127\.0\.0\.1:\d+ is not trusted: self-signed"
    ) as caught:
        open_store("s3://bucket/store", patience=60).get("key")
    assert time.monotonic() - began < 5
    assert caught.value.field == "AWS_CA_BUNDLE"


def test_s3_with_a_bundle_that_is_missing(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(PermanentError, match="the file of certificate authorities cannot be used") as caught:
        open_store("s3://bucket/store", patience=60).get("key")
    assert caught.value.field == "AWS_CA_BUNDLE"


def test_s3_with_the_authority_in_the_bundle_is_trusted(s3: str, pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(pem))
    with pytest.raises(Exception, match="no object"):
        open_store("s3://bucket/store", patience=10).get("key")


def test_prefect_and_mlflow_name_the_variable_of_their_client(tls: str, tmp_path: Path) -> None:
    with PrefectApi(PrefectSettings(url=f"{tls}/api", home=tmp_path)) as api, pytest.raises(PermanentError) as caught:
        api.version()
    assert caught.value.field == "SSL_CERT_FILE"
    with pytest.raises(PermanentError, match="is not trusted") as caught:
        list(examine_mlflow(Settings(home=tmp_path, store=str(tmp_path), tracking_uri=tls, actor="me")))
    assert "REQUESTS_CA_BUNDLE" in str(caught.value.field)


def test_mlflows_own_client_is_not_tried_again(tls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl.mlflow_backend.faults import mlflow_errors

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(PermanentError, match="is not trusted: self-signed") as caught, mlflow_errors("ask"):
        from mlflow.tracking import MlflowClient

        MlflowClient(tls).search_experiments()
    assert caught.value.field == "REQUESTS_CA_BUNDLE"


def test_a_server_without_tls_is_named_as_such(tmp_path: Path) -> None:
    server = serve(None)
    with (
        PrefectApi(PrefectSettings(url=f"https://127.0.0.1:{server.server_port}/api", home=tmp_path)) as api,
        pytest.raises(PermanentError, match="does not speak TLS"),
    ):
        api.version()
    server.shutdown()
