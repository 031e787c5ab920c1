from __future__ import annotations

import ast
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.job_python import JobPython
from nemo_runspec.execution.job_script import job_script, remove_secrets
from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.execution.protocol import Job, JobPackage
from nemo_runspec.jobs import JobPaths
from runspec import RunspecResources, RunspecRun
from tests.nemo_runspec.example_pex import SCRIPT, make_pex
from tests.nemo_runspec.executor_contract import NASTY, make_job

SECRET = "s3cr3t-it's"
HERE = "{}.{}.{}".format(*sys.version_info[:3])
TORCHRUN = RunspecRun(launch="torchrun")


def run(job: Job, nodes: Nodes | None = None, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Runs the job's script as a node does that has next to nothing of its own."""
    job_script(job, nodes).stage(JobPaths(job.folder))
    node = {
        "PATH": os.path.dirname(sys.executable) + ":/usr/bin:/bin",
        "RUNSPEC_PEX_ROOT": str(job.folder / "the node's"),
    }
    return subprocess.run(
        ["bash", str(JobPaths(job.folder).script)],
        env={**node, **env},
        cwd="/",
        input=b"",
        capture_output=True,
        check=False,
    )


def printed(job: Job, nodes: Nodes | None = None, **env: str) -> Any:
    """What the job printed, a Python literal."""
    done = run(job, nodes, **env)
    assert (done.returncode, done.stderr) == (0, b"")
    return ast.literal_eval(done.stdout.decode())


def with_run(job: Job, run: RunspecRun) -> Job:
    return replace(job, spec=replace(job.spec, run=run))


def on_node(job: Job, *constraints: str, **package: Any) -> Job:
    """The job with a Python that the node has to find."""
    made = JobPackage(interpreter_constraints=constraints, **package)
    return replace(job, python=JobPython(), package=made)


def test_arguments_and_environment_arrive_intact(tmp_path: Path) -> None:
    raw = {"BYTES": "\udcff\udc80'\n", "PATH_LIKE": "/a b/$x/it's"}
    script = "import os, sys; print(ascii((sys.argv[1:], dict(os.environ), os.getcwd())))"
    arguments = (*NASTY.values(), *raw.values(), "-c")
    workdir = tmp_path / "a 'folder'\nof two lines"
    workdir.mkdir()
    job = make_job(tmp_path, script, passthrough=arguments, env={**NASTY, **raw}, workdir=workdir)
    argv, env, cwd = printed(job, PYTHONPATH="/the/submitter's", PEX_ROOT="/not/ours")
    assert argv == ["--config", str(job.config), *arguments]
    assert {name: env[name] for name in (*NASTY, *raw)} == {**NASTY, **raw}
    assert cwd == os.path.realpath(workdir)
    assert env["PYTHONPATH"] == str(job.code)
    assert "PEX_ROOT" not in env
    assert env["NEMO_RUN_DIR"] == str(job.folder)
    assert env["RUNSPEC_CODE_DIR"] == str(job.code)
    assert env["RUNSPEC_ATTEMPT"] == "1"
    assert Path(env["RUNSPEC_OUTPUT_DIR"]).is_dir()


def test_what_the_job_is_told(tmp_path: Path) -> None:
    script = "import os; print(ascii(dict(os.environ)))"
    context = tmp_path / "context.json"
    job = make_job(
        tmp_path, script, attempt=2, context=context, env={"A": "job", "PYTHONPATH": "-p"}
    )
    job = replace(job, output=tmp_path / "out put")
    text = job_script(job, extra_env={"A": "executor", "B": "executor"})
    text.stage(JobPaths(job.folder))
    assert JobPaths(job.folder).script.read_text() == text.text
    env = printed(job, SLURM_RESTART_COUNT="3")
    assert env["RUNSPEC_JOB_CONTEXT"] == str(context)
    assert env["RUNSPEC_OUTPUT_DIR"] == str(tmp_path / "out put")
    assert env["RUNSPEC_ATTEMPT"] == "5"
    assert env["A"] == "job"
    assert env["PYTHONPATH"] == f"{job.code}:-p"
    assert "export B=executor\n" in text.text


def test_secrets_are_in_one_file_for_its_owner(tmp_path: Path) -> None:
    script = "import os, sys; print(ascii((os.environ['HF_TOKEN'], sys.argv[-1])))"
    env = {"HF_TOKEN": SECRET, "URL": f"https://me:{SECRET}@host/"}
    job = make_job(tmp_path, script, env=env, passthrough=("--api-key", SECRET))
    made = job_script(job)
    assert SECRET not in made.text + made.shown
    assert "HF_TOKEN" in made.shown and "--api-key" in made.shown
    assert made.secrets["HF_TOKEN"] == SECRET
    assert printed(job) == (SECRET, SECRET)
    paths = JobPaths(job.folder)
    assert stat.S_IMODE(paths.secrets.stat().st_mode) == 0o600
    files = [path for path in job.folder.rglob("*") if path.is_file() and path != paths.secrets]
    assert paths.script in files
    # As a shell's quotes leave it, too.
    assert not [path for path in files if b"s3cr3t" in path.read_bytes()]

    remove_secrets(paths)
    remove_secrets(paths)
    done = subprocess.run(["bash", paths.script], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == f"error: {paths.secrets} is gone: the job had come to its end\n"


def test_secret_of_the_launcher_is_one_under_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRET)
    monkeypatch.setenv("SHORT_PASSWORD", "bc")
    made = job_script(make_job(tmp_path, "", env={"HEADER": f"Bearer {SECRET}", "WORD": "abcd"}))
    assert SECRET not in made.text + made.shown
    assert made.secrets == {"HEADER": f"Bearer {SECRET}"}


def test_secrets_in_commands(tmp_path: Path) -> None:
    profile = {"startup_commands": [f"export API_KEY={SECRET.partition('-')[0]}"]}
    job = make_job(tmp_path, "import os; print(ascii(os.environ['API_KEY']))", profile=profile)
    made = job_script(job)
    assert "s3cr3t" not in made.text + made.shown
    assert printed(job) == "s3cr3t"


def test_no_file_of_secrets_without_secrets(tmp_path: Path) -> None:
    job = make_job(tmp_path, "print(1)")
    assert printed(job) == 1
    assert not JobPaths(job.folder).secrets.exists()
    made = job_script(job)
    assert made.text == made.shown


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_code(tmp_path: Path, code: int) -> None:
    assert run(make_job(tmp_path, f"raise SystemExit({code})")).returncode == code


def test_a_signal_reaches_the_script(tmp_path: Path) -> None:
    # Nothing stands between whoever starts it and the interpreter.
    job = make_job(tmp_path, "import os; print(os.getpid(), flush=True); os.kill(os.getpid(), 9)")
    job_script(job).stage(JobPaths(job.folder))
    process = subprocess.Popen(
        ["bash", JobPaths(job.folder).script], stdout=subprocess.PIPE, text=True
    )
    out, _ = process.communicate()
    assert int(out) == process.pid
    assert process.returncode == -9


def test_startup_commands(tmp_path: Path) -> None:
    profile: Mapping[str, Any] = {"startup_commands": ['export A="it\'s set"', "cd /"]}
    job = make_job(tmp_path, "import os; print(ascii((os.environ['A'], os.getcwd())))")
    assert printed(replace(job, profile=profile)) == ("it's set", "/")
    done = run(replace(job, profile={"startup_commands": ["true", "(exit 7)"]}))
    assert (done.returncode, done.stdout) == (7, b"")
    assert done.stderr == b"error: startup command 2/2 ended with exit code 7: (exit 7)\n"


def test_cmd(tmp_path: Path) -> None:
    cmd = 'X={b,c}; python \'{script}\' "$X" --config "{config}"\n'
    script = "import sys; print(ascii(sys.argv[1:]))"
    job = make_job(tmp_path, script, passthrough=tuple(NASTY.values()))
    job = with_run(job, RunspecRun(launch="ray", cmd=cmd))
    assert printed(job) == ["{b,c}", "--config", str(job.config), *NASTY.values()]


def test_no_working_directory(tmp_path: Path) -> None:
    done = run(make_job(tmp_path, "print('ran')", workdir=tmp_path / "no'where"))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: run.workdir: no folder " + os.fsencode(tmp_path))
    assert done.stderr.count(b"\n") == 1


def test_a_name_that_no_shell_can_export(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match=r"env_vars: 'a\.b'"):
        job_script(make_job(tmp_path, "", env={"a.b": "1"}))


def python_of_node(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).symlink_to(sys.executable)
    return folder / name


@pytest.mark.parametrize(
    "constraint",
    ["CPython=={}.{}.*".format(*sys.version_info[:2]), f"CPython=={HERE}", "CPython>=3.9,<3.30"],
)
def test_the_node_has_the_python(tmp_path: Path, constraint: str) -> None:
    python = python_of_node(tmp_path / "the node's bin", "python{}.{}".format(*sys.version_info))
    job = make_job(tmp_path, "import sys; print(ascii(sys.version_info[:3]))")
    path = f"{python.parent}:/usr/bin:/bin"
    assert printed(on_node(job, constraint), PATH=path) == sys.version_info[:3]


@pytest.mark.parametrize("constraint", ["CPython==3.29.*", "CPython==3.9.99"])
def test_the_node_has_no_such_python(tmp_path: Path, constraint: str) -> None:
    job = on_node(make_job(tmp_path, "print('ran')"), constraint)
    done = run(job)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"error: no interpreter for {constraint} on ".encode())
    assert done.stderr.count(b"\n") == 1
    done = run(job, RUNSPEC_PYTHON=sys.executable)
    assert done.returncode == 2
    done = run(on_node(job, "CPython>=3.9"), RUNSPEC_PYTHON=sys.executable)
    assert (done.returncode, done.stdout) == (0, b"ran\n")


