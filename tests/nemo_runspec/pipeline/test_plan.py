from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_runspec.artifacts.settings import ArtifactsSettings, OutputCheck
from nemo_runspec.pipeline.reason import Category
from nemo_runspec.store import KeyRecord, VersionDraft, open_store
from runspec.models import RunspecRun
from runspec.plan import PlanInput
from tests.nemo_runspec.pipeline.example_plan import Example, digest
from tests.nemo_runspec.store.s3_server import make_bucket, s3_server


@pytest.fixture
def two(tmp_path: Path) -> Example:
    """data -> model, as most pipelines begin."""
    example = Example(tmp_path)
    data = example.add_recipe(
        "data", {"src/pipe/data.py": "import words", "src/pipe/words.py": "WORDS = 1"}
    )
    example.add("data", recipe=data, config="count: 3\nname: stories\n")
    model = example.add_recipe("model", image="nvcr.io/nvidia/nemo:24.07")
    example.add("model", recipe=model, config="lr: 0.1\nsteps: 10\n", inputs=["data"])
    return example


def test_everything_runs_once_in_order(two: Example) -> None:
    assert two.states() == {"data": "stale", "model": "stale"}
    assert two.build() == ["data", "model"]
    assert two.states() == {"data": "fresh", "model": "fresh"}
    assert two.build() == []
    result = two.look()
    assert result.is_fresh and result.needs_bundles == ()
    assert [node.version for node in result.nodes] == ["v1", "v1"]


def test_a_first_build_says_so(two: Example) -> None:
    result = two.look()
    assert [r.category for r in result.nodes[0].reasons] == [Category.NEVER_BUILT]
    assert [node.why for node in result.nodes] == ["never built", "never built"]
    assert result.needs_bundles == ("src/pipe:data", "src/pipe:model")


def test_a_config_value_names_its_key_and_both_values(two: Example) -> None:
    two.build()
    two.configs["src/pipe/config/model.yaml"] = "lr: 0.3   # faster\nsteps: 10\n"
    assert two.states() == {"data": "fresh", "model": "stale"}
    assert two.why("model") == "lr: 0.1 -> 0.3"
    assert two.look().needs_bundles == ("src/pipe:model",)


def test_a_comment_in_a_config_counts_for_nothing(two: Example) -> None:
    two.build()
    two.configs["src/pipe/config/model.yaml"] = "# better\nsteps: 10\nlr: 0.1\n"
    two.configs["src/pipe/config/unused.yaml"] = "lr: 7\n"
    assert two.build() == []


def test_a_source_file_is_named(two: Example) -> None:
    two.build()
    two.sources["src/pipe/words.py"] = "WORDS = 2"
    two.outputs["data"] = "other"
    assert two.why("data") == "src/pipe/words.py changed"
    assert two.states() == {"data": "stale", "model": "depends"}
    assert two.build() == ["data", "model"]


def test_what_comes_out_the_same_ends_there(two: Example) -> None:
    two.outputs["data"] = "the same"
    two.build()
    two.sources["src/pipe/words.py"] = "WORDS = 2"
    assert two.states() == {"data": "stale", "model": "depends"}
    assert two.build() == ["data"]
    assert two.states() == {"data": "fresh", "model": "fresh"}


def test_back_and_forth_runs_nothing_the_third_time(two: Example) -> None:
    path = "src/pipe/config/model.yaml"
    first = two.configs[path]
    two.build()
    two.configs[path] = "lr: 0.3\nsteps: 10\n"
    assert two.build() == ["model"]
    two.configs[path] = first
    assert two.build() == []
    assert two.look().node("src/pipe:model-artifact").version == "v1"


def test_it_is_compared_with_the_version_that_differs_least(two: Example) -> None:
    path = "src/pipe/config/model.yaml"
    two.build()
    two.configs[path] = "lr: 0.5\nsteps: 99\n"
    two.build()
    two.configs[path] = "lr: 0.1\nsteps: 11\n"
    assert two.why("model") == "steps: 10 -> 11"


