from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from nemo_runspec.config.resolvers import clear_git_mounts, register_auto_mount_resolver
from nemo_runspec.execution import ExecutionError, clone_git_repos_via_tunnel
from tests.nemo_runspec.cluster_side import Tunnel


@pytest.fixture(autouse=True)
def no_mounts() -> Iterator[None]:
    clear_git_mounts()
    register_auto_mount_resolver()
    yield
    clear_git_mounts()


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(repo: Path, text: str) -> str:
    (repo / "file.txt").write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", text)
    return git(repo, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "ho st" / "Bridge"
    root.mkdir(parents=True)
    git(root, "init", "-q", "-b", "main")
    commit(root, "one")
    return root


def ask(repo: Path, ref: str, target: str = "/opt/Bridge") -> None:
    to = f",{target}" if target else ""
    mount = f"${{auto_mount:git+file://{repo}@{ref}{to}}}".replace(" ", r"\ ")
    list(OmegaConf.create({"mounts": [mount]}).mounts)


def mounted(tmp_path: Path) -> Path:
    (mount,) = clone_git_repos_via_tunnel(Tunnel(), str(tmp_path / "jo'bs"))
    folder, _, target = mount.rpartition(":")
    assert target == "/opt/Bridge"
    return Path(folder)


@pytest.mark.parametrize("ref", ["main", "v1", "feature/x"])
def test_branches_and_tags(repo: Path, tmp_path: Path, ref: str) -> None:
    if ref == "v1":
        git(repo, "tag", "-a", "v1", "-m", "v1")
    elif ref != "main":
        git(repo, "branch", ref)
    ask(repo, ref)
    folder = mounted(tmp_path)
    assert (folder / "file.txt").read_text() == "one"
    assert folder.parent == tmp_path / "jo'bs" / "git-cache"


def test_a_running_job_keeps_its_commit(repo: Path, tmp_path: Path) -> None:
    ask(repo, "main")
    before = mounted(tmp_path)
    commit(repo, "two")
    after = mounted(tmp_path)
    assert before != after
    assert (before / "file.txt").read_text() == "one"
    assert (after / "file.txt").read_text() == "two"


def test_a_commit_that_is_there_asks_nobody(repo: Path, tmp_path: Path) -> None:
    sha = commit(repo, "two")
    commit(repo, "three")
    ask(repo, sha)
    first = mounted(tmp_path)
    assert (first / "file.txt").read_text() == "two"
    repo.rename(repo.with_name("gone"))
    assert mounted(tmp_path) == first


def test_a_branch_that_was_rewritten(repo: Path, tmp_path: Path) -> None:
    ask(repo, "main")
    mounted(tmp_path)
    git(repo, "commit", "-q", "--amend", "-m", "other")
    (repo / "file.txt").write_text("amended")
    git(repo, "commit", "-qa", "--amend", "-m", "other")
    assert (mounted(tmp_path) / "file.txt").read_text() == "amended"


def test_many_at_once(repo: Path, tmp_path: Path) -> None:
    ask(repo, "main")
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(mounted(tmp_path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(found)) == 1
    assert (found[0] / "file.txt").read_text() == "one"


def test_without_a_target_nothing_is_mounted(repo: Path, tmp_path: Path) -> None:
    ask(repo, "main", "")
    assert clone_git_repos_via_tunnel(Tunnel(), str(tmp_path)) == []
    assert list((tmp_path / "git-cache").glob("Bridge-*"))


def test_nothing_asked_for_runs_nothing(tmp_path: Path) -> None:
    tunnel = Tunnel()
    assert clone_git_repos_via_tunnel(tunnel, str(tmp_path)) == []
    assert tunnel.lines == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("git+https://me:hunter2@h.example/o/r.git@main", "holds a password"),
        ("git+https://h.example/o/r.git@--upload-pack=x", "names no repository and ref"),
        ("git+https://h.example/o/..@main", "names no repository and ref"),
    ],
)
def test_refused(spec: str, message: str, tmp_path: Path) -> None:
    list(OmegaConf.create({"mounts": [f"${{auto_mount:'{spec}',/x}}"]}).mounts)
    tunnel = Tunnel()
    with pytest.raises(ExecutionError, match=message) as caught:
        clone_git_repos_via_tunnel(tunnel, str(tmp_path))
    assert tunnel.lines == [] and "hunter2" not in str(caught.value)


def test_no_such_ref(repo: Path, tmp_path: Path) -> None:
    ask(repo, "none")
    with pytest.raises(ExecutionError, match="Bridge at none cannot be had on the cluster: fatal"):
        clone_git_repos_via_tunnel(Tunnel(), str(tmp_path))
