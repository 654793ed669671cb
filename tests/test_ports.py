"""A port that cannot be had is named before anything is promised."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from mtl.cli.main import run
from mtl.errors import InputError
from mtl.ports import hold, holder


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_held_takes_connections_at_once() -> None:
    with hold("127.0.0.1", 0) as (listener,), socket.create_connection(listener.getsockname(), timeout=5):
        pass


def test_a_command_that_fails_gives_its_port_back() -> None:
    with pytest.raises(LookupError), hold("127.0.0.1", 0) as (listener,):
        port = listener.getsockname()[1]
        raise LookupError
    assert listener.fileno() == -1
    with hold("127.0.0.1", port):
        pass


def test_a_name_with_several_addresses_is_listened_to_on_each_or_none_is_held(taken: int) -> None:
    with pytest.raises(InputError, match=f"port {taken} of localhost is taken"), hold("localhost", taken):
        pass
    families = {socket.AF_INET6, socket.AF_INET} & {item[0] for item in socket.getaddrinfo("localhost", None)}
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with hold("localhost", port) as held:
        assert {listener.family for listener in held} <= families
        assert socket.AF_INET in {listener.family for listener in held}


def test_who_has_a_port_is_named(taken: int) -> None:
    assert holder(taken).endswith(f"(process {os.getpid()})")
    with pytest.raises(InputError) as caught, hold("127.0.0.1", taken):
        pass
    assert str(caught.value) == (
        f"port {taken} of 127.0.0.1 is taken by {holder(taken)}\n"
        f"  stop that program (ss -ltnp | grep :{taken}), or choose another port with --port"
    )


def test_an_address_of_another_machine_is_refused() -> None:
    for host in ("192.0.2.1", "no.such.host.invalid"):
        with (
            pytest.raises(InputError, match=f"cannot listen on {host}: .*\n  an address of this machine"),
            hold(host, 0),
        ):
            pass


@pytest.mark.parametrize("command", [["serve"], ["serve", "champion"], ["webhooks", "--register"]], ids=" ".join)
def test_a_command_that_listens_looks_at_its_port_first(
    taken: int, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("MTL_WEBHOOK_MLFLOW_SECRET", "a key of sixteen and more")
    assert run([*command, "--port", str(taken), "--json"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    error = json.loads(line)["error"]
    assert (error["kind"], error["field"]) == ("input", "port")
