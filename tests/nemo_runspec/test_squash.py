from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from nemo_runspec.execution import ExecutionError
from nemo_runspec.squash import (
    build_salloc_args,
    check_sqsh_exists,
    container_to_sqsh_name,
    ensure_squashed_image,
    get_squash_path,
    normalize_container_source,
    read_digest,
    resolve_build_cache_dir,
    resolve_build_image,
    resolve_build_partition,
    resolve_build_time,
)
from tests.nemo_runspec.cluster_side import Tunnel

IMAGE = "nvcr.io/nvidia/nemo:25.11"
PROFILE = {"account": "acct", "partition": "gpu", "build_partition": "cpu", "gpus_per_node": 8}


@pytest.fixture
def cluster(tmp_path: Path) -> Tunnel:
    """A cluster whose enroot writes a file; `ENROOT_FAILS` and `ENROOT_DIGEST` say how it is."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "salloc": 'echo "$@" >> "$CALLS"; while [ "$1" != srun ]; do shift; done; "$@"',
        "srun": 'shift; exec "$@"',
        "enroot": 'case "$1" in\n'
        'import) [ -z "${ENROOT_FAILS:-}" ] || { echo half > "$3"; echo "no such image" >&2; '
        'exit 9; }\n  [ ! -e "$3" ] || exit 8; printf "image of %s" "$4" > "$3";;\n'
        'digest) [ -n "${ENROOT_DIGEST:-}" ] && echo "$ENROOT_DIGEST";;\nesac',
    }
    for name, text in scripts.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return Tunnel(env={"PATH": path, "CALLS": str(tmp_path / "calls"), "HOME": str(tmp_path)})


@pytest.fixture
def jobs(tmp_path: Path) -> str:
    folder = tmp_path / "jo bs"
    folder.mkdir()
    return str(folder)


def calls(tmp_path: Path) -> list[str]:
    file = tmp_path / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_makes_the_file_once_with_its_digest(cluster: Tunnel, jobs: str, tmp_path: Path) -> None:
    path = ensure_squashed_image(cluster, IMAGE, jobs, PROFILE)
    assert path == get_squash_path(IMAGE, jobs) == f"{jobs}/nvcr_io_nvidia_nemo_25_11.sqsh"
    content = Path(path).read_bytes()
    assert content == f"image of docker://{IMAGE}".encode()
    own = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert read_digest(cluster, path) == (own, f"docker://{IMAGE}")
    assert Path(f"{path}.digest").read_text() == f"{own}  docker://{IMAGE}\n"
    assert {p.name for p in Path(jobs).iterdir()} == {
        ".enroot",
        Path(path).name,
        Path(path).name + ".digest",
    }
    (line,) = [call for call in calls(tmp_path) if call.startswith("--account")]
    assert line.startswith("--account=acct --partition=cpu --nodes=1 --ntasks-per-node=1 --time=")

    assert ensure_squashed_image(cluster, IMAGE, jobs, PROFILE) == path
    assert len([call for call in calls(tmp_path) if call.startswith("--account")]) == 1


def test_force_and_the_registrys_digest(cluster: Tunnel, jobs: str) -> None:
    path = ensure_squashed_image(cluster, IMAGE, jobs, PROFILE)
    Path(path).write_text("old")
    assert cluster.env is not None
    cluster.env["ENROOT_DIGEST"] = digest = "sha256:" + "0123456789abcdef" * 4
    assert ensure_squashed_image(cluster, IMAGE, jobs, PROFILE, force=True) == path
    assert Path(path).read_text().startswith("image of ")
    assert read_digest(cluster, path) == (digest, f"docker://{IMAGE}")


def test_a_failure_leaves_what_was_there(cluster: Tunnel, jobs: str) -> None:
    assert cluster.env is not None
    cluster.env["ENROOT_FAILS"] = "1"
    with pytest.raises(ExecutionError, match=r"could not be made of docker://.*no such image"):
        ensure_squashed_image(cluster, IMAGE, jobs, PROFILE)
    assert [p.name for p in Path(jobs).iterdir()] == [".enroot"]
    del cluster.env["ENROOT_FAILS"]
    path = ensure_squashed_image(cluster, IMAGE, jobs, PROFILE)
    before = Path(path).read_text()
    cluster.env["ENROOT_FAILS"] = "1"
    with pytest.raises(ExecutionError):
        ensure_squashed_image(cluster, IMAGE, jobs, PROFILE, force=True)
    assert Path(path).read_text() == before
    assert read_digest(cluster, path) is not None


def test_names_nothing_can_break(cluster: Tunnel, jobs: str, tmp_path: Path) -> None:
    nasty = f"reg/it's:$(touch {tmp_path}/pwned); echo \"x"
    path = ensure_squashed_image(cluster, nasty, jobs, PROFILE)
    assert Path(path).read_text() == f"image of docker://{nasty}"
    assert not (tmp_path / "pwned").exists()


def test_two_images_of_one_name(cluster: Tunnel, jobs: str) -> None:
    ensure_squashed_image(cluster, "reg/a.b:1", jobs, PROFILE)
    with pytest.raises(ExecutionError, match=r"was made of docker://reg/a\.b:1, not of.*--force"):
        ensure_squashed_image(cluster, "reg/a-b:1", jobs, PROFILE)


def test_a_squash_file_is_taken_as_it_is(cluster: Tunnel, jobs: str, tmp_path: Path) -> None:
    file = tmp_path / "x.sqsh"
    with pytest.raises(ExecutionError, match="no file"):
        ensure_squashed_image(cluster, str(file), jobs, PROFILE)
    file.touch()
    assert check_sqsh_exists(cluster, str(file))
    assert ensure_squashed_image(cluster, str(file), jobs, PROFILE) == str(file)
    assert calls(tmp_path) == []


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nvcr.io/nvidian/nemo:25.11-nano-v3.rc2", "nvcr_io_nvidian_nemo_25_11_nano_v3_rc2.sqsh"),
        ("docker://a/b", "a_b.sqsh"),
        ("docker-archive:///lustre/me/img.tar", "img_tar.sqsh"),
    ],
)
def test_names(image: str, name: str) -> None:
    assert container_to_sqsh_name(image) == name


def test_what_a_build_asks_for() -> None:
    assert normalize_container_source("podman://x") == "podman://x"
    assert resolve_build_partition({"run_partition": "r", "partition": "p"}) == "r"
    assert resolve_build_partition(None) is None
    assert resolve_build_time({"time": "01:00:00", "build_time": "00:30:00"}) == "00:30:00"
    assert resolve_build_time(None, "1") == "1"
    assert resolve_build_image({"build_image": ""}, "d") == "d"
    assert resolve_build_cache_dir({"build_cache_dir": "/c"}, "/d") == Path("/c")
    assert "--gpus-per-node=8" in build_salloc_args(PROFILE)
    assert "--gpus-per-node=8" not in build_salloc_args(PROFILE, include_gpus=False)
    assert build_salloc_args(None) == ["--nodes=1", "--ntasks-per-node=1", "--time=04:00:00"]
