"""Starts the recipes' scripts as the launcher does: by path, with a composed config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

import recipes.nano3.settings
from nemo_runspec.artifacts.job_context import JobContext, JobInput, read_records
from runspec.parser import parse

NANO3 = Path(recipes.nano3.settings.__file__).parent
SOURCE_ROOT = NANO3.parents[1]


def compose(path: Path, script: str, *overrides: str, name: str = "tiny") -> Path:
    """What the launcher makes of a config and its ``defaults``.

    Args:
        path: where to write it.
        script: the script that it is for, relative to nano3's folder.
        overrides: ``key=value``.
        name: the config, among those of the script.
    """
    config = read_config(parse(NANO3 / script).config_dir / f"{name}.yaml")
    OmegaConf.save(OmegaConf.merge(config, OmegaConf.from_dotlist([*overrides])), path)
    return path


def read_config(path: Path) -> DictConfig:
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    if "defaults" in config:
        merged = OmegaConf.merge(read_config(path.parent / config.pop("defaults")), config)
        assert isinstance(merged, DictConfig)
        return merged
    return config


def start(
    script: str, config: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(NANO3 / script), "--config", str(config), *arguments],
        cwd=config.parent,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(SOURCE_ROOT), *sys.path]),
            "PYTHONIOENCODING": "utf-8",
            **parse(NANO3 / script).env,
            **environment,
        },
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )


class Pipeline:
    """Runs one script after the other, each in a job of its own over one store."""

    def __init__(self, folder: Path, config: str) -> None:
        """``config`` names one of each script's configs; a script without it takes its default."""
        self.folder = folder
        self._config = config
        self._made: dict[str, JobInput] = {}

    def run(
        self,
        name: str,
        script: str,
        *overrides: str,
        element: Mapping[str, Any] | None = None,
        joins: tuple[str, ...] = (),
    ) -> JobInput:
        """Runs a script that logs the artifact ``name``, and gives it to those that come after.

        Inputs are the references in the config's ``run`` section; ``joins`` are names of others.
        """
        job = self._job(name)
        path = self._compose(job, script, *overrides)
        result = self._start(script, path, name, job / "output", element, joins)
        assert result.returncode == 0, result.stderr
        (record,) = read_records(job / "records.jsonl")
        version = self.folder / "store" / record.name / f"v{record.version}"
        metadata = json.loads((version / "metadata.json").read_text(encoding="utf-8"))
        made = JobInput(
            record.name, record.version, record.path, metadata["type"], metadata, record.identity
        )
        return self._keep(made)

    def plain(self, name: str, script: str, *overrides: str) -> JobInput:
        """Runs a script that knows nothing of artifacts; its output folder is one all the same."""
        job = self._job(name)
        path = self._compose(job, script, *overrides)
        config = OmegaConf.load(path)
        for key, made in self._inputs(path).items():
            config[key] = made.path  # the launcher resolves ${art:KEY,path}
        OmegaConf.save(config, path)
        result = start(script, path, RUNSPEC_OUTPUT_DIR=str(job / "output"))
        assert result.returncode == 0, result.stderr
        return self._keep(JobInput(name, 1, str(job / "output")))

    def again(self, made: JobInput, script: str, output: Path) -> subprocess.CompletedProcess[str]:
        """Runs the job that made an artifact in another folder, as if it had stopped there."""
        path = Path(made.path).parent / "train.yaml"
        return self._start(script, path, made.name, output)

    def _start(
        self,
        script: str,
        config: Path,
        name: str,
        output: Path,
        element: Mapping[str, Any] | None = None,
        joins: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        named = self._inputs(config)
        context = JobContext(
            root=str(self.folder / "store"),
            artifact=name,
            inputs=named,
            input_list=(*named.values(), *(self._made[other] for other in joins)),
            output_dir=str(output),
            element=element,
            records=str(output.parent / "records.jsonl"),
        )
        path = output.parent / "context.json"
        path.write_text(context.to_json(), encoding="utf-8")
        variables = {"RUNSPEC_OUTPUT_DIR": str(output), "RUNSPEC_JOB_CONTEXT": str(path)}
        return start(script, config, **variables)

    def _job(self, name: str) -> Path:
        number = sum(1 for _ in self.folder.iterdir())
        job = self.folder / f"{number:02} {name.replace('/', '+')}"
        job.mkdir()
        return job

    def _compose(self, job: Path, script: str, *overrides: str) -> Path:
        there = (parse(NANO3 / script).config_dir / f"{self._config}.yaml").is_file()
        name = self._config if there else "default"
        return compose(job / "train.yaml", script, *overrides, name=name)

    def _inputs(self, config: Path) -> dict[str, JobInput]:
        references = read_config(config).get("run", {})
        return {
            str(key): self._made[str(reference).removesuffix(":latest")]
            for key, reference in references.items()
        }

    def _keep(self, made: JobInput) -> JobInput:
        self._made[made.name] = made
        return made


def run_all(
    pipeline: Pipeline, rates: tuple[str, ...], prefix: str = "nano3-tiny"
) -> dict[str, JobInput]:
    """The whole of nano3, in the order that the artifact targets give it."""
    made = {
        "data": pipeline.plain(f"{prefix}-pretrain-data", "stage0_pretrain/data_prep.py"),
        "pretrain-model": pipeline.plain(f"{prefix}-pretrain-model", "stage0_pretrain/train.py"),
        "sft-data": pipeline.run(f"{prefix}-sft-data", "stage1_sft/data_prep.py"),
    }
    members = tuple(f"{prefix}-sft/learning_rate-{rate}" for rate in rates)
    for name, rate in zip(members, rates, strict=True):
        override = f"optimizer.learning_rate={rate}"
        made[f"sft-{rate}"] = pipeline.run(name, "stage1_sft/train.py", override)
    join = "stage1_sft/select_best.py"
    made["sft-model"] = pipeline.run(f"{prefix}-sft-model", join, joins=members)
    made["rl-data"] = pipeline.run(f"{prefix}-rl-data", "stage2_rl/data_prep.py")
    made["rl-model"] = pipeline.run(f"{prefix}-rl-model", "stage2_rl/train.py")
    made["eval-results"] = pipeline.run(f"{prefix}-eval-results", "stage3_eval/evaluate.py")
    return made
