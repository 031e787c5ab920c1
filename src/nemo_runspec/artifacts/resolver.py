"""``${art:KEY[,FIELD]}``: a field of an artifact that the ``run`` section names.

The field is ``path`` where none is given::

    run:
      data: nano3-pretrain-data:latest
    blend: ${art:data,path}/blend.json

A planned job has its versions pinned (:mod:`nemo_runspec.artifacts.job_context`): nothing is
asked. Elsewhere the store is asked, in a distributed job by rank 0 alone, when the artifacts are
registered (:mod:`nemo_runspec.artifacts.answers`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_runspec._names import hint
from nemo_runspec._omegaconf import register_manifest_resolver, register_resolver
from nemo_runspec.artifacts.answers import (
    Board,
    choose_board,
    is_distributed,
    this_rank,
    wait_for_answer,
)
from nemo_runspec.artifacts.job_context import job_context
from nemo_runspec.artifacts.references import ResolvedArtifact, artifact_field
from nemo_runspec.artifacts.settings import ArtifactsSettings, artifacts_settings
from nemo_runspec.artifacts.view import (
    StoreView,
    active_view,
    forget_uses,
    note_use,
    open_view,
    resolved_input,
    tracking_is_off,
)
from nemo_runspec.exceptions import (
    ArtifactError,
    ArtifactNotFoundError,
    ArtifactVersionNotFoundError,
    ConfigError,
    EnvError,
    NemoRunspecError,
)
from nemo_runspec.store.names import ArtifactReference, parse_artifact_reference
from nemo_runspec.utils import describe_omegaconf_error
from runspec.references import find_artifact_references

ResolverMode = Literal["active_run", "pre_init", "local"]
ViewSource = Callable[[], StoreView]


@dataclass(frozen=True)
class _Question:
    """References that rank 0 answers together; the others wait for it."""

    board: Board
    name: str


@dataclass(frozen=True)
class _Registered:
    reference: ArtifactReference
    view: ViewSource
    question: _Question | None


_registered: dict[str, _Registered] = {}
_found: dict[tuple[str, ArtifactReference], ResolvedArtifact | NemoRunspecError] = {}
_asked: list[str] = []


def register_resolvers(
    artifacts: Mapping[str, str] | None = None,
    *,
    replace: bool = True,
    mode: ResolverMode | None = None,
    view: ViewSource | None = None,
) -> list[str]:
    """Make ``${art:…}`` and ``${manifest:…}`` work.

    Args:
        artifacts: by KEY, the reference that ``${art:KEY}`` stands for. They add to those
            registered before.
        replace: whether resolvers of these names that somebody else registered are replaced.
        mode: ``active_run``, ``pre_init`` or ``local`` (the default): when W&B is there to be
            told of the use. Each finds the same versions.
        view: gives the store when it is needed; default: that of the process.

    Returns:
        The W&B qualified names of the artifacts, for lineage; none without W&B. With W&B the
        artifacts are looked up now; one that cannot be found is an error where it is used.

    Raises:
        ConfigError: an unknown mode, or a value of ``artifacts`` is no reference.
        ResolveError: this is one process of many, and nothing tells its job from others.
    """
    modes: tuple[ResolverMode, ...] = get_args(ResolverMode)
    chosen = mode or "local"
    if chosen not in modes:
        raise ConfigError(f"unknown resolver mode {chosen!r}; {hint(chosen, modes, kind='Modes')}")
    references = {key: parse_artifact_reference(text) for key, text in (artifacts or {}).items()}
    if references:
        source = view or active_view
        question = _ask(references, source)
        for key, reference in references.items():
            _registered[key] = _Registered(reference, source, question)
    register_resolver("art", _art, replace=replace)
    register_manifest_resolver(replace=replace)
    return [] if chosen == "local" and view is None else _qualified_names(references)


def _qualified_names(references: Mapping[str, ArtifactReference]) -> list[str]:
    """W&B's names of what is registered, where W&B is asked."""
    names: dict[str, None] = {}
    for key in references:
        registered = _registered[key]
        try:
            catalog = registered.view().catalog
            name = None if catalog is None else catalog.qualified(_resolve(key, registered))
        except NemoRunspecError:
            continue  # said where it is used, if it is
        if name is not None:
            names[name] = None
    return list(names)


def register_config_artifacts(
    config: DictConfig,
    artifacts_key: str = "run",
    mode: ResolverMode | None = None,
    *,
    replace: bool = True,
    view: ViewSource | None = None,
) -> list[str]:
    """Make the ``${art:…}`` of a config work.

    They are looked up in the store of the job, else in that of the config's ``artifacts``, else
    in that of ``env.toml``.

    Args:
        config: the config.
        artifacts_key: the section that names the artifacts.
        mode: as for :func:`register_resolvers`.
        replace: as for :func:`register_resolvers`.
        view: gives the store instead.

    Returns:
        As :func:`register_resolvers`.

    Raises:
        ConfigError: as :func:`register_resolvers`.
        EnvError: the ``artifacts`` section is broken.
    """
    plain = OmegaConf.to_container(config, resolve=False)
    section = OmegaConf.select(config, artifacts_key)
    keys = find_artifact_references(plain, artifacts_key)
    settings = config_settings(config)
    if view is None and settings is not None:
        asks = settings.wandb and mode in ("active_run", "pre_init")
        opened = _view_with_wandb(settings) if asks else open_view(settings, job_context())
        view = (lambda: opened) if opened is not None else tracking_is_off
    artifacts = {key: section[key] for key in keys}
    return register_resolvers(artifacts, replace=replace, mode=mode, view=view)