def test_the_bundles_packages(tmp_path: Path) -> None:
    pex = make_pex(tmp_path / "job it's.pex")
    done = run(on_node(make_job(tmp_path, SCRIPT), "CPython>=3.9", pex=pex))
    assert (done.returncode, done.stdout) == (0, b"42\nb'42\\n'\nb'42\\n'\n"), done.stderr


def test_a_pex_that_does_not_fit(tmp_path: Path) -> None:
    pex = make_pex(tmp_path / "job.pex", "import sys; sys.exit('first\\nFailed to find')")
    done = run(on_node(make_job(tmp_path, "print('ran')"), pex=pex))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"error: ") and done.stderr.endswith(b": Failed to find\n")


def test_packages_of_others_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"nemo-runspec-{os.getuid()}").symlink_to(tmp_path / "theirs")
    job = make_job(tmp_path, "print('ran')")
    done = run(job, RUNSPEC_PEX_ROOT="", TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"belongs to somebody else; set RUNSPEC_PEX_ROOT" in done.stderr
    (tmp_path / f"nemo-runspec-{os.getuid()}").unlink()
    assert run(job, RUNSPEC_PEX_ROOT="", TMPDIR=str(tmp_path)).returncode == 0
    mode = (tmp_path / f"nemo-runspec-{os.getuid()}").stat().st_mode
    assert stat.S_IMODE(mode) == 0o700


# Stands for `python -m torch.distributed.run`.
LAUNCHER = "import sys; print(ascii(sys.argv[1:]))"


def torchrun(tmp_path: Path, **changes: Any) -> Job:
    job = with_run(make_job(tmp_path, "", **changes), TORCHRUN)
    package = job.code / "torch" / "distributed"
    package.mkdir(parents=True)
    (package / "run.py").write_text(LAUNCHER)
    return job


@pytest.mark.parametrize(
    ("profile", "declared", "seen", "expected"),
    [
        ({}, 8, "0,1", 2),
        ({}, 1, "0,1", 1),
        ({}, 8, "", 1),
        ({}, "gpu", "0,1,2", 3),
        ({"gpus_per_node": "gpu"}, 1, "0,1", 2),
        ({"gpus_per_node": 4}, 8, "", 4),
        ({"nproc_per_node": 3, "gpus_per_node": 4}, 8, "0", 3),
        ({"nproc_per_node": "gpu"}, 8, "", "gpu"),
        ({"nproc_per_node": "auto"}, 8, "", "auto"),
        ({"nproc_per_node": "cpu"}, 8, "", "cpu"),
    ],
)
def test_gpus_are_counted_on_the_node(
    tmp_path: Path,
    profile: dict[str, Any],
    declared: int | str,
    seen: str,
    expected: int | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")  # the submitter's
    job = torchrun(tmp_path, profile=profile)
    resources = RunspecResources(gpus_per_node=declared)
    job = replace(job, spec=replace(job.spec, resources=resources))
    argv = printed(job, CUDA_VISIBLE_DEVICES=seen)
    assert argv[:2] == ["--standalone", f"--nproc_per_node={expected}"]
    assert argv[2:] == [str(job.script), "--config", str(job.config)]


def test_torchrun_outlives_the_signal_to_save(tmp_path: Path) -> None:
    job = torchrun(tmp_path)
    launcher = job.code / "torch" / "distributed" / "run.py"
    signals = "(signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)"
    launcher.write_text(
        f"import os, signal; os.kill(os.getpid(), signal.SIGUSR1); "
        f"print([signal.getsignal(s) is signal.SIG_IGN for s in {signals}])"
    )
    assert printed(job) == [True, True, False]


def test_torchrun_on_several_nodes(tmp_path: Path) -> None:
    job = torchrun(tmp_path, profile={"nproc_per_node": 2})
    nodes = Nodes(count=4, rank="$RANK", head_address="$HEAD", port="$PORT")
    argv = printed(job, nodes, RANK="3", HEAD="10.0.0.1", PORT="1234")
    assert argv == [
        *("--nnodes=4", "--node_rank=3", "--master_addr=10.0.0.1", "--master_port=1234"),
        *("--nproc_per_node=2", str(job.script), "--config", str(job.config)),
    ]


def test_number_of_processes_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="nproc_per_node: 'many'"):
        job_script(torchrun(tmp_path, profile={"nproc_per_node": "many"}))


def test_the_script_is_the_same_each_time(tmp_path: Path) -> None:
    job = make_job(tmp_path, "", env=NASTY)
    assert job_script(job) == job_script(replace(job, env=dict(reversed(NASTY.items()))))
