"""`nemo-runspec lineage`, as a user types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nemo_runspec.lineage.commands import FORMATS
from nemo_runspec.relay.errand import Place, errand_of
from nemo_runspec.store import VersionDraft
from tests.nemo_runspec.lineage.family import Family
from tests.nemo_runspec.pipeline.example_plan import Example
from tests.nemo_runspec.store_admin.commands import Shell


def shown(text: str) -> list[str]:
    """The ids that a JSON document has, sorted."""
    return sorted(node["id"] for node in json.loads(text)["nodes"])


def test_a_name_means_its_latest_version(shell: Shell, family: Family) -> None:
    assert shell.ok("lineage model").startswith("model:v2  ModelArtifact\n")
    assert shell.ok("lineage model:v1").startswith("model:v1  ModelArtifact\n")
    shell.ok("promote model:v1 prod")
    assert shell.ok("lineage model:prod").startswith("model:v1  ModelArtifact, alias prod\n")
    assert shell.ok("lineage model --at=v1") == shell.ok("lineage model:v1")
    assert shell.ok("lineage model --at prod") == shell.ok("lineage model:v1")


def test_which_models_saw_a_data_set(shell: Shell, family: Family) -> None:
    text = shell.ok("lineage books:v1 --direction=downstream --type=ModelArtifact --format=json")
    assert shown(text) == ["books:v1", "model:v1", "model:v2", "rival:v1"]
    both = "--type=ModelArtifact --type EvalArtifact"
    text = shell.ok(f"lineage books:v1 --direction=downstream {both} --format json")
    assert shown(text) == ["books:v1", "model:v1", "model:v2", "rival:v1", "scores:v1"]


def test_a_type_that_nothing_has(shell: Shell, family: Family) -> None:
    code, out, err = shell.run("lineage model --type=DataArtefact")
    assert (code, out.splitlines()[0]) == (0, "model:v2  ModelArtifact")
    assert "tokens:v1" not in out
    assert err.startswith("note: none of them is a DataArtefact; did you mean 'DataArtifact'?")


def test_json_is_everything(shell: Shell, family: Family) -> None:
    document = json.loads(shell.ok("lineage scores --format=json"))
    assert document["schema"] == "1" and document["roots"] == ["scores:v1"]
    assert document["store"] == family.store.root and document["direction"] == "upstream"
    (node,) = (each for each in document["nodes"] if each["id"] == "model:v2")
    assert node["document"]["parts"]["config"] == {"lr": 0.2, "steps": 10}
    assert (node["state"], node["kind"]) == ("recorded", "version")
    assert {"above": "model:v2", "below": "scores:v1", "key": "model"} in document["edges"]


def test_a_file_is_written_and_said(shell: Shell, family: Family, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "it's.mmd"
    out = shell.ok(f'lineage scores --format=mermaid --output "{path}"')
    assert out == f"{path}\n"
    assert path.read_text().startswith("flowchart LR\n")


def test_a_page_and_events(shell: Shell, family: Family) -> None:
    page = shell.ok("lineage scores --format=html")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "model:v2" in page
    events = [
        json.loads(line)
        for line in shell.ok("lineage scores --format=openlineage").split("\n")
        if line
    ]
    assert events and all("eventType" in each or "run" in each for each in events)


SECRET = "hunter2hunter2"
NUMBER = 7316527731


@pytest.fixture
def leaky(shell: Shell, family: Family) -> None:
    """model:v3 and v4, with a secret wherever somebody may have written one."""
    url = f"https://ada:{SECRET}@host/data"
    for number in (3, 4):
        family.add(
            "model",
            inputs=[url],
            metadata={"api_key": SECRET, "password": NUMBER + number, "start": f"--token={SECRET}"},
            config={"password": f"{SECRET}{number}", "url": f"{url}{number}"},
            run={"log": url, "command": f"train --api-key={SECRET}"},
        )
    made = family.store.manifest("model", 4)
    draft = VersionDraft(
        path=url,
        used_artifacts=("model:v3", "model:v4"),
        key="0" * 64,
        parts={**(made.parts or {}), "environment": {"image": url}, "external": [[url, "etag:1"]]},
        explain={**(made.explain or {}), "env": {"HF_TOKEN": SECRET}},
        run=dict(made.run),
        extra={"note": f"--token={SECRET}"},
    )
    family.store.add_version("model", draft)
    family.store.revoke("model", 3, by="ada", reason=f"it holds {url}")
    family.store.mark_gone("model", 4, f"moved to {url}")


@pytest.mark.parametrize(
    "line",
    [
        *(f"lineage model --format={form}" for form in FORMATS),
        "lineage model --keys --width=200",
        "why model:v4 v3",
        "why model:v5 v4 --format=json",
        "impact model:v5",
        "impact model:v3 --format=json",
        "reproduce model:v5",
        "reproduce model:v5 --format=json",
    ],
)
@pytest.mark.usefixtures("leaky")
def test_secrets_are_never_shown(shell: Shell, line: str) -> None:
    code, out, err = shell.run(line)
    # What was recorded by other means cannot be made again, and that is no failure here.
    assert out and (code == 0 or line.startswith("reproduce")), err
    assert SECRET not in out and str(NUMBER)[:-1] not in out and SECRET not in err


def test_a_flowchart_that_nobody_draws(shell: Shell, family: Family) -> None:
    used = ("tokens:v1", "model:v1", "model:v2", "rival:v1", "scores:v1", "books:v1")
    for _ in range(84):
        family.store.add_version("many", VersionDraft(path="/x", used_artifacts=used))
    code, out, err = shell.run("lineage books:v1 --direction=downstream --format=mermaid")
    assert (code, out.count(" --> ")) == (0, 84 * 6)
    assert err.startswith("note: 510 edges and ") and err.count("\n") == 1


def test_one_s_own_come_first(shell: Shell, family: Family) -> None:
    (shell.folder / "env.toml").write_text('[artifacts]\nnamespace = "user/ada"\n')
    family.store.add_version("user/ada/model", VersionDraft(path="/mine"))
    assert shell.ok("lineage model").startswith("user/ada/model:v1")
    assert shell.ok("lineage rival").startswith("rival:v1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lineage", "lineage of what?"),
        ("lineage modle", "no artifact 'modle' in"),
        ("lineage model:v9", "model has no version v9 in"),
        ("lineage model:v1 --at=v2", "model:v1 and --at=v2 both name a version"),
        ("lineage model --direction=up", "--direction cannot be 'up'; there are: both, downstream"),
        ("lineage src/p:model --format=xml", "--format cannot be 'xml'"),
        ("lineage //x", "'//x' is no artifact reference"),
        ("lineage model --plan nowhere", "nowhere"),
        ("lineage --plan nowhere --at=v1", "--at is a version of an artifact, --plan is about"),
        ("lineage model --output=.git", "--output=.git is a folder; name a file in it"),
        ("lineage model --output=env.toml/x", "--output=env.toml/x cannot be written: "),
    ],
)
def test_what_is_wrong_is_said(shell: Shell, family: Family, line: str, message: str) -> None:
    (shell.folder / "env.toml").touch()
    assert message in shell.refused(line)


def test_a_page_is_no_text_for_a_terminal(
    shell: Shell, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "--output lineage.html" in shell.refused("lineage model --format=html")


def test_nothing_was_recorded_yet(shell: Shell) -> None:
    assert "nothing was recorded" in shell.refused("lineage model")


def test_a_plan(shell: Shell, tmp_path: Path) -> None:
    example = Example(tmp_path / "example")
    data = example.add("data", config="count: 3\n")
    model = example.add("model", inputs=["data"])
    example.build()
    example.configs["src/pipe/config/data.yaml"] = "count: 4\n"
    folder = example.write()
    store = f"--store {example.folder / 'store'}"
    assert shell.ok(f"lineage --plan {folder} {store}").startswith("? model  depends, Artifact\n")
    out = shell.ok(f"lineage {data} --plan {folder} {store} --direction=both")
    assert "* data  stale" in out and "└─ ? model  depends" in out
    document = json.loads(shell.ok(f"lineage {model} --plan {folder} {store} --format=json"))
    assert document["roots"] == [f"target:{model}"]
    assert "no src/pipe:modle" in shell.refused(f"lineage src/pipe:modle --plan {folder} {store}")


def test_a_store_on_a_cluster(tmp_path: Path) -> None:
    """What lies here is sent along, and what would be written there is refused."""
    place = Place("/lustre/jobs", "the-id")
    recorded = ("lineage", "model:v3", "--profile=prod", "--format=json")
    assert errand_of(recorded, place, {}).arguments == recorded
    example = Example(tmp_path)
    model = example.add("model", config="lr: 1\n")
    words = ("lineage", model, "--profile", "prod", f"--plan={example.write()}", "--keys")
    errand = errand_of(words, place, {})
    run = "/lustre/jobs/_relay/runs/the-id"
    assert errand.arguments == (
        *("lineage", f"--plan={run}/plan", "--profile=prod", "--keys", model),
    )
    assert [entry.path for entry in errand.files] == [
        "plan/plan.json",
        "plan/configs/src/pipe/config/model.yaml",
    ]
    with pytest.raises(Exception, match="write what is printed to a file"):
        errand_of(("lineage", "model", "--output=x", "--profile=prod"), place, {})
