"""Jobs with an image: its own Python and packages count. A folder stands in for the image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.interpreter import find_interpreter
from nemo_runspec.execution.job_python import JobPython, behind_own_packages, open_job_pex
from nemo_runspec.execution.job_script import job_script
from nemo_runspec.execution.local import LocalExecutor
from nemo_runspec.execution.protocol import Job, JobPackage
from nemo_runspec.jobs import JobPaths
from tests.nemo_runspec.example_pex import make_pex
from tests.nemo_runspec.executor_contract import make_job, run_job

# The image's torch is another than the bundle's; its numpy is called otherwise, as wheels may be.
IMAGE = {"torch": "9.9", "Num.Py": "1.26.4", "same": "1.0"}
BUNDLE = {"torch": "2.0", "num_py": "2.1.0", "same": "1.0", "thing": "1.0"}
NOTE = "note: the image's own packages are used: num-py 1.26.4, not 2.1.0; torch 9.9, not 2.0\n"
SCRIPT = """
    import multiprocessing, subprocess, sys
    import num_py, same, thing, torch

    def versions():
        return torch.VERSION, num_py.VERSION, same.VERSION, thing.VERSION

    def worker(queue):
        queue.put(versions())

    if __name__ == "__main__":
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        context.Process(target=worker, args=(queue,)).start()
        child = [sys.executable, "-c", "import torch, thing; print(torch.VERSION, thing.VERSION)"]
        print(versions(), queue.get(), subprocess.check_output(child, text=True).split())
        print(sys.version_info[:2], sys.prefix)
"""


def newer_python() -> Path:
    """An interpreter of a later version than the one that makes the bundle, or this one."""
    try:
        return find_interpreter(["CPython==3.12.*"], dict(os.environ))
    except ExecutionError:
        return Path(sys.executable)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with packages of its own."""
    folder = tmp_path_factory.mktemp("image") / "opt"
    subprocess.run([newer_python(), "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name, version in IMAGE.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        module = site / name.lower().replace(".", "_")
        module.mkdir()
        (module / "__init__.py").write_text(f"VERSION = {version!r}\n")
    return folder


def with_image(job: Job, pex: Path | None, *constraints: str) -> Job:
    package = JobPackage(pex=pex, inherit_path=True, interpreter_constraints=constraints)
    return replace(job, python=JobPython(), package=package, image="there")


def run(job: Job, image: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the job's script as in the image."""
    job_script(job).stage(JobPaths(job.folder))
    inside = {
        "PATH": f"{image / 'bin'}:/usr/bin:/bin",
        "RUNSPEC_PEX_ROOT": str(job.folder / "node"),
    }
    return subprocess.run(
        ["bash", str(JobPaths(job.folder).script)],
        env={**inside, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_images_packages_are_never_shadowed(tmp_path: Path, image: Path) -> None:
    pex = make_pex(tmp_path / "job.pex", packages=BUNDLE)
    done = run(with_image(make_job(tmp_path, SCRIPT), pex, "CPython>=3.9"), image)
    assert (done.returncode, done.stderr) == (0, NOTE)
    versions, python = done.stdout.splitlines()
    both = ("9.9", "1.26.4", "1.0", "1.0")
    assert versions == f"{both} {both} ['9.9', '1.0']"
    assert python.endswith(f" {image}")


def test_what_the_image_has_on_its_path(tmp_path: Path, image: Path) -> None:
    # Images of this field have whole source trees there, with no metadata.
    tree = tmp_path / "tree"
    (tree / "thing").mkdir(parents=True)
    (tree / "thing" / "__init__.py").write_text("VERSION = 'of the tree'\n")
    pex = make_pex(tmp_path / "job.pex", packages={"thing": "1.0", "other": "1.0"})
    script = "import other, thing; print(thing.VERSION, other.VERSION)"
    job = with_image(make_job(tmp_path, script), pex)
    assert run(job, image, PYTHONPATH=str(tree)).stdout == "of the tree 1.0\n"


def test_a_bundle_without_packages(tmp_path: Path, image: Path) -> None:
    script = "import torch; print(torch.VERSION)"
    done = run(with_image(make_job(tmp_path, script), None), image)
    assert (done.returncode, done.stdout, done.stderr) == (0, "9.9\n", "")


def test_an_image_of_another_python(tmp_path: Path, image: Path) -> None:
    done = run(with_image(make_job(tmp_path, "print(1)"), None, "CPython==3.29.*"), image)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the image has no Python for CPython==3.29.*: ")
    assert f"{image / 'bin' / 'python'} is Python 3." in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_image_without_python(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "uname"):
        (tools / name).symlink_to(shutil.which(name) or name)
    done = run(with_image(make_job(tmp_path, "print(1)"), None), tmp_path, PATH=str(tools))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(": python is none that runs\n")


def test_the_same_beside_the_launcher(
    tmp_path: Path,
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pex = make_pex(tmp_path / "job.pex", packages=BUNDLE)
    monkeypatch.setenv("PATH", f"{image / 'bin'}:/usr/bin:/bin")
    interpreter = image / "bin" / "python"
    opened = open_job_pex(interpreter, pex, os.environ)
    assert len(opened.packages) == len(BUNDLE)
    python = behind_own_packages(opened, interpreter, os.environ)
    assert [path.name.partition("-")[0] for path in python.packages] == ["thing"]
    assert capsys.readouterr().err == NOTE
    job = make_job(tmp_path, SCRIPT, python=replace(python, interpreter=None))
    _, exit_code, log = run_job(LocalExecutor(), job)
    both = ("9.9", "1.26.4", "1.0", "1.0")
    assert exit_code == 0
    assert log.splitlines()[0] == f"{both} {both} ['9.9', '1.0']"


# What Pex does in venv mode, as far as it matters: it makes an environment and goes on in there.
VENV_PEX = """\
import os, subprocess, sys, venv
root = os.path.join(os.environ["PEX_ROOT"], "venvs", "1")
if not os.path.isdir(root):
    venv.create(root, symlinks=True)
python = os.path.join(root, "bin", "python")
os.execv(python, [python, *sys.argv[1:]])
"""


def test_without_an_image_a_job_is_hermetic(tmp_path: Path, image: Path) -> None:
    user = tmp_path / "home"
    version = "python{}.{}".format(*sys.version_info)
    for site in (user / ".local/lib" / version / "site-packages", tmp_path / "elsewhere"):
        site.mkdir(parents=True)
        (site / "leaked.py").write_text("")
    script = """
        import importlib.util, subprocess, sys
        names = ("torch", "leaked", "thing")
        print([name for name in names if importlib.util.find_spec(name)])
        child = "import importlib.util; print(importlib.util.find_spec('torch'))"
        print(subprocess.check_output([sys.executable, "-c", child], text=True), end="")
    """
    pex = make_pex(tmp_path / "job.pex", VENV_PEX)
    job = make_job(tmp_path, script)
    job = replace(job, python=JobPython(), package=JobPackage(pex=pex))
    done = run(
        job,
        image,
        HOME=str(user),
        PYTHONPATH=str(tmp_path / "elsewhere"),
        RUNSPEC_PYTHON=str(image / "bin" / "python"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\nNone\n", "")
