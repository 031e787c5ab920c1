"""Commands of this machine, carried out on a login host behind a real sshd."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.relay.env_file import toml_text
from nemo_runspec.store import Store, open_store
from tests.integration.clusters.ssh_host import SshHost, missing_packages, ssh_host
from tests.nemo_runspec.pipeline.workshop import Workshop, finish

_WHY_NOT = missing_packages()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or "")

PATIENCE_SECONDS = 60
SECRET = "s3cret-value-0123456789"
NASTY = ["with space", "it's", '"q"', "$HOME", "a\nb", "; echo foo", "ü→", "*", "\\n", "--", "-x"]


@dataclass
class Laptop:
    """A repository on this machine, and the login host that its profile `desk` names."""

    shop: Workshop
    host: SshHost

    @property
    def jobs(self) -> Path:
        """The profile's remote_job_dir."""
        return self.host.home / "jobs"

    @property
    def store(self) -> Store:
        return open_store(str(self.jobs / "_workspace" / ".runspec" / "artifacts"))

    def profile(self, **more: Any) -> None:
        """Writes env.toml."""
        profile = self.host.profile(executor="local", **more)
        (self.shop.repository / "env.toml").write_text(toml_text({"desk": profile}))

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return self.shop.command(*arguments, env={**self.host.environment, **(env or {})})

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Exit code, output and errors."""
        return finish(self.start(*arguments, env=env))

    def materialize(self, *options: str) -> tuple[int, str, str]:
        return self.run(*self.shop.write(), "--profile=desk", *options)

    def bundle(self, name: str, script: str, **constants: Any) -> str:
        """The folder of a new recipe's bundle."""
        self.shop.recipe(name, script, **constants)
        config = f"code/src/demo/config/{name}/default.yaml"
        folder = self.shop.bundles / name
        (folder / config).parent.mkdir(parents=True)
        (folder / config).write_text("{}\n")
        return str(folder)

    def left_runs(self) -> list[str]:
        return sorted(path.name for path in (self.jobs / "_relay" / "runs").iterdir())


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    shop = Workshop(tmp_path)
    there = {"RAN": str(shop.ran_file), "RUNSPEC_PYTHON": sys.executable}
    with ssh_host(there) as host:
        laptop = Laptop(shop, host)
        laptop.profile()
        yield laptop


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def files_that_hold(text: str, *folders: Path) -> list[Path]:
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_recipe_with_its_output_arguments_and_exit_code(laptop: Laptop) -> None:
    script = """
        import json, os, sys
        print(json.dumps({"argv": sys.argv[3:], "home": os.environ["HOME"], "pwd": os.getcwd()}))
        sys.stderr.write("to stderr\\n")
        sys.exit(3)
    """
    bundle = laptop.bundle("train", script)
    code, out, err = laptop.run("recipe", bundle, "--run", "desk", "--", *NASTY)
    assert code == 3, err
    told = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert told["argv"] == NASTY
    assert told["home"] == str(laptop.host.home)
    assert told["pwd"].startswith(str(laptop.jobs))
    assert "exit code 3" in err
    assert not (laptop.shop.repository / ".runspec").exists()
    assert laptop.left_runs() == []


def test_pipeline_is_brought_up_to_date_there(laptop: Laptop) -> None:
    laptop.shop.plain("data")
    laptop.shop.plain("model", inputs=["data"])
    code, out, err = laptop.materialize()
    assert code == 0, err
    assert laptop.shop.ran() == ["data", "model"]
    assert [laptop.store.latest(name) for name in ("data", "model")] == [1, 1]

    code, out, err = laptop.materialize()
    assert (code, out) == (0, "nothing to do: all 2 artifacts are fresh\n"), err
    arguments = ("plan", str(laptop.shop.plan_folder), "--format=json", "--profile=desk")
    code, out, err = laptop.run(*arguments)
    assert [node["state"] for node in json.loads(out)["nodes"]] == ["fresh", "fresh"], err
    code, out, err = laptop.run("promote", "model:v1", "prod", "--profile", "desk")
    assert code == 0, err
    code, out, err = laptop.run("store", "ls", "--profile=desk", "--format=json")
    found = {each["name"]: each["aliases"] for each in json.loads(out)}
    assert "prod" in found["model"]
    assert laptop.shop.ran() == []


