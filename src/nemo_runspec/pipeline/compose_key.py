"""The composed config as it counts in a key.

It is what the script sees (:func:`nemo_runspec.config.loader.extract_train_config`), the same
launcher code made it, but for what says who, where or how often rather than what:

- the sections ``run``, ``artifacts`` and ``wandb`` are left out; ``${run.x}`` elsewhere counts by
  its value, unless it is the job's own (``run.env``, ``run.cli`` …): that stays as written;
- ``${oc.env:X}`` counts by its value. Variables that say who or where (:data:`WHO_AND_WHERE`)
  stand as ``<X>``, the output folder as ``<output>``, the build root as ``<root>``;
- secrets stand as ``<secret>``;
- ``${art:KEY,FIELD}`` and references within the config stay as written: what they name counts
  where it stands, artifacts as inputs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.exceptions import ConfigError, NemoRunspecError
from nemo_runspec.masking import is_secret_name, mask_secrets
from nemo_runspec.pipeline.cache import PlanCache
from nemo_runspec.pipeline.key import as_json, canonical_json
from nemo_runspec.version import VERSION
from runspec.models import Runspec
from runspec.plan import Plan, PlanArtifact
from runspec.references import JOB_KEYS, find_artifact_references

OUTPUT = "<output>"
SECRET = "<secret>"
ROOT = "<root>"

WHO_AND_WHERE = frozenset(
    {
        "CUDA_VISIBLE_DEVICES",
        "HF_HOME",
        "HOME",
        "HOST",
        "HOSTNAME",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "LOGNAME",
        "MASTER_ADDR",
        "MASTER_PORT",
        "NEMO_EXPERIMENT_ID",
        "NEMO_RUN_DIR",
        "NODE_RANK",
        "OLDPWD",
        "PATH",
        "PWD",
        "RANK",
        "TEMP",
        "TMP",
        "TMPDIR",
        "UID",
        "USER",
        "USERNAME",
        "WORLD_SIZE",
    }
)
_WHERE_PREFIXES = (
    "LSB_",
    "PBS_",
    "RAY_",
    "RUNSPEC_",
    "SLURM_",
    "SSH_",
    "TORCHX_",
    "WANDB_",
    "XDG_",
)
_OUTPUT_VARIABLE = "RUNSPEC_OUTPUT_DIR"

# Bumped when what is kept for the same YAMLs changes.
_ENTRY = "composed-2"
_LEFT_OUT = ("artifacts", "run", "wandb")
_ENV = re.compile(
    r"(?P<slashes>\\*)\$\{\s*oc\.env\s*:\s*(?P<name>[^${},\s]+?)\s*(?:,(?P<default>[^${}]*))?\}"
)
_ENV_START = re.compile(r"(?<!\\)(?:\\\\)*\$\{\s*oc\.env\s*:")
_PLAIN_REFERENCE = re.compile(r"\$\{(?P<path>[A-Za-z_][\w.\[\]-]*)\}")
# Stands for the `$` of a value that was put in: it is no interpolation of the config.
_DOLLAR = "\ue000"


@dataclass(frozen=True)
class Composed:
    """A config as it counts, and what else of the job it decides.

    Attributes:
        config: canonical JSON.
        image: the container image that the config or the recipe names; None without one.
        workdir: the folder that the recipe names.
        reads: the environment variables that count, by name; None for one that is not set.
    """

    config: str
    image: str | None
    workdir: str | None
    reads: Mapping[str, str | None]


class Composer:
    """Composes the configs of a plan's artifacts, or finds them composed.

    Args:
        plan: the document.
        configs: the folder of its YAML files, each at its path in the build root.
        root: the build root.
        environ: the variables of the launcher's process, and those that the profile sets.
        profile_env: the variables that the profile sets, which win over a recipe's own.
        cache: where composed configs are kept; None keeps none.
    """

    def __init__(
        self,
        plan: Plan,
        configs: Path,
        *,
        root: Path,
        environ: Mapping[str, str],
        profile_env: Mapping[str, str],
        cache: PlanCache | None,
    ) -> None:
        self._plan = plan
        self._configs = configs
        self._root = str(root)
        self._environ = environ
        self._profile_env = profile_env
        self._cache = cache
        self._digests = dict(plan.files)
        self._entries: dict[str, str] = {}
        self._parsed: dict[str, Composed] = {}
        self._fresh: dict[str, str] = {}
        self._yaml: dict[str | None, Any] = {}
        self._entry_keys: dict[str, str] = {}
        self._asked: set[str] = set()

    def preload(self, artifacts: Iterable[PlanArtifact]) -> None:
        """Read what the cache has of these artifacts' configs, at once."""
        if self._cache is not None:
            keys = {self._entry_key(artifact) for artifact in artifacts} - self._asked
            self._asked |= keys
            self._entries.update(self._cache.get(keys))

    def flush(self) -> None:
        """Keep what was composed since the last time."""
        if self._cache is not None:
            self._cache.put(self._fresh)
        self._fresh = {}

    def composed(self, artifact: PlanArtifact) -> Composed:
        """The config of an artifact.

        Raises:
            ConfigError: it cannot be composed; the message begins with the target's address.
        """
        key = self._entry_key(artifact)
        spec = self._plan.recipes[artifact.recipe].spec
        self.preload([] if key in self._asked else [artifact])
        known = self._parsed.get(key)
        if known is None and key in self._entries:
            known = _read_entry(self._entries[key])
        if known is not None and self._still_holds(known, spec):
            self._parsed[key] = known
            return known
        try:
            composed = self._compose(artifact, spec)
        except NemoRunspecError as error:
            # The configs of a plan lie in a copy; what a person can mend is the original.
            text = str(error).replace(f"{self._configs}/", "")
            error.args = (f"{artifact.address}: {text}",)
            raise
        self._parsed[key] = composed
        self._fresh[key] = _entry_text(composed)
        return composed

    def variable(self, name: str, spec: Runspec) -> str | None:
        """What a job of this recipe sees in an environment variable."""
        for layer in (self._profile_env, spec.env, self._environ):
            if name in layer:
                return layer[name]
        return None

    def substitute(self, text: str, spec: Runspec) -> str | None:
        """A text with the environment in it as it counts; None for one that is nothing else."""
        value = _Environment(self, spec, {}, {}).substitute(text)
        return None if value is None else str(value)

    def _still_holds(self, composed: Composed, spec: Runspec) -> bool:
        return all(self.variable(n, spec) == value for n, value in composed.reads.items())

    def _entry_key(self, artifact: PlanArtifact) -> str:
        known = self._entry_keys.get(artifact.address)
        if known is not None:
            return known
        spec = self._plan.recipes[artifact.recipe].spec
        made_of = [
            _ENTRY,
            VERSION,
            [[path, self._digest(path)] for path in artifact.chain],
            artifact.overrides,
            artifact.key_ignores,
            sorted(each.key for each in artifact.inputs if each.key is not None),
            spec.image,
            spec.run.workdir,
            # A variable that the recipe declares counts, even one that says who or where.
            sorted(spec.env),
            self._root,
        ]
        key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
        self._entry_keys[artifact.address] = key
        return key

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            try:
                content = (self._configs / path).read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"{path}: the plan names this config and does not hold it "
                    f"({error.strerror}); make the plan anew"
                ) from error
            self._digests[path] = hashlib.sha256(content).hexdigest()
        return self._digests[path]

    def _compose(self, artifact: PlanArtifact, spec: Runspec) -> Composed:
        # Not at the top: with all configs known, planning does without OmegaConf.
        from omegaconf import OmegaConf

        from nemo_runspec.config.loader import extract_train_config
        from nemo_runspec.config.plain import to_plain

        plain = to_plain(self._loaded(artifact))
        section = plain.get("run")
        if section is not None and not isinstance(section, Mapping):
            raise ConfigError(f"run of the config must be a mapping, not {section!r}")
        own = dict(section or {})
        _check_inputs(artifact, find_artifact_references(plain))
        env = own.get("env")
        image_of: Mapping[Any, Any] = env if isinstance(env, Mapping) else {}
        run = {key: value for key, value in own.items() if key not in JOB_KEYS}
        run["output_dir"] = OUTPUT
        train = to_plain(extract_train_config(OmegaConf.create({**plain, "run": run})))
        for key in _LEFT_OUT:
            train.pop(key, None)
        train = _without_secrets(train)

        reads: dict[str, str | None] = {}
        environment = _Environment(self, spec, reads, train)
        counted = mask_secrets(environment.walk(train))
        for ignored in artifact.key_ignores:
            counted = _without_key(counted, ignored.split("."))
        counted = _without_root(as_json(counted), self._root)

        image = image_of.get("container_image") or image_of.get("container") or spec.image
        return Composed(
            config=canonical_json(counted),
            image=self._resolved(image, environment, plain, run),
            workdir=self._resolved(spec.run.workdir, environment, plain, run),
            reads=reads,
        )

    def _loaded(self, artifact: PlanArtifact) -> Any:
        """The config with its overrides, as `nemo_runspec.config.loader.parse_config` makes it."""
        from nemo_runspec.config.compose import load_config
        from nemo_runspec.config.overrides import apply_dotlist_overrides

        path = artifact.chain[-1] if artifact.chain else None
        if path not in self._yaml:
            from omegaconf import OmegaConf

            # The members of a sweep differ in their overrides alone.
            self._yaml[path] = (
                OmegaConf.create({}) if path is None else load_config(self._configs / path)
            )
        return apply_dotlist_overrides(
            self._yaml[path], artifact.overrides, origin=path or "the config"
        )

    def _resolved(
        self,
        text: Any,
        environment: _Environment,
        plain: Mapping[Any, Any],
        run: Mapping[str, Any],
    ) -> str | None:
        """A text of the job with its interpolations, as far as they are known beforehand."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        from nemo_runspec.utils import resolve_run_interpolations

        if text is None:
            return None
        value = environment.substitute(str(resolve_run_interpolations(str(text), run)))
        if value is None or "${" not in str(value):
            return None if value is None else _root_out(str(value), self._root)
        holder = OmegaConf.create({"value": value})
        holder._set_parent(OmegaConf.create(environment.walk({**plain, "run": dict(run)})))
        try:
            return _root_out(str(holder.value), self._root)
        except OmegaConfBaseException:
            # Known in the job alone: as written.
            return str(value)


class _Environment:
    """Puts what counts of the environment into texts, and keeps what was read.

    Args:
        composer: knows the variables.
        spec: the recipe.
        reads: filled: the variables that count.
        config: what a reference inside ``${oc.env:${name}}`` is looked up in.
    """

    def __init__(
        self,
        composer: Composer,
        spec: Runspec,
        reads: dict[str, str | None],
        config: Mapping[Any, Any],
    ) -> None:
        self._composer = composer
        self._spec = spec
        self._reads = reads
        self._config = config

    def walk(self, value: Any) -> Any:
        """A structure with all its texts substituted."""
        if isinstance(value, Mapping):
            return {key: self.walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.walk(item) for item in value]
        return self.substitute(value) if isinstance(value, str) else value

    def substitute(self, text: str) -> str | None:
        """A text with each ``${oc.env:…}`` replaced."""
        if "oc.env" not in text:
            return text
        original = text
        while True:
            whole = _ENV.fullmatch(text)
            if whole is not None and not whole["slashes"]:
                value = self._value(whole)
                return None if value is None else value.replace(_DOLLAR, "$")
            changed = _ENV.sub(self._replaced, text)
            if changed == text:
                start = _ENV_START.search(text)
                if start is None:
                    return text.replace(_DOLLAR, "$")
                # The name of the variable, or its default, stands elsewhere in the config.
                changed = text[: start.end()] + _PLAIN_REFERENCE.sub(
                    self._looked_up, text[start.end() :]
                )
                if changed == text:
                    raise ConfigError(
                        f"{original!r} cannot count in a key: which variable it reads is known in "
                        "the job alone; write the variable's name"
                    )
            text = changed

    def _replaced(self, match: re.Match[str]) -> str:
        if len(match["slashes"]) % 2:
            # Escaped: a text that looks like an interpolation.
            return match[0].replace("$", _DOLLAR)
        value = self._value(match)
        return match["slashes"] + ("None" if value is None else value)

    def _value(self, match: re.Match[str]) -> str | None:
        name = match["name"].strip("'\"")
        if name == _OUTPUT_VARIABLE:
            return OUTPUT
        declared = name in self._spec.env
        if not declared and (name in WHO_AND_WHERE or name.startswith(_WHERE_PREFIXES)):
            return f"<{name}>"
        if is_secret_name(name):
            return SECRET
        value = self._composer.variable(name, self._spec)
        self._reads[name] = value
        if value is not None:
            return value.replace("$", _DOLLAR)
        default = match["default"]
        if default is None:
            return f"<{name} is not set>"
        written = default.strip()
        if written == "null":
            return None
        quoted = len(written) > 1 and written[0] == written[-1] and written[0] in "'\""
        return written[1:-1] if quoted else written

    def _looked_up(self, match: re.Match[str]) -> str:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        try:
            value = OmegaConf.select(OmegaConf.create(dict(self._config)), match["path"])
        except OmegaConfBaseException:
            return match[0]
        return match[0] if value is None or "${" in str(value) else str(value)


def _check_inputs(artifact: PlanArtifact, named: Mapping[str, str]) -> None:
    """Refuse a config that names an artifact which the plan does not hold: it would not count."""
    planned = {each.key for each in artifact.inputs}
    for key, reference in named.items():
        if key not in planned:
            raise ConfigError(
                f"run.{key} of the config names the artifact {reference!r}, which is no input in "
                "the plan; write name:latest or name:v3, or make the plan anew"
            )


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: SECRET if is_secret_name(str(key)) else _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _without_key(value: Any, path: list[str]) -> Any:
    if not isinstance(value, Mapping):
        return value
    first, rest = path[0], path[1:]
    return {
        key: _without_key(item, rest) if str(key) == first else item
        for key, item in value.items()
        if rest or str(key) != first
    }


def _without_root(value: Any, root: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_root(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_root(item, root) for item in value]
    return _root_out(value, root) if isinstance(value, str) else value


def _root_out(text: str, root: str) -> str:
    at_root = root not in ("", "/") and (text == root or text.startswith(f"{root}/"))
    return ROOT + text[len(root) :] if at_root else text


def _entry_text(composed: Composed) -> str:
    head = {"image": composed.image, "workdir": composed.workdir, "reads": dict(composed.reads)}
    # The config is long and only ever passed on: it stays a text.
    return f"{json.dumps(head)}\n{composed.config}"


def _read_entry(text: str) -> Composed | None:
    head, _, config = text.partition("\n")
    try:
        values = json.loads(head)
        return Composed(config, values["image"], values["workdir"], values["reads"])
    except (ValueError, KeyError, TypeError):
        # Whatever it is, we did not write it: composed anew.
        return None
