"""A signed release is what its publisher made, whoever else can write to the store; else it is refused and named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mtl.errors import DamageError, InputError, MtlError, NotFoundError, SignatureError
from mtl.fingerprint import sha256_bytes
from mtl.release.aliases import MemoryAliases
from mtl.release.layout import read_manifest
from mtl.release.links import read_links
from mtl.release.promote import promote
from mtl.release.publish import publish
from mtl.release.pull import pull, verify_folder
from mtl.release.refs import resolve_ref
from mtl.release.sign import sign_published
from mtl.store.base import ObjectStore
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, facts, publish_toy, toy_adapter
from tests.support.keys import Keys, keys

__all__ = ["keys"]

RELEASE = f"releases/{MODEL}/v1"


@pytest.fixture
def store(keys: Keys, tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    publish_toy(store, tmp_path / "made", 1)
    return store


def test_model_signing_accepts_a_pulled_folder(store: MemoryStore, keys: Keys, tmp_path: Path) -> None:
    pull(store, "v1", tmp_path / "out", model=MODEL)
    verify_folder(tmp_path / "out")

    def verify() -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "model_signing"), "verify", "key", str(tmp_path / "out")]
        command += ["--signature", str(tmp_path / "out" / "model.sig")]
        command += ["--public_key", str(keys.trusted / "ours.pub")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    found = verify()
    assert (found.returncode, found.stdout) == (0, "Verification succeeded\n"), found.stderr
    (tmp_path / "out" / "report.md").write_text("# Better report")
    found = verify()
    assert found.returncode == 1
    assert "Hash mismatch for 'report.md'" in found.stderr
    (tmp_path / "out" / "report.md").write_text("# Report")
    keys.say("ours", "Expires: 2099-01-01")
    assert verify().returncode == 0, "the line above the key does not disturb it"


def reseal(store: ObjectStore, version: int = 1) -> None:
    """Write the manifest that the files of the release now have."""
    manifest = read_manifest(store, MODEL, version)
    prefix = f"releases/{MODEL}/v{version}"
    contents = {file.path: store.get(f"{prefix}/{file.path}") for file in manifest.files}
    files = tuple(
        replace(file, bytes=len(contents[file.path]), sha256=sha256_bytes(contents[file.path]))
        for file in manifest.files
    )
    adapter = next(file.sha256 for file in files if file.path == "adapter_model.safetensors")
    store.put(f"{prefix}/manifest.json", replace(manifest, files=files, adapter_sha256=adapter).to_bytes())


def change_file(store: ObjectStore) -> None:
    store.put(f"{RELEASE}/adapter_model.safetensors", b"evil")


def change_manifest(store: ObjectStore) -> None:
    change_file(store)
    reseal(store)


def add_file(store: ObjectStore) -> None:
    manifest = read_manifest(store, MODEL, 1)
    store.put(f"{RELEASE}/base/model.safetensors", b"evil")
    more = replace(manifest.files[0], path="base/model.safetensors", bytes=4, sha256=sha256_bytes(b"evil"))
    store.put(f"{RELEASE}/manifest.json", replace(manifest, files=(*manifest.files, more)).to_bytes())


def change_facts(store: ObjectStore) -> None:
    manifest = read_manifest(store, MODEL, 1)
    better = replace(manifest.facts, metrics={"summarize": {"rougeLsum": 0.99}})
    store.put(f"{RELEASE}/manifest.json", replace(manifest, facts=better).to_bytes())


def garbage(store: ObjectStore) -> None:
    store.put(f"{RELEASE}/model.sig", b'{"verificationMaterial": []}')


def half_a_signature(store: ObjectStore) -> None:
    signature = json.loads(store.get(f"{RELEASE}/model.sig"))
    signature["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"
    store.put(f"{RELEASE}/model.sig", json.dumps(signature).encode())


ATTACKS: list[tuple[Callable[[ObjectStore], None], str]] = [
    (change_file, r"v1/adapter_model\.safetensors is damaged"),
    (change_manifest, r"v1 is not what key ours\.pub signed: changed: adapter_model\.safetensors, manifest\.json\n"),
    (add_file, r"v1 is not what key ours\.pub signed: changed: manifest\.json; added: base/model\.safetensors\n"),
    (change_facts, r"v1 is not what key ours\.pub signed: changed: manifest\.json\n"),
    (garbage, "the signature of releases/toy/v1 is not a signature made with a key"),
    (half_a_signature, r"v1 is not what key ours\.pub signed: the signature is wrong"),
]


@pytest.mark.parametrize(("attack", "message"), ATTACKS)
def test_a_change_by_somebody_without_a_key_is_refused_and_named(
    store: MemoryStore, keys: Keys, tmp_path: Path, attack: Callable[[ObjectStore], None], message: str
) -> None:
    keys.forget()
    attack(store)
    keys.read_only()
    with pytest.raises(DamageError, match=message):
        pull(store, "v1", tmp_path / "out", model=MODEL)
    assert not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(DamageError, match=message):
        resolve_ref("candidate", store=store, model=MODEL, cache=tmp_path / "cache")
    with pytest.raises(DamageError, match=message):
        promote(store, 1, model=MODEL, expected=None, reason="x", actor="eve", aliases=MemoryAliases(), forced=True)


def test_a_release_that_somebody_else_adds_is_refused(store: MemoryStore, keys: Keys, tmp_path: Path) -> None:
    keys.use("eve")
    (keys.trusted / "eve.pub").rename(tmp_path / "eve.pub")
    keys.env.setenv("MTL_TRUSTED_KEYS", str(tmp_path / "eve.pub"))
    publish_toy(store, tmp_path / "made", 2)
    keys.read_only()
    message = r"v2 is signed by a key that is not trusted \(sha256 '[0-9a-f]{12}'\)(.|\n)*trusted: ours\.pub"
    with pytest.raises(SignatureError, match=message):
        pull(store, "candidate", tmp_path / "out", model=MODEL)
    with pytest.raises(SignatureError, match=message):
        promote(store, 2, model=MODEL, expected=None, reason="x", actor="ann", aliases=MemoryAliases())


def test_a_signed_release_proves_nothing_in_another_place(store: MemoryStore, tmp_path: Path) -> None:
    for info in list(store.list(f"{RELEASE}/")):
        store.put(info.key.replace("/v1/", "/v2/"), store.get(info.key))
    with pytest.raises(DamageError, match=r"v2/manifest\.json is the manifest of toy v1"):
        pull(store, "candidate", tmp_path / "out", model=MODEL)


def test_an_unsigned_release_is_refused_where_a_signature_is_required(
    store: MemoryStore, keys: Keys, tmp_path: Path
) -> None:
    keys.forget()
    publish_toy(store, tmp_path / "made", 2)
    pull(store, "v2", tmp_path / "out", model=MODEL)
    assert not (tmp_path / "out" / "model.sig").exists()
    keys.read_only()
    pull(store, "v2", tmp_path / "out", model=MODEL)
    refused = "v2 is not signed, and a signature is required(.|\n)*mtl sign v2"
    with pytest.raises(SignatureError, match=refused):
        promote(
            store,
            2,
            model=MODEL,
            expected=None,
            reason="x",
            actor="ann",
            aliases=MemoryAliases(),
            require_signature=True,
        )
    keys.env.setenv("MTL_REQUIRE_SIGNATURE", "true")
    with pytest.raises(SignatureError, match=refused):
        pull(store, "v2", tmp_path / "again", model=MODEL)
    with pytest.raises(SignatureError, match=refused):
        resolve_ref(str(tmp_path / "out"), store=store, model=MODEL, cache=tmp_path / "cache")
    with pytest.raises(SignatureError, match="mine, which is no pulled release, has no signature"):
        resolve_ref(str(toy_adapter(tmp_path / "mine")), store=store, model=MODEL, cache=tmp_path / "cache")
    pull(store, "v1", tmp_path / "again", model=MODEL)
    keys.env.delenv("MTL_TRUSTED_KEYS")
    with pytest.raises(InputError, match="MTL_REQUIRE_SIGNATURE is set, and no key is trusted"):
        pull(store, "v1", tmp_path / "again", model=MODEL)


def test_a_release_that_was_signed_by_hand(store: MemoryStore, keys: Keys, tmp_path: Path) -> None:
    keys.env.setenv("MTL_REQUIRE_SIGNATURE", "true")
    store.delete(f"{RELEASE}/model.sig")
    with pytest.raises(SignatureError, match="v1 is not signed"):
        pull(store, "v1", tmp_path / "out", model=MODEL)
    sign_published(store, MODEL, 1)
    pull(store, "v1", tmp_path / "out", model=MODEL)
    change_file(store)
    with pytest.raises(DamageError, match=r"adapter_model\.safetensors is damaged"):
        sign_published(store, MODEL, 1)


def test_what_was_planted_before_is_not_signed(store: MemoryStore, tmp_path: Path) -> None:
    """Somebody guesses the next version, and puts a configuration there that names another base."""
    planted = json.dumps({"base_model_name_or_path": "evil/base"}).encode()
    store.put(f"releases/{MODEL}/v2/adapter_config.json", planted)
    store.put(f"releases/{MODEL}/v2/model.sig", store.get(f"{RELEASE}/model.sig"))
    publish_toy(store, tmp_path / "made", 2)
    pull(store, "v2", tmp_path / "out", model=MODEL)
    assert "evil" not in (tmp_path / "out" / "adapter_config.json").read_text()


def test_without_a_key_nothing_is_published_where_a_signature_is_required(keys: Keys, tmp_path: Path) -> None:
    keys.forget()
    store, adapter = MemoryStore(), toy_adapter(tmp_path / "made")
    with pytest.raises(InputError, match=r"require_signature is true; there is no key(.|\n)*mtl keys create"):
        publish(store, adapter, model=MODEL, version=1, facts=facts(), require_signature=True)
    assert list(store.list("")) == []


def test_a_signature_travels_with_links(store: MemoryStore, tmp_path: Path) -> None:
    manifest = read_manifest(store, MODEL, 1)
    document = {
        "kind": "mtl-release-links",
        "model": MODEL,
        "version": 1,
        "expires": "2030-01-01",
        "manifest": manifest.to_bytes().decode(),
        "files": {file.path: f"https://example.com/{file.path}" for file in manifest.files},
    }
    links = tmp_path / "links.json"
    links.write_text(json.dumps(document | {"signature": store.get(f"{RELEASE}/model.sig").decode()}))
    found, source = read_links(links)
    assert (found, source.signature()) == (manifest, store.get(f"{RELEASE}/model.sig"))


def test_a_retired_an_expired_and_a_missing_key_have_messages_of_their_own(
    store: MemoryStore, keys: Keys, tmp_path: Path
) -> None:
    def fetch() -> None:
        pull(store, "v1", tmp_path / "out", model=MODEL)

    keys.use("newer")
    keys.say("ours", "Retired: 2099-01-01")
    fetch()
    keys.say("ours", "Retired: 2020-01-01")
    with pytest.raises(SignatureError, match=r"v1 was signed on .* by key ours\.pub, which was retired on 2020-01-01"):
        fetch()
    keys.say("ours", "Expires: 2021-01-01")
    with pytest.raises(SignatureError, match=r"v1 is signed by key ours\.pub, which expired on 2021-01-01"):
        fetch()
    (keys.trusted / "ours.pub").unlink()
    with pytest.raises(SignatureError, match="v1 is signed by a key that is not trusted"):
        fetch()
    sign_published(store, MODEL, 1)
    fetch()
    (keys.trusted / "newer.pub").unlink()
    with pytest.raises(NotFoundError, match="no trusted keys"):
        fetch()


def test_a_key_that_nobody_trusts_signs_nothing(keys: Keys, tmp_path: Path) -> None:
    def error() -> MtlError:
        with pytest.raises(MtlError) as raised:
            publish_toy(MemoryStore(), tmp_path / "made", 1)
        return raised.value

    keys.say("ours", "Expires: 2021-01-01")
    assert "key ours.pub, which expired on 2021-01-01" in error().message
    keys.use("newer")
    (keys.trusted / "newer.pub").unlink()
    assert "signed by a key that is not trusted" in error().message
    keys.env.setenv("MTL_SIGNING_KEY", str(tmp_path / "nowhere"))
    assert "no signing key: there is no file" in error().message
    keys.env.setenv("MTL_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----")
    assert "MTL_SIGNING_KEY holds a key itself" in error().message
    assert "c2VjcmV0" not in str(error())
