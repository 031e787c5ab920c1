"""Digests as attestations name them: an algorithm and a value.

``sha256`` is a cryptographic digest of the content: of its canonical list of files
(:mod:`nemo_runspec.artifacts.content`), as that of an OCI image is one of its manifest. The other
algorithms are ours; ``docs/provenance.md`` says what each is taken of. All values are lowercase
hexadecimal. Source: in-toto DigestSet v1.1, which lets producers name further algorithms.
"""

from __future__ import annotations

import hashlib
import re

SHA256 = "sha256"
STAT = "runspecStat1"
KEY = "runspecKey1"
IDENTITY = "runspecIdentity1"
SOURCE = "runspecSource1"
FINGERPRINT = "runspecFingerprint1"

_DIGEST = re.compile(r"(?P<kind>sha256|stat|key):(?P<value>[0-9a-f]{64})")
_ALGORITHMS = {"sha256": SHA256, "stat": STAT, "key": KEY}

MEANINGS = {
    SHA256: "the content: the SHA-256 of its canonical list of files, sizes, digests and metadata",
    STAT: "names, sizes and times of its files, not what is in them",
    KEY: "the key of the build that made it; no digest of the content was taken",
    IDENTITY: "the text that identifies the version; no digest of the content was taken",
}


def digest_of(identity: str) -> dict[str, str]:
    """The digest set of what a version is identified by.

    Args:
        identity: ``sha256:…``, ``stat:…``, ``key:…`` or any other text.
    """
    match = _DIGEST.fullmatch(identity)
    if match is not None:
        return {_ALGORITHMS[match["kind"]]: match["value"]}
    return {IDENTITY: hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()}


def fingerprint_of(text: str) -> dict[str, str]:
    """The digest set of an external input's fingerprint, whatever it was made of."""
    return {FINGERPRINT: hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}
