from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.cli import main
from nemo_runspec.execution.local import LocalExecutor
from nemo_runspec.execution.protocol import Handle, Request
from nemo_runspec.execution.supervisor import find_process, is_alive
from nemo_runspec.jobs import JobPaths
from tests.nemo_runspec.example_bundle import make_bundle
from tests.nemo_runspec.executor_contract import NASTY, PATIENCE_SECONDS, wait_for

SLEEPER = """
    import os, subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("running", child.pid)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("saved")
"""

MAIN = "import sys; from nemo_runspec.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work 'here'"
    (work / ".git").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("RUNSPEC_PYTHON", sys.executable)
    monkeypatch.delenv("NEMOTRON_ENV_FILE", raising=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "a bundle; $x")


def start(
    arguments: Sequence[str | Path], env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """The command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Under nohup a hang-up would be ignored, as it should be.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        **options,
    )


def run(
    arguments: Sequence[str | Path], env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    process = start(arguments, env)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out.decode(), err.decode()


def jobs() -> list[JobPaths]:
    return [JobPaths(path) for path in sorted(Path(".runspec/jobs").glob("2*"))]


def test_run(bundle: Path) -> None:
    argv: list[str | Path]
    argv = ["recipe", bundle, "-c", "tiny", "train.lr=0.5", "one", "--", *NASTY.values(), "-d"]
    code, out, err = run(argv)
    assert (code, err) == (0, "")
    seen = json.loads(out.splitlines()[0])
    (job,) = jobs()
    assert seen["argv"][1:] == [
        *("--config", str(job.train_config.absolute()), "one", *NASTY.values(), "-d")
    ]
    assert seen["cwd"] == os.getcwd()
    assert seen["env"]["NEMO_EXPERIMENT_ID"] == job.folder.name
    assert "lr: 0.5" in job.train_config.read_text()
    assert "profile: null" in job.job_config.read_text()
    assert job.log.read_text().splitlines() == out.splitlines()[:1]
    assert "Step Complete (demo/train)" in out
    assert len(out.splitlines()) <= 5


def test_exit_code_and_one_line(bundle: Path) -> None:
    code, _, err = run(["recipe", bundle], {"EXIT": "7"})
    (job,) = jobs()
    assert code == 7
    assert err == f"error: demo/train: exit code 7; log: {job.log.absolute()}\n"


def test_environment(bundle: Path, tmp_path: Path) -> None:
    Path("env.toml").write_text(
        f"[here]\nexecutor = 'local'\n[here.env_vars]\nHF_TOKEN = 'hf_secret'\n"
        "URL = 'https://me:hf_secret@host/'\n"
        f"NASTY = {json.dumps(NASTY['DOLLARS'].replace('${HOME}', ''))}\n"
        "[wandb]\nproject = 'my project'\ntags = ['a', 'b']\n"
    )
    ambient = {"PEX_ROOT": "x", "PYTHONHOME": "", "MINE": NASTY["QUOTES"], "PYTHONPATH": "/else"}
    ambient["PYTHONPATH"] = os.pathsep.join([*sys.path, "/else"])
    code, out, err = run(["recipe", bundle, "--profile", "here"], ambient)
    assert (code, err) == (0, "")
    env = json.loads(out.splitlines()[0])["env"]
    assert env["HF_TOKEN"] == "hf_secret"
    assert env["MINE"] == NASTY["QUOTES"]
    assert env["NASTY"] == NASTY["DOLLARS"].replace("${HOME}", "")
    assert (env["WANDB_PROJECT"], env["WANDB_TAGS"]) == ("my project", "a,b")
    assert env["PYTHONPATH"] == f"{env['RUNSPEC_CODE_DIR']}/src"
    assert not {"PEX_ROOT", "PYTHONHOME", "RUNSPEC_PYTHON"} & set(env)
    (job,) = jobs()
    written = "".join(
        path.read_text() for path in job.folder.rglob("*") if path.is_file() and path != job.log
    )
    assert "hf_secret" not in written


def test_imports_from_source_roots_and_a_file_beside_the_script(tmp_path: Path) -> None:
    script = """
        from pathlib import Path
        import demo.helper
        print(demo.helper.X, (Path(__file__).parent / "config" / "default.yaml").is_file())
    """
    bundle = make_bundle(tmp_path / "b", script=script, files={"helper.py": "X = 42\n"})
    code, out, _ = run(["recipe", bundle])
    assert (code, out.splitlines()[0]) == (0, "42 True")


def test_the_copy_serves_after_the_bundle_is_gone(bundle: Path) -> None:
    assert run(["recipe", bundle])[0] == 0
    (job,) = jobs()
    (bundle / "code/src/demo/train.py").unlink()
    for interpreter in ("sh", "bash"):
        again = subprocess.run([interpreter, job.command], capture_output=True, check=False)
        assert again.stderr == b""
        assert again.returncode == 0
        first = json.loads(job.log.read_text())
        second = json.loads(again.stdout)
        assert second["argv"] == first["argv"]
        keys = ("NEMO_RUN_DIR", "PYTHONPATH", "RUNSPEC_OUTPUT_DIR")
        assert all(second["env"][key] == first["env"][key] for key in keys)


def test_dry_run_shows_and_writes_nothing(tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "b", launch="torchrun", more="workdir = '/no/such/folder'", job_pex="job.pex"
    )
    Path("env.toml").write_text("[here]\nexecutor = 'local'\nnproc_per_node = 4\n")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(["recipe", bundle, "--run", "here", "--dry-run", "train.lr=9"])
    assert (code, err) == (0, "")
    assert "lr: 9" in out
    assert "local" in out
    assert "python -m torch.distributed.run --standalone --nproc_per_node=4 " in out
    assert "cd /no/such/folder" in out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("launch", ["direct", "python", "ray"])
def test_plain_launches(tmp_path: Path, launch: str, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "b", launch=launch)
    assert main(["recipe", str(bundle), "-d"]) == 0
    assert "  python " in capsys.readouterr().out


def test_two_in_one_second_never_share_a_folder(bundle: Path) -> None:
    processes = [start(["recipe", bundle]) for _ in range(4)]
    for process in processes:
        assert process.communicate(timeout=PATIENCE_SECONDS)[1] == b""
        assert process.returncode == 0
    assert len(jobs()) == 4
    assert len({json.loads(job.log.read_text())["env"]["NEMO_RUN_DIR"] for job in jobs()}) == 4
    assert [path.name for path in Path(".runspec/jobs/_bundles").iterdir()] == ["d" * 32]


def wait_until_running(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    (job,) = jobs()
    record = json.loads(job.status.read_text())
    return [record["job"]["pid"], record["supervisor"]["pid"], child]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_everything(tmp_path: Path, signum: signal.Signals) -> None:
    bundle = make_bundle(tmp_path / "b", script=SLEEPER)
    process = start(["recipe", bundle])
    pids = wait_until_running(process)
    process.send_signal(signum)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 128 + signum
    assert b"saved" in out
    (job,) = jobs()
    assert err.decode() == f"error: demo/train: cancelled; log: {job.log.absolute()}\n"
    wait_for(lambda: not any(map(find_process, pids)), "the end of all processes")
    assert json.loads(job.status.read_text())["cancelled"] is True


def test_a_killed_launcher_takes_its_job_along(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", script=SLEEPER)
    process = start(["recipe", bundle])
    pids = wait_until_running(process)
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    wait_for(lambda: not any(map(find_process, pids)), "the end of all processes")
    assert "saved" in jobs()[0].log.read_text()


def test_a_reader_that_leaves_ends_the_job(tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "b", script="import time\nwhile True:\n    print('x')\n    time.sleep(0.01)\n"
    )
    process = start(["recipe", bundle])
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGPIPE
    (job,) = jobs()
    assert not is_alive(json.loads(job.status.read_text())["job"])
    assert process.stderr is not None
    assert process.stderr.read().count(b"\n") == 1
    process.stderr.close()


def test_batch_returns_while_the_job_runs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
    Path("env.toml").write_text("[here]\nexecutor = 'local'\n")
    bundle = make_bundle(tmp_path / "b", script=script + "print('done')\n")
    code, out, err = run(["recipe", bundle, "--batch", "here"])
    assert (code, err) == (0, "")
    (job,) = jobs()
    assert "jobs logs -f" in out and job.folder.name in out
    time.sleep(0.2)
    assert json.loads(job.status.read_text())["state"] == "running"
    gate.touch()
    wait_for(lambda: json.loads(job.status.read_text())["state"] == "ended", "the job's end")
    assert job.log.read_text() == "done\n"


def test_stage_puts_in_place_and_starts_nothing(bundle: Path) -> None:
    Path("env.toml").write_text("[here]\nexecutor = 'local'\n")
    code, out, err = run(["recipe", bundle, "--run", "here", "--stage"])
    assert (code, err) == (0, "")
    (job,) = jobs()
    assert str(job.command) in out
    assert not job.status.exists()
    staged = subprocess.run(["sh", job.command], capture_output=True, check=True)
    assert json.loads(staged.stdout)["argv"][1] == "--config"


BAD = {
    "no command": ([], "usage:"),
    "unknown command": (["recip"], "did you mean 'recipe'"),
    "unknown option": (["--versoin"], "did you mean '--version'"),
    "no bundle": (["recipe"], "needs a job bundle"),
    "an option for a bundle": (["recipe", "--dry-run"], "needs a job bundle"),
    "a missing bundle": (["recipe", "/no/such/bundle"], "/no/such/bundle"),
    "mistyped option": (["recipe", "BUNDLE", "--dryrun"], "--dry-run"),
    "unknown config": (["recipe", "BUNDLE", "-c", "tny"], "'tiny'"),
    "unknown profile": (["recipe", "BUNDLE", "-r", "clustr"], "'cluster'"),
    "unknown override": (["recipe", "BUNDLE", "trian.lr=1"], "'train'"),
    "unknown executor": (["recipe", "BUNDLE", "-r", "odd"], "'local'"),
    "unknown executor, dry": (["recipe", "BUNDLE", "-r", "odd", "-d"], "'local'"),
    "bad startup commands": (
        ["recipe", "BUNDLE", "run.env.startup_commands=x"],
        "startup_commands",
    ),
    "bad process count": (["recipe", "BUNDLE", "-d", "run.env.nproc_per_node=x"], "nproc_per_node"),
    "bad variable": (["recipe", "BUNDLE", "run.env.env_vars.A=[1]"], "env_vars.A"),
    "broken interpolation": (["recipe", "BUNDLE", "run.env.workdir=${nope}"], "run.env.workdir"),
    "missing workdir": (["recipe", "BUNDLE", "run.env.workdir=/no/such/dir"], "/no/such/dir"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, expected = BAD[case]
    bundle = make_bundle(tmp_path / "b", launch="torchrun")
    Path("env.toml").write_text("[cluster]\nexecutor = 'slurm'\n[odd]\nexecutor = 'locl'\n")
    code = main([str(bundle) if argument == "BUNDLE" else argument for argument in arguments])
    out, err = capsys.readouterr()
    assert code == 2
    if not arguments:
        assert expected in out
        return
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err
    assert jobs() == []


def test_broken_bundles(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((bundle / "bundle.json").read_text())
    broken = {
        "schema": {**document, "schema": "2"},
        "job.pex": {**document, "job_pex": "job.pex"},
        "nothing.py": {**document, "script": "code/nothing.py"},
    }
    for expected, changed in broken.items():
        (bundle / "bundle.json").write_text(json.dumps(changed))
        assert main(["recipe", str(bundle)]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ") and err.count("\n") == 1 and expected in err
    (bundle / "bundle.json").write_bytes(b"\xff{")
    assert main(["recipe", str(bundle)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert jobs() == []


def test_no_interpreter(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSPEC_PYTHON", "/no/such/python")
    code, _, err = run(["recipe", bundle])
    assert code == 2
    assert err.count("\n") == 1
    assert "RUNSPEC_PYTHON=/no/such/python" in err
    assert jobs() == []


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", more="cmd = 'no-such-program {script}'")
    code, out, err = run(["recipe", bundle])
    assert code == 127
    assert "no-such-program" in out
    assert err.count("\n") == 1


def test_help_lists_what_there_is(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("env.toml").write_text("[laptop]\n[wandb]\nproject = 'x'\n")
    assert main(["recipe", str(bundle), "--help"]) == 0
    page = capsys.readouterr().out
    for expected in ("default (default)", "tiny", "laptop", "--dry-run", "demo/train", "usage:"):
        assert expected in page
    assert "wandb" not in page
    assert main(["--help"]) == 0
    assert main(["--version"]) == 0


SECRET_PROFILE = """
[here]
executor = "local"
startup_commands = ["export HF_TOKEN=hf_abc"]
run_command = "FOO=1 WANDB_API_KEY=hf_abc python {script} --config {config}"
[here.env_vars]
URL = "https://hf_abc@host/"
"""


def test_secrets_in_commands_are_for_the_owner_alone(bundle: Path) -> None:
    Path("env.toml").write_text(SECRET_PROFILE)
    line: list[str | Path]
    line = ["recipe", bundle, "-r", "here", "run.env.env_vars={PGPASSWORD: hf_abc}", "--"]
    line += ["--token", "hf_abc", "--url=https://hf_abc@host"]
    code, shown, err = run([*line[:4], "-d", *line[4:]])
    assert (code, err) == (0, "")
    assert "hf_abc" not in shown
    assert "export HF_TOKEN=******" in shown
    code, out, err = run(line)
    assert (code, err) == (0, "")
    env = json.loads(out.splitlines()[0])["env"]
    assert env["HF_TOKEN"] == env["WANDB_API_KEY"] == env["PGPASSWORD"] == "hf_abc"
    (job,) = jobs()
    for path in job.folder.rglob("*"):
        if path.is_file() and path != job.log:
            assert "hf_abc" not in path.read_text() or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "hf_abc" not in job.job_config.read_text()
    for private in (job.command, job.train_config):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    again = subprocess.run(["sh", job.command], capture_output=True, check=True)
    assert json.loads(again.stdout)["env"]["HF_TOKEN"] == "hf_abc"
    assert json.loads(again.stdout)["argv"][-1] == "--url=https://hf_abc@host"


def test_an_edited_bundle_is_refused_and_the_pristine_one_runs(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = bundle / "code/src/demo/train.py"
    pristine = script.read_text()
    script.write_text(f"{pristine}\n# edited\n")
    assert main(["recipe", str(bundle)]) == 2
    err = capsys.readouterr().err
    assert "src/demo/train.py was changed" in err and err.count("\n") == 1
    script.write_text(pristine)
    assert run(["recipe", bundle])[0] == 0


BROKEN_CONFIGS = {
    "no such config": ("tiny", "train: {lr: 1}\n", "-c", "tny"),
    "broken YAML": ("default", "a: [\n", "-d"),
    "circle": ("default", "defaults: default\n", "-d"),
    "no mapping": ("default", "5\n", "-d"),
    "missing base": ("default", "defaults: nowhere\n", "-d"),
    "unknown key": ("default", "train: {lr: 1}\n", "trian.lr=5"),
}


@pytest.mark.parametrize("case", BROKEN_CONFIGS)
def test_files_are_called_what_they_are_in_the_repository(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, text, *arguments = BROKEN_CONFIGS[case]
    bundle = make_bundle(tmp_path / "sandbox", configs={name: text})
    link = tmp_path / "link"
    link.symlink_to(bundle)
    for folder in (bundle, link, Path("..") / "sandbox"):
        assert main(["recipe", str(folder), *arguments]) == 2
        err = capsys.readouterr().err
        assert "src/demo/config" in err
        assert "/code/" not in err and str(tmp_path) not in err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_job_is_submitted_ends_it(
    tmp_path: Path,
    signum: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    submit = LocalExecutor.submit

    def interrupted(self: LocalExecutor, request: Request, *, attached: bool) -> Handle:
        handle = submit(self, request, attached=attached)
        os.kill(os.getpid(), signum)
        return handle

    monkeypatch.setattr(LocalExecutor, "submit", interrupted)
    Path("env.toml").write_text("[here]\nexecutor = 'local'\n")
    bundle = make_bundle(tmp_path / "b", script="import time; time.sleep(600)\n")
    before = signal.signal(signum, signal.default_int_handler)
    try:
        assert main(["recipe", str(bundle), "--batch", "here"]) == 128 + signum
    finally:
        signal.signal(signum, before)
    (job,) = jobs()
    record = json.loads(job.status.read_text())
    assert record["cancelled"] is True
    assert find_process(record["job"]["pid"]) is None
    assert capsys.readouterr().err == f"error: demo/train: cancelled; log: {job.log.absolute()}\n"


def test_a_clusters_folder_is_none_of_a_local_job(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HOME", raising=False)
    Path("env.toml").write_text(
        "[cluster]\nexecutor = 'ray'\nremote_job_dir = '/lustre'\nhost = 'http://h:1'\n"
        "[here]\nextends = 'cluster'\nexecutor = 'local'\n"
    )
    code, out, _ = run(["recipe", bundle, "-r", "here"])
    env = json.loads(out.splitlines()[0])["env"]
    (job,) = jobs()
    assert code == 0
    assert env["NEMO_RUN_DIR"] == str(job.folder.absolute())
    assert "HF_HOME" not in env
    shown = run(["recipe", bundle, "-r", "cluster", "-d"])[1]
    assert "HF_HOME=/lustre/hf" in shown
