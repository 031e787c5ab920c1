"""The digest of a source file that changes when its meaning may have, and on every Python alike.

Comments, blank lines and whitespace without meaning are no part of it; a metadata block of PEP 723
is. It is what fingerprints of recipes are made of.
"""

from __future__ import annotations

import hashlib
import re

from runspec.blocks import iterate_blocks, normalise_newlines
from runspec.lexer import UndecidedSourceError, tokenise

# Names the canonical form. A change of form changes it, and so every digest.
FORMAT = b"runspec-source-1"

_BOM = b"\xef\xbb\xbf"
# Source: PEP 263, which also says that only the first two lines count.
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_UTF_8 = re.compile(rb"utf[-_]?8(?:[-_].*)?\Z", re.IGNORECASE)


def canonical_source(data: bytes) -> bytes:
    """Return a form of Python source that is the same for sources that mean the same.

    Left out are comments, blank lines, trailing whitespace, whitespace between tokens, line joining
    (by backslash or inside brackets), the width of indentation, a byte order mark and the kind of
    newlines. All else counts: every token as it is written, docstrings and the inside of format
    strings too, and the comment lines of PEP 723 blocks of any type.

    Two sources with different tokens never have one form. A source that cannot be lexed, that is
    not UTF-8, or that Python versions lex differently counts by its bytes.

    Args:
        data: the file's bytes.

    Returns:
        `tokens` and the blocks and tokens, or `bytes` and the bytes, all separated by NUL bytes.
    """
    try:
        text = normalise_newlines(_decoded(data))
        tokens = tokenise(text.encode("utf-8"))
    except (UnicodeDecodeError, UndecidedSourceError):
        return _by_bytes(data)
    # A block starts with "#", which no token does, and nothing that lexes holds a NUL byte.
    blocks = [block.source.encode("utf-8") for block in iterate_blocks(text)]
    return b"\0".join([b"tokens", *blocks, *tokens])


def source_digest(path: str, data: bytes) -> str:
    """Return the SHA-256 of a source file as it counts in a fingerprint.

    Args:
        path: the file's name; one that ends in `.py` counts by its canonical source, any other by
            its bytes.
        data: the file's bytes.

    Returns:
        64 hexadecimal digits, over the name of the format and the form.
    """
    if not path.endswith(".py"):
        return content_digest(data)
    return _digest(canonical_source(data))


def content_digest(data: bytes) -> str:
    """Return the SHA-256 of a file that counts by its bytes, a `.py` that is data too."""
    return _digest(_by_bytes(data))


def _digest(form: bytes) -> str:
    return hashlib.sha256(FORMAT + b"\0" + form).hexdigest()


def _by_bytes(data: bytes) -> bytes:
    return b"bytes\0" + data


def _decoded(data: bytes) -> str:
    """Return the source as text, without its byte order mark.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        UndecidedSourceError: it says itself that it is not.
    """
    for line in re.split(rb"\r\n|\r|\n", data.removeprefix(_BOM), maxsplit=2)[:2]:
        coding = _CODING.match(line)
        if coding and not _UTF_8.match(coding[1]):
            raise UndecidedSourceError("another encoding")
    return data.removeprefix(_BOM).decode("utf-8")
