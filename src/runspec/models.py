"""What a recipe script says about itself: `[tool.runspec]`, schema "1", as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from runspec import fields
from runspec.errors import UnknownLaunchError, UnsupportedSchemaError, nearest
from runspec.fields import FieldProblem
from runspec.mapping import FrozenMapping

SCHEMA = "1"
# What may stand in `run.launch`, and the launcher it means.
LAUNCH_KINDS: Mapping[str, str] = {
    "torchrun": "torchrun",
    "ray": "ray",
    "direct": "direct",
    "python": "direct",
}
ANY_GPU = "gpu"


@dataclass(frozen=True)
class RunspecRun:
    """How the script is started.

    Args:
        launch: `torchrun`, `ray`, `direct` or `python`, as written.
        cmd: a command template with the placeholders `{script}` and `{config}`;
            None leaves the choice to the backend.
        workdir: the folder it starts in, inside the image if there is one.
    """

    launch: str = "torchrun"
    cmd: Optional[str] = None
    workdir: Optional[str] = None

    @property
    def kind(self) -> str:
        """The launcher that `launch` means: `torchrun`, `ray` or `direct`."""
        return LAUNCH_KINDS[self.launch]

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> RunspecRun:
        """Return the values of a `run` table, checked."""
        launch = fields.string(table, ("run", "launch"), cls.launch)
        if launch not in LAUNCH_KINDS:
            meant = nearest(launch, LAUNCH_KINDS)
            known = ", ".join(f'"{kind}"' for kind in LAUNCH_KINDS)
            raise FieldProblem(
                ("run", "launch"),
                f"is {fields.show(launch)}, which is no launcher",
                f'did you mean "{meant}"? There are {known}' if meant else f"use one of {known}",
                UnknownLaunchError,
            )
        return cls(
            launch=launch,
            cmd=fields.optional_string(table, ("run", "cmd")),
            workdir=fields.optional_string(table, ("run", "workdir")),
        )


@dataclass(frozen=True)
class RunspecConfig:
    """Where the script's configs are.

    Args:
        dir: their folder, relative to the script's.
        default: the one that counts when none is named, without its suffix.
        format: how they are written: `omegaconf`, `yaml` or `json`.
    """

    dir: str = "./config"
    default: str = "default"
    format: str = "omegaconf"

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> RunspecConfig:
        """Return the values of a `config` table, checked."""
        return cls(
            dir=fields.string(table, ("config", "dir"), cls.dir),
            default=fields.string(table, ("config", "default"), cls.default),
            format=fields.string(table, ("config", "format"), cls.format),
        )


@dataclass(frozen=True)
class RunspecResources:
    """What the script asks for unless a profile or a config says otherwise.

    Args:
        nodes: number of nodes, 1 or more.
        gpus_per_node: number of GPUs on each, 0 or more, or `"gpu"`: whatever a node has.
    """

    nodes: int = 1
    gpus_per_node: Union[int, str] = 8

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> RunspecResources:
        """Return the values of a `resources` table, checked."""
        nodes = fields.integer(table, ("resources", "nodes"), cls.nodes, least=1)
        keys = ("resources", "gpus_per_node")
        gpus = table.get("gpus_per_node", cls.gpus_per_node)
        if isinstance(gpus, str):
            if gpus != ANY_GPU:
                raise FieldProblem(
                    keys,
                    f"is {fields.show(gpus)}",
                    f'write an integer, 0 or more, or "{ANY_GPU}" for all that a node has',
                )
            return cls(nodes=nodes, gpus_per_node=gpus)
        return cls(nodes=nodes, gpus_per_node=fields.integer(table, keys, 8, least=0))


@dataclass(frozen=True)
class Runspec:
    """Everything a recipe script says about itself.

    Args:
        schema: version of `[tool.runspec]`, "1".
        docs: where the format is described.
        name: the recipe's name, such as `nano3/pretrain`.
        image: container image; may hold an interpolation such as `${oc.env:USER}`.
        setup: what has to be there, for people to read.
        run: how it is started.
        config: where its configs are.
        resources: what it asks for.
        env: environment variables to set; any mapping, kept as a `FrozenMapping`.
        dependencies: PEP 508 requirements, from the block's standard field.
        requires_python: version specifiers, from the block's standard field; "" when absent.
        script_path: the script.
    """

    schema: str = SCHEMA
    docs: str = ""
    name: str = ""
    image: Optional[str] = None
    setup: str = ""
    run: RunspecRun = RunspecRun()
    config: RunspecConfig = RunspecConfig()
    resources: RunspecResources = RunspecResources()
    env: Mapping[str, str] = field(default_factory=FrozenMapping)
    dependencies: tuple[str, ...] = ()
    requires_python: str = ""
    script_path: Path = Path()

    def __post_init__(self) -> None:
        if not isinstance(self.env, FrozenMapping):
            object.__setattr__(self, "env", FrozenMapping(self.env))

    @property
    def config_dir(self) -> Path:
        """The folder of the configs: the script's folder and `config.dir`."""
        return self.script_path.parent / self.config.dir

    def to_dict(self) -> dict[str, Any]:
        """Return everything but `script_path`, which differs from machine to machine, for JSON."""
        return {
            "schema": self.schema,
            "docs": self.docs,
            "name": self.name,
            "image": self.image,
            "setup": self.setup,
            "run": {"launch": self.run.launch, "cmd": self.run.cmd, "workdir": self.run.workdir},
            "config": {
                "dir": self.config.dir,
                "default": self.config.default,
                "format": self.config.format,
            },
            "resources": {
                "nodes": self.resources.nodes,
                "gpus_per_node": self.resources.gpus_per_node,
            },
            "env": dict(self.env),
            "dependencies": list(self.dependencies),
            "requires_python": self.requires_python,
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], script_path: Path) -> Runspec:
        """Return the runspec that `to_dict` wrote; unknown keys, of a later version, are ignored.

        Args:
            table: the keys of `to_dict`, each with a default.
            script_path: the script.

        Raises:
            FieldProblem: a wrong type or value; the caller knows the file and the line.
        """
        schema = fields.string(table, ("schema",), SCHEMA)
        if schema != SCHEMA:
            raise FieldProblem(
                ("schema",),
                f"is {fields.show(schema)}, which this version cannot read",
                f'write schema = "{SCHEMA}" or use a newer runspec',
                UnsupportedSchemaError,
            )
        env = fields.string_table(table, ("env",))
        for variable in env:
            if not variable or "=" in variable or "\0" in variable:
                raise FieldProblem(
                    ("env", variable),
                    f"is no environment variable: {fields.show(variable)}",
                    "use a name without '='",
                )
        return cls(
            schema=schema,
            docs=fields.string(table, ("docs",), ""),
            name=fields.string(table, ("name",), ""),
            image=fields.optional_string(table, ("image",)),
            setup=fields.string(table, ("setup",), "").strip(),
            run=RunspecRun.from_dict(fields.table(table, ("run",))),
            config=RunspecConfig.from_dict(fields.table(table, ("config",))),
            resources=RunspecResources.from_dict(fields.table(table, ("resources",))),
            env=FrozenMapping(env),
            dependencies=fields.strings(table, ("dependencies",)),
            requires_python=fields.string(table, ("requires_python",), ""),
            script_path=script_path,
        )
