"""Who has the bucket's keys and no signing key makes, removes and replaces no champion unnoticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mtl.errors import DamageError, InputError, SignatureError
from mtl.fingerprint import canonical_json, sha256_bytes, sha256_json
from mtl.release.aliases import MemoryAliases
from mtl.release.journal import Change, append_change, read_journal, read_unproved
from mtl.release.layout import read_manifest
from mtl.release.promote import follow, promote, rollback
from mtl.release.pull import pull
from mtl.release.refs import resolve_ref
from mtl.release.repair import repair_journal
from mtl.release.sign import sign_journal, sign_published
from mtl.store.base import ObjectStore
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy
from tests.support.keys import Keys, keys

__all__ = ["keys"]


def key(seq: int) -> str:
    return f"releases/{MODEL}/log/{seq:012}.json"


@pytest.fixture
def aliases() -> MemoryAliases:
    return MemoryAliases()


def go(store: ObjectStore, aliases: MemoryAliases, version: int, expected: int | None) -> None:
    promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=aliases)


@pytest.fixture
def store(keys: Keys, tmp_path: Path, aliases: MemoryAliases) -> MemoryStore:
    """v1, v2 and v1 again were champions; v3 is a candidate. All of it is signed."""
    store = MemoryStore()
    for version in (1, 2, 3):
        publish_toy(store, tmp_path / "made", version)
    go(store, aliases, 1, None)
    go(store, aliases, 2, 1)
    rollback(store, model=MODEL, reason="bad keys", actor="ann", aliases=aliases)
    assert champions(store) == [1, 2, 1]
    return store


def champions(store: ObjectStore) -> list[int]:
    return [change.version for change in read_journal(store, MODEL).changes]


def rewrite(store: ObjectStore, seq: int, **fields: object) -> None:
    """Change an entry, and seal it again."""
    document = json.loads(store.get(key(seq))) | fields
    del document["check"]
    store.put(key(seq), canonical_json(document | {"check": sha256_json(document)}))


def forged(store: ObjectStore, version: int) -> Change:
    """A promotion of a version that is published, as ours would be but for the signature."""
    journal, _ = read_unproved(store, MODEL)
    assert journal.head is not None
    return Change(
        "promote", version, journal.champion, journal.champion, "better", "gate", journal.head.at, False, "0" * 64
    )


def append(store: ObjectStore) -> None:
    journal, _ = read_unproved(store, MODEL)
    append_change(store, MODEL, journal, forged(store, 3))


def append_with_an_old_signature(store: ObjectStore) -> None:
    append(store)
    rewrite(store, 4, signature=json.loads(store.get(key(3)))["signature"])


def replace_the_last(store: ObjectStore) -> None:
    rewrite(store, 3, version=3, kind="promote")


def strip_the_last(store: ObjectStore) -> None:
    document = json.loads(store.get(key(3)))
    del document["signature"], document["check"]
    store.put(key(3), canonical_json(document | {"check": sha256_json(document)}))


def reorder(store: ObjectStore) -> None:
    """The promotion of v2 once more, after the rollback that gave it up."""
    document = json.loads(store.get(key(2))) | {"seq": 4, "key": key(4)}
    document["after"] = read_unproved(store, MODEL)[0].sha256
    del document["check"]
    store.put(key(4), canonical_json(document | {"check": sha256_json(document)}))


def fill_in(store: ObjectStore) -> None:
    """An entry in the middle that claims to stand for the one that was there."""
    rewrite(store, 2, version=3, stands_for=json.loads(store.get(key(3)))["after"])
    rewrite(store, 3, replaced=3)


def all_unsigned(store: ObjectStore) -> None:
    for seq in (1, 2, 3):
        document = json.loads(store.get(key(seq)))
        document = {name: value for name, value in document.items() if name in Change.__dataclass_fields__}
        document |= {"write_id": f"{seq}", "key": key(seq)}
        store.put(key(seq), canonical_json(document | {"check": sha256_json(document)}))


ATTACKS: list[tuple[Callable[[ObjectStore], None], str]] = [
    (append, f"{key(4)} is not signed"),
    (append_with_an_old_signature, rf"{key(4)} is not what key ours\.pub signed"),
    (replace_the_last, rf"{key(3)} is not what key ours\.pub signed"),
    (strip_the_last, f"{key(3)} is not signed"),
    (reorder, f"{key(4)} is "),
    (fill_in, rf"{key(3)} is not what key ours\.pub signed"),
    (all_unsigned, f"{key(3)} is not signed, and no other entry of the journal is"),
]


@pytest.mark.parametrize(("attack", "message"), ATTACKS)
def test_a_forged_entry_is_refused_and_named(
    store: MemoryStore,
    keys: Keys,
    aliases: MemoryAliases,
    tmp_path: Path,
    attack: Callable[[ObjectStore], None],
    message: str,
) -> None:
    keys.forget()
    attack(store)
    for reader in (keys.read_only, lambda: keys.env.setenv("MTL_SIGNING_KEY", str(keys.folder / "ours/signing.key"))):
        reader()
        with pytest.raises(DamageError, match=message):
            pull(store, "champion", tmp_path / "out", model=MODEL)
        with pytest.raises(DamageError, match=message):
            resolve_ref("champion", store=store, model=MODEL, cache=tmp_path / "cache")
        with pytest.raises(DamageError, match=message):
            go(store, aliases, 3, 1)
        with pytest.raises(DamageError, match=message):
            rollback(store, model=MODEL, reason="x", actor="ann", aliases=aliases)
        with pytest.raises(DamageError, match=message):
            follow(store, model=MODEL, aliases=aliases)
    assert not (tmp_path / "out").exists()
    assert aliases.aliases()["champion"] == 1


def test_a_middle_entry_that_claims_to_stand_for_another_is_named(store: MemoryStore, keys: Keys) -> None:
    """Its neighbours fit, and so does every hash: only its own signature is missing."""
    document = json.loads(store.get(key(2)))
    named = json.loads(store.get(key(3)))["after"]
    del document["signature"], document["check"]
    document |= {"reason": "forged", "stands_for": named}
    store.put(key(2), canonical_json(document | {"check": sha256_json(document)}))
    with pytest.raises(SignatureError, match=f"{key(2)} is not signed(.|\n)*mtl repair-journal"):
        read_journal(store, MODEL)


def test_an_entry_of_another_model_proves_nothing(store: MemoryStore, keys: Keys, tmp_path: Path) -> None:
    for info in list(store.list(f"releases/{MODEL}/")):
        data = store.get(info.key)
        if "/log/" in info.key:
            document = json.loads(data) | {"key": info.key.replace(MODEL, "other")}
            del document["check"]
            data = canonical_json(document | {"check": sha256_json(document)})
        store.put(info.key.replace(MODEL, "other"), data)
    with pytest.raises(SignatureError, match=r"releases/other/log/0{11}3\.json is not what key ours\.pub signed"):
        read_journal(store, "other")


def test_a_repair_signs_what_it_fills_in_and_needs_a_key(
    store: MemoryStore, keys: Keys, aliases: MemoryAliases
) -> None:
    append(store)

    def repair(champion: int | None) -> tuple[int, ...]:
        reason = "a forged entry"
        return repair_journal(
            store, model=MODEL, champion=champion, reason=reason, actor="bob", aliases=aliases
        ).entries

    keys.forget()
    rewrite(store, 4, signature=None)
    store.delete(key(2))
    keys.read_only()
    with pytest.raises(InputError, match=f"{key(2)} cannot be filled in without a signature"):
        repair(1)
    keys.env.setenv("MTL_SIGNING_KEY", str(keys.folder / "ours/signing.key"))
    with pytest.raises(InputError, match="say who shall be: --champion"):
        repair(None)
    assert repair(1) == (2, 4)
    assert champions(store) == [1, 2, 1, 1]
    assert aliases.aliases()["champion"] == 1
    keys.read_only()
    assert champions(store) == [1, 2, 1, 1]


def test_a_journal_from_before_signing_is_vouched_for_by_hand(
    keys: Keys, aliases: MemoryAliases, tmp_path: Path
) -> None:
    keys.forget()
    store = MemoryStore()
    for version in (1, 2, 3):
        publish_toy(store, tmp_path / "made", version)
    go(store, aliases, 1, None)
    go(store, aliases, 2, 1)
    before = read_journal(store, MODEL)

    def vouch(champion: int) -> None:
        sign_journal(store, model=MODEL, champion=champion, reason="set up", actor="ann", aliases=aliases)

    with pytest.raises(InputError, match="there is no key to sign with"):
        vouch(2)
    keys.use("first")
    with pytest.raises(SignatureError, match=r"no other entry of the journal is(.|\n)*mtl sign-journal"):
        pull(store, "champion", tmp_path / "out", model=MODEL)
    with pytest.raises(InputError, match="says that v2 is champion, not v1"):
        vouch(1)
    vouch(2)
    keys.env.setenv("MTL_TRUSTED_KEYS", str(keys.trusted))
    after = read_journal(store, MODEL)
    assert (after.champion, after.previous, after.seq) == (before.champion, before.previous, 3)
    pull(store, "champion", tmp_path / "out", model=MODEL)
    rewrite(store, 1, reason="forged")
    with pytest.raises(DamageError, match=key(1)):
        read_journal(store, MODEL)
    rewrite(store, 1, reason="better")
    rollback(store, model=MODEL, reason="bad", actor="ann", aliases=aliases)
    assert champions(store) == [1, 2, 2, 1]


def test_a_process_without_the_key_writes_nothing_that_others_would_refuse(
    store: MemoryStore, keys: Keys, aliases: MemoryAliases
) -> None:
    """A machine whose settings are incomplete must not stop everybody's pulls."""
    for without in (keys.read_only, keys.forget):
        without()
        with pytest.raises(InputError, match=r"journal of champions is signed(.|\n)*where MTL_SIGNING_KEY is set"):
            go(store, aliases, 3, 1)
    aliases.set_alias("champion", 3)
    with pytest.raises(InputError, match="there is no key to sign with"):
        follow(store, model=MODEL, aliases=aliases)
    assert champions(store) == [1, 2, 1]


