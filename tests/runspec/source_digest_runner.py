"""Digests sources under whatever Python runs this, and compares with what that Python reads there.

Reads a JSON list of cases from a file, `{"sources": [BASE64, …], "same": true | false}`, and writes
JSON: the digests of each case's sources and the list of what is wrong. It needs the modules of the
digest alone, so that it runs under a bare interpreter.

    python source_digest_runner.py FOLDER_OF_RUNSPEC CASES
"""

from __future__ import annotations

import ast
import base64
import io
import json
import sys
import tokenize
import types
import warnings
from typing import Optional

UNSEEN = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
BY_TYPE = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def meaning(source: bytes) -> Optional[str]:
    """Return the syntax tree without positions; None for what is no Python here."""
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        return None


def stream(source: bytes) -> Optional[list[tuple[int, str]]]:
    """Return Python's own tokens without comments, layout and positions; None if it refuses."""
    try:
        text = source.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        # Up to 3.11, whitespace behind the last line is an error token without a final newline.
        tokens = list(tokenize.generate_tokens(io.StringIO(text.rstrip() + "\n").readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        return None
    return [
        (token.type, "" if token.type in BY_TYPE else token.string)
        for token in tokens
        if token.type not in UNSEEN
    ]


def check(sources: list[bytes], digests: list[str], same: bool) -> list[str]:
    """Return what is wrong with the digests of sources that are (or may be) one program."""
    problems = []
    first = meaning(sources[0])
    for source, digest in zip(sources[1:], digests[1:]):
        pair = f"{sources[0]!r} and {source!r}"
        means = meaning(source)
        if same and (means is None or means != first):
            problems.append(f"the case itself is wrong: {pair}")
        elif same and digest != digests[0]:
            problems.append(f"two digests of one program: {pair}")
        elif digest == digests[0] and means != first:
            problems.append(f"one digest of two programs: {pair}")
        elif digest == digests[0] and means is not None and stream(source) != stream(sources[0]):
            problems.append(f"one digest of two token streams: {pair}")
    return problems


def main(folder: str, cases: str) -> None:
    """Print the answer as JSON."""
    # Not through the package's own __init__: that needs tomli below Python 3.11.
    package = types.ModuleType("runspec")
    package.__path__ = [folder]
    sys.modules["runspec"] = package
    from runspec.source_digest import source_digest

    warnings.simplefilter("ignore")  # the sources' invalid escapes and the like
    answers: list[list[str]] = []
    problems: list[str] = []
    with open(cases, encoding="utf-8") as file:
        for case in json.load(file):
            sources = [base64.b64decode(source) for source in case["sources"]]
            digests = [source_digest(case.get("path", "x.py"), source) for source in sources]
            answers.append(digests)
            problems += check(sources, digests, case["same"])
    json.dump({"digests": answers, "problems": problems}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
