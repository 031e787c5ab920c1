"""Metrics: logged by a job, attached to its versions."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from omegaconf import OmegaConf

from nemo_runspec.artifacts import (
    Artifact,
    log_artifact,
    log_metric,
    notes,
    setup_artifact_tracking,
)
from nemo_runspec.artifacts.job_context import JobContext
from nemo_runspec.artifacts.metrics import MetricError, Series, last_values, read_metrics
from nemo_runspec.manifest_tracker import ManifestTracker
from nemo_runspec.store import Store, VersionDraft, open_store
from tests.nemo_runspec.artifacts.processes import output, start
from tests.nemo_runspec.store.s3_server import make_bucket

NASTY = [
    "train/loss",
    "a b",
    "; echo foo",
    "'\"\\",
    "line\nbreak",
    "ünï ☃ \U0001f600",
    '", "value": 7, "x": "',
    "<script>alert(1)</script>",
    "../../x",
    "\ud800",
    "\x00",
]


def logged(store: Store, reference: str = "data:v1") -> dict[str, Series]:
    name, _, version = reference.partition(":v")
    return read_metrics(store.attachment(name, int(version), "metrics.jsonl"))


def values(series: Series) -> list[tuple[int | None, float]]:
    return [(step, value) for step, value, _ in series]


def log_version(tmp_path: Path, name: str = "data") -> Store:
    (tmp_path / name).mkdir(exist_ok=True)
    config = OmegaConf.create({"artifacts": {"manifest": {"root": str(tmp_path / "store")}}})
    log_artifact(Artifact(path=tmp_path / name), setup_artifact_tracking(config), name=name)
    return open_store(str(tmp_path / "store"))


def test_each_version_gets_what_was_logged_so_far(tmp_path: Path) -> None:
    log_metric("loss", 3.5, 0)
    log_metric("loss", 2, step=1)
    store = log_version(tmp_path)
    log_metric("loss", 1.5, 2)
    log_metric("accuracy", 0.25)
    store = log_version(tmp_path)
    log_metric("late", 1)
    first, second = logged(store, "data:v1"), logged(store, "data:v2")
    assert values(first["loss"]) == [(0, 3.5), (1, 2.0)]
    assert set(first) == {"loss"}
    assert values(second["loss"]) == [(0, 3.5), (1, 2.0), (2, 1.5)]
    assert last_values(second) == {"loss": 1.5, "accuracy": 0.25}
    assert all(at.endswith("+00:00") for _, _, at in second["loss"])
    notes.notebook().finish()
    assert set(logged(store, "data:v1")) == {"loss"}
    assert last_values(logged(store, "data:v2")) == {"loss": 1.5, "accuracy": 0.25, "late": 1.0}


def test_a_version_is_the_same_with_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    out = tmp_path / "output"
    out.mkdir()
    (out / "file").write_text("x")
    monkeypatch.setenv("NEMO_RUN_DIR", str(folder))
    monkeypatch.setenv("RUNSPEC_OUTPUT_DIR", str(out))
    store = open_store(str(tmp_path / "store"))
    ManifestTracker(store.root).record_artifact(Artifact(path=out), "data")
    log_metric("loss", 1)
    ManifestTracker(store.root).record_artifact(Artifact(path=out), "data")
    first, second = store.manifest("data", 1), store.manifest("data", 2)
    assert logged(store, "data:v2")
    assert (first.content, first.identity, first.key) == (
        second.content,
        second.identity,
        second.key,
    )
    assert os.listdir(out) == ["file"]
    assert (folder / "metrics.jsonl").exists()


def test_checkpoints_get_them_too(tmp_path: Path) -> None:
    tracker = ManifestTracker(tmp_path / "store")
    for iteration in (1, 2):
        log_metric("loss", 1 / iteration, iteration)
        tracker.log_model_checkpoint("model", tmp_path, iteration)
    store = open_store(str(tmp_path / "store"))
    assert values(logged(store, "model:v1")["loss"]) == [(1, 1.0)]
    assert values(logged(store, "model:v2")["loss"]) == [(1, 1.0), (2, 0.5)]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_names(name: str, tmp_path: Path) -> None:
    log_metric(name, 0.5, 7)
    assert values(logged(log_version(tmp_path))[name]) == [(7, 0.5)]


def test_numbers_that_json_has_not(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        log_metric("x", value)
    store = log_version(tmp_path)
    body = store.attachment("data", 1, "metrics.jsonl")
    assert body is not None

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in body.splitlines():
        json.loads(line, parse_constant=refuse)
    found = [value for _, value, _ in logged(store)["x"]]
    assert math.isnan(found[0])
    assert found[1:] == [float("inf"), float("-inf")]


def test_numbers_of_other_libraries(tmp_path: Path) -> None:
    step: Any = numpy.int64(3)
    log_metric("x", numpy.float32(0.5), step)
    log_metric("x", numpy.array([2.0])[0], True)
    log_metric("x", numpy.array(7))
    assert values(logged(log_version(tmp_path))["x"]) == [(3, 0.5), (1, 2.0), (None, 7.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("loss", "0.5"), "'loss' is '0.5', which is no number"),
        (("loss", None), "'loss' is None, which is no number"),
        (("loss", numpy.array([1.0, 2.0])), "which is no number"),
        (("loss", 10**400), "which is no number"),
        (("loss", 1, 0.5), "the step of the metric 'loss' is 0.5; give a whole number"),
        (("", 1), "'' cannot be the name of a metric"),
        ((7, 1), "7 cannot be the name of a metric"),
        (("x" * 1001, 1), "cannot be the name of a metric"),
    ],
)
def test_what_is_no_metric(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(MetricError, match=message) as caught:
        log_metric(*arguments)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_secrets_in_names_are_masked(tmp_path: Path) -> None:
    log_metric("HF_TOKEN=hf_abcdefghijkl", 1)
    body = log_version(tmp_path).attachment("data", 1, "metrics.jsonl")
    assert body is not None
    assert b"hf_abcdefghijkl" not in body
    assert b"HF_TOKEN=******" in body


def test_many_are_written_in_few_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    append = notes._append

    def counted(path: Path, body: bytes) -> None:
        sizes.append(len(body))
        append(path, body)

    monkeypatch.setattr(notes, "_append", counted)
    monkeypatch.setattr(notes, "_BATCH_SECONDS", math.inf)
    for step in range(100_000):
        log_metric("loss", step / 7, step)
    assert len(logged(log_version(tmp_path))["loss"]) == 100_000
    assert len(sizes) <= 202


def test_too_many_are_thinned_evenly() -> None:
    lines = [
        json.dumps({"name": name, "value": step, "step": step, "at": "x"}) + "\n"
        for step in range(5000)
        for name in ("loss", "speed")
    ]
    body = "".join(lines).encode()
    assert notes._thinned(body, len(body)) == body
    thin = notes._thinned(body, 50_000)
    assert len(thin) <= 50_000
    for series in read_metrics(thin).values():
        steps = [step or 0 for step, _, _ in series]
        assert (steps[0], steps[-1]) == (0, 4999)
        assert len({b - a for a, b in zip(steps[:-2], steps[1:-1], strict=True)}) == 1
    assert len(thin) > 20_000


def test_threads(tmp_path: Path) -> None:
    def log(name: str) -> None:
        for step in range(2000):
            log_metric(name, step, step)

    threads = [threading.Thread(target=log, args=(f"m{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = logged(log_version(tmp_path))
    assert {name: [step for step, _, _ in series] for name, series in found.items()} == {
        f"m{number}": list(range(2000)) for number in range(4)
    }


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, False),
        ({"RANK": "0", "WORLD_SIZE": "8", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, True),
    ],
)
def test_rank_0_alone(
    environment: dict[str, str], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEMO_RUN_DIR", str(tmp_path))
    log_metric("loss", 1)
    notes.notebook().finish()
    assert (tmp_path / "metrics.jsonl").exists() is kept


def test_a_line_cut_short_by_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMO_RUN_DIR", str(tmp_path))
    log_metric("loss", 1)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"name": "lo')
    assert values(logged(log_version(tmp_path))["loss"]) == [(None, 1.0)]
    notes.forget_notes()
    log_metric("loss", 2)
    assert values(logged(log_version(tmp_path), "data:v2")["loss"]) == [(None, 1.0), (None, 2.0)]


def test_files_that_others_wrote() -> None:
    assert read_metrics(None) == {}
    body = (
        b'[]\n7\n{}\n{"name": 1, "value": 1, "at": ""}\nx\n\xff\n{"name": "a", "value": 1, "at": 5}'
    )
    assert read_metrics(body) == {"a": ((None, 1.0, "5"),)}


def test_wandb_gets_them(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[dict[str, float], dict[str, int]]] = []
    run = types.SimpleNamespace(log=lambda values, **more: told.append((values, more)))
    modules: dict[str, Any] = dict(sys.modules)
    monkeypatch.setattr(sys, "modules", modules)
    modules["wandb"] = types.SimpleNamespace(run=run)
    log_metric("loss", 0.5, 3)
    log_metric("loss", 0.25)
    assert told == [({"loss": 0.5}, {"step": 3}), ({"loss": 0.25}, {})]

    def fail(values: dict[str, float]) -> None:
        raise RuntimeError("server is gone")

    run.log = fail
    log_metric("loss", 1)
    log_metric("loss", 1)
    assert caplog.messages == ["W&B did not take a metric (RuntimeError); it is kept all the same"]
    modules["wandb"] = types.SimpleNamespace(run=None)
    log_metric("loss", 1)
    assert len(told) == 2


SCRIPT = """
import sys, json
from pathlib import Path
from nemo_runspec.artifacts import Artifact, card, log_artifact, log_metric, setup_artifact_tracking
root, options = sys.argv[1], json.loads(sys.argv[2])
tracking = setup_artifact_tracking(
    {"artifacts": {"manifest": {"root": root, "storage_options": options}}}
)
Path("out").mkdir(exist_ok=True)
log_metric("before", 1)
log_artifact(Artifact(path=Path("out").absolute()), tracking, name="data")
log_metric("after", 2)
card("# Late")
"""


def test_what_follows_the_last_version_is_attached_at_the_end(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    output(start(SCRIPT, root, "{}"))
    store = open_store(root)
    assert last_values(logged(store)) == {"before": 1.0, "after": 2.0}
    assert store.attachments("data", 1) == ["card-1.md", "metrics.jsonl"]


def test_at_the_end_of_a_process_a_server_is_still_found(
    s3: dict[str, Any], tmp_path: Path
) -> None:
    """By its name, for which the client starts a thread each time."""
    root = f"{make_bucket(s3, f'metrics-{os.getpid()}')}/store"
    connect = {"use_dns_cache": False, "keepalive_timeout": 1e-9}
    anew = {"config_kwargs": {"connector_args": connect}}
    options = {**json.loads(json.dumps(s3).replace("127.0.0.1", "localhost")), **anew}
    output(start(SCRIPT, root, json.dumps(options)))
    found = logged(open_store(root, storage_options=s3))
    assert last_values(found) == {"before": 1.0, "after": 2.0}


def test_an_error_at_the_end_changes_nothing_of_it(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    process = start(SCRIPT + "\nraise SystemExit(7)", root, "{}")
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (7, "")
    assert last_values(logged(open_store(root))) == {"before": 1.0, "after": 2.0}


def test_a_store_that_dies_costs_one_warning(tmp_path: Path) -> None:
    root = tmp_path / "store"
    died = """
