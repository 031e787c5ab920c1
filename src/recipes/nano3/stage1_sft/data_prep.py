# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26", "omegaconf>=2.3", "pydantic>=2", "pyyaml>=6", "s3fs"]
#
# [tool.runspec]
# schema = "1"
# name = "nano3/data-prep/sft"
# docs = "Makes of each story an instruction with its answer."
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
"""Makes of each story an instruction with its answer: a wish for a story, and the story.

The stories are those of the pretraining data; one that pretraining did not see goes to the
validation examples. What it leaves in its output folder is described in ``recipes.nano3.wishes``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_runspec.artifacts import SplitJsonlDataArtifact
from recipes.nano3 import tracked
from recipes.nano3.corpus import PEOPLE, ROAD, WEATHERS, Teller
from recipes.nano3.errors import exit_code
from recipes.nano3.shards import read_dataset
from recipes.nano3.wishes import TRAIN, VALIDATION, Example, has, write_examples

# The first kind is what every wish names one of.
KINDS = (
    tuple(person.name for person in PEOPLE),
    tuple(word for person in PEOPLE for word in (person.goods.one, person.goods.many)),
    tuple(place.removeprefix("the ") for place in ROAD),
    tuple(weather.morning for weather in WEATHERS),
)


@dataclass(frozen=True)
class DataPrepSettings:
    """``data``: a folder of shards. ``wishes_per_story``: examples made of each story."""

    data: str
    output_dir: str
    seed: int
    wishes_per_story: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Make instructions of stories.")
    parser.add_argument("--config", type=Path, required=True, help="a composed YAML file")
    config, tracking = tracked.load(parser.parse_args().config, DataPrepSettings)
    output = Path(config.output_dir)
    dataset = read_dataset(Path(config.data))
    teller = Teller(config.seed)
    counts = {}
    for split, name in (("train", TRAIN), ("validation", VALIDATION)):
        stories = dataset.documents(split)
        examples = list(make_examples(stories, KINDS, config.wishes_per_story, teller))
        write_examples(output / name, examples)
        counts[split] = len(examples)
        print(f"{split:<12}{len(examples):>6,} examples of {len(stories):,} stories")
    print(f"{'folder':<12}{output.resolve()}", flush=True)
    tracked.log(
        SplitJsonlDataArtifact(
            path=output,
            train=str(output / TRAIN),
            val=str(output / VALIDATION),
            total_sequences=sum(counts.values()),
        ),
        tracking,
    )


def make_examples(
    stories: Iterable[str], kinds: Sequence[Sequence[str]], wishes_per_story: int, teller: Teller
) -> Iterator[Example]:
    """Wishes of two words each, the first of the first kind; stories without two make none."""
    for story in stories:
        first, *others = [tuple(word for word in kind if has(story, word)) for kind in kinds]
        others = [words for words in others if words]
        if first and others:
            for _ in range(wishes_per_story):
                wish = (teller.pick(first), teller.pick(teller.pick(others)))
                yield Example(wish, story)


if __name__ == "__main__":
    sys.exit(exit_code(main))
