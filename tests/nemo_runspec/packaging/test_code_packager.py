from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from nemo_runspec.packaging import CodePackager
from nemo_runspec.packaging.errors import PackagingError

NAMES = ["a b.txt", "it's.txt", "grüße.txt", "new\nline.txt", "-dash", "x" * 150 + "/" + "y" * 120]
SECRETS = [
    ".env",
    ".env.local",
    "key.pem",
    "id_rsa",
    "deploy/id_ed25519",
    ".aws/credentials",
    ".netrc",
    "server.key",
    "conf/secrets.yaml",
    "kubeconfig.prod",
]


def git(repo: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
    subprocess.run(command, cwd=repo, check=True, capture_output=True)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "re po"
    write(
        root / "src" / "proj" / "train.py",
        "import json, os, sys\nfrom proj.lib import VALUE\n"
        "print(json.dumps([VALUE, sys.argv[1:], os.getcwd()]))\nsys.exit(3)\n",
    )
    write(root / "src" / "proj" / "lib.py", "VALUE = 42\n")
    write(root / "tool.sh", "#!/bin/sh\n").chmod(0o755)
    write(root / "use-case-examples" / "big.bin", "x")
    write(root / ".gitignore", "ignored/\n")
    for name in NAMES:
        write(root / name, name)
    os.symlink("tool.sh", root / "link")
    os.symlink("/etc/passwd", root / "outside")
    git(root.parent, "init", "-q", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    for name in SECRETS:
        write(root / name, "hunter2")
    write(root / "ignored" / "run.log", "x")
    write(root / "new_module.py", "x = 1\n")
    return root


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path / "train.yaml", "lr: 0.1\n")


def pack(repo: Path, config: Path, folder: Path, **options: object) -> Path:
    packager = CodePackager(
        script_path="src/proj/train.py",
        train_path=str(config),
        **options,  # type: ignore[arg-type]
    )
    return Path(packager.package(repo, str(folder), "job"))


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return {info.name: info for info in tar.getmembers()}


def test_holds_what_git_tracks(
    repo: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = pack(repo, config, tmp_path / "job")
    assert archive == tmp_path / "job" / "job.tar.gz"
    found = members(archive)
    expected = {
        "main.py",
        "config.yaml",
        "src/proj/train.py",
        "src/proj/lib.py",
        "tool.sh",
        ".gitignore",
        "link",
        "outside",
        *NAMES,
    }
    assert set(found) == expected
    assert found["tool.sh"].mode == 0o755 and found["main.py"].mode == 0o644
    assert found["link"].issym() and found["link"].linkname == "tool.sh"
    assert found["outside"].issym()
    assert {(i.uid, i.gid, i.uname, i.gname, i.mtime) for i in found.values()} == {
        (0, 0, "", "", 0)
    }
    err = capsys.readouterr().err
    assert "1 Python files that git does not track" in err and "new_module.py" in err


def test_no_secret_of_the_checkout_comes_along(repo: Path, config: Path, tmp_path: Path) -> None:
    for options in ({}, {"include_untracked": True}):
        archive = pack(repo, config, tmp_path / "job", **options)
        assert not set(SECRETS) & set(members(archive))
        with tarfile.open(archive) as tar:
            texts = [tar.extractfile(i).read() for i in tar if i.isfile()]  # type: ignore[union-attr]
        assert not any(b"hunter2" in text for text in texts)
    assert "new_module.py" in members(archive)
    assert "ignored/run.log" not in members(archive)


def test_same_bytes_from_the_same_tree(repo: Path, config: Path, tmp_path: Path) -> None:
    first = pack(repo, config, tmp_path / "one").read_bytes()
    clone = tmp_path / "else" / "clone"
    clone.parent.mkdir()
    git(tmp_path, "clone", "-q", str(repo), str(clone))
    for path in clone.rglob("*"):
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts:
            os.utime(path, (1, 1))
            path.chmod(path.stat().st_mode & ~0o077)
    assert pack(clone, config, tmp_path / "two").read_bytes() == first
    write(clone / "src" / "proj" / "lib.py", "VALUE = 43\n")
    assert pack(clone, config, tmp_path / "two").read_bytes() != first


def test_launcher_runs_the_script(repo: Path, config: Path, tmp_path: Path) -> None:
    archive = pack(repo, config, tmp_path / "job")
    code = tmp_path / "co de"
    code.mkdir()
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(code)], check=True)
    done = subprocess.run(
        [sys.executable, str(code / "main.py"), "a b", "--x=1"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    arguments = ["--config", str(code / "config.yaml"), "a b", "--x=1"]
    assert json.loads(done.stdout) == [42, arguments, str(code)]
    assert {path.name for path in code.iterdir()} >= {n for n in NAMES if "/" not in n}


def test_submodules_deleted_files_and_the_job_folder(
    repo: Path, config: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write(other / "inner.py", "x = 1\n")
    git(tmp_path, "init", "-q", str(other))
    git(other, "add", "-A")
    git(other, "commit", "-qm", "one")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    (repo / "tool.sh").unlink()
    write(repo / "jobs" / "old.txt", "x")
    git(repo, "add", "jobs")
    found = members(pack(repo, config, repo / "jobs"))
    assert "sub/inner.py" in found
    assert "tool.sh" not in found and "jobs/old.txt" not in found


def test_a_folder_that_is_no_checkout(tmp_path: Path, config: Path) -> None:
    root = tmp_path / "plain"
    write(root / "src" / "proj" / "train.py", "")
    write(root / ".venv" / "lib.py", "")
    for name in SECRETS:
        write(root / name, "hunter2")
    # Above it there may be one.
    found = members(pack(root, config, tmp_path / "job"))
    assert set(found) == {"main.py", "config.yaml", "src/proj/train.py"}


def test_without_config(repo: Path, tmp_path: Path) -> None:
    packager = CodePackager(script_path=str(repo / "src/proj/train.py"), train_path="")
    with tarfile.open(packager.package(repo, str(tmp_path), "job")) as tar:
        assert "config.yaml" not in tar.getnames()
        assert b"--config" not in tar.extractfile("main.py").read()  # type: ignore[union-attr]


def test_an_untracked_script_comes_along(repo: Path, config: Path, tmp_path: Path) -> None:
    packager = CodePackager(script_path="new_module.py", train_path=str(config))
    assert "new_module.py" in members(Path(packager.package(repo, str(tmp_path), "job")))


@pytest.mark.parametrize(
    ("script", "message"), [("src/none.py", "no script src/none.py"), ("../x.py", "lies outside")]
)
def test_what_cannot_be_packed(
    repo: Path, config: Path, tmp_path: Path, script: str, message: str
) -> None:
    write(repo.parent / "x.py", "")
    packager = CodePackager(script_path=script, train_path=str(config))
    with pytest.raises(PackagingError, match=message):
        packager.package(repo, str(tmp_path / "job"), "job")
    assert not (tmp_path / "job").exists()


def test_missing_config(repo: Path, tmp_path: Path) -> None:
    packager = CodePackager(script_path="src/proj/train.py", train_path="no.yaml")
    with pytest.raises(PackagingError, match="config no.yaml: No such file"):
        packager.package(repo, str(tmp_path), "job")


def test_half_an_archive_is_never_seen(
    repo: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "job"
    whole = pack(repo, config, job).read_bytes()

    def full(self: Path) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "read_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        pack(repo, config, job)
    monkeypatch.undo()
    assert [path.name for path in job.iterdir()] == ["job.tar.gz"]
    assert (job / "job.tar.gz").read_bytes() == whole
    assert not stat.S_IMODE((job / "job.tar.gz").stat().st_mode) & 0o111
