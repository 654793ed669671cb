"""Signing: who published a release, wrote an entry of the journal or made a decision, proved by OpenSSF model signing.

    mtl keys create keys            keys/signing.key (private, mode 600) and keys/signing.pub
    MTL_SIGNING_KEY=keys/signing.key MTL_TRUSTED_KEYS=keys/signing.pub

keys       key pairs, and the public keys that are trusted: since when and until when
bundle     one signature over named sha256 sums, in the format of the `model_signing` command
configured what the settings of this process say; the rest of the package asks here
"""
