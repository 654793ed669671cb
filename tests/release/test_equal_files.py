"""Files of equal content, fetched at once, share a part; each arrives."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl.fingerprint import sha256_bytes
from mtl.release.fetch import StoreSource, fetch
from mtl.release.layout import ReleaseFile
from mtl.store.base import ObjectStore
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore

CONTENT = b"the tokenizer of the adapter is that of the merged model"


@pytest.fixture
def threads_that_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_that_switch_often")
@pytest.mark.parametrize("kind", ["read whole", "read in ranges"])
def test_files_of_equal_content_at_once(tmp_path: Path, kind: str) -> None:
    """As a release has them whose merged model brings the tokenizer a second time."""
    store: ObjectStore = MemoryStore() if kind == "read whole" else FolderStore(tmp_path / "store")
    files = [ReleaseFile(path=f"{n}.json", bytes=len(CONTENT), sha256=sha256_bytes(CONTENT)) for n in range(8)]
    for file in files:
        store.put(f"release/{file.path}", CONTENT)
    source = StoreSource(store, "release")
    for turn in range(60):
        dest = tmp_path / f"dest-{turn}"
        (dest / "aside").mkdir(parents=True)
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(fetch, source, file, dest, aside=dest / "aside") for file in files]:
                done.result()
        assert {file.name: file.read_bytes() for file in dest.glob("*.json")} == {file.path: CONTENT for file in files}
        assert list((dest / "aside").iterdir()) == []
