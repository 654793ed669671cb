"""The encoder of a tokenizer that was used before, without the library that loads it: transformers takes seconds."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict

from mtl.data.arrays import read_arrays, write_arrays
from mtl.data.pieces import Pieces, code
from mtl.data.tokens import Encoder, Facts, SavedTokenizer, Tokenizer
from mtl.errors import DamageError
from mtl.fingerprint import sha256_json


def kept_encoder(tokenizer: Tokenizer, stamp: str | None, pieces: Pieces) -> Encoder:
    """stamp: changes whenever the tokenizer does; None for one of which that is not known."""
    if stamp is None:
        return Encoder(tokenizer)
    name = sha256_json(["tokenizer", stamp, code()])
    path = pieces.path(name)
    try:
        document, _ = read_arrays(path)
        if document["name"] == name:
            os.utime(path)  # it was used
            return Encoder(SavedTokenizer(**document["saved"]), facts=Facts(**document["facts"]))
    except (OSError, DamageError, KeyError, TypeError):
        pass
    encoder = Encoder(tokenizer)
    with suppress(OSError):  # a cache that cannot be written is no fault of the data
        write_arrays(path, {"name": name, "saved": asdict(encoder.saved()), "facts": asdict(encoder.facts)}, {})
    return encoder
