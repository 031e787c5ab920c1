"""A plan of so many artifacts, all of them in the store: what the planner's no-op is measured on.

    python plan_scene.py FOLDER COUNT [--outputs URL]

It writes what `pants plan` writes (plan.json and configs) into FOLDER/plan, and beside it a store
with a version of each artifact, made with the planner's own keys. The artifacts are chains of ten;
each has a config of its own on top of one that all share. `noop.py` starts this with a Python that
has our library's requirements.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from nemo_runspec.artifacts.job_context import JobRecord
from nemo_runspec.pipeline.decide import Made, Upstream, decide
from nemo_runspec.pipeline.record import record_keys
from nemo_runspec.pipeline.setting import open_pipeline
from nemo_runspec.store import VersionDraft
from runspec import Fingerprints, parse_text
from runspec.plan import (
    CONFIGS_FOLDER,
    PLAN_FILE,
    Plan,
    PlanArtifact,
    PlanInput,
    PlanNode,
    PlanRecipe,
    to_json,
)

CHAIN = 10
PACKAGE = "src/scene"
BLOCK = """\
# /// script
# [tool.runspec]
# schema = "1"
# name = "scene/stage{position}"
# [tool.runspec.run]
# launch = "direct"
# ///
"""
BASE = """\
model: {layers: 12, width: 768, heads: 12, context: 2048}
optimizer: {name: adamw, learning_rate: 3e-4, betas: [0.9, 0.95], decay: 0.1}
output: ${run.output_dir}/model
"""


def sha256(text: str) -> str:
    """Return the digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_plan(folder: Path, count: int) -> None:
    """Write plan.json and its configs."""
    configs = {f"{PACKAGE}/config/base.yaml": BASE}
    artifacts = []
    for number in range(count):
        chain, position = divmod(number, CHAIN)
        name = f"scene/{chain}-{position}"
        above = f"scene/{chain}-{position - 1}"
        run = {"data": f"{above}:latest"} if position else {}
        train = {"seed": number, **({"data": "${art:data,path}"} if position else {})}
        path = f"{PACKAGE}/config/{chain}-{position}.yaml"
        configs[path] = json.dumps({"defaults": ["base"], "run": run, "train": train})
        artifacts.append(
            PlanArtifact(
                address=f"{PACKAGE}:{chain}-{position}",
                name=name,
                recipe=f"{PACKAGE}:stage{position}",
                config=f"{chain}-{position}",
                chain=(f"{PACKAGE}/config/base.yaml", path),
                inputs=(
                    (PlanInput(f"{above}:latest", "data", f"{PACKAGE}:{chain}-{position - 1}"),)
                    if position
                    else ()
                ),
                output=".",
            )
        )
    scripts = [f"{PACKAGE}/stage{position}.py" for position in range(CHAIN)]
    files = [(script, sha256(script)) for script in scripts]
    files += [(path, sha256(text)) for path, text in configs.items()]
    plan = Plan(
        files=tuple(files),
        nodes=tuple(PlanNode((position,), ()) for position in range(CHAIN)),
        recipes={
            f"{PACKAGE}:stage{position}": PlanRecipe(
                spec=parse_text(BLOCK.format(position=position), script),
                script=script,
                node=position,
                fingerprints=Fingerprints(sha256(script), sha256("lock"), sha256("configs")),
                requirements={"numpy": "2.3.5"},
            )
            for position, script in enumerate(scripts)
        },
        artifacts=tuple(artifacts),
        roots=tuple(each.address for each in artifacts),
    )
    for path, text in configs.items():
        file = folder / CONFIGS_FOLDER / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / PLAN_FILE).write_text(to_json(plan), encoding="utf-8")


def fill_store(plan: Path, outputs: str) -> None:
    """Give each artifact of a plan a version with today's key.

    Args:
        plan: the plan's folder.
        outputs: where their data is: a folder, or a URL.
    """
    pipeline = open_pipeline(plan)
    world, store = pipeline.world, pipeline.view.store
    now: dict[str, Upstream] = {}
    for artifact in pipeline.graph.order:
        decision = decide(world, artifact, now)
        assert decision.key is not None and decision.parts is not None
        path = f"{outputs}/{artifact.name}"
        if "://" not in path:
            Path(path).mkdir(parents=True)
        manifest = store.add_version(
            artifact.name,
            VersionDraft(
                path=path,
                key=decision.key,
                parts=decision.parts.document(),
                explain=decision.explain,
                content=f"sha256:{sha256(path)}",
            ),
        )
        record = JobRecord(
            name=artifact.name,
            version=manifest.version,
            path=path,
            content=manifest.content,
            checkpoint=False,
            identity=manifest.identity,
        )
        record_keys(store, decision.key, [record], last=artifact.name)
        now[artifact.address] = Made(
            artifact.name, artifact.name, manifest.version, manifest.identity, path
        )
    world.flush()


def main() -> None:
    """Make the plan and the store; the working directory has the env.toml that names the store."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--outputs", help="where the data is; default: FOLDER/outputs")
    options = parser.parse_args()
    plan = options.folder / "plan"
    write_plan(plan, options.count)
    fill_store(plan, options.outputs or str(options.folder / "outputs"))


if __name__ == "__main__":
    sys.exit(main())
