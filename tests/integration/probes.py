"""Recipes that tell what they were given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.integration.repository import Repository

# Text that a shell, a TOML, YAML or JSON writer, or a split at spaces or lines could damage.
NASTY = "two  spaces \"double\" 'single' $HOME `id` \\ #no; echo foo\nünï ☃ {script} %s *"

PROBE = '''\
# /// script
# [tool.runspec]
# schema = "1"
# name = "probe"
#
# [tool.runspec.run]
# launch = "python"
#
# [tool.runspec.env]
# FROM_SCRIPT = NASTY
# ///
"""Writes down what it sees, and exits with the code that PROBE_EXIT names."""

import json
import os
import sys
import time
from pathlib import Path

here = Path(__file__).parent
seen = {
    "arguments": sys.argv[1:],
    "configs": sorted(path.name for path in (here / "config").iterdir()),
    "directory": os.getcwd(),
    "environment": dict(os.environ),
    "train": Path(sys.argv[sys.argv.index("--config") + 1]).read_text("utf-8"),
}
Path(os.environ["RUNSPEC_OUTPUT_DIR"], "seen.json").write_text(json.dumps(seen), "utf-8")
print("the probe speaks", flush=True)
time.sleep(float(os.environ.get("PROBE_SECONDS", "0")))
sys.exit(int(os.environ.get("PROBE_EXIT", "0")))
'''

PROBE_BUILD = """\
python_sources()
runspec_configs(name="configs", sources=["config/*"])
runspec_recipe(name="probe", script="probe.py")
runspec_recipe(name="torchrun", script="probe.py", launch="torchrun")
runspec_recipe(
    name="template",
    script="probe.py",
    cmd="VARIABLE='b  c'; python {script} --tag \\"$VARIABLE\\" --config {config}",
)
"""

PROBE_CONFIG = """\
defaults: base
train:
  steps: 10
  text: plain
"""


class Seen(NamedTuple):
    """What a probe wrote down."""

    arguments: list[str]
    configs: list[str]
    directory: str
    environment: dict[str, str]
    train: dict[str, Any]


def write_probe(repository: Repository, folder: str) -> None:
    """Write the probe's script, its configs and its targets into a folder of the repository."""
    # A TOML string of one line may be written as JSON writes it.
    script = PROBE.replace("NASTY", json.dumps(NASTY, ensure_ascii=False))
    repository.write(f"{folder}/probe.py", script)
    repository.write(f"{folder}/BUILD", PROBE_BUILD)
    repository.write(f"{folder}/config/default.yaml", PROBE_CONFIG)
    repository.write(f"{folder}/config/base.yaml", "train: {steps: 1, seed: 7}\n")


def read_seen(job: Path) -> Seen:
    """Read what the probe of a job wrote down."""
    seen = json.loads((job / "output" / "seen.json").read_text("utf-8"))
    return Seen(**{**seen, "train": yaml.safe_load(seen["train"])})