def test_after_a_new_key_signed_the_old_one_may_go(store: MemoryStore, keys: Keys, aliases: MemoryAliases) -> None:
    keys.use("newer")
    go(store, aliases, 3, 1)
    (keys.trusted / "ours.pub").unlink()
    assert champions(store) == [1, 2, 1, 3]


def test_a_retired_and_an_expired_key_of_the_journal(store: MemoryStore, keys: Keys) -> None:
    keys.say("ours", "Retired: 2020-01-01")
    with pytest.raises(SignatureError, match=rf"{key(3)} was signed on .* ours\.pub, which was retired on 2020-01-01"):
        read_journal(store, MODEL)
    keys.say("ours", "Expires: 2020-01-01")
    with pytest.raises(SignatureError, match=rf"{key(3)} is signed by key ours\.pub, which expired on 2020-01-01"):
        read_journal(store, MODEL)


def test_without_trusted_keys_a_signed_journal_reads_as_any(store: MemoryStore, keys: Keys, tmp_path: Path) -> None:
    keys.forget()
    assert champions(store) == [1, 2, 1]
    pull(store, "champion", tmp_path / "out", model=MODEL)


def swap(store: ObjectStore, version: int) -> None:
    """Another adapter in the place of a release's, its manifest sealed again and its signature taken away."""
    prefix = f"releases/{MODEL}/v{version}"
    manifest = read_manifest(store, MODEL, version)
    store.put(f"{prefix}/adapter_model.safetensors", b"evil")
    files = tuple(
        replace(file, bytes=4, sha256=sha256_bytes(b"evil")) if file.path == "adapter_model.safetensors" else file
        for file in manifest.files
    )
    store.put(
        f"{prefix}/manifest.json", replace(manifest, files=files, adapter_sha256=sha256_bytes(b"evil")).to_bytes()
    )
    store.delete(f"{prefix}/model.sig")


