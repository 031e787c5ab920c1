"""`store gc`."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from nemo_runspec.artifacts.settings import ArtifactsSettings
from nemo_runspec.command_line import Given
from nemo_runspec.pipeline.in_use import in_use
from nemo_runspec.pipeline.outputs import Attempt, open_output
from nemo_runspec.store import Manifest, VersionDraft
from nemo_runspec.store_admin.collecting import Policy, _collect, find_garbage
from nemo_runspec.store_admin.opening import open_place
from tests.nemo_runspec.pipeline.example_plan import Example
from tests.nemo_runspec.store_admin.commands import Build, Shell


def build(shell: Shell, each: Build) -> Manifest:
    return each.record(shell.store, shell.folder / ".runspec" / "outputs")


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


def test_frees_what_nothing_needs(shell: Shell) -> None:
    old = build(shell, Build("model", key="a" * 64, days=60))
    recent = build(shell, Build("model", key="b" * 64, days=3))
    promoted = build(shell, Build("model", key="c" * 64, days=60))
    latest = build(shell, Build("model"))
    shell.ok("promote model:v3 prod")
    dry = shell.ok("store gc")
    assert "model:v1" in dry and "4 B to be freed; `nemo-runspec store gc --yes` does it" in dry
    assert "3 versions kept: 1 alias, 1 key, 1 latest" in dry
    assert Path(old.path).exists() and shell.store.gone("model", 1) is None

    done = shell.ok("store gc --yes")
    assert "freed:" in done and "freed 4 B" in done
    assert not Path(old.path).exists()
    for each in (recent, promoted, latest):
        assert Path(each.path).exists()
    assert "freed by store gc of ada@" in (shell.store.gone("model", 1) or "")
    assert shell.store.manifest("model", 1) == old
    assert "freed by store gc" in shell.ok("store show model:v1")
    assert "nothing to free" in shell.ok("store gc")
    assert shell.ok("store verify").endswith("all is well\n")


def test_days_and_keep(shell: Shell) -> None:
    for number, days in enumerate((5, 4, 3, 2)):
        build(shell, Build("model", key=f"{number}" * 64, days=days))
    assert "nothing to free" in shell.ok("store gc")
    assert "nothing to free" in shell.ok("store gc --days 1 --keep=9")
    found = shell.json("store gc --days 1 --keep 2")
    assert [each["versions"] for each in found["garbage"]] == [["model:v1"], ["model:v2"]]
    assert found["kept"] == {"newest": 1, "latest": 1}
    assert not found["done"]


def test_keeps_what_kept_versions_are_made_from(shell: Shell) -> None:
    for _ in range(3):
        build(shell, Build("data"))
    build(shell, Build("tokens", used=("data:v1",)))
    build(shell, Build("tokens", used=("data:v2",)))
    build(shell, Build("model", used=("tokens:v1",)))
    found = shell.json("store gc --yes")
    assert found["garbage"] == []
    # tokens:v2 is the latest and needs data:v2; model:v1 needs tokens:v1, and that data:v1.
    assert data_versions(shell) == ["1", "2", "3"]
    build(shell, Build("model", used=("tokens:v2",)))
    found = shell.json("store gc --yes")
    assert [each["versions"] for each in found["garbage"]] == [
        ["data:v1"],
        ["model:v1"],
        ["tokens:v1"],
    ]
    assert data_versions(shell) == ["2", "3"]


def data_versions(shell: Shell) -> list[str]:
    return sorted(path.name for path in (shell.folder / ".runspec/outputs/data").iterdir())


def test_frees_only_what_is_ours(shell: Shell) -> None:
    (shell.folder / "books").mkdir()
    for _ in range(2):
        shell.ok("store add books books --type DataArtifact")
    theirs = build(shell, Build("model", extra={}))
    build(shell, Build("model"))
    assert "2 not ours to free" in shell.ok("store gc --yes")
    assert (shell.folder / "books").exists() and Path(theirs.path).exists()


def test_shared_folders_stay(shell: Shell) -> None:
    build(shell, Build("user/ada/model"))
    shell.ok("promote user/ada/model:v1 --to model")
    build(shell, Build("user/ada/model"))
    # Lineage keeps it; so does the folder, for a version that says nothing of its origin.
    assert "nothing to free" in shell.ok("store gc --yes")
    whole = build(shell, Build("run"))
    inside = Path(whole.path) / "checkpoint"
    inside.mkdir()
    store = shell.store
    draft = VersionDraft(path=str(inside), extra={"owned": True, "checkpoint": True})
    store.add_version("checkpoint", draft)
    build(shell, Build("run"))
    assert "1 shares its folder with one that stays" in shell.ok("store gc --yes")
    assert inside.exists()
    store.add_version("checkpoint", replace(draft, path=whole.path + "-other", extra={}))
    found = shell.json("store gc --yes")
    assert found["garbage"][0]["versions"] == ["checkpoint:v1", "run:v1"]
    assert not Path(whole.path).exists()
    assert store.gone("checkpoint", 1) is not None


def test_a_build_that_goes_on_keeps_its_checkpoints(shell: Shell) -> None:
    output = open_output(shell.folder / ".runspec" / "outputs", "model", "a" * 64)
    output = output.with_attempt(Attempt("job", None, "here"))
    extra = {"owned": True, "checkpoint": True}
    for step in ("10", "20"):
        (output.folder / step).mkdir(parents=True)
        draft = VersionDraft(path=str(output.folder / step), key="a" * 64, extra=extra)
        shell.store.add_version("model", draft)
    assert "1 of a build that goes on" in shell.ok("store gc --yes")
    assert (output.folder / "10").exists()
    age(output.marker, 60)
    assert "model:v1" in shell.ok("store gc")
    output.with_version(2)
    shell.ok("store gc --yes")
    assert not (output.folder / "10").exists() and (output.folder / "20").exists()


def test_a_running_pipeline_keeps_what_it_is_about(shell: Shell) -> None:
    for name in ("user/ada/data", "stats/1a2b3c4d", "pinned", "other"):
        old, _ = (build(shell, Build(name, key=f"{n}" * 64, days=60)) for n in range(2))
    example = Example(shell.folder.parent / "example")
    example.add("data")
    example.add("stats", inputs=["data", "pinned:v1"])
    example.settings = ArtifactsSettings(root=shell.store.root, namespace="user/ada")
    example.store = shell.store
    with in_use(example.world(), {"user": "ada"}):
        found = shell.json("store gc")
        assert [each["versions"] for each in found["garbage"]] == [["other:v1"]]
        assert found["kept"] == {"latest": 4, "of a pipeline that runs": 3}
    found = shell.json("store gc")
    assert len(found["garbage"]) == 4
    # It began after gc had looked, and before it freed anything.
    place = open_place(Given((), {}))
    policy = Policy(datetime.now(timezone.utc), 0)
    looked = find_garbage(place, policy)
    with in_use(example.world(), {"user": "ada"}):
        failures = _collect(place, policy, looked)
    assert len(failures) == 3 and all("is needed now" in each for each in failures)
    assert not Path(old.path).exists()


def test_never_removes_the_store_or_where_we_are(shell: Shell) -> None:
    for path in (shell.folder, shell.folder.parent, Path(shell.store.root)):
        shell.store.add_version("odd", VersionDraft(path=str(path), extra={"owned": True}))
    build(shell, Build("odd"))
    assert "3 holds the store or this folder" in shell.ok("store gc --yes")
    assert Path(shell.store.root).is_dir()


def test_marks_what_somebody_deleted(shell: Shell) -> None:
    mine = build(shell, Build("model"))
    elsewhere = Build("far", run={"host": "another-machine"})
    far = build(shell, elsewhere)
    shutil.rmtree(mine.path)
    shutil.rmtree(Path(far.path).parent)
    dry = shell.ok("store gc")
    assert "to be marked as gone, somebody deleted the data:\n  model:v1" in dry
    assert "left alone: far:v1" in dry and "it was made on another-machine" in dry
    assert shell.store.gone("model", 1) is None
    shell.ok("store gc --yes")
    assert "deleted by somebody; noticed by ada@" in (shell.store.gone("model", 1) or "")
    assert shell.store.gone("far", 1) is None
    assert "model:v1" not in shell.ok("store gc")


def test_goes_on_where_it_was_killed(shell: Shell) -> None:
    old = build(shell, Build("model"))
    build(shell, Build("model"))
    shell.store.mark_gone("model", 1, "freed by store gc of eve@box, and killed then")
    shell.ok("store gc --yes")
    assert not Path(old.path).exists()


def test_a_broken_manifest_stops_it(shell: Shell) -> None:
    old = build(shell, Build("model"))
    build(shell, Build("model"))
    (Path(shell.store.root) / "model" / "v2" / "manifest.json").write_text("{")
    assert "manifest.json is broken" in shell.refused("store gc --yes")
    assert Path(old.path).exists()


def test_dead_claims(shell: Shell) -> None:
    build(shell, Build("model"))
    root = Path(shell.store.root) / "model"
    for number in ("v2", "v3"):
        (root / number).mkdir()
        (root / number / "_claim").write_text("{}")
    (root / "v2" / "metadata.json").write_text("{}")
    age(root / "v2" / "_claim", 2)
    build(shell, Build("model"))
    (root / "v5").mkdir()
    (root / "v5" / "_claim").write_text("{}")
    age(root / "v5" / "_claim", 2)
    assert "number of a killed writer: model v2" in shell.ok("store gc")
    assert (root / "v2").exists()
    shell.ok("store gc --yes")
    # v3 may still be at work, and above the highest version there must be no gap.
    assert not (root / "v2").exists() and (root / "v3").exists() and (root / "v5").exists()
    assert build(shell, Build("model")).version == 6


def test_bundles(shell: Shell) -> None:
    jobs = shell.folder / ".runspec" / "jobs"
    digests = {name: f"{number}" * 32 for number, name in enumerate(("job", "kept", "new", "old"))}
    for name, digest in digests.items():
        bundle = jobs / "_bundles" / digest
        bundle.mkdir(parents=True)
        (bundle / "bundle.json").write_text(json.dumps({"name": name}))
        age(bundle, 0 if name == "new" else 60)
    job = jobs / "20260101-000000-train"
    job.mkdir()
    (job / "command.sh").write_text(f"cd '{jobs}/_bundles/{digests['job']}/code'\n")
    build(shell, Build("model", run={"bundle": digests["kept"] + "0" * 32}))
    out = shell.ok("store gc")
    assert f"bundle that no job uses: {jobs}/_bundles/{digests['old']}" in out
    shell.ok("store gc --yes --store .runspec/artifacts")
    assert len(list((jobs / "_bundles").iterdir())) == 4
    starting = jobs / "20260101-000000-starts"
    starting.mkdir()
    assert "nothing to free" in shell.ok("store gc --yes")
    starting.rmdir()
    shell.ok("store gc --yes")
    left = {path.name for path in (jobs / "_bundles").iterdir()}
    assert left == {digests["job"], digests["kept"], digests["new"]}
