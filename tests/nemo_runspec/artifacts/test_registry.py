from __future__ import annotations

import sys
from pathlib import Path

import fsspec
import pytest

from nemo_runspec.artifact_registry import (
    ArtifactRegistry,
    RegistryError,
    get_artifact_registry,
    get_resolver_mode,
    set_artifact_registry,
)
from nemo_runspec.exceptions import ArtifactNotFoundError, ArtifactVersionNotFoundError
from nemo_runspec.filesystem import ArtifactFileSystem
from nemo_runspec.optional import MissingPackageError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "data.json").write_text('{"key": "value"}', "utf-8")
    (folder / "sub dir/nested.txt").write_text("nested", "utf-8")
    return folder


@pytest.fixture(params=["local", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactRegistry:
    root = str(tmp_path / "s") if request.param == "local" else f"memory://registry{tmp_path}"
    registry = ArtifactRegistry("fsspec", root=root)
    set_artifact_registry(registry)
    return registry


def test_publish_and_find(registry: ArtifactRegistry, source: Path) -> None:
    version = registry.publish("test-artifact", source, metadata={"test": True})
    assert (version.version, version.path) == (1, str(source))
    registry.publish("test-artifact", source / "data.json")
    assert registry.resolve("test-artifact") == source / "data.json"
    for first in (1, "1", "v1"):
        assert registry.resolve("test-artifact", first) == source
    registry.alias("test-artifact", "prod", 1)
    assert registry.resolve("test-artifact", "prod") == source
    entry = registry.get("test-artifact")
    assert entry is not None
    assert entry.aliases == {"latest": 2, "prod": 1}
    assert [item.version for item in entry.versions] == [1, 2]
    assert entry.versions[0].metadata == {"test": True}
    latest = entry.latest_version()
    assert latest is not None
    assert latest.version == 2
    assert entry.get_version(3) is None
    assert registry.list() == ["test-artifact"]
    assert registry.get("other") is None
    assert get_artifact_registry() is registry
    assert get_resolver_mode() == "local"


def test_what_is_not_there(registry: ArtifactRegistry, source: Path) -> None:
    registry.publish("test-artifact", source)
    with pytest.raises(ArtifactNotFoundError, match="'test-artefact'.*did you mean 'test-arti"):
        registry.resolve("test-artefact")
    with pytest.raises(ArtifactVersionNotFoundError, match="v3"):
        registry.resolve("test-artifact", 3)
    with pytest.raises(ArtifactVersionNotFoundError, match="stage"):
        registry.resolve("test-artifact", "stage")
    with pytest.raises(ArtifactVersionNotFoundError):
        registry.alias("test-artifact", "prod", 3)
    with pytest.raises(ArtifactNotFoundError, match="no artifact 'x'"):
        registry.alias("x", "prod", 1)


def test_what_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(MissingPackageError, match="needs wandb"):
        ArtifactRegistry("wandb", wandb_project="p")
    with pytest.raises(RegistryError, match="no backend 'fspec'; did you mean 'fsspec'"):
        ArtifactRegistry("fspec", root="/x")
    with pytest.raises(RegistryError, match="needs a root"):
        ArtifactRegistry("fsspec")
    with pytest.raises(RegistryError, match="no artifact registry is set"):
        get_artifact_registry()


def test_files(registry: ArtifactRegistry, source: Path, tmp_path: Path) -> None:
    registry.publish("team/data", source)
    registry.alias("team/data", "prod", 1)
    art = fsspec.filesystem("art")
    assert isinstance(art, ArtifactFileSystem)
    for name in ("team/data:v1", "team/data:1", "team/data:latest", "team/data:prod", "team/data"):
        with fsspec.open(f"art://{name}/data.json", "rt") as file:
            assert file.read() == '{"key": "value"}'
        assert sorted(art.ls(f"art://{name}", detail=False)) == [
            "team/data:v1/data.json",
            "team/data:v1/sub dir",
        ]
    assert art.ls("art://", detail=False) == ["team/data"]
    info = art.info("art://team/data/data.json")
    assert (info["type"], info["size"]) == ("file", 16)
    assert art.isdir("art://team/data:v1/sub dir")
    assert art.isfile("art://team/data:v1/data.json")
    assert not art.exists("art://team/data:v1/no")
    assert art.cat_file("team/data:v1/sub dir/nested.txt", start=1, end=4) == b"est"
    assert art.find("art://team/data") == [
        "team/data:v1/data.json",
        "team/data:v1/sub dir/nested.txt",
    ]
    assert art.glob("art://team/data:v1/**/*.txt") == ["team/data:v1/sub dir/nested.txt"]
    art.get("art://team/data:v1", str(tmp_path / "copy"), recursive=True)
    assert (tmp_path / "copy/sub dir/nested.txt").read_text("utf-8") == "nested"


def test_a_listing_is_never_old(registry: ArtifactRegistry, source: Path) -> None:
    registry.publish("d", source)
    art = fsspec.filesystem("art")
    art.ls("art://d")
    (source / "late.txt").touch()
    assert "d:v1/late.txt" in art.ls("art://d", detail=False)
    registry.publish("d", source / "sub dir")
    assert art.ls("art://d", detail=False) == ["d:v2/nested.txt"]


def test_a_single_file(registry: ArtifactRegistry, source: Path) -> None:
    registry.publish("f", source / "data.json")
    assert fsspec.filesystem("art").cat("art://f:v1") == b'{"key": "value"}'


def test_reading_only(registry: ArtifactRegistry, source: Path) -> None:
    registry.publish("d", source)
    art = fsspec.filesystem("art")
    for write in (
        lambda: art.open("art://d/new.txt", "w"),
        lambda: art.open("art://d/data.json", "ab"),
        lambda: art.pipe_file("art://d/new.txt", b"x"),
        lambda: art.rm("art://d/data.json"),
        lambda: art.mkdir("art://d/new"),
        lambda: art.put(str(source / "data.json"), "art://d/new.txt"),
        lambda: art.touch("art://d/new.txt"),
        lambda: art.mv("art://d/data.json", "art://d/b"),
    ):
        with pytest.raises(OSError, match="read-only"):
            write()
    assert sorted(path.name for path in source.iterdir()) == ["data.json", "sub dir"]


def test_no_way_out(registry: ArtifactRegistry, source: Path) -> None:
    (source.parent / "secret").touch()
    registry.publish("d", source)
    art = fsspec.filesystem("art")
    for path in ("art://d:v1/../secret", "art://d:v1/sub dir/../../secret"):
        with pytest.raises(FileNotFoundError, match="leads out"):
            art.cat_file(path)


def test_data_that_is_gone(registry: ArtifactRegistry, source: Path) -> None:
    registry.publish("d", source)
    (source / "data.json").unlink()
    with pytest.raises(FileNotFoundError, match="art://d:v1/data.json: there is no /.*/data.json"):
        fsspec.open("art://d/data.json").open()


def test_the_name_that_is_longest(registry: ArtifactRegistry, source: Path) -> None:
    registry.publish("a", source)
    registry.publish("a/data.json", source / "sub dir")
    art = fsspec.filesystem("art")
    assert art.isdir("art://a/data.json")
    assert art.isfile("art://a:v1/data.json")
