"""What a stack keeps: ports, secrets, its store; and what it says when something is in its way."""

from __future__ import annotations

import ast
import json
import os
import socket
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mtl.cli.main import run
from mtl.errors import DamageError, InputError, NotFoundError
from mtl.settings import inherited_environment
from mtl.stack import postgres
from mtl.stack.environment import client_environment
from mtl.stack.s3 import write_config
from mtl.stack.service import Service
from mtl.stack.services import all_services, become
from mtl.stack.state import Stack, keep_secrets, make_stack, open_stack
from mtl.stack.supervisor import last_lines, manager_config, start_manager, start_process, stop_manager
from mtl.stack.up import check_ports
from tests.support.accounts import as_nobody
from tests.support.paths import ALL
from tests.support.stacks import why_not

ANY = {"postgres": None, "s3": None, "s3_monitor": None, "s3_monitor_old": None, "mlflow": None, "prefect": None}
ANY |= {"webhooks": None, "serve": None, "manager": None}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return make_stack(tmp_path, usual=ANY)


def test_ports_and_passwords_are_made_once_and_kept(stack: Stack, tmp_path: Path) -> None:
    assert len(set(stack.ports.values())) == 9
    assert len(set(stack.secrets.values())) == 12
    assert all(len(secret) >= 40 for secret in stack.secrets.values())
    assert make_stack(tmp_path) == open_stack(tmp_path) == stack


def test_a_service_that_is_newer_than_the_stack_gets_a_port(stack: Stack, tmp_path: Path) -> None:
    newer = make_stack(tmp_path, usual={**ANY, "newer": None})
    assert dict(newer.ports) == {**stack.ports, "newer": newer.ports["newer"]}
    assert open_stack(tmp_path) == newer


def test_passwords_are_for_this_user_alone_and_in_no_repr(stack: Stack) -> None:
    assert stat.S_IMODE((stack.folder / "secrets.json").stat().st_mode) == 0o600
    assert not [secret for secret in stack.secrets.values() if secret in repr(stack)]
    for service in all_services(Stack(stack.home, stack.ports, stack.secrets, "s3://b/p")):
        assert not [secret for secret in stack.secrets.values() if secret in repr(service)]


def test_secrets_of_services_are_added(stack: Stack, tmp_path: Path) -> None:
    keep_secrets(stack, {"s3_key": "a", "s3_secret": "b"})
    assert open_stack(tmp_path).secrets == {**stack.secrets, "s3_key": "a", "s3_secret": "b"}


def test_a_stack_of_an_earlier_version_gets_what_it_lacks_and_keeps_what_it_has(stack: Stack, tmp_path: Path) -> None:
    kept = json.loads((stack.folder / "stack.json").read_text())
    del kept["ports"]["webhooks"]
    (stack.folder / "stack.json").write_text(json.dumps(kept))
    secrets = {name: value for name, value in stack.secrets.items() if name != "metrics"}
    (stack.folder / "secrets.json").write_text(json.dumps(secrets))
    whole = make_stack(tmp_path, usual=ANY)
    assert set(whole.ports) == set(stack.ports)
    assert {**whole.secrets, "metrics": stack.secrets["metrics"]} == stack.secrets
    assert {name: whole.ports[name] for name in kept["ports"]} == kept["ports"]
    assert open_stack(tmp_path) == whole


def test_a_usual_port_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert make_stack(tmp_path, usual={**ANY, "prefect": port}).ports["prefect"] != port


def test_a_kept_port_that_another_program_took_is_named(stack: Stack) -> None:
    with (
        socket.create_server(("127.0.0.1", stack.ports["mlflow"])),
        pytest.raises(
            InputError,
            match=f"port {stack.ports['mlflow']}, which the stack keeps for mlflow, is taken by .*{os.getpid()}",
        ),
    ):
        check_ports(stack)


