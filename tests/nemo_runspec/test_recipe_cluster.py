"""A recipe run by hand on a cluster: attached and detached, continued, and while nobody answers."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.protocol import Handle
from nemo_runspec.jobs import JobPaths
from tests.nemo_runspec.example_bundle import make_bundle
from tests.nemo_runspec.executor_contract import PATIENCE_SECONDS, wait_for
from tests.nemo_runspec.pipeline.fake_cluster import VARIABLE, install

MAIN = "import sys; from nemo_runspec.cli import main; sys.exit(main())"
GATE = """
    import os, time
    print("here", flush=True)
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    print("done")
"""
# Ends by its time limit until it was started a third time; it goes on where it was.
SEGMENTS = """
    import os, sys
    with open(os.path.join(os.environ["RUNSPEC_OUTPUT_DIR"], "starts"), "a+") as starts:
        starts.write(os.environ["RUNSPEC_ATTEMPT"] + " ")
        starts.seek(0)
        print(starts.read())
    sys.exit(0 if os.environ["RUNSPEC_ATTEMPT"] == "3" else 99)
"""


class Cluster:
    """A folder to call recipes from, with the profile `far` for the fake cluster."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work 'here'"
        (self.work / ".git").mkdir(parents=True)
        self.bundle = folder / "bundle"
        self.root = folder / "cluster"
        self.root.mkdir()
        self.shared = folder / "shared $x"
        self.gate = folder / "gate"
        install(folder / "site")
        self.env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*sys.path, str(folder / "site")]),
            VARIABLE: str(self.root),
            "RUNSPEC_PATIENCE": "60",
            # The node's, which shares them with nobody.
            "RUNSPEC_PEX_ROOT": str(folder / "node"),
        }
        self.env.pop("RUNSPEC_PYTHON", None)

    def profile(self, **values: Any) -> None:
        lines = ["[far]", 'executor = "fake"', f"remote_job_dir = {json.dumps(str(self.shared))}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines += ["[far.env_vars]", f"GATE = {json.dumps(str(self.gate))}"]
        (self.work / "env.toml").write_text("\n".join(lines) + "\n")

    def start(self, *options: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, "recipe", str(self.bundle), *options],
            cwd=self.work,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *options: str, **env: str) -> tuple[int, str, str]:
        return ended(self.start(*options, **env))

    def jobs(self) -> list[JobPaths]:
        return [JobPaths(path) for path in sorted(self.shared.glob("2*"))]

    def state(self, number: int = 1) -> dict[str, Any]:
        path = self.root / "jobs" / str(number) / "state.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out, err