def _view_with_wandb(settings: ArtifactsSettings) -> StoreView | None:
    # Not at the top: a dry run, say, asks nobody, and W&B's side takes its time to import.
    from nemo_runspec.wandb_tracking.catalog import view_with_wandb
    from nemo_runspec.wandb_tracking.own_session import wanted_session

    return view_with_wandb(settings, wanted_session(), job_context())


def config_settings(config: DictConfig) -> ArtifactsSettings | None:
    """What the ``artifacts`` section of a config says; None where it has none.

    Raises:
        EnvError: the section is broken.
    """
    try:
        section = OmegaConf.select(config, "artifacts")
        plain: Any = OmegaConf.to_container(section, resolve=True) if section is not None else None
    except OmegaConfBaseException as error:
        raise EnvError(f"the config's artifacts: {describe_omegaconf_error(error)}") from error
    except ValueError as error:
        raise EnvError(f"the config's artifacts must be a table, not {section!r}") from error
    return None if plain is None else artifacts_settings(plain)


def clear_artifact_cache() -> None:
    """Forget which artifacts were registered, found and used."""
    _registered.clear()
    _found.clear()
    forget_uses()


def registered_artifacts() -> list[ResolvedArtifact]:
    """The artifacts that the ``run`` section names, in its order, looked up.

    Raises:
        NemoRunspecError: one of them cannot be found.
    """
    return [_resolve(key, registered) for key, registered in _registered.items()]


def _art(key: Any, field_name: Any = "path") -> Any:
    registered = _registered.get(str(key))
    if registered is None:
        raise ArtifactNotFoundError(
            str(key),
            f"the run section names no artifact {str(key)!r}; "
            f"{hint(str(key), _registered, kind='Artifacts')}",
        )
    return artifact_field(_resolve(str(key), registered), str(field_name))


def _resolve(key: str, registered: _Registered) -> ResolvedArtifact:
    view = registered.view()
    known = (_scope(view), registered.reference)
    found = _pinned(key, registered.reference, view) or _found.get(known)
    if found is None and registered.question is not None:
        _read_answer(registered.question, view)
        found = _found.get(known)
    if found is None:
        found = _find_artifact(registered.reference, view)
        _found[known] = found
    if isinstance(found, NemoRunspecError):
        raise found
    note_use(found.reference)
    return found


def _find_artifact(reference: ArtifactReference, view: StoreView) -> ResolvedArtifact:
    """The one place where ``${art:…}`` is looked up."""
    return view.find(reference)


def _pinned(key: str, reference: ArtifactReference, view: StoreView) -> ResolvedArtifact | None:
    """The job's input of this key, where the reference means that artifact."""
    item = None if view.context is None else view.context.inputs.get(key)
    if item is None or not f"/{item.name}".endswith(f"/{reference.name}"):
        return None
    return resolved_input(item)


def _scope(view: StoreView) -> str:
    return f"{view.root}\n{view.namespace or ''}"


def _ask(references: Mapping[str, ArtifactReference], source: ViewSource) -> _Question | None:
    """In a distributed job: rank 0 finds the references now, the others learn where to look."""
    if not is_distributed():
        return None
    view = source()
    open_ones = [
        reference for key, reference in references.items() if _pinned(key, reference, view) is None
    ]
    if not open_ones:
        return None
    rank = this_rank()
    texts = sorted({str(reference) for reference in open_ones})
    # All processes run the same code, so they have asked as often.
    _asked.append(rank.job)
    subject = json.dumps([rank.job, len(_asked), texts])
    question = _Question(
        choose_board(view.store), hashlib.sha256(subject.encode()).hexdigest()[:32]
    )
    if rank.number == 0:
        _answer(question, open_ones, view)
    return question


def _answer(question: _Question, references: list[ArtifactReference], view: StoreView) -> None:
    answers: dict[str, Any] = {}
    try:
        for reference in references:
            try:
                found: ResolvedArtifact | NemoRunspecError = _find_artifact(reference, view)
            except NemoRunspecError as error:
                found = error
            _found[(_scope(view), reference)] = found
            answers[str(reference)] = _to_document(found)
    except BaseException as error:
        # Whatever ends rank 0 ends the others' waiting too.
        reason = f"rank 0 could not look up its artifacts: {type(error).__name__}: {error}"
        question.board.put(question.name, {"error": reason})
        raise
    question.board.put(question.name, {"answers": answers})


def _read_answer(question: _Question, view: StoreView) -> None:
    document = wait_for_answer(question.board, question.name)
    if "error" in document:
        raise ArtifactError(str(document["error"]))
    for text, answer in document["answers"].items():
        _found[(_scope(view), parse_artifact_reference(text))] = _from_document(answer)


def _to_document(found: ResolvedArtifact | NemoRunspecError) -> dict[str, Any]:
    if isinstance(found, ResolvedArtifact):
        return {"found": asdict(found)}
    return {"error": type(found).__name__, "message": str(found)}


def _from_document(answer: Mapping[str, Any]) -> ResolvedArtifact | NemoRunspecError:
    if "found" in answer:
        return ResolvedArtifact(**answer["found"])
    message = str(answer["message"])
    kind = _error_class(str(answer["error"]))
    if kind is ArtifactNotFoundError:
        return ArtifactNotFoundError("", message)
    if kind is ArtifactVersionNotFoundError:
        return ArtifactVersionNotFoundError("", "", message)
    # Others that are made of more than their message become the rung that all of them stand on.
    return kind(message) if kind.__init__ is NemoRunspecError.__init__ else ArtifactError(message)


def _error_class(name: str) -> type[NemoRunspecError]:
    known: list[type[NemoRunspecError]] = [NemoRunspecError]
    for kind in known:
        if kind.__name__ == name:
            return kind
        known += kind.__subclasses__()
    return ArtifactError