COUNT = """
    import os, sys, time
    from pathlib import Path
    for number in range(200):
        print("line", number, flush=True)
        print("error", number, file=sys.stderr, flush=True)
        while number == 100 and not Path(GO).exists():
            time.sleep(0.01)
"""


def test_cut_and_back_loses_nothing_and_repeats_nothing(laptop: Laptop, tmp_path: Path) -> None:
    go = tmp_path / "go"
    laptop.shop.plain("data", more=COUNT.replace("GO", repr(str(go))))
    process = laptop.start(
        "recipe", str(laptop.shop.bundles / "data"), "--run=desk", "--config=default"
    )
    wait_for(lambda: any(b"line 100\n" in p.read_bytes() for p in laptop.jobs.rglob("job.log")))
    laptop.host.cut()
    time.sleep(0.3)
    go.touch()
    laptop.host.start()
    code, out, err = finish(process)
    assert code == 0, err
    counted = [line for line in out.splitlines() if line.startswith("line ")]
    assert counted == [f"line {number}" for number in range(200)]
    assert "connection to 127.0.0.1 lost; the job goes on there; trying again\n" in err
    assert "connected to 127.0.0.1 again\n" in err
    assert laptop.shop.ran() == ["data"]
    assert laptop.left_runs() == []


def test_pipeline_goes_on_while_the_tunnel_is_cut(laptop: Laptop, tmp_path: Path) -> None:
    go = tmp_path / "go"
    laptop.shop.plain("data", more=COUNT.replace("GO", repr(str(go))))
    laptop.shop.plain("model", inputs=["data"])
    process = laptop.start(*laptop.shop.write(), "--profile=desk")
    wait_for(lambda: laptop.shop.ran_file.read_text() == "data\n")
    assert process.stderr is not None
    for _ in range(2):
        laptop.host.cut()
        laptop.host.start()
        assert any("connected to 127.0.0.1 again" in line for line in process.stderr)
    laptop.host.cut()
    go.touch()
    wait_for(lambda: laptop.store.latest("model") == 1)
    laptop.host.start()
    code, out, err = finish(process)
    assert code == 0, err
    assert laptop.shop.ran() == ["data", "model"]
    assert [laptop.store.latest(name) for name in ("data", "model")] == [1, 1]
    assert len(set(out.splitlines())) == len(out.splitlines())
    assert err.splitlines() == [
        "connection to 127.0.0.1 lost; the job goes on there; trying again",
        "connected to 127.0.0.1 again",
    ]


def test_given_up_and_picked_up(laptop: Laptop, tmp_path: Path) -> None:
    go = tmp_path / "go"
    bundle = laptop.bundle("train", COUNT, GO=str(go))
    env = {"RUNSPEC_PATIENCE": "0.1"}
    process = laptop.start("recipe", bundle, "--run=desk", env=env)
    wait_for(lambda: any(b"line 100\n" in p.read_bytes() for p in laptop.jobs.rglob("job.log")))
    laptop.host.cut()
    code, out, err = finish(process)
    assert code == 2
    last = err.splitlines()[-1]
    assert "127.0.0.1 could not be reached again within 0.1 s" in last
    *_, command = last.partition("nemo-runspec ")
    go.touch()
    laptop.host.start()
    code, out, err = laptop.run(*command.split())
    assert code == 0, err
    counted = [line for line in out.splitlines() if line.startswith("line ")]
    assert counted == [f"line {number}" for number in range(200)]
    code, out, err = laptop.run(*command.split())
    assert code == 2
    assert "knows no command" in err