def test_a_signing_process_signs_no_champion_that_was_swapped(store: MemoryStore, aliases: MemoryAliases) -> None:
    """Its signature of the journal's entry would stand for whatever lies there."""
    swap(store, 3)
    with pytest.raises(SignatureError, match="v3 is not signed, and a signature is required"):
        go(store, aliases, 3, 1)
    aliases.set_alias("champion", 3)
    assert "v3 is not signed" in (follow(store, model=MODEL, aliases=aliases).refused or "")
    promote(store, 2, model=MODEL, expected=1, reason="x", actor="ann", aliases=aliases, forced=True)
    swap(store, 1)
    with pytest.raises(DamageError, match=r"v1/manifest\.json is not the manifest that was promoted"):
        rollback(store, model=MODEL, reason="x", actor="ann", aliases=aliases)
    assert champions(store) == [1, 2, 1, 2]


def test_what_was_promoted_is_what_a_rollback_finds_without_any_key(tmp_path: Path, aliases: MemoryAliases) -> None:
    store = MemoryStore()
    for version in (1, 2):
        publish_toy(store, tmp_path / "made", version)
        go(store, aliases, version, version - 1 or None)
    manifest = read_manifest(store, MODEL, 1)
    store.put(f"releases/{MODEL}/v1/manifest.json", replace(manifest, created="2020-01-01T00:00:00+00:00").to_bytes())
    with pytest.raises(DamageError, match="is not the manifest that was promoted"):
        rollback(store, model=MODEL, reason="x", actor="ann", aliases=aliases)


def test_a_manifest_that_somebody_planted_is_not_taken_for_what_was_published(
    store: MemoryStore, keys: Keys, tmp_path: Path
) -> None:
    """It states the run and the adapter that this process is about to publish."""
    keys.forget()
    publish_toy(store, tmp_path / "theirs", 4)
    keys.use("newer")
    keys.env.setenv("MTL_TRUSTED_KEYS", str(keys.trusted))
    with pytest.raises(SignatureError, match="v4 is not signed"):
        publish_toy(store, tmp_path / "made", 4)


def test_a_manifest_that_lists_another_adapter_than_it_states_is_refused(store: MemoryStore) -> None:
    manifest = read_manifest(store, MODEL, 3)
    store.put(f"releases/{MODEL}/v3/manifest.json", replace(manifest, adapter_sha256="e" * 64).to_bytes())
    with pytest.raises(DamageError, match="states another adapter than it lists"):
        read_manifest(store, MODEL, 3)


def test_a_release_that_was_changed_after_it_was_signed_is_not_signed_again_by_hand(store: MemoryStore) -> None:
    signature = store.get(f"releases/{MODEL}/v3/model.sig")
    swap(store, 3)
    store.put(f"releases/{MODEL}/v3/model.sig", signature)
    with pytest.raises(SignatureError, match="not what") as refused:
        sign_published(store, MODEL, 3)
    assert "delete releases/toy/v3/model.sig first" in str(refused.value.hint)