import shutil
shutil.move(root, root + "-gone"); Path(root).write_text("no store any more")
log_metric("lost", 3)
"""
    process = start(SCRIPT + died, str(root), "{}")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0
    assert error.count("\n") == 1, error
    assert "what was noted about data:v1 could not be attached" in error


def test_a_place_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    monkeypatch.setenv("NEMO_RUN_DIR", str(tmp_path))
    monkeypatch.setattr(notes, "_BATCH_SECONDS", 0.0)
    for _ in range(3):
        log_metric("loss", 1)
    log_version(tmp_path)
    assert [m for m in caplog.messages if m.startswith("metrics cannot be kept")] == caplog.messages
    assert len(caplog.messages) == 1


def test_a_kill_loses_only_what_was_not_written_yet(tmp_path: Path) -> None:
    code = """
import sys, time
from nemo_runspec.artifacts import log_metric
for step in range(1100):
    log_metric("loss", step, step)
print("logged", flush=True)
time.sleep(600)
"""
    process = start(code, env={"NEMO_RUN_DIR": str(tmp_path)})
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    store = open_store(str(tmp_path / "store"))
    store.add_version("data", VersionDraft(path="/x"))
    assert notes.attach_notes(store, "data", 1, tmp_path)
    steps = [step for step, _, _ in logged(store)["loss"]]
    assert steps == list(range(len(steps)))
    assert len(steps) >= 1000


def test_a_process_that_forks_writes_nothing_twice(tmp_path: Path) -> None:
    code = """