def test_no_stack_yet(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no stack in .*\n  mtl stack up makes and starts one"):
        open_stack(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_another_users_stack_is_not_started(stack: Stack) -> None:
    """What root would write there, its owner could never use again."""
    os.chown(stack.folder, 54321, -1)
    with pytest.raises(InputError, match=r"belongs to uid54321, and this is root\n  start it as uid54321, or"):
        make_stack(stack.home, usual=ANY)


def test_users_of_one_machine_share_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In /tmp, Prefect's worker has one folder and MLflow one lock; Prefect's server writes into its own package."""
    stack = make_stack(tmp_path, store="s3://bucket/prefix", usual=ANY)
    services = {service.name: service for service in all_services(stack)}
    assert services["prefect"].environment["PREFECT_SERVER_UI_STATIC_DIRECTORY"].startswith(f"{stack.folder}/")
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    became: dict[str, str] = {}
    monkeypatch.setattr(os, "execvpe", lambda file, command, environment: became.update(environment))
    for name in ("worker", "mlflow", "prefect", "webhooks"):
        become(name)
        assert became.pop("TMPDIR") == str(stack.temporary)
    assert stack.folder in stack.temporary.parents


def test_the_manager_is_told_a_user_by_root_alone(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user cannot become one, and the environment may name the user of an earlier login."""
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert "user=" not in manager_config(stack, []).replace("username=", "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "\nuser=root\n" in manager_config(stack, [])


def test_a_damaged_file_is_named(stack: Stack) -> None:
    (stack.folder / "secrets.json").write_text("{")
    with pytest.raises(DamageError, match=r"holds a damaged stack\.json or secrets\.json"):
        open_stack(stack.home)


def test_a_stack_does_not_change_its_store(stack: Stack) -> None:
    with pytest.raises(InputError, match="uses an S3 store of its own, not s3://other/prefix"):
        make_stack(stack.home, store="s3://other/prefix")


def test_another_store_brings_no_s3_server_and_keeps_its_credentials(tmp_path: Path) -> None:
    stack = make_stack(tmp_path, store="s3://bucket/prefix", usual=ANY)
    names = [service.name for service in all_services(stack)]
    assert names == ["postgres", "prefect", "mlflow", "worker", "webhooks", "serve"]
    assert client_environment(stack)["MTL_STORE"] == "s3://bucket/prefix"
    assert not [name for name in client_environment(stack) if name.startswith("AWS_")]
    given = {"AWS_ACCESS_KEY_ID": "key", "PREFECT_API_URL": "http://other", "PATH": "/bin"}
    assert inherited_environment(given, own_store=False) == {"AWS_ACCESS_KEY_ID": "key", "PATH": "/bin"}
    assert inherited_environment(given, own_store=True) == {"PATH": "/bin"}


def test_the_managers_configuration_holds_no_secret(tmp_path: Path) -> None:
    stack = make_stack(tmp_path, store="s3://bucket/prefix", usual=ANY)
    text = manager_config(stack, all_services(stack))
    assert text.count("[program:") == 6
    assert not [secret for secret in stack.secrets.values() if secret in text]


def test_the_manager_runs_services_in_a_home_of_any_name(tmp_path: Path) -> None:
    home = tmp_path / ALL
    home.mkdir()
    stack = make_stack(home, usual=ANY)
    says = 'import os; print([os.getcwd(), os.environ["MTL_HOME"], os.environ["MTL_STACK"]]); print("100%", flush=True)'
    start_manager(stack, [Service(name="odd", command=(sys.executable, "-c", says + "; import time; time.sleep(99)"))])
    try:
        start_process(stack, "odd")
        deadline = time.monotonic() + 30
        while "100%" not in last_lines(stack, "odd"):
            assert time.monotonic() < deadline, last_lines(stack, "supervisord")
            time.sleep(0.05)
        told = ast.literal_eval(last_lines(stack, "odd").splitlines()[0])
        assert told == [str(stack.folder), str(home), str(stack.folder)]
        assert {file.name for file in stack.logs.iterdir()} == {"odd.log", "supervisord.log"}
        check_ports(stack)  # the manager has its own
        with socket.create_server(("127.0.0.1", stack.ports["mlflow"])), pytest.raises(InputError, match="for mlflow"):
            check_ports(stack)
    finally:
        stop_manager(stack)
    assert [found.name for found in tmp_path.iterdir()] == [ALL]


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_no_path_of_the_home_is_in_the_managers_configuration_or_in_a_command(tmp_path: Path) -> None:
    """Whatever such a path holds, nobody has to escape it."""
    stack = make_stack(tmp_path, usual=ANY)
    services = all_services(stack)
    (stack.folder / "s3").mkdir()
    write_config(stack, "an-fsid")
    assert str(tmp_path) not in manager_config(stack, services)
    assert str(tmp_path) not in (stack.folder / "s3" / "ceph.conf").read_text()
    for service in (service for service in services if not service.environment):
        assert str(tmp_path) not in " ".join(service.command)


def test_an_interpreter_that_supervisord_cannot_be_told_of_is_refused_before_anything_is_written(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/srv/env ;1/bin/python")
    with pytest.raises(InputError, match=r"supervisord cannot start .*env ;1.*\n  install mtl into an environment"):
        start_manager(stack, [Service(name="odd", command=(), environment={"a": "b"})])
    assert not (stack.folder / "supervisord.conf").exists()


def test_a_folder_as_store_is_an_address_for_mlflow(tmp_path: Path) -> None:
    stack = make_stack(tmp_path, store=str(tmp_path / "my 100% store"), usual=ANY)
    assert artifacts_of(stack) == f"file://{tmp_path}/my%20100%25%20store/mlflow"
    at_a_file_uri = replace(stack, store=f"file://{tmp_path}/my%20store")
    assert artifacts_of(at_a_file_uri) == f"file://{tmp_path}/my%20store/mlflow"
    assert artifacts_of(replace(stack, store="s3://bucket/prefix/")) == "s3://bucket/prefix/mlflow"


def artifacts_of(stack: Stack) -> str:
    """Where MLflow's server is told to put artifacts."""
    (command,) = [service.command for service in all_services(stack) if service.name == "mlflow"]
    return command[command.index("--artifacts-destination") + 1]


def test_a_folder_that_postgresql_cannot_pass_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(InputError, match=r"its user cannot pass through .*closed\n  chmod o\+x"):
        postgres.check_way(closed / "postgres")


def test_without_a_stack_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    for command in ("status", "env", "down"):
        assert run(["stack", command, "--json"]) == 2
        error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
        assert (error["kind"], error["hint"]) == ("not_found", "mtl stack up makes and starts one")


def test_env_prints_lines_for_a_shell(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MTL_HOME", str(stack.home))
    assert run(["stack", "env"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"export PREFECT_API_URL=http://127.0.0.1:{stack.ports['prefect']}/api" in lines
    assert all(line.startswith("export ") for line in lines)


def test_deploy_needs_a_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert run(["deploy", "--json"]) == 2
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["field"] == "PREFECT_API_URL"
    assert "mtl stack up" in error["hint"]


@pytest.mark.parametrize(("limits", "outcome"), [("64, 64", "refused"), ("64, 4096", "(1024, 4096)")])
def test_too_few_open_files_are_named_and_a_soft_limit_is_raised(limits: str, outcome: str) -> None:
    imports = """
import resource
from mtl.errors import PermanentError
from mtl.stack.supervisor import allow_descriptors"""
    code = f"""
resource.setrlimit(resource.RLIMIT_NOFILE, ({limits}))
try:
    allow_descriptors()
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
except PermanentError as error:
    print("refused", error)"""
    done = as_nobody(code, imports=imports)
    assert done.stdout.startswith(outcome), done.stderr
    if outcome == "refused":
        assert "may open 64 files at once; each service of the stack needs 1024" in done.stdout
        assert "ulimit -n 1024" in done.stdout
