"""sign: by hand, what was published or promoted without a key, or with one that is to be trusted no longer.

    mtl sign v3
    mtl sign-journal --champion v3 --reason "signing was set up"

A signature says that a person looked: nothing signs by itself what it finds in the store.
"""

from __future__ import annotations

from datetime import UTC, datetime

from mtl.errors import InputError, NotFoundError, SignatureError
from mtl.layout import SIGNATURE, release_prefix
from mtl.release.aliases import Aliases
from mtl.release.journal import LONGEST_TEXT, Change, read_unproved
from mtl.release.layout import ReleaseManifest
from mtl.release.promote import Promotion, append_announced
from mtl.release.signature import check_signature, read_signature, sign_release, verify_contents
from mtl.signing.bundle import MismatchError
from mtl.signing.configured import check_key
from mtl.store.base import ObjectStore


def sign_published(store: ObjectStore, model: str, version: int) -> ReleaseManifest:
    """Sign a release as it stands in the store, once every file has proved to be what its manifest says.

    A release that was promoted must be the one that was promoted. Errors: InputError without a key; NotFoundError;
    DamageError naming a file.
    """
    check_key("a release cannot be signed")
    manifest = verify_contents(store, model, version)
    changes, _ = read_unproved(store, model)
    changes.check_pinned(manifest)
    _check_replaceable(store, manifest)
    signature = sign_release(manifest)
    assert signature is not None, "this process signs"
    store.put(f"{release_prefix(model, version)}/{SIGNATURE}", signature)
    return manifest


def _check_replaceable(store: ObjectStore, manifest: ReleaseManifest) -> None:
    """Errors: SignatureError for a signature that does not fit: files were changed after somebody signed them.

    One by a key that is not (or no longer) trusted may be replaced: that is what signing by hand is for.
    """
    prefix = release_prefix(manifest.model, manifest.version)
    try:
        check_signature(manifest, read_signature(store, prefix))
    except MismatchError as error:
        error.hint = f"if it is the release all the same, delete {prefix}/{SIGNATURE} first"
        raise
    except SignatureError:
        return


def sign_journal(
    store: ObjectStore, *, model: str, champion: int, reason: str, actor: str, aliases: Aliases
) -> Promotion:
    """Append an entry that changes nothing, and whose signature stands for every entry before it.

    champion: who is champion, so that nobody vouches for a journal that says something else.
    Errors: InputError without a key, or if the journal names another champion; NotFoundError if it names none.
    """
    check_key("the journal cannot be signed")
    if not reason.strip():
        raise InputError("a signature needs a reason", field="reason", hint="it is kept in the journal")
    journal, entries = read_unproved(store, model)
    head = journal.head
    if head is None:
        raise NotFoundError(f"{model} has had no champion yet", hint="the first promotion is signed by itself")
    if head.version != champion:
        raise InputError(
            f"the journal of {model} says that v{head.version} is champion, not v{champion}",
            field="champion",
            hint="look at it before you vouch for it: mtl models --history",
        )
    journal.check_pinned(verify_contents(store, model, champion))
    change = Change(
        kind="promote",
        version=champion,
        previous=journal.previous,
        replaced=champion,
        reason=reason.strip()[:LONGEST_TEXT],
        actor=actor[:LONGEST_TEXT],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        forced=False,
        manifest_sha256=head.manifest_sha256,
    )
    return append_announced(store, journal, change, model=model, expected=champion, aliases=aliases, vouching=entries)