import os
from nemo_runspec.artifacts import log_metric, notes
notes._BATCH_SECONDS = float("inf")
log_metric("parent", 1)
log_metric("parent", 2)
pid = os.fork()
if not pid:
    log_metric("child", 3)
    raise SystemExit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    output(start(code, env={"NEMO_RUN_DIR": str(tmp_path)}))
    found = read_metrics((tmp_path / "metrics.jsonl").read_bytes())
    assert values(found["parent"]) == [(None, 1.0), (None, 2.0)]
    assert values(found["child"]) == [(None, 3.0)]


def test_the_folder_of_a_planned_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container NEMO_RUN_DIR may be another folder than the one that the launcher knows."""
    job = tmp_path / "job"
    job.mkdir()
    context = JobContext(records=str(job / "records.jsonl"))
    (job / "context.json").write_text(context.to_json())
    monkeypatch.setenv("RUNSPEC_JOB_CONTEXT", str(job / "context.json"))
    monkeypatch.setenv("NEMO_RUN_DIR", str(tmp_path))
    log_metric("loss", 1)
    assert [path.name for path in tmp_path.rglob("metrics.jsonl")] == ["metrics.jsonl"]
    assert (job / "metrics.jsonl").exists()


def test_a_job_context_that_is_broken_is_not_for_metrics_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNSPEC_JOB_CONTEXT", str(tmp_path / "gone.json"))
    monkeypatch.setenv("NEMO_RUN_DIR", str(tmp_path))
    log_metric("loss", 1)
    notes.notebook().finish()
    assert (tmp_path / "metrics.jsonl").exists()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    output(start(SCRIPT, str(tmp_path / "store"), "{}", env={"TMPDIR": str(tmp_path)}))
    assert sorted(os.listdir(tmp_path)) == ["repository", "store"]


def test_attaching_again_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"name": "a", "value": 1, "at": ""}\n')
    store = open_store(str(tmp_path / "store"))
    store.add_version("data", VersionDraft(path="/x"))
    written: list[str] = []
    attach: Callable[..., None] = store.attach

    def counted(name: str, version: int, label: str, body: bytes) -> None:
        written.append(label)
        attach(name, version, label, body)

    store.attach = counted  # type: ignore[method-assign]
    assert notes.attach_notes(store, "data", 1, tmp_path)
    assert notes.attach_notes(store, "data", 1, tmp_path)
    assert written == ["metrics.jsonl"]


def test_a_version_that_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "metrics.jsonl").write_text('{"name": "a", "value": 1, "at": ""}\n')
    store = open_store(str(tmp_path / "store"))
    assert not notes.attach_notes(store, "data", 1, tmp_path)
    assert "artifact 'data' not found" in caplog.text
