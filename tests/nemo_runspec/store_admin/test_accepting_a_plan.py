"""`accept --plan` and `accept --prove`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.bundles import keep_bundle, read_bundle
from nemo_runspec.jobs import jobs_root
from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.example_bundle import make_bundle
from tests.nemo_runspec.pipeline.example_plan import Example
from tests.nemo_runspec.store_admin.commands import Shell

OLD = """
    import os
    total = 0
    for number in range(10):
        total = total + number
    with open(os.environ["RUNSPEC_OUTPUT_DIR"] + "/total", "w") as file:
        file.write(str(total))
"""
NEW = """
    import os, pathlib
    folder = pathlib.Path(os.environ["RUNSPEC_OUTPUT_DIR"])
    (folder / "total").write_text(str(sum(range({number}))))
"""


@pytest.fixture
def example(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Example:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shell.folder / "cache"))
    folder = shell.folder / "pipeline"
    folder.mkdir()
    found = Example(folder, settings=ArtifactsSettings(root=shell.store.root))
    found.add("data", config="rows: 3")
    found.add("model", config="lr: 0.1", inputs=["data"])
    return found


def test_todays_key_of_a_plan(shell: Shell, example: Example) -> None:
    assert example.build() == ["data", "model"]
    assert example.states() == {"data": "fresh", "model": "fresh"}
    example.sources["src/pipe/data.py"] = "print(1 + 0)"
    example.sources["src/pipe/model.py"] = "print(2 - 1)"
    assert example.states()["data"] == "stale"
    example.write()
    line = "accept --plan pipeline/plan --reason refactored"
    assert "not known yet" in shell.refused(f"{line} model:v1")
    assert "data:v1 stands for key" in shell.ok(f"{line} data:v1")
    assert "model:v1 stands for key" in shell.ok(f"{line} model:v1")
    assert example.states() == {"data": "fresh", "model": "fresh"}
    assert "already: ada@" in shell.ok(f"{line} model:v1")
    shell.store.add_version("mode", VersionDraft(path="/x"))
    assert "did you mean 'model'?" in shell.refused(f"{line} mode:v1")
    assert "nowhere" in shell.refused("accept --plan nowhere --reason x data:v1")


def test_prove(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSPEC_PYTHON", sys.executable)
    old = make_bundle(shell.folder / "old", script=OLD)
    make_bundle(shell.folder / "same", script=NEW.format(number=10), digest="e" * 64)
    make_bundle(shell.folder / "other", script=NEW.format(number=11), digest="f" * 64)
    make_bundle(shell.folder / "broken", script="1 / 0\n", digest="0" * 64)
    for run in ({"bundle": "d" * 64}, {"bundle": "1" * 64, "commit": "abc"}, {}):
        shell.store.add_version("model", VersionDraft(path="/x", run=run))
    keep_bundle(read_bundle(old), jobs_root())

    key = "c" * 64
    line = f"accept --key {key} --reason rewritten --prove tiny"
    assert "--prove needs --bundle" in shell.refused(f"{line} model:v1")
    for bundle, why in (("other", "differ in its output"), ("broken", "failed with exit code 1")):
        code, out, err = shell.run(f"{line} model:v1 --bundle {bundle}")
        assert code == 2 and why in err and err.count("\n") == 1, err
        assert "running the bundle that made it; log: " in out
    assert "at commit abc" in shell.refused(f"{line} model:v2 --bundle same")
    assert "does not say which bundle" in shell.refused(f"{line} model:v3 --bundle same")
    assert "no job bundle" in shell.refused(f"{line} model:v1 --bundle .")
    assert shell.store.keys("model") == {}

    out = shell.ok(f"{line} model:v1 --bundle same")
    assert "proved with config tiny: its output: the same content" in out
    record = shell.store.find_key("model", key)
    assert record is not None and record.accepted is not None
    assert record.accepted["proved"] == "tiny"
    assert shell.store.names() == ["model"]
    assert Path(jobs_root()).is_dir()


LOGS = """
    import os, pathlib, sys
    sys.path[:0] = {path!r}
    from omegaconf import OmegaConf
    from nemo_runspec.artifacts import Artifact, log_artifact, setup_artifact_tracking

    tracking = setup_artifact_tracking(OmegaConf.create({{}}))
    folder = pathlib.Path(os.environ["RUNSPEC_OUTPUT_DIR"]) / "model"
    folder.mkdir()
    (folder / "weights").write_text("{weights}")
    log_artifact(Artifact(path=folder, metadata={{"where": str(folder)}}), tracking, name="model")
"""


def test_what_a_trial_logs_is_recorded_nowhere(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNSPEC_PYTHON", sys.executable)
    for name, weights, letter in (("old", "1", "d"), ("same", "1", "e"), ("other", "2", "f")):
        script = LOGS.format(path=sys.path, weights=weights)
        make_bundle(shell.folder / name, script=script, digest=letter * 64)
    keep_bundle(read_bundle(shell.folder / "old"), jobs_root())
    draft = VersionDraft(path=str(shell.folder), run={"bundle": "d" * 64})
    shell.store.add_version("model", draft)
    line = f"accept model:v1 --key {'c' * 64} --reason rewritten --prove tiny --bundle"
    code, _, err = shell.run(f"{line} other")
    assert code == 2 and "differ in model" in err, err
    assert "proved with config tiny: model: the same content" in shell.ok(f"{line} same")
    assert shell.store.versions("model") == [1]
