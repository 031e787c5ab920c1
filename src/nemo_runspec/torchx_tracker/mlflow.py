"""A tracker of TorchX that keeps its records in MLflow; needs ``mlflow`` or ``mlflow-skinny``.

A run of TorchX is a run of MLflow, found by a tag. Metadata and artifacts are tags, for those can
be set again; what a run was made from is tags too. Parameters, which MLflow lets nobody change, are
what :meth:`MlflowTracker.log_params_flat` logs.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from torchx.tracker.api import TrackerArtifact, TrackerBase, TrackerSource

from nemo_runspec.exceptions import ConfigError
from nemo_runspec.masking import mask_secrets
from nemo_runspec.optional import optional_import
from nemo_runspec.torchx_tracker.flatten import flatten
from nemo_runspec.torchx_tracker.records import Link
from nemo_runspec.torchx_tracker.store_tracker import RunLineage

EXPERIMENT = "torchx"

_RUN = "torchx.run_id"
_RUN_KEY = "torchx.run_key"
_METADATA = "torchx.metadata."
_ARTIFACT = "torchx.artifact."
_SOURCE = "torchx.source."
_DESCENDS = "torchx.descends."
_KEYS = ("artifact_location", "experiment_name", "tracking_uri")
_MOST_PARAMS = 100  # of one request, as the server has it
_MOST_RUNS = 1000


def create_tracker(config: str | None) -> MlflowTracker:
    """A tracker that keeps its records in MLflow: what TorchX calls to make one.

    Args:
        config: the tracking server's URI; or a JSON object, or the path of a file with one, of
            ``tracking_uri``, ``experiment_name`` and ``artifact_location``. Without a URI
            ``MLFLOW_TRACKING_URI`` counts, without an experiment ``MLFLOW_EXPERIMENT_NAME``.

    Raises:
        ConfigError: the object has other keys, or cannot be read.
        MissingPackageError: MLflow is not installed.
    """
    return MlflowTracker(**_settings(config or ""))


class MlflowTracker(TrackerBase):
    """The tracker. Its run ends when the process does, or with :meth:`close`.

    Args:
        tracking_uri: the tracking server or folder; None for MLflow's own default.
        experiment_name: the experiment; it is made where it is missing.
        artifact_location: where a new experiment keeps its files.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment_name: str | None = None,
        artifact_location: str | None = None,
    ) -> None:
        # A server that does not answer holds nobody up for the minutes that MLflow would try.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        tracking = optional_import(
            "mlflow.tracking", needed_for="the MLflow tracker", distribution="mlflow-skinny"
        )
        self._entities = optional_import("mlflow.entities", needed_for="the MLflow tracker")
        self._client = tracking.MlflowClient(tracking_uri=tracking_uri)
        name = experiment_name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        self._experiment = self._experiment_id(name, artifact_location)
        self._open: dict[str, str] = {}
        atexit.register(self._close_at_exit)

    def add_artifact(
        self, run_id: str, name: str, path: str, metadata: Mapping[str, object] | None = None
    ) -> None:
        said = {"name": name, "path": str(path), "metadata": metadata}
        self._tag(run_id, {f"{_ARTIFACT}{_digest(name)}": _json(mask_secrets(said))})

    def artifacts(self, run_id: str) -> Mapping[str, TrackerArtifact]:
        said = [json.loads(text) for _, text in self._tags(run_id, _ARTIFACT)]
        return {
            each["name"]: TrackerArtifact(each["name"], each["path"], each["metadata"])
            for each in sorted(said, key=lambda each: str(each["name"]))
        }

    def add_metadata(self, run_id: str, **kwargs: object) -> None:
        shown = {key: mask_secrets({key: value})[key] for key, value in kwargs.items()}
        self._tag(run_id, {f"{_METADATA}{key}": _text(value) for key, value in shown.items()})

    def metadata(self, run_id: str) -> Mapping[str, object]:
        """What was said of a run; its parameters too."""
        run = self._find(run_id)
        params = {} if run is None else dict(run.data.params)
        return {**params, **{key: _value(text) for key, text in self._tags(run_id, _METADATA)}}

    def add_source(self, run_id: str, source_id: str, artifact_name: str | None = None) -> None:
        link = {"source": source_id, "artifact": artifact_name}
        self._tag(
            run_id,
            {
                f"{_SOURCE}{_digest(source_id, artifact_name or '')}": _json(link),
                # For those who look for what was made from the source.
                f"{_DESCENDS}{_digest(source_id)}": "1",
            },
        )

    def sources(self, run_id: str, artifact_name: str | None = None) -> Iterable[TrackerSource]:
        return [
            TrackerSource(link.source_id, link.artifact_name)
            for link in self._links(self._find(run_id))
            if artifact_name is None or link.artifact_name == artifact_name
        ]

    def lineage(self, run_id: str) -> RunLineage:
        """All that a run was made from, and all that was made from it, transitively."""
        above: dict[Link, None] = {}
        below: dict[Link, None] = {}
        seen, waiting = {run_id}, [run_id]
        while waiting:
            for link in self._links(self._find(waiting.pop(0))):
                above[link] = None
                if link.source_id not in seen:
                    seen.add(link.source_id)
                    waiting.append(link.source_id)
        seen, waiting = {run_id}, [run_id]
        while waiting:
            source = waiting.pop(0)
            for run in self._search(f"tags.`{_DESCENDS}{_digest(source)}` = '1'"):
                links = [link for link in self._links(run) if link.source_id == source]
                below.update(dict.fromkeys(links))
                name = str(run.data.tags[_RUN])
                if name not in seen:
                    seen.add(name)
                    waiting.append(name)
        return RunLineage(run_id, tuple(above), tuple(below))

    def run_ids(self, **kwargs: Any) -> Iterable[str]:
        """The ids of the runs, sorted; of those made from ``parent_run_id``, if one is given."""
        parent = kwargs.pop("parent_run_id", None)
        if kwargs:
            raise TypeError(f"runs cannot be found by {', '.join(kwargs)}; give parent_run_id")
        wanted = "" if parent is None else f"tags.`{_DESCENDS}{_digest(parent)}` = '1'"
        found = self._search(wanted)
        return sorted(str(run.data.tags[_RUN]) for run in found if _RUN in run.data.tags)

    def log_params_flat(self, run_name: str, cfg: Any, key: str = "") -> None:
        """Log a config as parameters (:func:`nemo_runspec.torchx_tracker.flatten.flatten`).

        Args:
            run_name: the run's id.
            cfg: a dataclass, a mapping, or a sequence.
            key: what stands before each name.
        """
        params = mask_secrets(flatten(cfg, key))
        listed = [self._entities.Param(name, str(value)) for name, value in params.items()]
        run = self._run(run_name)
        for start in range(0, len(listed), _MOST_PARAMS):
            self._client.log_batch(run, params=listed[start : start + _MOST_PARAMS])

    def close(self, status: str = "FINISHED") -> None:
        """End the runs that this process wrote to.

        Args:
            status: how they ended, as MLflow calls it: ``FINISHED``, ``FAILED`` or ``KILLED``.
        """
        while self._open:
            _, run = self._open.popitem()
            self._client.set_terminated(run, status=status)

    def _close_at_exit(self) -> None:
        # The interpreter leaves there what it died of.
        failed = getattr(sys, "last_value", None) is not None
        try:
            self.close("FAILED" if failed else "FINISHED")
        except Exception as error:
            text = mask_secrets(" ".join(str(error).split()))
            print(f"warning: a run of MLflow could not be ended: {text}", file=sys.stderr)

    def _experiment_id(self, name: str, location: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=location))
            except Exception:
                # Another process of the job may just have made it.
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        run = self._run(run_id)
        listed = [self._entities.RunTag(key, text) for key, text in tags.items()]
        self._client.log_batch(run, tags=listed)

    def _run(self, run_id: str) -> str:
        """MLflow's id of a run, which is made where it is missing."""
        if run_id not in self._open:
            found = self._find(run_id)
            if found is None:
                tags = {_RUN: run_id, _RUN_KEY: _digest(run_id)}
                found = self._client.create_run(self._experiment, tags=tags, run_name=run_id)
            self._open[run_id] = found.info.run_id
        return self._open[run_id]

    def _find(self, run_id: str) -> Any:
        found = self._search(f"tags.`{_RUN_KEY}` = '{_digest(run_id)}'")
        return found[0] if found else None

    def _search(self, wanted: str) -> list[Any]:
        found: list[Any] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], wanted, max_results=_MOST_RUNS, page_token=token
            )
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _tags(self, run_id: str, prefix: str) -> list[tuple[str, str]]:
        run = self._find(run_id)
        tags = {} if run is None else run.data.tags
        return sorted(
            (key.removeprefix(prefix), str(text))
            for key, text in tags.items()
            if key.startswith(prefix)
        )

    def _links(self, run: Any) -> list[Link]:
        tags = {} if run is None else run.data.tags
        said = [json.loads(text) for key, text in tags.items() if key.startswith(_SOURCE)]
        found = [Link(str(tags[_RUN]), each["source"], each["artifact"]) for each in said]
        return sorted(found, key=str)


def _settings(config: str) -> dict[str, str]:
    text = config.strip()
    if text and "://" not in text and not text.startswith("{") and os.path.isfile(text):
        with open(text, encoding="utf-8") as file:
            text = file.read().strip()
    if not text.startswith("{"):
        return {"tracking_uri": text} if text else {}
    try:
        said = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the MLflow tracker's config is no JSON: {error}") from error
    unknown = sorted(set(said) - set(_KEYS))
    if unknown:
        raise ConfigError(
            f"the MLflow tracker's config has no {', '.join(unknown)}; it has {', '.join(_KEYS)}"
        )
    return {key: str(value) for key, value in said.items() if value is not None}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _text(value: Any) -> str:
    """A value as a tag: a text as it is, unless it would be read as something else."""
    return value if isinstance(value, str) and _value(value) == value else _json(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
