from __future__ import annotations

import ast
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nemo_runspec.packaging import SelfContainedPackager
from nemo_runspec.packaging.errors import PackagingError
from nemo_runspec.packaging.self_contained_packager import inline_imports

SCRIPT = '''\
#!/usr/bin/env python3
# /// script
# dependencies = []
# ///
"""A recipe with "quotes"."""
from __future__ import annotations

import pickle
import sys

import proj.tools.first as first
from proj import late
from proj.tools import second as other
from proj.tools.stars import *


@first.decorate
def main():
    from proj.tools.lazy import answer  # nested

    assert __doc__ == 'A recipe with "quotes".'
    value = pickle.loads(pickle.dumps(first.Thing(7)))
    print(first.NAME, other.NAME, late(), STAR, answer(), value.n, first.here())
    print(main.__annotations__, sys.argv[1:])


if __name__ == "__main__":
    main()
'''


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    package = root / "src" / "proj"
    write(package / "__init__.py", "def late():\n    from . import latest\n    return latest.X\n")
    write(package / "latest.py", "X = 'late'\n")
    write(
        package / "tools" / "first.py",  # a namespace package: no __init__
        "from dataclasses import dataclass\nfrom . import second\nNAME = 'first'\n"
        "def decorate(f): return f\ndef here(): return __file__.rpartition('/src/')[2]\n"
        "@dataclass\nclass Thing:\n    n: int\n"
        "if __name__ == '__main__':\n    raise SystemExit('not to be run')\n",
    )
    write(package / "tools" / "second.py", 'NAME = \'second """ \\\\ grüße\'\n')
    write(package / "tools" / "stars.py", "__all__ = ['STAR']\nSTAR = '*'\nNAME = 'hidden'\n")
    write(package / "tools" / "lazy.py", "def answer():\n    return 42\n")
    write(package / "unused.py", "raise RuntimeError\n")
    write(root / "src" / "proj" / "train.py", SCRIPT)
    return root


def run(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    main = write(folder / "main.py", text)
    return subprocess.run(
        [sys.executable, "-I", str(main), *arguments], capture_output=True, text=True, cwd="/"
    )


def test_one_file_does_what_the_script_does(repo: Path, tmp_path: Path) -> None:
    text = inline_imports(repo / "src/proj/train.py", repo_root=repo, package_prefixes=("proj",))
    done = run(text, tmp_path / "job", "a b")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'first second """ \\ grüße late * 42 7 proj/tools/first.py',
        "{} ['a b']",
    ]
    # It is still the recipe: its head, and all of its own lines.
    assert text.startswith(SCRIPT[: SCRIPT.index("\nimport pickle")])
    assert text.endswith(SCRIPT[SCRIPT.index("\nimport pickle") :])
    assert "unused" not in text


def test_errors_show_the_line(repo: Path, tmp_path: Path) -> None:
    write(repo / "src/proj/tools/lazy.py", "def answer():\n    raise KeyError('oops')  # here\n")
    text = inline_imports(repo / "src/proj/train.py", repo_root=repo, package_prefixes=("proj",))
    done = run(text, tmp_path / "job")
    assert 'src/proj/tools/lazy.py", line 2, in answer' in done.stderr
    assert "raise KeyError('oops')  # here" in done.stderr


def test_older_spelling_and_a_script_that_imports_nothing(repo: Path) -> None:
    script = repo / "src/proj/train.py"
    new = inline_imports(script, repo_root=repo, package_prefixes=("proj",))
    assert inline_imports(script, repo_root=repo, package_prefix="proj") == new
    assert inline_imports(script, repo_root=repo, package_prefix="nemotron") == SCRIPT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import proj.none\n", r"train\.py: imports proj\.none"),
        ("def f(:\n", r"train\.py:1: "),
        ('"""doc"""; import proj\n', r"train\.py:1: put this statement on its own line"),
    ],
)
def test_what_cannot_be_inlined(repo: Path, text: str, message: str) -> None:
    script = write(repo / "src/proj/train.py", text)
    with pytest.raises(PackagingError, match=message):
        inline_imports(script, repo_root=repo, package_prefixes=("proj",))