def test_interrupt_while_the_host_is_away_leaves_the_job(laptop: Laptop, tmp_path: Path) -> None:
    go = tmp_path / "go"
    bundle = laptop.bundle("train", COUNT, GO=str(go))
    process = laptop.start("recipe", bundle, "--run=desk")
    wait_for(lambda: any(b"line 100\n" in p.read_bytes() for p in laptop.jobs.rglob("job.log")))
    laptop.host.cut()
    assert process.stderr is not None
    assert any("trying again" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    *_, command = err.strip().partition("see it to its end with: nemo-runspec ")
    go.touch()
    laptop.host.start()
    code, out, err = laptop.run(*command.split())
    assert code == 0, err
    assert "line 199\n" in out


def test_interrupt_ends_the_job_there(laptop: Laptop) -> None:
    script = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)"
    bundle = laptop.bundle("train", script)
    process = laptop.start("recipe", bundle, "--run=desk")
    assert process.stdout is not None
    pid = next(int(line.split()[1]) for line in process.stdout if line.startswith("pid "))
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert "cancelled" in err
    assert not Path(f"/proc/{pid}").exists()


def test_secrets_stay_nowhere(laptop: Laptop) -> None:
    expected = hashlib.sha256(SECRET.encode()).hexdigest()
    script = """
        import hashlib, os
        found = [os.environ[name] for name in ("MY_TOKEN", "HF_TOKEN")]
        print("known", [hashlib.sha256(each.encode()).hexdigest() == EXPECTED for each in found])
        print("relay", [name for name in os.environ if name.startswith("RUNSPEC_RELAY")])
        open(os.environ["RUNSPEC_OUTPUT_DIR"] + "/held", "w").close()
    """
    bundle = laptop.bundle("train", script, EXPECTED=expected)
    laptop.profile(env_vars={"MY_TOKEN": "${oc.env:HERE_TOKEN}"})
    env = {"HERE_TOKEN": SECRET, "HF_TOKEN": SECRET}
    arguments = ("recipe", bundle, "--run=desk", f"+train.api_key={SECRET}")
    process = laptop.start(*arguments, env=env)
    wait_for(lambda: process.poll() is not None or bool(list(laptop.jobs.rglob("held"))))
    code, out, err = finish(process)
    assert code == 0, err
    assert "known [True, True]\n" in out
    assert "relay []\n" in out
    # What the script itself gets is a config for its owner's eyes.
    held = files_that_hold(SECRET, laptop.host.folder, laptop.shop.folder)
    assert [path for path in held if path.name != "train.yaml"] == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in held)


def test_no_secret_in_the_arguments_of_a_process(laptop: Laptop) -> None:
    script = """
        import os
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    text = file.read()
            except OSError:
                continue
            # Whoever types it has it in the arguments of a process here.
            if WANTED in text and HERE not in text:
                print("seen", text)
    """
    here = str(laptop.shop.bundles).encode()
    bundle = laptop.bundle("train", script, WANTED=SECRET.encode(), HERE=here)
    laptop.profile(env_vars={"MY_TOKEN": "${oc.env:HERE_TOKEN}"})
    arguments = ("recipe", bundle, "--run=desk", f"+train.api_key={SECRET}")
    code, out, err = laptop.run(*arguments, env={"HERE_TOKEN": SECRET})
    assert code == 0, err
    assert "seen" not in out


def test_two_at_once_send_the_same(laptop: Laptop) -> None:
    bundle = laptop.bundle("train", "print('done', NAME)")
    large = Path(bundle, "code", "src", "large.bin")
    large.write_bytes(os.urandom(1 << 22))
    processes = [laptop.start("recipe", bundle, "--run=desk") for _ in range(3)]
    for process in processes:
        code, out, err = finish(process)
        assert code == 0, err
        assert "done train\n" in out
    assert len(list((laptop.jobs / "_bundles").iterdir())) == 1
    shared = list((laptop.jobs / "_files").iterdir())
    assert [path.stat().st_size for path in shared] == [1 << 22]
    assert list(laptop.jobs.rglob(".receiving-*")) == []
    code, out, err = laptop.run("recipe", bundle, "--run=desk")
    assert code == 0
    assert "sending" not in err


def test_dry_run_is_shown_here(laptop: Laptop) -> None:
    bundle = laptop.bundle("train", "print('ran')")
    laptop.host.cut()
    code, out, err = laptop.run("recipe", bundle, "--run=desk", "--dry-run")
    assert code == 0, err
    assert "Command (local)" in out
    assert err == "note: it would be carried out on 127.0.0.1, by tunnel\n"
    assert not laptop.jobs.exists()


