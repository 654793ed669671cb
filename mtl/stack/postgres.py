"""PostgreSQL of the stack: a cluster in MTL_HOME with a database and a role for each service that needs one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from mtl.errors import InputError, NotFoundError, TransientError
from mtl.stack.service import Service, run
from mtl.stack.state import Stack, previous_secrets

DATABASES = {"prefect": "prefect", "mlflow": "mlflow", "mlflow_auth": "mlflow"}
"""database -> the role that owns it"""


def service(stack: Stack) -> Service:
    """The server. As root it runs as `postgres`, whom Debian's package makes: it refuses to be root."""
    data, user = stack.folder / "postgres", _user()
    return Service(
        name="postgres",
        command=(_binary("postgres", data), "-D", data.name, *_options(stack)),
        user=user,
        stop_signal="INT",  # ends connections instead of waiting for them
        before=lambda: _make_cluster(stack, data, user),
        healthy=lambda: _ready(stack, data),
        after=lambda: _make_databases(stack, data),
    )


def address(stack: Stack, database: str, *, driver: str) -> str:
    """SQLAlchemy's address of a database, with the password in it."""
    role = DATABASES[database]
    login = f"{role}:{stack.secrets[f'postgres_{role}']}"
    return f"postgresql+{driver}://{login}@127.0.0.1:{stack.ports['postgres']}/{database}"


def _options(stack: Stack) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(stack.ports["postgres"]),
        "unix_socket_directories": "",  # loopback with passwords is the one way in
        "password_encryption": "scram-sha-256",
        "shared_buffers": "64MB",
        "max_connections": "100",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise NotFoundError(
            "there is no user 'postgres' to run PostgreSQL as", hint="apt-get install postgresql"
        ) from None


def _binary(name: str, data: Path) -> str:
    """Of the version that made the cluster, else of the newest one here. Errors: NotFoundError without any."""
    marker = data / "PG_VERSION"
    version = marker.read_text().strip() if _exists(marker) else "*"
    found = sorted(Path("/usr/lib/postgresql").glob(f"{version}/bin/{name}"), key=lambda path: int(path.parts[4]))
    other = shutil.which(name)
    if found or other:
        return str(found[-1] if found else other)
    wanted = "PostgreSQL" if version == "*" else f"PostgreSQL {version}, which made {data},"
    raise NotFoundError(f"{wanted} is not installed", hint="apt-get install --no-install-recommends postgresql")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _make_cluster(stack: Stack, data: Path, user: str | None) -> None:
    """Made aside and renamed, so that a cluster that is there is whole. The password is on no command line."""
    if _exists(data / "PG_VERSION"):
        return
    aside, password = data.with_suffix(".part"), data.with_suffix(".password")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    password.touch(mode=0o600)
    try:
        password.write_text(stack.secrets["postgres"])
        if user is not None:
            check_way(data)
            shutil.chown(aside, user)
            shutil.chown(password, user)
        login = ("--username", "postgres", "--auth", "scram-sha-256", "--pwfile", password.name)
        options = (*login, "--encoding", "UTF8", "--no-locale")
        run(_binary("initdb", data), "--pgdata", aside.name, *options, folder=stack.folder, user=user)
    finally:
        password.unlink()
    aside.rename(data)


def check_way(data: Path) -> None:
    """Errors: InputError if another user cannot get to the folder."""
    for folder in data.parents:
        if not folder.stat().st_mode & 0o001:
            raise InputError(
                f"PostgreSQL does not run as root, and its user cannot pass through {folder}",
                field="MTL_HOME",
                hint=f"chmod o+x {shlex.quote(str(folder))}, or set MTL_HOME to a folder such as /var/lib/mtl",
            )


def _ready(stack: Stack, data: Path) -> bool:
    try:
        where = ("-h", "127.0.0.1", "-p", str(stack.ports["postgres"]))
        run(_binary("pg_isready", data), "-q", *where, folder=stack.folder)
    except TransientError:
        return False
    return True


def _make_databases(stack: Stack, data: Path) -> None:
    """Roles with their passwords, and databases that only their role may enter."""
    roles = sorted(set(DATABASES.values()))
    _rotate(stack, data, roles)
    known = _sql(stack, data, "SELECT rolname FROM pg_roles").split()
    for role in (role for role in roles if role not in known):
        _sql(stack, data, f"CREATE ROLE {role} LOGIN PASSWORD '{stack.secrets[f'postgres_{role}']}'")
    there = _sql(stack, data, "SELECT datname FROM pg_database").split()
    for database, role in DATABASES.items():
        if database not in there:
            _sql(stack, data, f"CREATE DATABASE {database} OWNER {role}")
            _sql(stack, data, f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")


def _rotate(stack: Stack, data: Path, roles: Sequence[str]) -> None:
    """Put new passwords into force. Repeated after an interruption, the old one of `postgres` may be void already."""
    before = previous_secrets(stack)
    if before is None:
        return
    with contextlib.suppress(TransientError):
        change = f"ALTER ROLE postgres PASSWORD '{stack.secrets['postgres']}'"
        _sql(stack, data, change, password=before["postgres"])
    for role in roles:
        _sql(stack, data, f"ALTER ROLE {role} PASSWORD '{stack.secrets[f'postgres_{role}']}'")


def revision(stack: Stack, database: str) -> str | None:
    """Of the tables of a database that runs, as Alembic keeps it; None if there are none yet."""
    there = "SELECT version_num FROM alembic_version"
    try:
        return _sql(stack, stack.folder / "postgres", there, database=database).strip() or None
    except TransientError:
        return None


def _sql(stack: Stack, data: Path, statement: str, *, password: str | None = None, database: str = "postgres") -> str:
    """What psql prints for a statement, which it reads from standard input: passwords are on no command line."""
    where = ("-h", "127.0.0.1", "-p", str(stack.ports["postgres"]), "-U", "postgres", "-d", database)
    options = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
    environment = {"PGPASSWORD": password or stack.secrets["postgres"]}
    psql = _binary("psql", data)
    return run(psql, *where, *options, folder=stack.folder, stdin=statement, environment=environment)