@pytest.mark.parametrize(
    "head", ["", "# comment\n", "from __future__ import annotations\n", "'''doc'''\n"]
)
def test_heads(repo: Path, tmp_path: Path, head: str) -> None:
    body = "@print\ndef f(): ...\nfrom proj.tools.lazy import answer\nprint(answer(), __doc__)\n"
    script = write(repo / "src/proj/train.py", head + body)
    text = inline_imports(script, repo_root=repo, package_prefixes=("proj",))
    done = run(text, tmp_path / "job")
    assert done.stdout.endswith("42 doc\n" if "doc" in head else "42 None\n"), done.stderr
    ast.parse(text)


def test_the_library_travels_with_the_script(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    script = write(
        root / "train.py",
        "import sys\nfrom nemo_runspec.config.pydantic_loader import parse_config_and_overrides\n"
        "from nemo_runspec.config import load_config\n"
        "from nemo_runspec.artifacts import setup_artifact_tracking\n"
        "config = load_config(sys.argv[1])\n"
        "print(config.lr, setup_artifact_tracking(config).manifest)\n"
        "import nemo_runspec\nprint(nemo_runspec.__file__)\n",
    )
    text = inline_imports(script, repo_root=root)
    root_of_store = f"artifacts: {{manifest: {{root: {tmp_path / 'store'}}}}}\n"
    config = write(tmp_path / "c.yaml", f"lr: 0.5\n{root_of_store}")
    main = write(tmp_path / "job" / "main.py", text)
    # What the script needs from elsewhere, without the library itself.
    import omegaconf

    site = Path(omegaconf.__file__).parents[1]
    here = {Path(path).resolve() for path in sys.path if path}
    others = [str(p) for p in here if p.is_dir() and not (p / "nemo_runspec").exists()]
    done = subprocess.run(
        [sys.executable, "-S", str(main), str(config)],
        env={"PYTHONPATH": os.pathsep.join([*others, str(site)]), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said, file = done.stdout.splitlines()
    assert said == "0.5 True"
    assert file.startswith(str(tmp_path / "job"))


def test_package_holds_script_config_and_what_the_config_names(repo: Path, tmp_path: Path) -> None:
    write(repo / "blends" / "a b.json", "{}")
    config = write(
        tmp_path / "train.yaml",
        "blend: /nemo_run/code/blends/a b.json\n"
        "again: ['${oc.env:NEMO_RUN_DIR}/code/blends/a b.json']\n"
        "none: /nemo_run/code/not/there.json\nart: ${art:data,path}\n",
    )
    packager = SelfContainedPackager(
        script_path="src/proj/train.py", train_path=str(config), inline_packages=("proj",)
    )
    first = Path(packager.package(repo, str(tmp_path / "one"), "job")).read_bytes()
    again = Path(packager.package(repo, str(tmp_path / "two"), "job"))
    assert again.read_bytes() == first
    with tarfile.open(again) as tar:
        assert tar.getnames() == ["blends/a b.json", "config.yaml", "main.py"]
        assert tar.extractfile("config.yaml").read() == config.read_bytes()  # type: ignore[union-attr]


def test_where_the_repository_lies_makes_no_secret_of_it(repo: Path, tmp_path: Path) -> None:
    moved = repo.rename(tmp_path / "gcloud")
    write(moved / "blend.json", "{}")
    config = write(tmp_path / "train.yaml", "blend: /nemo_run/code/blend.json\n")
    packager = SelfContainedPackager(
        script_path="src/proj/train.py", train_path=str(config), inline_packages=("proj",)
    )
    with tarfile.open(packager.package(moved, str(tmp_path / "job"), "job")) as tar:
        assert "blend.json" in tar.getnames()


@pytest.mark.parametrize("name", [".env", "../outside.json", "keys/id_rsa"])
def test_config_cannot_name_what_may_not_be_sent(repo: Path, tmp_path: Path, name: str) -> None:
    write((repo / name).resolve(), "hunter2")
    config = write(tmp_path / "train.yaml", f"file: /nemo_run/code/{name}\n")
    packager = SelfContainedPackager(
        script_path="src/proj/train.py", train_path=str(config), inline_packages=("proj",)
    )
    with pytest.raises(PackagingError, match="may not be packed"):
        packager.package(repo, str(tmp_path / "job"), "job")
