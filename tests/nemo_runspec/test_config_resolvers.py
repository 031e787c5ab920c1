from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec.config import (
    clear_artifact_cache,
    clear_git_mounts,
    get_git_mounts,
    register_auto_mount_resolver,
    register_manifest_resolver,
    register_resolvers,
    register_resolvers_from_config,
)
from nemo_runspec.config.resolvers import (
    ArtifactReference,
    find_artifact_references,
    is_artifact_reference,
    parse_artifact_reference,
)
from nemo_runspec.exceptions import ConfigError
from nemo_runspec.store import VersionDraft, open_store
from nemo_runspec.utils import describe_omegaconf_error

METADATA = {
    "path": "/from/metadata",
    "pack_size": 4096,
    "ratio": 0.5,
    "metadata": {"pack_size": "inner", "total_tokens": 15_000_000, "version": "inner"},
}


@pytest.fixture(autouse=True)
def fresh_registries() -> Iterator[None]:
    clear_artifact_cache()
    clear_git_mounts()
    yield
    clear_artifact_cache()
    clear_git_mounts()


def resolve_error(config: dict[str, Any]) -> str:
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    return describe_omegaconf_error(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "nano3-pretrain-data:latest",
        "super3/rl/data:latest",
        "my-data:v1",
        "data:latest",
        "PretrainBlendsArtifact-default",
        "PretrainBlendsArtifact-tiny:v2",
        "qwen2.5-data:v3",
    ],
)
def test_references(value: str) -> None:
    assert is_artifact_reference(value)


@pytest.mark.parametrize(
    "value",
    [
        "redis:7",
        "04:00:00",
        "localhost:8080",
        "nvcr.io/nvidia/nemo:v25",
        "nvcr.io/nvidia/nemo:latest",
        "https://host/x:latest",
        "docker://redis:latest",
        "/abs/path:latest",
        "../../x:latest",
        "a b:latest",
        "data:v1.2",
        "words",
        "redis:alpine",
        "",
        None,
        7,
        {"a": 1},
    ],
)
def test_no_references(value: object) -> None:
    assert not is_artifact_reference(value)


def test_what_art_names_is_a_reference_however_it_looks() -> None:
    config = {
        "run": {
            "data": "nano3-data:7",
            "model": "pretrain",
            "other": "${oc.env:OTHER}",
            "best": "sft-model:prod",
            "cache": "redis:7",
            "late": "sft:latest",
            "profile": "dev:latest",
            "env": {"image": "x:latest"},
        },
        "a": ["${art:data}", {"b": "x/${art: model,path}/${art:other,version}"}, "${art:best}"],
    }
    assert find_artifact_references(config) == {
        "data": "nano3-data:7",
        "model": "pretrain",
        "other": "${oc.env:OTHER}",
        "best": "sft-model:prod",
        "late": "sft:latest",
    }
    assert find_artifact_references({"in": {"puts": {"d": "x:v1"}}}, "in.puts") == {"d": "x:v1"}
    assert find_artifact_references({"run": None}) == {}


def test_versions() -> None:
    assert parse_artifact_reference("a/b") == ArtifactReference("a/b", "latest")
    assert parse_artifact_reference("a:7") == parse_artifact_reference("a:v7")
    assert str(parse_artifact_reference("a:7")) == "a:v7"
    with pytest.raises(ConfigError, match="'../x:1' is no artifact reference"):
        parse_artifact_reference("../x:1")


