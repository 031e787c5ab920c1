"""How fast recipe scripts are parsed and source files digested, beside peers in the same process.

Peers: for parsing, the reference implementation of PEP 723 (its regular expression and tomllib,
https://peps.python.org/pep-0723/#reference-implementation), which gives a dict and checks nothing;
for the digest, the standard library's ways to read Python: `tokenize`, which keeps whitespace and
comments apart, and `ast.parse`, which drops them but differs from one Python to the next.

`run.py` starts this file with a Python that has tomllib and reads the figures from its output.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import platform
import re
import sys
import sysconfig
import tokenize
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomllib
from harness import Figure, alternate

from runspec import is_recipe, parse_text, source_digest

SCRIPTS = 10_000
MODULES = 150

REFERENCE = r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"

METADATA = """\
#!/usr/bin/env python3
# Copyright of somebody. All rights reserved.

# /// script
# dependencies = ["numpy>=1.26", "rich"]
# requires-python = ">=3.11"
#
# [tool.runspec]
# schema = "1"
# docs = "https://example.org/docs/runspec/v1/spec.md"
# name = "nano3/stage{number}/pretrain"
# image = "registry.example.org/nemo:25.11"
# setup = "NeMo and all training dependencies are in the image."
#
# [tool.runspec.run]
# launch = "torchrun"
#
# [tool.runspec.config]
# dir = "./config"
# default = "default"
#
# [tool.runspec.resources]
# nodes = {nodes}
# gpus_per_node = 8
# ///
"""
CODE = '''
def step{n}(batch, *, rate=1e-3):
    """Take one step."""
    # The usual.
    loss = sum(x * rate for x in batch)
    return {{"loss": loss, "step": {n}}}

'''


def scripts() -> list[str]:
    """Return typical recipe scripts of about 6 kB, no two alike."""
    code = "import json\n\n" + "".join(CODE.format(n=n) for n in range(30))
    return [METADATA.format(number=n, nodes=n % 64 + 1) + code for n in range(SCRIPTS)]


def reference(script: str) -> dict[str, Any] | None:
    """Return a script's metadata as PEP 723 shows how to read it; None where there is none."""
    matches = [m for m in re.finditer(REFERENCE, script) if m["type"] == "script"]
    if len(matches) > 1:
        raise ValueError(f"{len(matches)} script blocks")
    if not matches:
        return None
    content = "".join(
        line[2:] if line.startswith("# ") else line[1:]
        for line in matches[0]["content"].splitlines(keepends=True)
    )
    return tomllib.loads(content)


def modules() -> list[bytes]:
    """Return modules of this Python's standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    return [file.read_bytes() for file in sorted(library.glob("*.py"))[:MODULES]]


def tokenized(source: bytes) -> str:
    """Return the SHA-256 of Python's own tokens without comments."""
    tokens = tokenize.tokenize(io.BytesIO(source).readline)
    digest = hashlib.sha256()
    for token in tokens:
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            digest.update(f"{token.type} {len(token.string)} {token.string}".encode())
    return digest.hexdigest()


def over(function: Callable[[Any], object], values: list[Any]) -> Callable[[], None]:
    """Return a contender: the function over all values, what it returns dropped."""

    def run() -> None:
        for value in values:
            function(value)

    return run


def parse_figures(rounds: int) -> list[Figure]:
    """Return the figures of parsing, over scripts with a block and without."""
    texts = scripts()
    plain = [text.replace("# ///", "# --") for text in texts]
    times = alternate(
        {
            "runspec": over(lambda text: parse_text(text, "train.py"), texts),
            "reference": over(reference, texts),
            "runspec, no block": over(is_recipe, plain),
            "reference, no block": over(reference, plain),
        },
        rounds,
    )
    peer = "PEP 723's reference implementation"
    return [
        Figure(
            f"parse {SCRIPTS:,} scripts",
            "runspec.parse_text, checked and frozen",
            f"{peer}, a dict",
            times["runspec"],
            times["reference"],
            "scripts",
            SCRIPTS,
        ),
        Figure(
            f"reject {SCRIPTS:,} without a block",
            "runspec.is_recipe",
            peer,
            times["runspec, no block"],
            times["reference, no block"],
            "scripts",
            SCRIPTS,
        ),
    ]


def digest_figures(rounds: int) -> list[Figure]:
    """Return the figures of the source digest, over modules of the standard library."""
    sources = modules()
    megabytes = sum(map(len, sources)) / 1e6
    times = alternate(
        {
            "runspec": over(lambda source: source_digest("x.py", source), sources),
            "tokenize": over(tokenized, sources),
            "ast": over(ast.parse, sources),
        },
        rounds,
    )
    name = f"digest {megabytes:.1f} MB of Python"
    ours = "runspec.source_digest"
    return [
        Figure(name, ours, peer, times["runspec"], times[key], "MB", megabytes)
        for key, peer in (("tokenize", "tokenize and SHA-256"), ("ast", "ast.parse, no digest"))
    ]


def main() -> None:
    """Print the figures as JSON; the argument says how many rounds."""
    rounds = int(sys.argv[1])
    warnings.simplefilter("ignore")  # the standard library's own, as ast.parse compiles it
    figures = [*parse_figures(rounds), *digest_figures(rounds)]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(json.dumps({"python": python, "figures": [figure.to_dict() for figure in figures]}))


if __name__ == "__main__":
    main()
