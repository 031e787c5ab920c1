# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pyyaml>=6"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/data-prep/pretrain"
# docs = "Tokenises a text into the shards that pre-training reads."
#
# [tool.runspec.run]
# launch = "direct"
#
# [tool.runspec.config]
# dir = "./config/data_prep"
# default = "default"
#
# [tool.runspec.resources]
# nodes = 1
# gpus_per_node = 0
# ///
"""Tokenises a text into the shards that pre-training reads.

What it leaves in its output folder is described in ``recipes.nano3.shards``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from recipes.nano3 import settings
from recipes.nano3.errors import exit_code
from recipes.nano3.prepare import PrepareSettings, prepare
from recipes.nano3.shards import Dataset


@dataclass(frozen=True)
class DataPrepSettings:
    """``output_dir``: the folder for the shards. ``prepare``: how they are made."""

    output_dir: str
    prepare: PrepareSettings


def main() -> None:
    parser = argparse.ArgumentParser(description="Tokenise a text into shards.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    config = settings.load(parser.parse_args().config, DataPrepSettings)
    report(prepare(config.prepare, Path(config.output_dir)))


def report(dataset: Dataset) -> None:
    for name, split in dataset.splits.items():
        print(
            f"{name:<12}{split.documents:>6,} documents  {split.tokens:>8,} tokens  "
            f"{split.bytes / split.tokens:.2f} bytes/token  {len(split.shards)} shards"
        )
    print(f"{'vocabulary':<12}{dataset.tokenizer.vocab_size:>6,} tokens")
    print(f"{'folder':<12}{dataset.folder.resolve()}", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
