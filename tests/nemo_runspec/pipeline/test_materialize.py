from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.pipeline.workshop import PLAIN, Workshop, finish, without_times

JOIN = """
inputs = json.loads(Path(os.environ["RUNSPEC_JOB_CONTEXT"]).read_text())
(out / "inputs.json").write_text(json.dumps([inputs["input_list"], inputs["missing"]]))
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def two_stages(shop: Workshop, *, value: str = "1", model: str = "m") -> None:
    shop.plain("data", value=value)
    read = "(out / 'read.txt').write_text(text)\n"
    config = "path: ${art:data}/data.txt\nat: ${run.output_dir}\nversion: ${art:data,version}\n"
    shop.plain("model", value=model, more=read, config=config, inputs={"data": "data"})


def test_what_is_stale_runs_once_in_order(shop: Workshop) -> None:
    two_stages(shop)
    code, out, err = shop.materialize()
    assert (code, err) == (0, "")
    store = shop.repository / ".runspec" / "artifacts"
    assert without_times(out).splitlines() == [
        "data: running (never built); log: LOG",
        "data: built v1 in N s",
        f"  Manifest: {store}/data/v1",
        "model: running (never built); log: LOG",
        "model: built v1 in N s",
        f"  Manifest: {store}/model/v1",
        "built 2, N s",
    ]
    assert shop.ran() == ["data", "model"]
    data, model = shop.manifest("data"), shop.manifest("model")
    assert model.used_artifacts == ("data:v1",)
    assert (Path(data.path) / "data.txt").read_text() == "1"
    read = (Path(model.path) / "read.txt").read_text()
    assert f"path: {data.path}/data.txt" in read
    assert f"at: {model.path}" in read
    assert "version: v1" in read and "data: data:v1" in read
    assert model.extra["owned"] is True
    assert model.run["address"] == "src/demo:model.artifact"
    assert model.run["seconds"] > 0 and model.run["gpu_hours"] == 0
    assert Path(str(model.run["log"])).is_relative_to(str(model.run["job"]))
    assert Path(str(model.run["log"])).is_file()

    code, out, err = shop.materialize()
    assert (code, out, err) == (0, "nothing to do: all 2 artifacts are fresh\n", "")
    assert shop.ran() == []


def test_early_cutoff_and_generations(shop: Workshop) -> None:
    two_stages(shop)
    assert shop.materialize()[0] == 0
    shop.plain("data", more="OTHER = 1\n")
    shop.ran()
    code, out, _ = shop.materialize()
    assert code == 0
    assert shop.ran() == ["data"]
    assert "same content as before" in out
    assert "model" not in out
    assert out.splitlines()[-1].startswith("built 1, 1 fresh, ")
    first, second = shop.manifest("data", 1), shop.manifest("data", 2)
    assert first.path != second.path and first.content == second.content

    shop.roots = ("src/demo:data.artifact",)
    assert shop.materialize("--force")[0] == 0
    third = shop.manifest("data")
    assert (third.version, third.key) == (3, second.key)
    assert Path(third.path) == Path(second.path).with_name("2")
    assert shop.ran() == ["data"]


def test_a_script_that_logs(shop: Workshop) -> None:
    shop.library(
        "data",
        """
        (out / "x").write_text("1")
        log_artifact(Artifact(path=out, metadata={"shards": [1, 2]}), tracking, name="extra")
        log_artifact(Artifact(path=out, metadata={"shards": [1, 2]}), tracking, name="data")
        """,
    )
    shop.library(
        "model",
        """
        (out / "x").write_text(str(config["shards"]))
        tracking.tracker.log_model_checkpoint("model", out, 5)
        log_artifact(Artifact(path=out), tracking, name="model")
        """,
        config="shards: ${art:data,shards}\n",
        inputs={"data": "data"},
    )
    code, _, err = shop.materialize()
    assert (code, err) == (0, "")
    model = shop.manifest("model")
    assert model.version == 2 and model.used_artifacts == ("data:v1",)
    assert (Path(model.path) / "x").read_text() == "[1, 2]"
    assert model.key is not None
    record = shop.store.find_key("model", model.key)
    assert record is not None and record.version == 2
    extra = shop.manifest("extra")
    assert extra.key is not None and shop.store.find_key("extra", extra.key) is not None
    train = (Path(str(model.run["job"])) / "train.yaml").read_text()
    assert "data: data:v1" in train and "${art:data,shards}" in train
    assert shop.materialize()[1].startswith("nothing to do")


PROMISES = {
    "no output": ("import sys\n", "model.bin", "ended well without writing "),
    "nothing logged": ("import sys\n", None, "ended well without logging model; "),
    "exit code": ("import sys; sys.exit(3)\n", ".", "exit code 3; "),
    "killed": ("import os; os.kill(os.getpid(), 9)\n", ".", "exit code 137; "),
}


def test_another_type_than_promised_is_a_failure(shop: Workshop) -> None:
    script = """
    (out / "x").write_text("1")
    log_artifact(Artifact(path=out), tracking, name="model")
    """
    shop.library("model", script, type="ModelArtifact")
    code, _, err = shop.materialize()
    assert code == 1
    assert err.startswith(
        "error: model: ended well and logged model:v1 as Artifact, where its target says "
        "type = 'ModelArtifact'; "
    )
    assert shop.store.keys("model") == {}
    shop.library("model", script, type="Artifact")
    assert shop.materialize()[::2] == (0, "")


METADATA = """
(out / "metadata.json").write_text(TEXT)
"""


def test_what_a_plain_script_says_of_its_output(shop: Workshop) -> None:
    said = METADATA.replace("TEXT", repr('{"shards": [1, 2], "note": "x"}'))
    shop.plain("data", more=said, type="DataArtifact")
    shop.plain("model", config="shards: ${art:data,shards}\n", inputs={"data": "data"})
    assert shop.materialize()[::2] == (0, "")
    data = shop.manifest("data")
    assert (data.type, dict(data.metadata)) == ("DataArtifact", {"shards": [1, 2], "note": "x"})
    document = shop.store.metadata("data", 1)
    assert document["metadata"] == data.metadata and document["path"] == data.path
    model = shop.manifest("model")
    assert "- 1\n- 2\n" in (Path(str(model.run["job"])) / "train.yaml").read_text()

    for text, expected in (("[1]", "must be a JSON object, not list"), ("{", "no valid JSON: ")):
        shop.plain("data", more=METADATA.replace("TEXT", repr(text)))
        code, _, err = shop.materialize()
        assert code == 1
        assert err.startswith("error: data: ") and f"metadata.json: {expected}" in err
    assert shop.store.versions("data") == [1]


@pytest.mark.parametrize("check", ["stat", "content"])
def test_tampering_with_a_plain_scripts_output_is_noticed(check: str, shop: Workshop) -> None:
    two_stages(shop)
    assert shop.materialize()[0] == 0
    shop.ran()
    (shop.repository / "env.toml").write_text(f"[artifacts]\ncheck = '{check}'\n")
    assert shop.materialize()[1].startswith("nothing to do")
    (Path(shop.manifest("data").path) / "data.txt").write_text("tampered")
    code, out, err = shop.materialize()
    assert (code, err) == (0, "")
    assert shop.ran() == ["data"], "what is below has the content that it was made from"
    assert "data: running (data:v1 was changed since: " in out
    assert shop.materialize()[1].startswith("nothing to do")


def test_an_output_elsewhere_is_not_ours_to_free(shop: Workshop, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    for value in ("1", "2"):
        write = f"Path({str(fixed)!r}).write_text({value!r})\n"
        shop.artifact("data", shop.recipe("data", PLAIN + write, VALUE="1"), output=str(fixed))
        code, out, err = shop.materialize()
        assert (code, err) == (0, "")
    assert "owned" not in shop.manifest("data").extra
    assert f"data: v2 overwrote v1: all are at {fixed}" in out
    assert shop.store.gone("data", 1) == "overwritten by data:v2"


@pytest.mark.parametrize("case", PROMISES)
def test_a_promise_that_is_not_kept_is_a_failure(case: str, shop: Workshop) -> None:
    script, output, expected = PROMISES[case]
    shop.artifact("model", shop.recipe("model", script), output=output)
    code, out, err = shop.materialize(env={"RUNSPEC_COMMAND": "pants materialize ::"})
    assert code == 1
    first, last = err.splitlines()
    assert first.startswith(f"error: model: {expected}")
    (job,) = shop.jobs()
    assert first.endswith(f"; log: {job / 'logs' / 'job.log'}")
    assert last == "go on with: pants materialize ::"
    assert out.splitlines()[-1].startswith("1 failed, ")
    assert shop.store.versions("model") == [] and shop.store.keys("model") == {}
    assert shop.materialize()[0] == 1
    assert json.loads((job / "context.json").read_text())["key"]


def test_the_rest_goes_on_only_if_asked(shop: Workshop) -> None:
    shop.artifact("bad", shop.recipe("bad", "import sys; sys.exit(1)\n"), output=".")
    shop.plain("below", inputs=["bad"])
    shop.plain("other")
    code, out, _ = shop.materialize()
    assert code == 1 and shop.ran() == []
    assert "below: not run, bad failed" in out
    assert "other: not run, bad failed" in out
    code, out, _ = shop.materialize("--keep-going")
    assert code == 1 and shop.ran() == ["other"]
    assert "below: not run, input bad: failed: exit code 1" in out
    assert out.splitlines()[-1].startswith("built 1, 1 failed, 1 not run, ")


def test_a_join_goes_on_without_what_may_fail(shop: Workshop) -> None:
    shop.plain("a")
    bad = shop.recipe("b", "import sys; sys.exit(1)\n")
    shop.artifact("b", bad, output=".", on_failure="skip")
    shop.plain("join", more=JOIN, inputs=["a", "b"])
    shop.roots = ("src/demo:join.artifact",)
    code, _, err = shop.materialize()
    assert code == 0
    assert err.startswith("error: b: exit code 1; log: ") and err.count("\n") == 1
    join = shop.manifest("join")
    inputs, missing = json.loads((Path(join.path) / "inputs.json").read_text())
    assert [each["name"] for each in inputs] == ["a"]
    assert join.extra["missing"] == missing
    assert missing[0]["name"] == "b" and missing[0]["reason"].startswith("failed: exit code 1")
    assert join.used_artifacts == ("a:v1",)


FOREACH = """
element = json.loads(Path(os.environ["RUNSPEC_JOB_CONTEXT"]).read_text())["element"]
if element["value"] in FAIL:
    sys.exit(1)
