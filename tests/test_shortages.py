"""What a machine lacks, from what the system and its libraries say."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from mtl.errors import InputError, PermanentError
from mtl.shortages import by_text, explained, reported


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EFBIG, "a file would be larger than this process may write"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EMFILE, "too many files are open at once"),
        (errno.ENFILE, "too many files are open at once"),
        (errno.ENOTDIR, "a part of the path is a file"),
    ],
)
def test_an_error_of_the_system_names_what_is_lacking_where_and_what_to_do(number: int, cause: str) -> None:
    found = explained(OSError(number, os.strerror(number), "/some/file"))
    assert isinstance(found, PermanentError)
    assert found.message == f"{cause}: /some/file"
    assert found.hint
    assert by_text(f"sh: 1: {os.strerror(number)}") is not None


def test_the_cause_of_an_error_counts_and_other_faults_are_left_alone() -> None:
    with pytest.raises(PermanentError, match="the disk is full"), reported():
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("could not save") from error
    with pytest.raises(KeyError), reported():
        raise KeyError("a bug")
    with pytest.raises(InputError, match="as it is"), reported():
        raise InputError("as it is")
    assert explained(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) is None
    assert explained(ValueError("the disk is full")) is None  # a text that only speaks of it


@pytest.fixture
def small_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_sqlite_says_a_disk_error_for_a_limit_and_the_limit_is_named(tmp_path: Path, small_files: None) -> None:
    with closing(sqlite3.connect(tmp_path / "some.db")) as database, pytest.raises(sqlite3.OperationalError) as caught:
        database.execute("CREATE TABLE t (x)")
        database.execute("INSERT INTO t VALUES (zeroblob(100000))")
        database.commit()
    found = explained(caught.value)
    assert found is not None
    assert found.message.startswith("a file would be larger than this process may write: disk I/O error")
    assert "ulimit -f unlimited" in (found.hint or "")


def test_a_database_that_cannot_be_opened_is_a_shortage_through_sqlalchemy_too(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/no/folder/some.db")
    with pytest.raises(sqlalchemy.exc.OperationalError) as caught:
        engine.connect()
    found = explained(caught.value)
    assert found is not None
    assert "a database could not be opened or written" in found.message
