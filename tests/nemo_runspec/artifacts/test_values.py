from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nemo_runspec.artifacts import (
    ValueArtifact,
    load_value,
    register_serializer,
    save_value,
    setup_artifact_tracking,
)
from nemo_runspec.artifacts import values as values_module
from nemo_runspec.artifacts.values import SerializerError
from nemo_runspec.store import open_store
from nemo_runspec.store.errors import StoreNameError


@pytest.mark.parametrize(
    "value", [None, True, 3, 2.5, "text", [1, [2]], {"a": {"b": [None]}}, float("inf")]
)
def test_what_json_has(value: object) -> None:
    artifact = save_value("value", value)
    assert artifact.serializer == "json"
    assert load_value("value:latest") == value


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: 2}, {"a": (1,)}, {1, 2}, object(), b"x", np.array([object()])],
    ids=lambda value: type(value).__name__,
)
def test_nothing_comes_back_changed(value: object) -> None:
    with pytest.raises(SerializerError) as caught:
        save_value("value", value)
    assert "pickle" in str(caught.value)
    assert not Path(".runspec/values").exists()


def test_numpy() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_value("array", array)
    loaded = load_value("array")
    assert loaded.dtype == array.dtype
    assert np.array_equal(loaded, array)
    save_value("arrays", {"a": array, "b": np.zeros(0)})
    assert list(load_value("arrays")) == ["a", "b"]
    save_value("scalar", np.float64(2.5))
    assert load_value("scalar") == 2.5
    assert isinstance(load_value("scalar"), np.float64)


def test_pandas() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[5, 7])
    assert save_value("frame", frame).serializer == "pandas"
    pd.testing.assert_frame_equal(load_value("frame"), frame)
    series = pd.Series([1.5, 2.5], name="loss", index=["u", "v"])
    save_value("series", series)
    pd.testing.assert_series_equal(load_value("series"), series)
    with pytest.raises(SerializerError, match="cannot be written by pandas"):
        save_value("mixed", pd.DataFrame({"a": [1, "x", object()]}))


class Unsafe:
    loaded = False

    def __reduce__(self) -> Any:
        return (_note, ())


def _note() -> str:
    Unsafe.loaded = True
    return "ran"


def test_pickle_is_asked_for_twice(caplog: pytest.LogCaptureFixture) -> None:
    artifact = save_value("unsafe", Unsafe(), serializer="pickle")
    assert artifact.serializer == "pickle"
    with pytest.raises(SerializerError, match="is a pickle: loading it runs the code in it"):
        load_value("unsafe")
    assert not Unsafe.loaded
    with caplog.at_level(logging.WARNING):
        assert load_value("unsafe", serializer="pickle") == "ran"
    assert "unsafe:v1 is a pickle: loading it runs the code in it" in caplog.text
    with pytest.raises(SerializerError, match="no serializer 'jsn'; did you mean 'json'"):
        save_value("x", 1, serializer="jsn")
    save_value("x", 1)
    with pytest.raises(SerializerError, match="written by json, not pickle"):
        load_value("x", serializer="pickle")


class Dates:
    name = "date"
    suffix = ".txt"

    def handles(self, value: Any) -> bool:
        return isinstance(value, datetime.date)

    def write(self, value: Any, path: Path) -> None:
        path.write_text(value.isoformat(), "utf-8")

    def read(self, path: Path) -> Any:
        return datetime.date.fromisoformat(path.read_text("utf-8"))


def test_third_parties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values_module, "_serializers", [*values_module._serializers])
    register_serializer(Dates())
    day = datetime.date(2026, 11, 21)
    save_value("day", day)
    assert load_value("day") == day
    with pytest.raises(SerializerError, match="there is a serializer 'date' already"):
        register_serializer(Dates())


def test_each_value_has_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNSPEC_OUTPUT_DIR", str(tmp_path / "out"))
    tracking = setup_artifact_tracking({})
    first = save_value("a/b", [1], tracking=tracking, metadata={"note": "x"})
    second = save_value("a/b", [2], tracking=tracking)
    assert first.path == tmp_path / "out/values/a/b/1"
    assert second.path == tmp_path / "out/values/a/b/2"
    assert load_value("art://a/b:v1") == [1]
    assert load_value("a/b") == [2]
    assert ValueArtifact.from_uri("art://a/b:v1").note == "x"
    elsewhere = save_value("c", 1, folder=tmp_path / "mine")
    assert elsewhere.path == tmp_path / "mine/c/1"
    remote = save_value("d", {"x": 1}, folder="memory://values-test")
    assert str(remote.path).startswith("memory://values-test/d/")
    assert load_value("d") == {"x": 1}
    manifest = open_store(".runspec/artifacts").manifest("a/b", 2)
    assert manifest.type == "ValueArtifact"
    with pytest.raises(StoreNameError):
        save_value("../x", 1)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SerializerError, match="cannot be written"):
        save_value("a", 1, folder=tmp_path / "file")
    assert open_store(".runspec/artifacts").names() == []
