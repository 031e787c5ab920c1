# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pydantic>=2", "pyyaml>=6", "s3fs"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/shard-stats"
# docs = "Measures one shard of tokens."
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.config]
# dir = "./config/shard_stats"
# default = "default"
#
# [tool.runspec.resources]
# nodes = 1
# gpus_per_node = 0
# ///
"""Measures one shard of tokens: how much there is in it, how varied it is and what is said twice.

It reads that shard alone, so that a shard which stays the same need not be measured again when
others come or go. What it finds is in ``stats.json`` and in the metadata of the version it logs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nemo_runspec.artifacts import Artifact
from nemo_runspec.artifacts.job_context import job_context
from recipes.nano3 import tracked
from recipes.nano3.errors import InputError, exit_code
from recipes.nano3.files import write_json
from recipes.nano3.shards import Tokens, read_shard
from recipes.nano3.tokenizer import END_OF_DOCUMENT


@dataclass(frozen=True)
class ShardStatsSettings:
    """``shard``: a file in ``data``; None is the one that this job of a fan-out is for."""

    data: str
    shard: str | None
    output_dir: str


@dataclass(frozen=True)
class Stats:
    """What is in a shard.

    Attributes:
        tokens: How many.
        documents: How many documents end in it.
        distinct: Different tokens.
        entropy: Bits that a token says, were it drawn as often as it occurs.
        repeated: Part of the whole documents that stood in the shard before.
    """

    tokens: int
    documents: int
    distinct: int
    entropy: float
    repeated: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one shard of tokens.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    config, tracking = tracked.load(parser.parse_args().config, ShardStatsSettings)
    output = Path(config.output_dir)
    shard = element_file() if config.shard is None else config.shard
    stats = asdict(measure(read_shard(Path(config.data) / shard)))
    write_json(output / "stats.json", {"shard": shard, **stats})
    print(f"{shard}  {'  '.join(f'{key} {value:,}' for key, value in stats.items())}", flush=True)
    tracked.log(Artifact(path=output, metadata={"shard": shard, **stats}), tracking)


def element_file() -> str:
    """The shard of this job, which is an entry of the list ``shards`` in the data's metadata.

    Raises:
        InputError: It is none.
    """
    context = job_context()
    element = context.element if context else None
    if element is None:
        raise InputError("shard: null is for jobs that run once for each shard; name a file")
    value = element["value"]
    if not isinstance(value, Mapping) or not isinstance(value.get("file"), str):
        raise InputError(f"{value!r} names no file of a shard; list them as data_prep.py does")
    return str(value["file"])


def measure(tokens: Tokens) -> Stats:
    counts = np.bincount(tokens)
    shares = counts[counts > 0] / len(tokens)
    ends = np.flatnonzero(tokens == END_OF_DOCUMENT) + 1
    # The first and the last part may be halves of documents that other shards hold the rest of.
    whole = [part.tobytes() for part in np.split(tokens, ends)[1:-1]]
    return Stats(
        tokens=len(tokens),
        documents=len(ends),
        distinct=len(shares),
        entropy=float(-np.sum(shares * np.log2(shares))),
        repeated=1 - len(set(whole)) / len(whole) if whole else 0.0,
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