def test_config_of_this_machine_goes_along(laptop: Laptop) -> None:
    script = "import sys\nprint(open(sys.argv[2]).read())"
    bundle = laptop.bundle("train", script)
    configs = laptop.shop.repository / "my configs"
    (configs / "below").mkdir(parents=True)
    (configs / "base.yaml").write_text("train: {lr: 0.1, steps: 7}\n")
    (configs / "below" / "own.yaml").write_text("defaults: ../base\ntrain: {lr: 0.2}\n")
    argument = "my configs/below/own.yaml"
    code, out, err = laptop.run("recipe", bundle, "--run", "desk", "-c", argument, "train.seed=1")
    assert code == 0, err
    assert "lr: 0.2" in out
    assert "steps: 7" in out
    assert "seed: 1" in out


def test_detached_recipe_goes_on(laptop: Laptop, tmp_path: Path) -> None:
    go = tmp_path / "go"
    bundle = laptop.bundle("train", COUNT, GO=str(go))
    code, out, err = laptop.run("recipe", bundle, "--batch=desk")
    assert code == 0, err
    assert laptop.left_runs() == []
    follow = out.rpartition("nemo-runspec ")[2].split()
    assert follow[-2:] == ["--profile", "desk"]
    process = laptop.start(*follow)
    go.touch()
    code, out, err = finish(process)
    assert code == 0, err
    counted = [line for line in out.splitlines() if line.startswith("line ")]
    assert counted == [f"line {number}" for number in range(200)]


def test_inputs_of_a_recipe_by_hand_are_brought_up_to_date(laptop: Laptop) -> None:
    laptop.shop.plain("data")
    plan = laptop.shop.write()[1]
    bundle = laptop.bundle("reader", "import sys\nprint(open(sys.argv[2]).read())")
    config = Path(bundle, "code/src/demo/config/reader/default.yaml")
    config.write_text("run: {data: data:latest}\nwhere: ${art:data,path}\n")
    env = {"RUNSPEC_INPUTS_PLAN": plan, "RUNSPEC_INPUTS_BUNDLES": str(laptop.shop.bundles)}
    code, out, err = laptop.run("recipe", bundle, "--run=desk", env=env)
    assert code == 0, err
    assert laptop.shop.ran() == ["data"]
    where = next(line for line in out.splitlines() if line.startswith("where: "))
    assert where.removeprefix("where: ").startswith(str(laptop.jobs))


def test_commit_of_this_repository_is_recorded(laptop: Laptop) -> None:
    repository = laptop.shop.repository
    laptop.shop.plain("data")
    (repository / ".git").rmdir()
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    code, _, err = laptop.materialize()
    assert code == 0, err
    run = laptop.store.manifest("data", 1).run
    assert (run["commit"], run["dirty"], run["profile"]) == (commit, True, "desk")


def test_host_that_is_down_is_said_at_once(laptop: Laptop) -> None:
    laptop.host.cut()
    code, out, err = laptop.run("store", "ls", "--profile=desk")
    assert (code, out) == (2, "")
    assert err.startswith("error: 127.0.0.1 cannot be reached: ssh: connect to host 127.0.0.1")
    assert err.count("\n") == 1


def test_folder_that_cannot_be_made_is_said(laptop: Laptop) -> None:
    laptop.profile(remote_job_dir="/proc/jobs")
    code, out, err = laptop.run("store", "ls", "--profile=desk")
    assert (code, out) == (2, "")
    assert err == (
        "error: 127.0.0.1: remote_job_dir /proc/jobs cannot be used: No such file or directory\n"
    )


def test_reader_that_goes_away_ends_the_job(laptop: Laptop) -> None:
    script = """
        import time
        for number in range(600):
            print("begun", number, flush=True)
            time.sleep(0.1)
    """
    bundle = laptop.bundle("train", script)
    process = laptop.start("recipe", bundle, "--run=desk")
    assert process.stdout is not None
    assert any("begun" in line for line in process.stdout)
    process.stdout.close()
    assert process.wait(PATIENCE_SECONDS) == 141
    assert laptop.left_runs() == []
