"""What the keys of a profile mean to Slurm."""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nemo_runspec._names import hint
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.protocol import Job

# sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]].
_TIME = re.compile(r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|UNLIMITED|INFINITE", re.IGNORECASE)
_SIGNAL = re.compile(r"(?P<flags>[BR]*:)?(?P<name>(SIG)?[A-Z][A-Z0-9]*|\d+)(@(?P<seconds>\d+))?")
# What the batch script can answer; it answers a cancellation by SIGTERM and SIGCONT.
_SIGNALS = ("HUP", "INT", "USR1", "USR2")
_NUMBERED = {"1": "HUP", "2": "INT", "10": "USR1", "12": "USR2"}
_SIGNAL_SECONDS = 60  # sbatch's own, where the profile says none

TIME_LIMIT = "time_limit"
PREEMPTION = "preemption"
NODE_FAILURE = "node_failure"
REQUEUE_ON = (TIME_LIMIT, PREEMPTION, NODE_FAILURE)

_TEXTS = ("partition", "qos", "reservation", "comment", "gres", "account")
_SIZES = ("mem", "mem_per_cpu", "mem_per_gpu")
_LISTS = ("constraint", "exclude")
_COUNTS = ("cpus_per_task", "cpus_per_gpu", "gpus_per_task")
# Flags that are not for a profile to say: the job is found by them, or its script is made of them.
_OURS = {
    "array": "foreach makes arrays",
    "chdir": "workdir says where a job runs",
    "clusters": "set SLURM_CLUSTERS where you start, so that its status is asked there too",
    "error": "the log is in the job's folder",
    "export": "env_vars sets variables",
    "export-file": "env_vars sets variables",
    "job-name": "a job is found by its name",
    "open-mode": "the log is in the job's folder",
    "output": "the log is in the job's folder",
    "parsable": "it is set already",
    "requeue": "requeue_on says when a job starts again",
    "no-requeue": "requeue_on says when a job starts again",
    "nodes": "nodes says it",
    "ntasks": "nodes and ntasks_per_node say it",
    "ntasks-per-node": "ntasks_per_node says it",
    "test-only": "--dry-run shows a job",
    "wait": "--profile follows the job, --batch does not",
    "wrap": "what runs is the recipe",
}


@dataclass(frozen=True)
class SlurmSettings:
    """What a job asks of Slurm.

    Args:
        nodes: how many.
        tasks_per_node: how often `job.sh` is started on each.
        flags: options of sbatch by name, with underscores; True stands for one without a value.
        srun_args: further arguments of srun.
        setup_lines: bash that runs on the first node before the job.
        signal: what Slurm sends ahead of the time limit, `USR1` say; None for nothing.
        segments: how often the job may be started, the first time included.
        requeue_on: of `REQUEUE_ON`, what it is started again after.
    """

    nodes: int
    tasks_per_node: int
    flags: Mapping[str, str | int | bool] = field(default_factory=dict)
    srun_args: tuple[str, ...] = ()
    setup_lines: str = ""
    signal: str | None = None
    segments: int = 1
    requeue_on: tuple[str, ...] = REQUEUE_ON


def slurm_settings(job: Job) -> SlurmSettings:
    """What a job's profile asks of Slurm; the recipe's `resources` where it says nothing.

    Raises:
        ExecutionError: a key has a value that means nothing to Slurm.
    """
    profile = {key: value for key, value in job.profile.items() if value is not None}
    resources = job.spec.resources
    flags: dict[str, str | int | bool] = {}
    for key in _TEXTS:
        if profile.get(key):
            flags[key] = _text(key, profile[key])
    for key in _SIZES:
        if key in profile:
            flags[key] = _size(key, profile[key])
    for key in _LISTS:
        if profile.get(key):
            flags[key] = ",".join(_text(key, item) for item in _items(profile[key]))
    for key in _COUNTS:
        if key in profile:
            flags[key] = _count(key, profile[key], least=1)
    if "time" in profile:
        flags["time"] = _time(profile["time"])
    if profile.get("exclusive"):
        flags["exclusive"] = _exclusive(profile["exclusive"])
    gpus = _gpus(profile, resources.gpus_per_node)
    if gpus:
        flags["gpus_per_node"] = gpus
    signal = None
    if profile.get("signal"):
        signal, flags["signal"] = _signal(profile["signal"])
    requeue_on = _requeue_on(profile.get("requeue_on", REQUEUE_ON))
    flags["requeue" if requeue_on else "no_requeue"] = True
    flags.update(_free_flags(profile.get("sbatch") or {}))
    nodes = _count("nodes", profile.get("nodes", resources.nodes), least=1)
    return SlurmSettings(
        nodes=nodes,
        tasks_per_node=_tasks_per_node(job, profile),
        flags=flags,
        srun_args=_srun_args(profile.get("srun_args") or ()),
        setup_lines=_lines(profile.get("setup_lines") or ""),
        signal=signal,
        segments=_count("segments", profile.get("segments", 1), least=1),
        requeue_on=requeue_on,
    )


def _tasks_per_node(job: Job, profile: Mapping[str, Any]) -> int:
    # torchrun and Ray start the processes of a node themselves.
    if job.spec.run.kind in ("torchrun", "ray"):
        return 1
    return _count("ntasks_per_node", profile.get("ntasks_per_node", 1), least=1)


def _gpus(profile: Mapping[str, Any], declared: int | str) -> str | int:
    """GPUs of each node; nothing where a task's own, `gres` or the cluster says it."""
    if "gpus_per_node" not in profile and any(k in profile for k in ("gres", "gpus_per_task")):
        return 0
    value = profile.get("gpus_per_node", declared)
    if value == "gpu":
        return 0
    # A type may stand before the number: a100:4.
    if isinstance(value, str) and re.fullmatch(r"[\w.-]+:\d+", value):
        return value
    return _count("gpus_per_node", value, least=0)


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _wrong(key, value, "is no text")
    text = str(value).strip()
    if not text or "\n" in text or "\0" in text:
        raise _wrong(key, value, "is not one line of text")
    return text


def _count(key: str, value: Any, *, least: int) -> int:
    is_whole = isinstance(value, (int, str)) and not isinstance(value, bool)
    if not is_whole or not str(value).isdecimal() or int(value) < least:
        raise _wrong(key, value, f"is no whole number from {least}")
    return int(value)


def _size(key: str, value: Any) -> str:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"\d+[KMGT]?B?", text, re.IGNORECASE):
        raise _wrong(key, value, "is no size of memory; write 64G, or a number of megabytes")
    return text


