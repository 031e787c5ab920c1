"""Looking at a store from Python: ``from nemo_runspec import store``."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nemo_runspec import store
from nemo_runspec.artifacts import Artifact, ModelArtifact, card, log_metric, notes, save_value
from nemo_runspec.artifacts.view import forget_uses, set_active_view, used_references
from nemo_runspec.client import ClientError, NamedArtifact, Version, html
from nemo_runspec.exceptions import ArtifactNotFoundError, ArtifactVersionNotFoundError
from nemo_runspec.manifest_tracker import ManifestTracker
from nemo_runspec.store import ArtifactRevokedError, Store, VersionDraft, open_store
from tests.nemo_runspec.artifacts.processes import enter_repository, output, start

NASTY = "<script>alert('x')</script>"


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = enter_repository(tmp_path, monkeypatch)
    _forget()
    yield root
    _forget()


def _forget() -> None:
    store.use(None)
    set_active_view(None)
    forget_uses()
    notes.forget_notes()


@pytest.fixture
def place(repository: Path) -> Store:
    """The repository's own store: data, a model made of it, and a result of that."""
    place = open_store(str(repository / ".runspec" / "artifacts"))
    place.add_version("data", VersionDraft(path="/data/1", metadata={"rows": 7}))
    for step in (100, 200):
        place.add_version(
            "team/model",
            VersionDraft(
                path=f"/models/{step}",
                type="ModelArtifact",
                metadata={"step": step, "final_loss": 0.5, "note": NASTY},
                document={"metadata": {"step": step, "final_loss": 0.5, "note": NASTY}},
                used_artifacts=("data:v1", "elsewhere:v3"),
                run={"user": "ada", "host": "node", "recipe": "src/recipes:train", "commit": "abc"},
            ),
        )
    place.add_version("results", VersionDraft(path="/r", used_artifacts=("team/model:v2",)))
    place.set_alias("team/model", "prod", 1, by="ada")
    return place


