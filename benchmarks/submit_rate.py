"""What it costs to submit a job, beside the plain ways and NeMo-Run's own, on a real Slurm and Ray.

Every contender has the same job, a Python that does nothing, on the same cluster: the tests' own of
four nodes, with accounting, without which NeMo-Run cannot tell how a job ended; and the tests' own
Ray. Between two measurements the cluster comes to rest.

`run.py` starts this file with a Python that has NeMo-Run and Ray and reads the figures from its
output.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import Contender, Figure, Seconds, alternate

from nemo_runspec.cli import main as command_line
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.protocol import Executor, Handle, Job, State
from nemo_runspec.execution.registry import get_executor
from runspec import Runspec, RunspecRun
from tests.integration.clusters.ray_cluster import ray_cluster
from tests.integration.clusters.slurm_cluster import SlurmCluster, slurm_cluster
from tests.nemo_runspec.example_bundle import make_bundle

SCRIPT = "pass\n"
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.05
SLURM_PROFILE: Mapping[str, Any] = {"account": "benchmark", "partition": "main", "time": "00:05:00"}
OURS = "prepare and submit"
OURS_TO_END = "prepare, submit and wait"


class Ours:
    """Our executor with one small job after another, each in a folder of its own."""

    def __init__(self, executor: Executor, folder: Path, profile: Mapping[str, Any]) -> None:
        self.executor = executor
        self.folder = folder
        self.profile = profile
        self.count = 0
        (folder / "code").mkdir(parents=True)
        (folder / "code" / "main.py").write_text(SCRIPT)

    def submit(self) -> Handle:
        """Submit a job."""
        return self.executor.submit(self.executor.prepare(self._job()), attached=False)

    def submit_and_wait(self) -> None:
        """Submit a job and wait for its end."""
        status = self.executor.wait(self.submit(), PATIENCE_SECONDS)
        assert status.state is State.SUCCEEDED, status

    def _job(self) -> Job:
        self.count += 1
        folder = self.folder / f"job-{self.count}"
        folder.mkdir()
        config = folder / "train.yaml"
        config.write_text("{}\n")
        script = self.folder / "code" / "main.py"
        return Job(
            name="benchmark",
            folder=folder,
            spec=Runspec(run=RunspecRun(launch="direct"), script_path=script),
            code=script.parent,
            script=script,
            source_roots=(script.parent,),
            config=config,
            passthrough=(),
            profile=self.profile,
            env={},
            workdir=self.folder,
            python=JobPython(Path(sys.executable)),
        )


class NemoRun:
    """NeMo-Run's Experiment with its SlurmExecutor through a LocalTunnel."""

    def __init__(self, folder: Path) -> None:
        # Read when it is imported.
        os.environ["NEMORUN_HOME"] = str(folder)
        import nemo_run

        self.nemo_run = nemo_run

    def run(self, *, detach: bool) -> None:
        """Run an experiment of one task."""
        run = self.nemo_run
        executor = run.SlurmExecutor(
            **SLURM_PROFILE,
            ntasks_per_node=1,
            nodes=1,
            tunnel=run.LocalTunnel(job_dir=""),
            packager=run.Packager(),
        )
        with quiet(), run.Experiment("benchmark", log_level="ERROR") as experiment:
            experiment.add(
                run.Script(inline=f"{sys.executable} -c pass"), executor=executor, name="job"
            )
            experiment.run(detach=detach, tail_logs=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what is printed meanwhile is seen, by this process and those that it starts."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def then(rest: Callable[[], object], measured: Contender) -> Contender:
    """Return a contender of which only `measured` counts; `rest` brings the cluster to rest."""

    def run() -> float:
        started = time.perf_counter()
        measured()
        seconds = time.perf_counter() - started
        rest()
        return seconds

    return run


def beside(
    name: str, ours: str, seconds: Mapping[str, Seconds], peers: Mapping[str, str]
) -> list[Figure]:
    """Return a figure for each peer; `peers` says what each of them is, by its key in `seconds`."""
    return [
        Figure(f"{name}, {key}", ours, what, seconds["ours"], seconds[key])
        for key, what in peers.items()
    ]


def slurm_figures(rounds: int, folder: Path) -> list[Figure]:
    """Return the figures of Slurm."""
    with slurm_cluster(accounting=True) as cluster:
        os.environ.update(cluster.env)
        ours = Ours(get_executor("slurm"), folder / "ours", SLURM_PROFILE)
        nemo_run = NemoRun(folder / "nemo-run")
        script = folder / "job.sh"
        options = [f"#SBATCH --{name}={value}" for name, value in SLURM_PROFILE.items()]
        script.write_text("\n".join(["#!/bin/sh", *options, f"{sys.executable} -c pass", ""]))
        sbatch = ["sbatch", "--parsable", "--output=/dev/null", str(script)]

        def plain(*more: str) -> None:
            subprocess.run([*sbatch, *more], check=True, stdout=subprocess.DEVNULL)

        rest = cluster.wait_until_idle
        submit = alternate(
            {
                "ours": then(rest, ours.submit),
                "sbatch": then(rest, plain),
                "NeMo-Run": then(rest, lambda: nemo_run.run(detach=True)),
            },
            rounds,
        )
        plain_wait = [*sbatch[:1], "--wait", *sbatch[1:]]
        to_end = alternate(
            {
                "ours": then(rest, ours.submit_and_wait),
                "sbatch": then(
                    rest,
                    lambda: subprocess.run(plain_wait, check=True, stdout=subprocess.DEVNULL),
                ),
                "NeMo-Run": then(rest, lambda: nemo_run.run(detach=False)),
            },
            rounds,
        )
        dry = dry_run_figure(rounds, folder / "dry", cluster)
    return [
        *beside(
            "Slurm, submit",
            OURS,
            submit,
            {"sbatch": "sbatch --parsable", "NeMo-Run": "Experiment.run(detach=True)"},
        ),
        *beside(
            "Slurm, to its end",
            OURS_TO_END,
            to_end,
            {"sbatch": "sbatch --wait", "NeMo-Run": "Experiment.run()"},
        ),
        dry,
    ]


def dry_run_figure(rounds: int, folder: Path, cluster: SlurmCluster) -> Figure:
    """Return the CPU time of a dry run on Slurm, everything imported, beside NeMo-Run's import."""
    bundle = make_bundle(folder / "bundle")
    env_file = folder / "env.toml"
    values = "\n".join(f'{name} = "{value}"' for name, value in SLURM_PROFILE.items())
    env_file.write_text(f'[prod]\nexecutor = "slurm"\n{values}\n')
    os.environ["NEMOTRON_ENV_FILE"] = str(env_file)
    argv = ["recipe", str(bundle), "--profile", "prod", "--dry-run"]

    def dry_run() -> float:
        started = time.process_time()
        with quiet():
            code = command_line(argv)
        assert code == 0, code
        return time.process_time() - started

    def import_nemo_run() -> float:
        program = "import time; import nemo_run; print(time.process_time())"
        argv = [sys.executable, "-c", program]
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
        return float(done.stdout.split()[-1])

    seconds = alternate({"ours": dry_run, "import": import_nemo_run}, rounds)
    return Figure(
        "Slurm, dry run, CPU time",
        "--dry-run, all of it imported",
        "import nemo_run",
        seconds["ours"],
        seconds["import"],
        "CPU s",
    )


def ray_figures(rounds: int, folder: Path) -> list[Figure]:
    """Return the figures of Ray."""
    from ray.job_submission import JobStatus, JobSubmissionClient

    with ray_cluster() as cluster:
        ours = Ours(get_executor("ray"), folder / "ours", {"host": cluster.address})
        client = JobSubmissionClient(cluster.address)
        code = str(folder / "ours" / "code")

        def bare() -> str:
            return str(
                client.submit_job(
                    entrypoint=f"{sys.executable} main.py", runtime_env={"working_dir": code}
                )
            )

        def bare_to_end() -> None:
            job = bare()
            while not (status := client.get_job_status(job)).is_terminal():
                time.sleep(POLL_SECONDS)
            assert status is JobStatus.SUCCEEDED, status

        def rest() -> None:
            while not all(job.status.is_terminal() for job in client.list_jobs()):
                time.sleep(POLL_SECONDS)

        submit = alternate({"ours": then(rest, ours.submit), "client": then(rest, bare)}, rounds)
        to_end = alternate(
            {"ours": then(rest, ours.submit_and_wait), "client": then(rest, bare_to_end)}, rounds
        )
    what = "JobSubmissionClient"
    return [
        *beside("Ray, submit", OURS, submit, {"client": f"{what}.submit_job"}),
        *beside("Ray, to its end", OURS_TO_END, to_end, {"client": f"{what}, asked 20 times/s"}),
    ]


def main() -> None:
    """Print the figures as JSON; the argument says how many rounds."""
    rounds = int(sys.argv[1])
    folder = Path(tempfile.mkdtemp(prefix="submit-"))
    try:
        found = [
            *slurm_figures(rounds, folder / "slurm"),
            *ray_figures(rounds, folder / "ray"),
        ]
    finally:
        shutil.rmtree(folder)
    print(json.dumps([figure.to_dict() for figure in found]))


if __name__ == "__main__":
    main()
