# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pydantic>=2", "pyyaml>=6", "s3fs"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/data-prep/rl"
# docs = "Divides the wishes of fine-tuning into those to practise on and those to be tested by."
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
"""Divides wishes into those to practise on and those to be tested by.

Reinforcement learning needs no stories: whether a wish came true can be seen from what the model
tells. What it leaves in its output folder is described in ``recipes.nano3.wishes``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.artifacts import SplitJsonlDataArtifact
from recipes.nano3 import tracked
from recipes.nano3.corpus import Teller
from recipes.nano3.errors import InputError, exit_code
from recipes.nano3.wishes import TRAIN, VALIDATION, Wish, read_wishes, write_wishes


@dataclass(frozen=True)
class DataPrepSettings:
    """``data``: a folder of examples. ``held_out``: how many wishes are kept for the test."""

    data: str
    output_dir: str
    seed: int
    held_out: int

    def __post_init__(self) -> None:
        if self.held_out < 1:
            raise ValueError(f"held_out: {self.held_out} is below 1")


def main() -> None:
    parser = argparse.ArgumentParser(description="Divide wishes into training and test.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    config, tracking = tracked.load(parser.parse_args().config, DataPrepSettings)
    output = Path(config.output_dir)
    wishes = read_wishes(Path(config.data) / TRAIN)
    practice, test = divide(wishes, config.held_out, Teller(config.seed))
    write_wishes(output / TRAIN, practice)
    write_wishes(output / VALIDATION, test)
    print(f"{len(practice):,} wishes to practise on, {len(test):,} others to be tested by")
    print(f"folder {output.resolve()}", flush=True)
    tracked.log(
        SplitJsonlDataArtifact(
            path=output,
            train=str(output / TRAIN),
            val=str(output / VALIDATION),
            total_sequences=len(practice) + len(test),
        ),
        tracking,
    )


def divide(wishes: Iterable[Wish], held_out: int, teller: Teller) -> tuple[list[Wish], list[Wish]]:
    """Different wishes, and ``held_out`` others drawn from them.

    Raises:
        InputError: None would be left to practise on.
    """
    practice = sorted(set(wishes))
    if len(practice) <= held_out:
        raise InputError(
            f"held_out: {held_out} leaves none of {len(practice)} wishes to practise on; lower it"
        )
    test = []
    for _ in range(held_out):
        wish = teller.pick(practice)
        practice.remove(wish)
        test.append(wish)
    return practice, test


if __name__ == "__main__":
    sys.exit(exit_code(main))
