from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec.artifacts.job_context import (
    JobContext,
    JobContextError,
    JobInput,
    JobRecord,
    MissingInput,
    append_record,
    job_context,
    read_job_context,
    read_records,
)

DATA = JobInput("sft-data", 3, "/data", "SFTDataArtifact", {"pack_size": 1}, "sha256:1")


def test_there_and_back(tmp_path: Path) -> None:
    context = JobContext(
        root="/store",
        shared="group",
        storage_options={"anon": True},
        artifact="sft-model",
        key="k",
        parts={"recipe": "sft"},
        content="stat",
        inputs={"data": DATA},
        input_list=(DATA,),
        missing=(MissingInput("other", "failed"),),
        output_dir="/out",
        run={"user": "a"},
        element={"index": 1, "value": "x"},
        records="/job/records.jsonl",
    )
    path = tmp_path / "context.json"
    path.write_text(context.to_json(), "utf-8")
    assert read_job_context(path) == context
    assert job_context({"RUNSPEC_JOB_CONTEXT": str(path)}) == context
    assert job_context({}) is None
    assert context.pinned("sft-data") == DATA
    assert context.pinned("no") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "2"}, "schema '2' is not '1'"),
        ({"content": "all"}, "content must be hash, stat or none, not 'all'"),
        ({"inputs": 3}, "inputs must be a mapping, not 3"),
        (
            {"inputs": {"d": {"name": "a", "version": "3"}}},
            "inputs.d.version must be a whole number",
        ),
        ({"input_list": [{"name": 1}]}, r"input_list\[0\].name must be a text, not 1"),
        ({"store": {"root": 1}}, "store.root must be a text"),
        ({"store": {"shared": "all"}}, "store.shared must be group"),
        ({"missing": {}}, None),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, change: dict[str, Any], message: str | None
) -> None:
    path = tmp_path / "context.json"
    path.write_text(json.dumps({"schema": "1", "later": True, **change}), "utf-8")
    if message is None:
        assert read_job_context(path) == JobContext()
        return
    with pytest.raises(JobContextError, match=message) as caught:
        read_job_context(path)
    assert str(path) in str(caught.value)


def test_no_document(tmp_path: Path) -> None:
    with pytest.raises(JobContextError, match="cannot be read: No such file"):
        job_context({"RUNSPEC_JOB_CONTEXT": str(tmp_path / "no")})
    (tmp_path / "broken").write_text("{", "utf-8")
    with pytest.raises(JobContextError, match="is no JSON"):
        read_job_context(tmp_path / "broken")


def test_records_of_many_writers(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert read_records(path) == []
    made = [JobRecord(f"n{i}", i, "/p" * 500, None, False, "key:k") for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda record: append_record(path, record), made))
    assert sorted(read_records(path), key=lambda record: record.version) == made
    with path.open("a", encoding="utf-8") as file:
        file.write('{"name": "cut o')
    assert len(read_records(path)) == 200
    with pytest.raises(JobContextError, match="cannot be written: No such file"):
        append_record(tmp_path / "no" / "records", made[0])