def test_a_requirement_is_named_with_both_versions(two: Example) -> None:
    two.build()
    newer = {"numpy": "2.0.0"}
    prints = two.recipes["src/pipe:model"].fingerprints
    two.change_recipe(
        "model",
        requirements=newer,
        fingerprints=type(prints)(prints.code, digest("numpy 2"), prints.config),
    )
    assert two.states() == {"data": "fresh", "model": "stale"}
    assert two.why("model") == "requirement numpy: 1.26.4 -> 2.0.0"


def test_an_input_is_named_with_both_versions(two: Example) -> None:
    two.outputs["data"] = "first"
    two.build()
    two.outputs["data"] = "second"
    two.configs["src/pipe/config/data.yaml"] = "count: 4\n"
    two.roots = ("src/pipe:data-artifact",)
    kept = two.artifacts.pop("src/pipe:model-artifact")
    assert two.build() == ["data"]
    two.artifacts["src/pipe:model-artifact"] = kept
    two.roots = None
    why = two.why("model")
    assert why.startswith("input data: v1 (sha256:") and "-> v2 (sha256:" in why


def test_a_declared_variable_is_named(tmp_path: Path) -> None:
    example = Example(tmp_path)
    recipe = example.add_recipe("data", env={"MODE": "a", "API_TOKEN": "s3cret"})
    example.add("data", recipe=recipe, config="mode: ${oc.env:MODE}\n")
    example.environ = {"MODE": "of the process, which does not count"}
    example.build()
    example.environ = {"MODE": "anything"}
    assert example.build() == []
    example.recipes[recipe] = type(example.recipes[recipe])(
        **{
            **vars(example.recipes[recipe]),
            "spec": type(example.recipes[recipe].spec)(
                **{**vars(example.recipes[recipe].spec), "env": {"MODE": "b", "API_TOKEN": "x"}}
            ),
        }
    )
    why = example.why("data")
    assert "environment variable MODE: a -> b" in why
    assert "TOKEN" not in why


