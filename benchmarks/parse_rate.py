"""How fast recipe scripts are parsed and source files digested, beside a peer in the same run.

Peers: for parsing, the reference implementation of PEP 723 (its regular expression and tomllib,
https://peps.python.org/pep-0723/#reference-implementation), which gives a dict and checks nothing;
for the digest, SHA-256 over the bytes and Python's own tokenizer without comments.

    PYTHONPATH=src python benchmarks/parse_rate.py
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import sysconfig
import time
import tokenize
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runspec import is_recipe, parse_text, source_digest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCRIPTS = 10_000
ROUNDS = 3
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


def reference(script: str) -> dict[str, Any]:
    """Return a script's metadata as PEP 723 shows how to read it."""
    matches = [m for m in re.finditer(REFERENCE, script) if m["type"] == "script"]
    if len(matches) != 1:
        raise ValueError(f"{len(matches)} script blocks")
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


def best_times(*functions: Callable[[], object]) -> list[float]:
    """Return each function's best time in seconds, taken in turn so that all see the same load."""
    times = [float("inf")] * len(functions)
    for _ in range(ROUNDS):
        for index, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[index] = min(times[index], time.perf_counter() - start)
    return times


def show(title: str, unit: str, amount: float, rows: Sequence[tuple[str, float]]) -> None:
    """Print a table; the last row is the peer that the ratios compare with."""
    print(f"{title}\n  {'':44}{'seconds':>9}{unit:>12}{'ratio':>8}")
    peer = rows[-1][1]
    for name, seconds in rows:
        print(f"  {name:44}{seconds:9.2f}{amount / seconds:12,.1f}{seconds / peer:8.2f}")


def main() -> None:
    """Print both tables."""
    texts, sources = scripts(), modules()
    plain = [text.replace("# ///", "# --") for text in texts]
    names = ["runspec: parse, check, freeze", "runspec: is this a recipe? (no block)"]
    times = best_times(
        lambda: [parse_text(text, "train.py") for text in texts],
        lambda: [is_recipe(text) for text in plain],
        lambda: [reference(text) for text in texts],
    )
    print(f"Python {sys.version.split()[0]}; time as a multiple of the peer's, less is faster\n")
    rows = list(zip([*names, "peer: PEP 723's reference implementation"], times, strict=True))
    show(f"{SCRIPTS:,} scripts from memory", "scripts/s", SCRIPTS, rows)
    names = ["runspec: source_digest", "SHA-256 of the bytes", "peer: tokenize and SHA-256"]
    times = best_times(
        lambda: [source_digest("x.py", source) for source in sources],
        lambda: [hashlib.sha256(source).hexdigest() for source in sources],
        lambda: [tokenized(source) for source in sources],
    )
    megabytes = sum(map(len, sources)) / 1e6
    print()
    title = f"{len(sources)} modules of the standard library, {megabytes:.1f} MB"
    show(title, "MB/s", megabytes, list(zip(names, times, strict=True)))


if __name__ == "__main__":
    main()