class Strict(HTMLParser):
    """Fails on markup that is not closed, and on scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("div", "strong", "table", "tr", "th", "td", "iframe", "pre")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def shown(thing: Any) -> str:
    parser = Strict()
    parser.feed(thing._repr_html_())
    parser.close()
    assert parser.open == []
    return parser.text


def test_an_artifact_and_its_versions(place: Store) -> None:
    model = store.artifact("team/model")
    assert model.name == "team/model"
    assert [each.reference for each in model.versions] == ["team/model:v2", "team/model:v1"]
    assert model.latest == model["v2"] == model[2] == model.version("2") == model["latest"]
    assert model["prod"] == model.aliases["prod"] == model[1]
    assert len(model) == 2
    assert [each.number for each in model] == [2, 1]
    assert len({model.latest, model["v2"], model["v1"]}) == 2
    assert (repr(model), repr(model.latest)) == (
        "<artifact team/model>",
        "<ModelArtifact team/model:v2>",
    )


def test_a_version(place: Store) -> None:
    version = store.artifact("team/model").latest
    manifest = place.manifest("team/model", 2)
    assert version.manifest == manifest
    assert (version.name, version.number, version.path, version.type) == (
        "team/model",
        2,
        "/models/200",
        "ModelArtifact",
    )
    assert version.created_at == manifest.created_at
    assert version.run["recipe"] == "src/recipes:train"
    assert version.metadata["step"] == 200
    assert version.metrics == {"step": 200.0, "final_loss": 0.5}
    assert (version.series, version.cards, version.aliases) == ({}, (), ())
    assert store.artifact("team/model")["v1"].aliases == ("prod",)
    assert [each.reference for each in version.inputs] == ["data:v1"]
    assert [each.reference for each in version.used_by] == ["results:v1"]
    assert [each.reference for each in store.artifact("data").latest.used_by] == [
        "team/model:v1",
        "team/model:v2",
    ]


def test_nothing_of_it_can_be_changed(place: Store) -> None:
    version = store.artifact("data").latest
    for thing, name in ((version, "manifest"), (store.artifact("data"), "name")):
        with pytest.raises(AttributeError):
            setattr(thing, name, None)


def test_data(place: Store) -> None:
    data = store.artifact("team/model").latest.data
    assert (data.step, data.final_loss, data.path) == (200, 0.5, "/models/200")
    assert dir(data) == ["final_loss", "note", "path", "step"]
    with pytest.raises(AttributeError, match="has no field 'stepp'; did you mean 'step'?"):
        data.stepp  # noqa: B018
    assert not hasattr(data, "_repr_html_")


def test_what_a_job_said(place: Store, tmp_path: Path) -> None:
    log_metric("loss", 2.0, 1)
    log_metric("loss", 1.0, 2)
    log_metric("step", 7)
    card("# Text", title="Notes")
    card("<b>bold</b>", title=NASTY)
    (tmp_path / "out").mkdir()
    artifact = ModelArtifact(path=tmp_path / "out", step=2)
    ManifestTracker(place.root).record_artifact(artifact, "new")
    version = store.artifact("new").latest
    assert [(step, value) for step, value, _ in version.series["loss"]] == [(1, 2.0), (2, 1.0)]
    assert version.metrics == {"step": 7.0, "loss": 1.0}
    assert [(each.title, each.kind) for each in version.cards] == [
        ("Notes", "markdown"),
        (NASTY, "html"),
    ]
    assert " metric loss 1 " in shown(version)
    frame = version.cards[1]._repr_html_()
    assert 'sandbox="allow-scripts"' in frame
    assert "<b>" not in frame
    shown(version.cards[0])
    shown(version.cards[1])


def test_load_gives_the_class_that_logged_it(place: Store) -> None:
    loaded = store.artifact("team/model").latest.load()
    assert isinstance(loaded, ModelArtifact)
    assert (loaded.step, loaded.uri) == (200, "art://team/model:v2")
    assert type(store.artifact("data").latest.load()) is Artifact
    assert used_references() == ("team/model:v2", "data:v1")


def test_a_value(place: Store, tmp_path: Path) -> None:
    save_value("numbers", {"a": 1, "b": [2]}, folder=tmp_path / "values")
    save_value("list", [1, 2], folder=tmp_path / "values")
    version = store.artifact("numbers").latest
    assert version.load() == {"a": 1, "b": [2]}
    assert (version.data.a, version.data.b, version.data.value) == (1, [2], {"a": 1, "b": [2]})
    assert store.artifact("list").latest.data.value == [1, 2]
    with pytest.raises(AttributeError, match="has no field 'c'"):
        version.data.c  # noqa: B018


def test_a_revoked_version_is_shown_and_not_loaded(place: Store) -> None:
    assert store.artifact("results").latest.revoked is None
    place.revoke("data", 1, by="ada", reason="broken")
    version = store.artifact("results").latest
    assert version.revoked is not None
    assert version.revoked.reason == "broken"
    with pytest.raises(ArtifactRevokedError, match="broken"):
        version.load()
    place.mark_gone("data", 1, "deleted")
    assert store.artifact("data").latest.gone == "deleted"


def test_lineage(place: Store) -> None:
    lineage = store.artifact("team/model").latest.lineage()
    assert lineage.roots == ("team/model:v2",)
    assert {node.name for node in lineage.nodes} == {"data", "elsewhere", "team/model"}
    both = store.artifact("team/model").latest.lineage(direction="both")
    assert "results:v1" in {node.id for node in both.nodes}
    assert repr(lineage) == "<lineage of team/model:v2, upstream: 3 nodes>"
    assert str(lineage).startswith("team/model:v2  ") and "data:v" in str(lineage)
    assert lineage._repr_html_().startswith("<pre>team/model:v2  ")
    with pytest.raises(ClientError, match="no direction 'up'; there are: both"):
        store.artifact("data").latest.lineage("up")


def test_listing_artifacts(place: Store) -> None:
    assert [each.name for each in store.artifacts()] == ["data", "results", "team/model"]
    assert [each.name for each in store.artifacts("team/*")] == ["team/model"]
    assert store.artifacts("none") == ()
    assert "none" in shown(store.artifacts("none"))


def test_what_is_not_there_is_said_with_what_there_is(place: Store) -> None:
    with pytest.raises(ArtifactNotFoundError, match="did you mean 'team/model'?"):
        store.artifact("team/modle")
    model = store.artifact("team/model")
    for which in ("v9", 9, "9"):
        with pytest.raises(ArtifactVersionNotFoundError, match="there are: v1, v2, prod"):
            model[which]
    with pytest.raises(ClientError, match="no alias 'prd'.*did you mean 'prod'?"):
        model["prd"]
    with pytest.raises(ClientError, match="no run is recorded"):
        store.latest_run()


def test_other_stores(place: Store, tmp_path: Path) -> None:
    other = open_store(str(tmp_path / "other"))
    other.add_version("there", VersionDraft(path="/x"))
    assert [each.name for each in store.artifacts(root=other.root)] == ["there"]
    assert [each.name for each in store.artifacts(root=other)] == ["there"]
    assert store.artifact("there", root=other).latest.path == "/x"
    store.use(other.root)
    assert [each.name for each in store.artifacts()] == ["there"]
    assert store.artifact("data", root=place).name == "data"
    with pytest.raises(ClientError, match="there is no store at .*nowhere"):
        store.use(str(tmp_path / "nowhere"))
    assert [each.name for each in store.artifacts()] == ["there"]
    store.use(None)
    assert store.artifact("data").name == "data"


def test_the_store_and_the_namespace_of_env_toml(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "team store"
    (repository / "env.toml").write_text(
        f'[artifacts]\nnamespace = "user/ada"\n[artifacts.manifest]\nroot = "{root}"\n'
    )
    monkeypatch.setenv("NEMOTRON_ENV_FILE", str(repository / "env.toml"))
    team = open_store(str(root))
    for name in ("model", "user/ada/model", "data"):
        team.add_version(name, VersionDraft(path=f"/{name}"))
    assert store.artifact("model").name == "user/ada/model"
    assert store.artifact("data").name == "data"
    assert [each.name for each in store.artifacts("m*")] == ["model", "user/ada/model"]


def test_in_a_notebook_everything_is_escaped(place: Store) -> None:
    place.add_version("odd", VersionDraft(path=NASTY, type=NASTY, metadata={NASTY: NASTY}))
    place.write_run("r", {"user": NASTY, "recipe": NASTY, "versions": ["odd:v1"]})
    version = store.artifact("odd").latest
    for thing in (
        version,
        store.artifact("odd"),
        store.artifacts(),
        store.artifact("odd").versions,
        store.runs(),
        store.runs()[0],
        store.runs()[0].steps,
    ):
        assert "odd" in shown(thing)
    assert shown(version).count(NASTY) == 4
    assert "color:" not in version._repr_html_().replace("border", "")


def test_long_lists_are_cut(place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "_MOST_ROWS", 2)
    for _ in range(5):
        place.add_version("many", VersionDraft(path="/" + "x" * 1000))
    text = shown(store.artifact("many").versions)
    assert "and 3 more" in text
    assert "x" * 301 not in text


def test_the_names_of_the_store_are_what_they_were() -> None:
    assert store.Store is Store
    assert store.open_store is open_store
    assert {"artifact", "runs", "open_store"} <= set(dir(store))
    with pytest.raises(AttributeError, match="has no attribute 'artefact'"):
        store.artefact  # type: ignore[attr-defined]  # noqa: B018
    assert isinstance(NamedArtifact, type) and isinstance(Version, type)


def test_importing_the_store_brings_no_client() -> None:
    code = (
        "import sys; from nemo_runspec import store; store.open_store\n"
        "print([m for m in sys.modules if m.startswith('nemo_runspec.client')])\n"
        "store.artifact; print('nemo_runspec.client' in sys.modules)\n"
        "print([m for m in ('rich', 'yaml', 'pandas', 'IPython') if m in sys.modules])"
    )
    said = output(start(code))
    assert said.splitlines() == ["[]", "True", "[]"]


def test_a_bundle_without_the_client_says_so(tmp_path: Path) -> None:
    """As a recipe is packaged that did not import it."""
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'nemo_runspec.client':\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from nemo_runspec import store\n"
        "try:\n    store.artifact('x')\nexcept ImportError as error:\n    print(error)\n"
    )
    said = output(start(code))
    assert "write `from nemo_runspec.client import artifact` in the script" in said