def _time(value: Any) -> str:
    # In TOML, 04:00:00 without quotes is a time of day.
    text = value.isoformat() if isinstance(value, datetime.time) else str(value)
    if isinstance(value, bool) or not _TIME.fullmatch(text):
        raise _wrong(
            "time", value, "is no time limit; write HH:MM:SS, D-HH:MM:SS or a number of minutes"
        )
    return text


def _exclusive(value: Any) -> str | bool:
    if value is True or value in ("user", "mcs", "topo"):
        return bool(value is True) or str(value)
    raise _wrong("exclusive", value, "is none of true, false, user, mcs, topo")


def _signal(value: Any) -> tuple[str, str]:
    """The signal's name, and sbatch's option: to the batch script, which passes it on."""
    found = _SIGNAL.fullmatch(str(value).upper())
    name = "" if found is None else found["name"].removeprefix("SIG")
    name = _NUMBERED.get(name, name)
    if found is None or name not in _SIGNALS:
        raise _wrong("signal", value, f"is no SIGNAL[@SECONDS] with one of {', '.join(_SIGNALS)}")
    reserved = "R" if "R" in (found["flags"] or "") else ""
    return name, f"{reserved}B:{name}@{found['seconds'] or _SIGNAL_SECONDS}"


def _requeue_on(value: Any) -> tuple[str, ...]:
    words = tuple(_items(value))
    for word in words:
        if word not in REQUEUE_ON:
            raise _wrong("requeue_on", value, f"holds {word!r}; {hint(str(word), REQUEUE_ON)}")
    return words


def _free_flags(table: Any) -> dict[str, str | int | bool]:
    if not isinstance(table, Mapping):
        raise _wrong("sbatch", table, "is no table of options")
    flags: dict[str, str | int | bool] = {}
    for name, value in table.items():
        option = str(name).strip().lstrip("-").replace("_", "-")
        key = f"sbatch.{name}"
        if not re.fullmatch(r"[a-z][a-z0-9-]+", option):
            raise _wrong(key, value, "is no long option of sbatch")
        if option in _OURS:
            raise _wrong(key, value, f"is not for a profile to set: {_OURS[option]}")
        if value is None or value is False:
            continue
        joined = value is not True and ",".join(_text(key, item) for item in _items(value))
        flags[option.replace("-", "_")] = joined or True
    return flags


def _srun_args(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise _wrong("srun_args", value, f"is no line of arguments: {error}") from error
    if not isinstance(value, (list, tuple)):
        raise _wrong("srun_args", value, "is no list of arguments")
    return tuple(_text("srun_args", item) for item in value)


def _lines(value: Any) -> str:
    if isinstance(value, (list, tuple)) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise _wrong("setup_lines", value, "is no bash, as a text or a list of lines")
    return value


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _wrong(key: str, value: Any, what: str) -> ExecutionError:
    return ExecutionError(f"run.env.{key}: {value!r} {what}")