def read_until(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for text in process.stdout:
        if text == line:
            return
    pytest.fail(f"no {line!r}")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    made = Cluster(tmp_path)
    made.profile()
    return made


def write(cluster: Cluster, script: str, **fields: Any) -> None:
    make_bundle(cluster.bundle, script=script, **fields)


def commands(text: str, folder: Path) -> list[str]:
    """The commands about the job in a folder that a message tells."""
    place = shlex.quote(str(folder))
    return [each for each in ("logs -f", "cancel") if f"nemo-runspec jobs {each} {place}" in text]


def test_attached(cluster: Cluster) -> None:
    write(cluster, "import os; print(os.environ['HF_TOKEN'], os.environ['RUNSPEC_ATTEMPT'])")
    code, out, err = cluster.run("-r", "far", HF_TOKEN="hf_secret")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "hf_secret 1"
    (job,) = cluster.jobs()
    assert Handle.from_json(job.handle.read_text()) == Handle("fake", str(job.folder), "1")
    files = [path for path in cluster.shared.rglob("*") if path.is_file()]
    held = {path for path in files if b"hf_secret" in path.read_bytes()}
    assert held == {job.secrets, job.log}  # the job printed it itself


def test_its_code_is_ours(cluster: Cluster) -> None:
    write(cluster, "import sys; print('end'); sys.exit(7)")
    code, out, err = cluster.run("-r", "far")
    (job,) = cluster.jobs()
    assert (code, out) == (7, "end\n")
    assert err == f"error: demo/train: exit code 7; log: {job.log}\n"


def test_detached(cluster: Cluster) -> None:
    write(cluster, GATE)
    code, out, err = cluster.run("-b", "far")
    assert (code, err) == (0, "")
    (job,) = cluster.jobs()
    *tree, first, second = out.splitlines()
    assert (tree[0], tree[-1]) == ("Job Submission", "└── mode: detached")
    assert first == f"demo/train: job 1 of fake, in {job.folder}"
    assert commands(second, job.folder) == ["logs -f", "cancel"]
    cluster.gate.touch()
    wait_for(lambda: cluster.state().get("state") == "ended", "the job's end")
    assert job.log.read_text() == "here\ndone\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_our_end_is_not_the_jobs(cluster: Cluster, signum: signal.Signals) -> None:
    write(cluster, GATE)
    process = cluster.start("-r", "far")
    read_until(process, "here\n")
    process.send_signal(signum)
    code, _, err = ended(process)
    assert code == 128 + signum
    (job,) = cluster.jobs()
    assert err.startswith("demo/train goes on as job 1 of fake; ") and err.count("\n") == 1
    assert commands(err, job.folder) == ["logs -f", "cancel"]
    assert cluster.state()["state"] == "running"
    cluster.gate.touch()
    wait_for(lambda: cluster.state()["state"] == "ended", "the job's end")
    assert cluster.state()["exit_code"] == 0
    assert len(cluster.jobs()) == 1


def test_an_unfinished_job_goes_on(cluster: Cluster) -> None:
    write(cluster, SEGMENTS)
    cluster.profile(segments=3)
    code, out, err = cluster.run("-r", "far")
    assert code == 0
    assert [line for line in out.splitlines() if line[:1] == "1"] == ["1 ", "1 2 ", "1 2 3 "]
    assert err == "demo/train: unfinished (time limit), goes on\n" * 2
    first, *others = cluster.jobs()
    assert len(others) == 2
    assert (first.output / "starts").read_text() == "1 2 3 "
    assert not any(job.output.exists() for job in others)


@pytest.mark.parametrize("segments", [None, 1])
def test_an_unfinished_job_says_how_to_go_on(cluster: Cluster, segments: int | None) -> None:
    write(cluster, SEGMENTS)
    if segments is not None:
        cluster.profile(segments=segments)
    code, _, err = cluster.run("-r", "far")
    (job,) = cluster.jobs()
    assert code == 99
    assert err.startswith("error: demo/train: unfinished (time limit); what it wrote is in ")
    assert str(job.output) in err and "segments" in err and str(job.log) in err
    assert err.count("\n") == 1


def test_nobody_answers_for_a_while(cluster: Cluster) -> None:
    write(cluster, GATE)
    process = cluster.start("-r", "far")
    read_until(process, "here\n")
    down = cluster.root / "down"
    down.touch()
    assert process.stderr is not None
    assert "fake: connection refused; waits up to" in process.stderr.readline()
    cluster.gate.touch()
    down.unlink()
    code, out, err = ended(process)
    assert code == 0
    # Nothing twice, nothing missing.
    assert out.splitlines()[0] == "done"
    assert err.count("\n") == 1 and "goes on after" in err


def test_nobody_answers_any_more(cluster: Cluster) -> None:
    write(cluster, GATE)
    process = cluster.start("-r", "far", RUNSPEC_PATIENCE="1")
    read_until(process, "here\n")
    (cluster.root / "down").touch()
    code, _, err = ended(process)
    (job,) = cluster.jobs()
    assert code != 0
    note, error = err.splitlines()
    assert note.startswith("note: ")
    assert error.startswith("error: demo/train: fake: connection refused; the job may go on")
    assert commands(error, job.folder) == ["logs -f", "cancel"]
    cluster.gate.touch()
    wait_for(lambda: cluster.state()["state"] == "ended", "the job's end")


def test_an_answer_that_got_lost(cluster: Cluster) -> None:
    write(cluster, "print('ran')")
    (cluster.root / "swallow").touch()
    code, out, err = cluster.run("-r", "far")
    assert code == 0, err
    assert out.splitlines()[0] == "ran"
    assert len(list((cluster.root / "jobs").iterdir())) == 1
    assert len(cluster.jobs()) == 1


def test_nobody_answers_a_submit(cluster: Cluster) -> None:
    write(cluster, "print('ran')")
    (cluster.root / "down").touch()
    code, out, err = cluster.run("-r", "far", RUNSPEC_PATIENCE="0.5")
    assert (code, out) == (2, "")
    note, error = err.splitlines()
    assert "fake: connection refused" in note
    (job,) = cluster.jobs()  # it may have been taken, for all we know
    assert "whether it was submitted is not known" in error and str(job.folder) in error


def test_stage(cluster: Cluster) -> None:
    write(cluster, "print('ran')")
    assert cluster.run("-r", "far", "--stage")[::2] == (0, "")
    (job,) = cluster.jobs()
    assert job.script.exists()
    assert not (cluster.root / "jobs").exists()


def test_dry_run(cluster: Cluster) -> None:
    write(cluster, "print('ran')")
    cluster.profile(container_image="there:1")
    code, out, err = cluster.run("-r", "far", "--dry-run", HF_TOKEN="hf_secret")
    assert (code, err) == (0, "")
    assert "# Not to be seen: HF_TOKEN" in out
    assert "hf_secret" not in out
    # An image has not got the folder that the launcher was called in.
    planned = str(cluster.shared)
    assert f"cd -- {shlex.quote(planned)[:-1]}/2" in out
    assert not cluster.shared.exists()
