from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from nemo_runspec.artifacts import (
    Artifact,
    DataBlendsArtifact,
    ModelArtifact,
    PretrainBlendsArtifact,
    SFTDataArtifact,
    SplitJsonlDataArtifact,
    setup_artifact_tracking,
)
from nemo_runspec.artifacts.types import ArtifactDataError
from nemo_runspec.exceptions import ArtifactError, ArtifactNotFoundError


class EvalResults(Artifact):
    """An artifact class as a recipe writes it."""

    volatile = Artifact.volatile | {"seconds"}

    accuracy: float
    seconds: float = 0.0
    source: str | None = None


def test_own_fields_are_metadata(tmp_path: Path) -> None:
    results = EvalResults(path=tmp_path, accuracy=0.5, metadata={"note": "x"})
    assert results.type == "EvalResults"
    assert results.metadata == {"note": "x", "accuracy": 0.5, "seconds": 0.0}
    results.accuracy = 0.75
    assert results.metadata["accuracy"] == 0.75
    assert results.metrics == {"accuracy": 0.75, "seconds": 0.0}
    assert results.uri is None


def test_what_the_caller_passed_stays_the_callers(tmp_path: Path) -> None:
    metadata = {"note": "x"}
    EvalResults(path=tmp_path, accuracy=1, metadata=metadata)
    assert metadata == {"note": "x"}


def test_metadata_reads_as_attributes(tmp_path: Path) -> None:
    artifact = Artifact(path=tmp_path, metadata={"accuracy": 0.5})
    assert artifact.accuracy == 0.5
    with pytest.raises(AttributeError, match="no field 'acuracy'; did you mean 'accuracy'"):
        _ = artifact.acuracy
    assert not hasattr(artifact, "_repr_html_")


def test_paths_and_urls() -> None:
    assert Artifact(path="a/b").path == Path("a/b")
    assert Artifact(path="s3://b/x").path == "s3://b/x"
    assert Artifact(path="file:///a/b").path == Path("/a/b")
    with pytest.raises(ValueError, match="Path has spoilt"):
        Artifact(path=Path("s3://b/x"))


def test_save_and_load(tmp_path: Path) -> None:
    model = ModelArtifact(path=tmp_path / "model", step=7, final_loss=float("nan"))
    model.save()
    document = json.loads((tmp_path / "model/metadata.json").read_text("utf-8"))
    assert document["type"] == "ModelArtifact"
    assert document["metadata"]["final_loss"] == "NaN"
    loaded = ModelArtifact.load(tmp_path / "model")
    assert loaded.step == 7
    assert loaded.final_loss != loaded.final_loss
    assert Artifact.load(tmp_path / "model").step == 7
    assert loaded.producer == "local"


def test_a_file_keeps_its_metadata_beside_it(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}", "utf-8")
    SplitJsonlDataArtifact(path=manifest, total_sequences=3, train="t").save()
    loaded = SplitJsonlDataArtifact.load(manifest)
    assert (loaded.path, loaded.train) == (manifest, "t")
    blend = DataBlendsArtifact(
        path=tmp_path / "no" / "blend.json", total_tokens=1, total_sequences=1
    )
    with pytest.raises(ArtifactError, match="there is no such file"):
        blend.save()


def test_load_from_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelArtifact(path=tmp_path, step=1)
    model.save()
    monkeypatch.setattr("sys.stdin", io.StringIO(str(model)))
    assert ModelArtifact.load().step == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("nonsense"))
    with pytest.raises(ArtifactDataError, match="names no artifact: no JSON"):
        ModelArtifact.load()


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ArtifactNotFoundError, match="no artifact was saved there"):
        Artifact.load(tmp_path)
    EvalResults(path=tmp_path, accuracy=1).save()
    with pytest.raises(ArtifactDataError, match="is no SFTDataArtifact: total_tokens: Field req"):
        SFTDataArtifact.load(tmp_path)
    (tmp_path / "metadata.json").write_text("[]", "utf-8")
    with pytest.raises(ArtifactDataError, match="must be a mapping"):
        Artifact.load(tmp_path)


def test_types_of_the_contract(tmp_path: Path) -> None:
    blends = PretrainBlendsArtifact(
        path=tmp_path,
        total_tokens=10,
        total_sequences=2,
        num_shards=1,
        source_datasets=["hf://a/b", {"uri": "s3://c", "weight": 2}],
        tokenizer_uri="https://huggingface.co/t",
    )
    assert blends.get_input_uris() == ["hf://a/b", "s3://c", "https://huggingface.co/t"]
    with pytest.raises(ValueError, match="total_tokens"):
        PretrainBlendsArtifact(path=tmp_path, total_tokens=-1, total_sequences=2)
    # Checkpoint hooks in the field write the iteration alone.
    assert ModelArtifact.model_validate({"path": "x", "metadata": {"iteration": 5}}).step == 5


def test_from_uri(tmp_path: Path) -> None:
    setup_artifact_tracking({})
    results = EvalResults(path=tmp_path, accuracy=0.25)
    results.save("eval-results")
    assert results.uri == "art://eval-results:v1"
    loaded = EvalResults.from_uri("art://eval-results")
    assert (loaded.accuracy, loaded.uri, loaded.version) == (0.25, "art://eval-results:v1", 1)
    with pytest.raises(ArtifactDataError, match="eval-results:v1: is no ModelArtifact: step"):
        ModelArtifact.from_uri("art://eval-results:v1")
    with pytest.raises(ArtifactError, match="eval-reslts"):
        EvalResults.from_uri("art://eval-reslts")
    with pytest.raises(ValueError, match="no art:// URI"):
        EvalResults.from_uri("s3://eval-results")