def test_fields_keep_their_types(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for path in ("/data/1", "/data/2", "/data/a b"):
        draft = VersionDraft(path=path, type="SFTDataArtifact", document=METADATA)
        store.add_version("nano3-data", draft)
    config = OmegaConf.create(
        {
            "artifacts": {"manifest": {"root": store.root}},
            "run": {"data": "nano3-data:latest"},
            "path": "${art:data}",
            "file": "${art:data,path}/blend.json",
            "version": "${art:data,version}",
            "type": "${art:data,type}",
            "size": "${art:data,pack_size}",
            "ratio": "${art:data,ratio}",
            "tokens": "${art:data,total_tokens}",
            "metadata_path": "${art:data,metadata.path}",
            "metadata_tokens": "${art:data,metadata.total_tokens}",
        }
    )
    assert register_resolvers_from_config(config, artifacts_key="run", mode="pre_init") == []
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    del resolved["run"], resolved["artifacts"]
    assert resolved == {
        "path": "/data/a b",
        "file": "/data/a b/blend.json",
        "version": "v3",
        "type": "SFTDataArtifact",
        "size": 4096,
        "ratio": 0.5,
        "tokens": 15_000_000,
        "metadata_path": "/from/metadata",
        "metadata_tokens": 15_000_000,
    }
    # A version that is added while the job runs is not the one that it began with.
    store.add_version("nano3-data", VersionDraft(path="/data/later"))
    assert OmegaConf.create({"x": "${art:data}"}).x == "/data/a b"

    missing = resolve_error({"x": "${art:data,pack_sise}"})
    assert "artifact 'nano3-data:v3' has no field 'pack_sise'; did you mean 'pack_size'?" in missing
    assert "iteration" not in missing


def test_an_error_is_one_line_and_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pants.toml").touch()
    register_resolvers({"data": "nano3-data:v2", "other": "nano3-dta"})
    root = f"{tmp_path}/.runspec/artifacts"
    missing = resolve_error({"x": "${art:data}"})
    assert missing == f"artifact 'nano3-data' not found in the store {root}; there are none"
    assert not Path(root).exists()
    open_store(root).add_version("nano3-data", VersionDraft(path="/data"))
    clear_artifact_cache()
    register_resolvers({"data": "nano3-data:v2", "other": "nano3-dta"})
    missing = resolve_error({"x": "${art:data}"})
    assert "'v2'" in missing
    assert "v1" in missing
    assert root in missing
    assert "did you mean 'nano3-data'?" in resolve_error({"x": "${art:other}"})
    open_store(root).add_version("nano3-data", VersionDraft(path="/data"))
    open_store(root).revoke("nano3-data", 2, by="alice", reason="a leak")
    revoked = resolve_error({"x": "${art:data}"})
    assert "nano3-data:v2 was revoked by alice" in revoked
    assert revoked.endswith("a leak; use another version")
    assert "names no artifact 'dta'; did you mean 'data'?" in resolve_error({"x": "${art:dta}"})


def test_registering_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    root = str(tmp_path / "store")
    open_store(root).add_version("a", VersionDraft(path="/data"))
    path.write_text(
        f"artifacts: {{manifest: {{root: '{root}'}}}}\nrun: {{data: 'a:v1'}}\nx: ${{art:data}}\n",
        encoding="utf-8",
    )
    register_resolvers_from_config(path)
    assert OmegaConf.create({"x": "${art:data}"}).x == "/data"
    with pytest.raises(ConfigError, match="unknown resolver mode 'loca'; did you mean 'local'?"):
        register_resolvers_from_config(path, mode="loca")  # type: ignore[arg-type]


def test_auto_mount() -> None:
    register_auto_mount_resolver()
    register_auto_mount_resolver()
    config = OmegaConf.create(
        {
            "mounts": [
                "${auto_mount:git+https://github.com/NVIDIA-NeMo/Megatron-Bridge.git@me/branch,/opt/B}",
                "${auto_mount:git+ssh://git@host.example/org/repo@v1.0}",
            ]
        }
    )
    assert get_git_mounts() == {}
    assert list(config.mounts) == ["__auto_mount__:Megatron-Bridge", "__auto_mount__:repo"]
    assert get_git_mounts() == {
        "Megatron-Bridge": {
            "url": "https://github.com/NVIDIA-NeMo/Megatron-Bridge.git",
            "ref": "me/branch",
            "target": "/opt/B",
        },
        "repo": {"url": "ssh://git@host.example/org/repo", "ref": "v1.0", "target": ""},
    }
    clear_git_mounts()
    assert get_git_mounts() == {}


@pytest.mark.parametrize("spec", ["https://h/r@main", "git+https://h/r", "git+@main", "git+x@"])
def test_auto_mount_refuses(spec: str) -> None:
    register_auto_mount_resolver()
    assert "is not of the form git+URL@REF" in resolve_error({"m": f"${{auto_mount:{spec}}}"})


def test_two_mounts_of_one_name() -> None:
    register_auto_mount_resolver()
    message = resolve_error(
        {"m": ["${auto_mount:git+https://h/a/r@x}", "${auto_mount:git+https://h/b/r@x}"]}
    )
    assert "two different mounts of a repository named 'r'" in message


def test_manifest(tmp_path: Path) -> None:
    register_manifest_resolver()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"blend": "/b.json", "n": 3}), "utf-8")
    config = {"b": f"${{manifest:{folder},blend}}", "n": f"${{manifest:{folder},n}}"}
    assert OmegaConf.to_container(OmegaConf.create(config), resolve=True) == {
        "b": "/b.json",
        "n": 3,
    }
    error = resolve_error({"b": f"${{manifest:{folder},blnd}}"})
    assert "has no key 'blnd'; did you mean 'blend'?" in error
    assert "there is no" in resolve_error({"b": f"${{manifest:{tmp_path}/no,blend}}"})
    (folder / "manifest.json").write_text("{", "utf-8")
    assert "is no JSON" in resolve_error({"b": f"${{manifest:{folder},blend}}"})
