"""nano3's pipeline on this machine, on a real Slurm and on a real Ray: the same results everywhere.

Each way has a store and outputs of its own, so that everything runs each time; one clone, whose
Pants stays warm, starts them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clusters.ray_cluster import missing_ray, ray_cluster
from tests.integration.clusters.slurm_cluster import SlurmCluster
from tests.integration.repository import Repository, wait_until

GOAL = "src/recipes/nano3-tiny:eval-results"
MADE = 9
# Of what a manifest says of its run: what was run, not when, where and for whom.
RUN = ("address", "bundle", "commit", "dirty", "gpus", "nodes", "recipe")
TIMES = ("elapsed_sec",)
PATIENCE_SECONDS = 300

ENV_TOML = """\
[artifacts]
output_root = "{place}/outputs"

[artifacts.manifest]
root = "{place}/store"

[prod]
parallel = 2
remote_job_dir = "{place}/jobs"
"""
SLURM = """\
executor = "slurm"
account = "team"
partition = "main"
tunnel = "local"
cpus_per_task = 1
time = "00:10:00"
"""


@dataclass(frozen=True)
class Way:
    """How the pipeline is run.

    Attributes:
        profile: what its profile holds.
        variables: of the environment that finds the cluster.
        options: of `materialize`.
    """

    profile: str
    variables: Mapping[str, str]
    options: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def ray() -> Iterator[str]:
    """The address of a Ray."""
    missing = missing_ray()
    if missing:
        pytest.skip(missing)
    with ray_cluster() as cluster:
        yield cluster.address


@pytest.fixture(scope="module")
def local(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What the pipeline makes on this machine."""
    way = Way('executor = "local"\n', {})
    return manifests(repository, way, tmp_path_factory.mktemp("local"))


def test_attached_on_slurm(
    repository: Repository, local: dict[str, Any], slurm: SlurmCluster, tmp_path: Path
) -> None:
    assert manifests(repository, Way(SLURM, slurm.env), tmp_path) == local


def test_detached_on_slurm_with_the_supervisor_as_a_job(
    repository: Repository, local: dict[str, Any], slurm: SlurmCluster, tmp_path: Path
) -> None:
    way = Way(f'{SLURM}supervisor = "slurm"\n', slurm.env, ("--detach",))
    assert manifests(repository, way, tmp_path) == local


def test_on_ray(repository: Repository, local: dict[str, Any], ray: str, tmp_path: Path) -> None:
    way = Way(f'executor = "ray"\nhost = "{ray}"\n', {})
    assert manifests(repository, way, tmp_path) == local


def manifests(repository: Repository, way: Way, place: Path) -> dict[str, dict[str, Any]]:
    """Run the pipeline, and return all manifests that it made as far as they have to agree."""
    repository.write("env.toml", ENV_TOML.format(place=place) + way.profile)
    shown = repository.pants(
        "materialize", "--profile=prod", *way.options, GOAL, variables=way.variables
    )
    if "--detach" in way.options:
        folder = re.search(r"^runs as .* in (.+)$", shown, re.MULTILINE)
        assert folder, shown
        events = Path(folder[1], "events.jsonl")
        assert wait_until(lambda: has_ended(events), PATIENCE_SECONDS), events.read_text()
    found = {
        str(path.parent.relative_to(place / "store")): comparable(path, place)
        for path in (place / "store").rglob("manifest.json")
    }
    assert len(found) == MADE, shown
    return found


def has_ended(events: Path) -> bool:
    """Tell whether a pipeline has come to its end."""
    lines = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
    return any(json.loads(line)["event"] == "end" for line in lines)


def comparable(path: Path, place: Path) -> dict[str, Any]:
    """Return a manifest without times, hosts and producers, and with the way's own folder named."""
    text = path.read_text(encoding="utf-8").replace(str(place), "<place>")
    document: dict[str, Any] = json.loads(text)
    for name in ("created_at", "producer", "writer"):
        del document[name]
    document["run"] = {name: document["run"].get(name) for name in RUN}
    document.get("digested", {}).pop("stat", None)
    for name in TIMES:
        document["metadata"].pop(name, None)
    return document
