"""The how-to for programs without this package, run as it is printed against an S3 server."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest

from mtl.release.aliases import MemoryAliases
from mtl.release.promote import promote, rollback
from mtl.store.open import open_store
from tests.release.toy import MODEL, publish_toy
from tests.support.s3 import aws, s3_endpoint  # noqa: F401  # fixtures

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "fetch-with-boto3.md"


def printed(bucket: str) -> str:
    """The how-to's code, with names of the test in place of the example's."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    changes = (
        ('bucket, root = "mtl"', f'bucket, root = "{bucket}"'),
        ('model, folder = "mtl-flan-t5"', f'model, folder = "{MODEL}"'),
    )
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    return code


def fetch(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("aws")
def test_the_code_of_the_how_to_fetches_the_champion_and_sees_damage(tmp_path: Path) -> None:
    bucket = f"howto-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=bucket)
    store, aliases = open_store(f"s3://{bucket}/store"), MemoryAliases()
    for version, expected in ((1, None), (2, 1)):
        publish_toy(store, tmp_path / "made", version)
        promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=aliases)
    code = printed(bucket)
    assert len(code.splitlines()) <= 22

    done = fetch(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "toy v2 is in champion" in done.stdout
    assert (tmp_path / "champion" / "adapter_model.safetensors").read_bytes() == b"weights 2"

    rollback(store, model=MODEL, reason="worse in use", actor="Ann", aliases=aliases)
    assert "toy v1 is in champion" in fetch(code, tmp_path).stdout
    assert (tmp_path / "champion" / "adapter_model.safetensors").read_bytes() == b"weights 1"

    client.put_object(Bucket=bucket, Key=f"store/releases/{MODEL}/v1/adapter_model.safetensors", Body=b"other")
    assert "AssertionError: adapter_model.safetensors" in fetch(code, tmp_path).stderr