def test_a_variable_that_is_read_counts_and_user_does_not(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data", config="lang: ${oc.env:CORPUS_LANG,en}\nout: /scratch/${oc.env:USER}/x\n")
    example.environ = {"USER": "ann"}
    example.build()
    example.environ = {"USER": "bob", "HOME": "/elsewhere"}
    assert example.build() == []
    example.environ = {"USER": "bob", "CORPUS_LANG": "de"}
    assert "lang: en -> de" in example.why("data")
    assert example.build() == ["data"]


def test_a_profile_changes_nothing_but_the_image_that_runs(two: Example) -> None:
    two.build()
    two.profile = {"executor": "local", "nodes": 4, "env_vars": {"NCCL_DEBUG": "INFO"}}
    assert two.build() == []
    two.profile = {"executor": "slurm", "container_image": "other:1"}
    assert two.why("model").startswith("image: none -> nvcr.io/nvidia/nemo:24.07;")
    assert two.states() == {"data": "stale", "model": "depends"}
    assert "image: none -> other:1" in two.why("data")


def test_a_deleted_final_output_is_made_again(two: Example) -> None:
    two.build()
    os.rename(two.folder / "outputs/model/1", two.folder / "moved")
    assert two.states() == {"data": "fresh", "model": "stale"}
    assert "the data of model:v1 is gone" in two.why("model")
    assert two.build() == ["model"]


def test_a_deleted_intermediate_output_is_not_needed(two: Example) -> None:
    two.build()
    os.rename(two.folder / "outputs/data/1", two.folder / "moved")
    assert two.states() == {"data": "gone", "model": "fresh"}
    assert two.look().needs_bundles == ()
    assert two.build() == []
    # Asked for by name it is.
    two.roots = ("src/pipe:data-artifact", "src/pipe:model-artifact")
    assert two.states() == {"data": "stale", "model": "depends"}


def test_a_deleted_intermediate_output_is_made_for_what_needs_it(two: Example) -> None:
    two.outputs["data"] = "the same"
    two.build()
    os.rename(two.folder / "outputs/data/1", two.folder / "moved")
    two.configs["src/pipe/config/model.yaml"] = "lr: 0.3\n"
    assert two.states() == {"data": "stale", "model": "stale"}
    assert "model needs it" in two.why("data")
    assert two.build() == ["data", "model"]


def test_what_is_made_from_something_rebuilt_depends_on_it(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.outputs["data"] = "the same"
    example.add("data")
    example.add("a", inputs=["data"])
    example.add("b", inputs=["data"])
    example.build()
    os.rename(tmp_path / "outputs/data/1", tmp_path / "moved")
    example.configs["src/pipe/config/a.yaml"] = "lr: 1\n"
    assert example.states() == {"data": "stale", "a": "stale", "b": "depends"}
    assert sorted(example.build()) == ["a", "data"]


def test_a_gone_input_of_what_depends_may_be_needed(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.outputs.update(left="the same", right="the same")
    example.add("left")
    example.add("right")
    example.add("join", inputs=["left", "right"])
    example.build()
    os.rename(tmp_path / "outputs/left/1", tmp_path / "moved")
    example.configs["src/pipe/config/right.yaml"] = "x: 1\n"
    assert example.states() == {"left": "depends", "right": "stale", "join": "depends"}
    assert "needed if join runs" in example.why("left")
    assert example.build() == ["right"]


def test_tampering_is_noticed_when_it_is_looked_for(tmp_path: Path) -> None:
    from nemo_runspec.artifacts.content import content_digest, recorded_facts

    data = tmp_path / "outputs" / "data"
    data.mkdir(parents=True)
    (data / "x.txt").write_text("first")
    example = Example(tmp_path)
    example.add("data")
    store = open_store(str(tmp_path / "store"))
    key = example.look().nodes[0].key
    assert key is not None
    manifest = store.add_version(
        "data",
        VersionDraft(
            path=str(data),
            document={"path": str(data), "total": 3},
            key=key,
            content=content_digest(data, {"path": str(data), "total": 3}, "hash", base=data),
            extra={"digested": recorded_facts(data, base=data, volatile=())},
        ),
    )
    record = KeyRecord(1, manifest.identity, manifest.path, manifest.content, "2026-01-01")
    store.set_key("data", key, record)
    root = str(tmp_path / "store")
    checks: tuple[OutputCheck, ...] = ("exists", "stat", "content")
    for check in checks:
        example.settings = ArtifactsSettings(root=root, check=check)
        assert example.states() == {"data": "fresh"}, check
    (data / "x.txt").write_text("other")
    os.utime(data / "x.txt", ns=(1, 1))
    for check, state in zip(checks, ("fresh", "stale", "stale"), strict=True):
        example.settings = ArtifactsSettings(root=root, check=check)
        assert example.states() == {"data": state}, check
    assert "data:v1 was changed since" in example.why("data")


def test_an_overwritten_version_is_gone(two: Example) -> None:
    two.build()
    two.store.mark_gone("model", 1, "overwritten by model:v2")
    assert two.states()["model"] == "stale"
    assert "overwritten by model:v2" in two.why("model")


def test_a_revoked_version_and_what_was_made_from_it_run_again(two: Example) -> None:
    two.outputs["data"] = "the same"
    two.build()
    two.store.revoke("data", 1, by="ann", reason="wrong license")
    assert two.states() == {"data": "stale", "model": "depends"}
    assert two.why("data") == "data:v1 was revoked: wrong license"
    assert two.build() == ["data", "model"]
    assert two.states() == {"data": "fresh", "model": "fresh"}


def test_force_makes_it_anew(two: Example) -> None:
    two.build()
    result = two.look(force=["src/pipe:data-artifact"])
    assert [node.state.value for node in result.nodes] == ["stale", "depends"]
    assert "--force" in result.nodes[0].why
    assert two.build(force=["src/pipe:data-artifact"]) == ["data"]


def test_a_pinned_input_is_not_run(two: Example) -> None:
    two.build()
    two.add("eval", inputs=["model:v1"])
    two.roots = ("src/pipe:eval-artifact",)
    assert two.build() == ["eval"]
    two.configs["src/pipe/config/model.yaml"] = "lr: 9\n"
    assert two.build() == ["model"]
    assert two.states()["eval"] == "fresh"


@pytest.mark.parametrize("reference", ["nothing:latest", "nothing:v3", "model:v9", "model:prod"])
def test_a_missing_input_blocks_and_says_what_there_is(two: Example, reference: str) -> None:
    two.build()
    two.add("eval", inputs=[reference])
    two.add("report", inputs=["eval"])
    states = two.states()
    assert states["eval"] == states["report"] == "blocked"
    why = two.why("eval")
    assert reference.partition(":")[0] in why and reference in why


def test_a_revoked_input_blocks(two: Example) -> None:
    two.build()
    two.store.revoke("data", 1, by="ann", reason="wrong license")
    two.add("eval", inputs=["model:v1"])
    assert two.states()["eval"] == "blocked"
    assert "data:v1" in two.why("eval") and "wrong license" in two.why("eval")


def test_a_join_goes_on_without_what_may_be_skipped(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("bad", inputs=["nothing:v1"], on_failure="skip")
    example.add("good")
    example.add("join", inputs=["good", "bad"])
    assert example.states() == {"bad": "blocked", "good": "stale", "join": "stale"}
    assert example.build() == ["good", "join"]
    assert example.states() == {"bad": "blocked", "good": "fresh", "join": "fresh"}
    # With all of it there, the join is another.
    example.change("bad", inputs=())
    assert example.build() == ["bad", "join"]


def test_a_join_without_references_runs_when_its_input_changes(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("a")
    example.add("b")
    example.add("join", inputs=["a", "b"])
    example.build()
    example.configs["src/pipe/config/b.yaml"] = "x: 1"
    assert example.build() == ["b", "join"]


def test_a_lease_elsewhere_shows_who_holds_it(two: Example) -> None:
    two.build()
    two.configs["src/pipe/config/data.yaml"] = "count: 8\n"
    world = two.world()
    key = two.look().node("src/pipe:data-artifact").key
    assert key is not None
    lease = two.store.acquire(world.lease_id("data", key), {"user": "ann", "host": "dgx1"})
    result = two.look()
    assert [node.state.value for node in result.nodes] == ["running", "depends"]
    holder = result.nodes[0].holder
    assert holder is not None and holder["user"] == "ann"
    assert "src/pipe:data" in result.needs_bundles
    # Whoever makes it may go on to what is below, even to what never was.
    two.add("eval", inputs=["model"])
    assert two.states()["eval"] == "depends"
    assert two.why("eval") == "never built; input model may change"
    lease.release()  # type: ignore[union-attr]
    assert two.states() == {"data": "stale", "model": "depends", "eval": "stale"}


def test_what_never_was_is_stale_below_what_is_open(two: Example) -> None:
    two.outputs["data"] = "the same"
    two.build()
    two.sources["src/pipe/words.py"] = "WORDS = 2"
    two.add("eval", inputs=["data", "model"])
    assert two.states() == {"data": "stale", "model": "depends", "eval": "stale"}
    assert two.why("eval") == "never built"
    assert two.build() == ["data", "eval"]


def test_what_never_was_needs_what_is_gone(two: Example, tmp_path: Path) -> None:
    two.build()
    os.rename(tmp_path / "outputs/data/1", tmp_path / "moved")
    two.add("words")
    two.add("eval", inputs=["words", "data"])
    two.outputs["words"] = two.outputs["data"] = "the same"
    two.roots = ("src/pipe:eval-artifact",)
    states = two.states()
    assert (states["words"], states["data"], states["eval"]) == ("stale",) * 3
    assert {"data", "words", "eval"} <= set(two.build())


def test_a_type_counts_where_nothing_else_says_it(two: Example) -> None:
    two.build()
    # What the script logs says its own type, run by hand as well.
    two.change("model", type="ModelArtifact")
    assert two.states()["model"] == "fresh"
    two.change("model", output=".")
    assert two.states()["model"] == "stale"
    two.build()
    two.change("model", type="DataArtifact")
    assert two.why("model") == "the target's type: ModelArtifact -> DataArtifact"


def test_costs_are_those_of_the_last_build(two: Example) -> None:
    two.build()
    two.configs["src/pipe/config/data.yaml"] = "count: 8\n"
    costs = {node.name: node.cost for node in two.look().nodes}
    assert costs["data"] is not None and costs["data"].gpu_hours == 2.5
    assert costs["model"] is not None and costs["model"].seconds == 9000.0


def test_the_own_changes_of_what_depends_are_told(two: Example) -> None:
    two.build()
    two.configs["src/pipe/config/data.yaml"] = "count: 8\n"
    two.configs["src/pipe/config/model.yaml"] = "lr: 0.2\nsteps: 10\n"
    assert two.why("model") == "lr: 0.1 -> 0.2; input data may change"


def test_a_build_that_did_not_end_well_is_not_the_answer(two: Example) -> None:
    two.build()
    key = two.look().node("src/pipe:model-artifact").key
    assert key is not None
    two.store.remove_key("model", key)
    assert two.why("model") == "the build that logged model:v1 did not end well"


def test_versions_logged_by_hand_answer_no_key(two: Example) -> None:
    two.store.add_version("data", VersionDraft(path=str(two.folder)))
    assert two.why("data") == ("data:v1 was logged by hand: what it was made from is not known")


def test_one_s_own_versions_come_first_and_the_team_s_are_read(two: Example) -> None:
    two.build()
    root = str(two.folder / "store")
    two.settings = ArtifactsSettings(root=root, namespace="user/ann")
    assert two.states() == {"data": "fresh", "model": "fresh"}
    world = two.world()
    assert world.own_name("data") == "user/ann/data"
    assert world.store_names("data") == ("user/ann/data", "data")


def test_external_inputs_count_by_content(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data", external_inputs=("raw/words.txt",))
    raw = tmp_path / "repo" / "raw"
    assert example.states() == {"data": "blocked"}
    assert "external input raw/words.txt does not exist" in example.why("data")
    raw.mkdir(parents=True)
    (raw / "words.txt").write_text("one")
    assert example.build() == ["data"]
    os.utime(raw / "words.txt", (1, 1))
    assert example.build() == []
    (raw / "words.txt").write_text("two")
    assert "external input raw/words.txt: sha256:" in example.why("data")
    assert example.build() == ["data"]


def test_what_is_not_looked_at_is_said(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data", external_inputs=("unchecked:gopher://x",))
    assert example.look().nodes[0].unchecked == ("unchecked:gopher://x",)
    assert example.build() == ["data"]
    assert example.build() == []


def test_fan_out_runs_each_element_once(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data")
    example.add("stats", inputs=[PlanInput("data:latest", "data", "src/pipe:data-artifact")])
    example.change("stats", foreach="data:shards")
    shards = {"a.bin": "A", "b.bin": "B"}
    example.metadata["data"] = {"shards": list(shards), "files": shards}
    ran = example.build()
    assert ran[0] == "data" and ran[-1] == "stats" and len(ran) == 4
    assert all(name.startswith("stats/") for name in ran[1:3])
    assert example.build() == []
    # Another shard, and the others elsewhere in the list: only the new one runs.
    shards = {"c.bin": "C", **shards}
    example.metadata["data"] = {"shards": list(shards), "files": shards}
    example.configs["src/pipe/config/data.yaml"] = "count: 3"
    assert example.states() == {"data": "stale", "stats": "depends"}
    ran = example.build()
    assert ran[0] == "data" and len(ran) == 3 and ran[-1] == "stats"
    # A shard with other content under the same name runs too.
    shards["a.bin"] = "AA"
    example.metadata["data"] = {"shards": list(shards), "files": shards}
    example.configs["src/pipe/config/data.yaml"] = "count: 4"
    assert len(example.build()) == 3
    # A value of its config: all of them.
    example.configs["src/pipe/config/stats.yaml"] = "bins: 3"
    node = example.look().node("src/pipe:stats-artifact")
    assert node.elements is not None and (node.elements.total, node.elements.stale) == (3, 3)
    assert node.why.startswith("foreach: 3 of 3 elements stale; bins: new, 3")
    assert len(example.build()) == 4


def test_elements_that_name_no_data_count_with_the_whole_input(tmp_path: Path) -> None:
    example = Example(tmp_path)
    example.add("data")
    example.add("stats", inputs=[PlanInput("data:latest", "data", "src/pipe:data-artifact")])
    example.change("stats", foreach="data:languages")
    example.metadata["data"] = {"languages": ["de", "en"]}
    assert len(example.build()) == 4
    example.configs["src/pipe/config/data.yaml"] = "x: 1"
    example.outputs["data"] = "other"
    assert len(example.build()) == 4


def test_planning_writes_nothing_to_the_store(two: Example) -> None:
    two.build()
    before = {path: path.stat().st_mtime_ns for path in two.folder.glob("store/**/*")}
    two.configs["src/pipe/config/data.yaml"] = "count: 8\n"
    two.look()
    assert {path: path.stat().st_mtime_ns for path in two.folder.glob("store/**/*")} == before


def test_what_was_composed_once_needs_no_omegaconf(two: Example) -> None:
    two.build()
    folder, store = str(two.write()), str(two.folder / "store")
    code = f"""
import sys
from nemo_runspec.cli import main
assert main(["plan", {folder!r}, "--store", {store!r}, "--format=json"]) == 0
print("omegaconf" in sys.modules, file=sys.stderr)
"""
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "XDG_CACHE_HOME": str(two.folder / "cache"),
    }
    (two.folder / "repo").mkdir(exist_ok=True)
    (two.folder / "repo" / "BUILDROOT").touch()
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environ,
            cwd=two.folder / "repo",
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        for _ in range(2)
    ]
    assert [run.stderr.strip() for run in runs] == ["True", "False"]
    assert runs[0].stdout == runs[1].stdout
    assert json.loads(runs[0].stdout)["counts"] == {"fresh": 2}


def test_a_long_chain_is_no_matter(tmp_path: Path) -> None:
    example = Example(tmp_path)
    recipe = example.add_recipe("step")
    for n in range(3000):
        example.add(f"a{n}", recipe=recipe, chain=(), inputs=[f"a{n - 1}"] if n else [])
    states = example.states()
    assert list(states)[:2] == ["a0", "a1"]
    assert set(states.values()) == {"stale"}


def test_passthrough_and_commands_count(two: Example) -> None:
    two.build()
    spec = two.recipes["src/pipe:model"].spec
    two.change_recipe(
        "model",
        spec=type(spec)(**{**vars(spec), "run": RunspecRun(launch="python", cmd=None)}),
    )
    assert two.build() == []  # `python` means `direct`
    two.change_recipe(
        "model",
        spec=type(spec)(**{**vars(spec), "run": RunspecRun(launch="torchrun")}),
    )
    assert two.why("model") == "command's launch: direct -> torchrun"


def test_an_object_store_is_asked_for_much_at_once(tmp_path: Path) -> None:
    count = 60
    with s3_server() as options:
        settings = ArtifactsSettings(
            root=make_bucket(options, "plans") + "/store", storage_options=options
        )
        example = Example(tmp_path, settings=settings)
        recipe = example.add_recipe("step")
        for n in range(count):
            inputs = [f"a{n - 1}"] if n else []
            example.add(f"a{n}", recipe=recipe, chain=(), inputs=inputs)
        example.build()
        example.store = open_store(str(settings.root), storage_options=options)
        result = example.look()
        assert result.is_fresh
        # A manifest, a key and a mark for each, asked for together, and a few listings: however
        # long the chain is, no artifact waits for the answer about another.
        assert 0 < result.requests <= 3 * count + 10