(out / "data.txt").write_text(str(element["value"]))
"""


def fan_out(shop: Workshop, values: list[object], *, fail: tuple[object, ...] = ()) -> None:
    shop.library(
        "data",
        f"""
        (out / "x").write_text("1")
        log_artifact(Artifact(path=out, metadata={{"parts": {values!r}}}), tracking, name="data")
        """,
    )
    script = f"FAIL = {fail!r}\n" + FOREACH
    config = "value: ${run.element.value}\n"
    keyed = {"data": "data"}
    shop.plain("each", more=script, config=config, inputs=keyed, foreach="data:parts")


def test_one_job_for_each_element(shop: Workshop, tmp_path: Path) -> None:
    fan_out(shop, [3, 1, 3])
    shop.plain("all", more=JOIN, inputs=["each"])
    (shop.repository / "env.toml").write_text("[two]\nparallel = 2\n")
    code, _, err = shop.materialize("--profile", "two")
    assert (code, err) == (0, "")
    assert sorted(shop.ran()) == ["all", "data", "each", "each"]
    gathered = shop.manifest("each")
    listed = json.loads((Path(gathered.path) / "elements.json").read_text())
    assert [each["value"] for each in listed] == [3, 1, 3]
    assert [(Path(each["path"]) / "data.txt").read_text() for each in listed] == ["3", "1", "3"]
    assert gathered.metadata["elements"] == [each["path"] for each in listed]
    assert len(set(gathered.extra["elements"])) == 2
    trains = [(job / "train.yaml").read_text() for job in shop.jobs() if "-each-" in job.name]
    assert sorted(train.splitlines()[0] for train in trains) == ["value: 1", "value: 3"]
    assert shop.materialize()[1].startswith("nothing to do")
    inputs, _ = json.loads((Path(shop.manifest("all").path) / "inputs.json").read_text())
    assert inputs[0]["name"] == "each" and inputs[0]["version"] == 1


def test_elements_that_fail(shop: Workshop) -> None:
    fan_out(shop, [1, 2], fail=(2,))
    code, out, err = shop.materialize("--keep-going")
    assert code == 1
    assert "1 of 2 elements failed" in out
    assert err.count("error: ") == 1
    assert shop.store.versions("each") == []
    fan_out(shop, [1, 2])
    code, _, err = shop.materialize()
    assert (code, err) == (0, "")
    assert shop.manifest("each").version == 1


def test_data_that_is_gone_is_made_again_when_it_is_needed(shop: Workshop) -> None:
    two_stages(shop)
    shop.roots = ("src/demo:model.artifact",)
    assert shop.materialize()[0] == 0
    shop.ran()
    data = Path(shop.manifest("data").path)
    data.rename(data.with_name("elsewhere"))
    assert shop.materialize()[1].startswith("nothing to do: all 2 artifacts are fresh (")
    two_stages(shop, model="other")
    assert shop.materialize()[0] == 0
    assert shop.ran() == ["data", "model"]
    assert shop.manifest("model").used_artifacts == ("data:v2",)


def test_a_fixed_path_overwrites_and_says_so(shop: Workshop, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed"
    for value in ("1", "2"):
        shop.library(
            "data",
            f"""
            Path({str(fixed)!r}).mkdir(exist_ok=True)
            Path({str(fixed)!r}, "x").write_text({value!r})
            log_artifact(Artifact(path={str(fixed)!r}), tracking, name="data")
            """,
        )
        code, out, err = shop.materialize()
        assert (code, err) == (0, "")
    assert f"data: v2 overwrote v1: all are at {fixed}" in out
    assert shop.store.gone("data", 1) == "overwritten by data:v2"
    assert shop.store.gone("data", 2) is None


def test_a_namespace_is_ones_own_and_reads_the_teams(shop: Workshop) -> None:
    two_stages(shop)
    shop.roots = ("src/demo:data.artifact",)
    assert shop.materialize()[0] == 0
    (shop.repository / "env.toml").write_text("[artifacts]\nnamespace = 'user/{user}'\n")
    shop.roots = None
    code, _, err = shop.materialize(env={"LOGNAME": "ann"})
    assert (code, err) == (0, "")
    assert shop.ran() == ["data", "model"]
    assert shop.store.names() == ["data", "user/ann/model"]
    assert shop.manifest("user/ann/model").used_artifacts == ("data:v1",)


def test_an_element_that_logs_by_the_targets_name(shop: Workshop) -> None:
    fan_out(shop, [1, 2])
    script = """
    (out / "x").write_text("1")
    log_artifact(Artifact(path=out), tracking, name="each")
    """
    shop.library("each", script, inputs={"data": "data"}, foreach="data:parts")
    code, _, err = shop.materialize()
    assert (code, err) == (0, "")
    gathered = shop.manifest("each")
    assert gathered.version == 1 and len(gathered.extra["elements"]) == 2


def test_retries_count_attempts(shop: Workshop) -> None:
    shop.plain("data", more="sys.exit(os.environ['RUNSPEC_ATTEMPT'] != '2')\n")
    (shop.repository / "env.toml").write_text("[again]\nretries = 1\n")
    code, out, err = shop.materialize("--profile", "again")
    assert (code, err) == (0, "")
    assert "data: running, attempt 2 (" in out
    assert shop.ran() == ["data", "data"]
    assert len(shop.jobs()) == 2


def test_a_timeout_ends_a_job(shop: Workshop) -> None:
    shop.plain("data", more="import time; time.sleep(600)\n")
    (shop.repository / "env.toml").write_text("[short]\ntimeout = 0.5\n")
    code, _, err = shop.materialize("--profile", "short")
    assert code == 1
    assert err.startswith("error: data: ended after its timeout of 0.5 s; log: ")


def test_bad_input_is_one_line_and_starts_nothing(shop: Workshop, tmp_path: Path) -> None:
    two_stages(shop)
    index = shop.bundles / "index.json"

    def refused(*options: str, env: dict[str, str] | None = None) -> str:
        code, out, err = shop.materialize(*options, env=env)
        assert (code, out) == (2, "")
        assert err.startswith("error: ") and err.count("\n") == 1
        assert shop.jobs() == [] and not list(shop.folder.glob("repository/.runspec/jobs/_p*/*"))
        return err

    assert "'cluster'" in refused("--profile", "cluster")
    assert "--max-gpu-hours" in refused("--max-gpu-hours", "x")
    assert "--detach" in refused("--detatch")
    document = shop.bundles / "data" / "bundle.json"
    text = document.read_text()
    document.write_text(text.replace("b" * 64, "9" * 64))
    assert "src/demo:data: a file changed in between" in refused()
    document.write_text(text)
    (shop.repository / "env.toml").write_text("[artifacts.manifest]\nroot = 'ftp://x/y'\n")
    assert "ftp://x/y" in refused()
    (shop.repository / "env.toml").write_text("[artifacts]\nroot = 's3://no-such/store'\n")
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x"}
    assert "s3://no-such/store" in refused(env={**env, "AWS_SECRET_ACCESS_KEY": "x"})
    (shop.repository / "env.toml").unlink()
    shop.artifact("model", "src/demo:model", output=".", external_inputs=("no-such-file",))
    assert "no-such-file" in refused()
    two_stages(shop)
    shop.write()
    index.write_text("{}")
    code, _, err = finish_materialize(shop)
    assert code == 2 and "names no bundle of src/demo:data" in err


def finish_materialize(shop: Workshop) -> tuple[int, str, str]:
    arguments = ["materialize", str(shop.plan_folder), "--bundles", str(shop.bundles)]
    return finish(shop.command(*arguments))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written(shop: Workshop) -> None:
    two_stages(shop)
    root = shop.repository / ".runspec" / "artifacts"
    root.mkdir(parents=True)
    root.chmod(0o500)
    code, _, err = shop.materialize()
    root.chmod(0o700)
    assert code == 2 and str(root) in err and err.count("\n") == 1


def test_gpu_hours_have_a_limit(shop: Workshop) -> None:
    two_stages(shop)
    assert shop.materialize("--max-gpu-hours", "0")[0] == 0
    store = shop.store
    old = shop.manifest("data")
    store.add_version("data", VersionDraft(path=old.path, run={"gpu_hours": 5.0}))
    shop.ran()
    two_stages(shop, value="2")
    code, out, err = shop.materialize("--max-gpu-hours", "4.5")
    assert (code, out) == (2, "")
    assert "about 5.00 GPU-hours" in err and "more than --max-gpu-hours 4.5" in err
    assert shop.ran() == []
    assert shop.materialize("--max-gpu-hours", "5.5")[0] == 0


def test_a_dry_run_refuses_as_a_run_would_and_starts_nothing(shop: Workshop) -> None:
    two_stages(shop)

    def dry(*options: str) -> tuple[int, str, str]:
        shop.write()
        folder = str(shop.plan_folder)
        return finish(shop.command("materialize", folder, "--dry-run", *options))

    def planned(*options: str) -> tuple[dict[str, str], list[str]]:
        code, out, err = dry(*options)
        assert (code, err) == (0, "")
        document = json.loads(out)
        states = {each["name"]: each["state"] for each in document["nodes"]}
        return states, document["needs_bundles"]

    assert planned() == ({"data": "stale", "model": "stale"}, ["src/demo:data", "src/demo:model"])
    assert shop.ran() == [] and shop.pipelines() == []
    assert shop.materialize()[0] == 0
    assert planned() == ({"data": "fresh", "model": "fresh"}, [])
    assert planned("--force")[1] == ["src/demo:data", "src/demo:model"]
    shop.store.add_version(
        "data", VersionDraft(path=shop.manifest("data").path, run={"gpu_hours": 5.0})
    )
    two_stages(shop, value="2")
    code, out, err = dry("--max-gpu-hours=4.5")
    assert (code, out) == (2, "") and "more than --max-gpu-hours 4.5" in err
    shop.artifact("model", "src/demo:model", output=".", external_inputs=("no-such-file",))
    code, out, err = dry()
    assert (code, out) == (2, "") and "no-such-file" in err
    assert len(shop.pipelines()) == 1
