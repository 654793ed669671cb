"""The commands of signatures: keys create, sign, sign-journal. Imported with the others, so lightly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mtl.cli import terminal

Document = dict[str, Any]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document, last on standard output")]
Model = Annotated[str, typer.Option("--name", help="registered model")]
DEFAULT_MODEL = "mtl-flan-t5"
keys = typer.Typer(help="Create the keys with which releases and the journal of champions are signed.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.add_typer(keys, name="keys", no_args_is_help=True)
    app.command()(sign)
    app.command("sign-journal")(sign_journal)


@keys.callback()
def _keys() -> None:
    """A group with one command stays a group."""


@keys.command("create")
def create(
    folder: Annotated[Path, typer.Argument(help="Folder for signing.key and signing.pub. Nothing is overwritten.")],
    expires: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day from which on no signature by the key is valid.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a key pair: a private key that only you can read, and the public key that others verify with."""
    terminal.show(_create(folder, expires), as_json, _create_text)


def sign(
    version: Annotated[str, typer.Argument(help="The version to sign, e.g. 3 or v3.")],
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Sign a release that was published without a key, or with an old one. New releases are signed as they are made."""
    terminal.show(_sign(name, version), as_json, _sign_text)


def sign_journal(
    champion: Annotated[str, typer.Option(help="The champion, e.g. v3: what you vouch for.")],
    reason: Annotated[str, typer.Option(help="The reason, which is recorded in the journal.")] = "signed by hand",
    name: Model = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """Vouch for the journal of champions as it is, if it was written without a key or with an old one."""
    from mtl.cli.releases import promote_text
    from mtl.pipeline.promote import sign_journal as vouch
    from mtl.workspace import open_workspace

    terminal.show(vouch(open_workspace(), name, champion=champion, reason=reason).to_json(), as_json, promote_text)


def _create(folder: Path, expires: str | None) -> Document:
    from mtl.cli.private import usual_modes
    from mtl.signing.keys import create_pair, moment

    until = None if expires is None else moment(expires, field="expires")
    with usual_modes():
        private, public = create_pair(folder, expires=until)
    return {
        "private": str(private),
        "public": str(public.path),
        "sha256": public.sha256,
        "expires": until.date().isoformat() if until else None,
    }


def _create_text(result: Document) -> str:
    until = f", expires {result['expires']}" if result["expires"] else ""
    return (
        f"private key {result['private']} (mode 600): keep it where only the signer reads it, and keep a copy\n"
        f"public key  {result['public']}, sha256 {result['sha256'][:12]}{until}\n"
        f"next: MTL_SIGNING_KEY={result['private']} where releases are made, "
        f"MTL_TRUSTED_KEYS={result['public']} where they are used"
    )


def _sign(model: str, version: str) -> Document:
    from mtl.errors import InputError
    from mtl.release.layout import parse_version
    from mtl.release.sign import sign_published
    from mtl.workspace import open_workspace

    number = parse_version(version)
    if number is None:
        raise InputError(f"{version!r} is no version", field="version", hint="give a number, e.g. 3 or v3")
    manifest = sign_published(open_workspace().store, model, number)
    return {"model": model, "version": number, "files": len(manifest.files), "manifest_sha256": manifest.sha256}


def _sign_text(result: Document) -> str:
    return f"{result['model']} v{result['version']} is signed: its manifest and {result['files']} files"
