"""The script that a container runs: `job.sh`, its log and its end."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.execution.job_script import JobScript, job_script
from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.execution.protocol import Job, State, Status
from nemo_runspec.jobs import JobPaths

LAUNCH_SCRIPT = "launch_script.sh"  # NeMo-Run's name for it


@dataclass(frozen=True)
class Peers:
    """How the nodes of a service's job know each other; words of bash in double quotes.

    Args:
        rank: a node's number.
        head_address: the first node's address.
        port: where it listens for the others.
        setup: lines that make these words mean something.
    """

    rank: str = "0"
    head_address: str = "127.0.0.1"
    port: str = "29500"
    setup: tuple[str, ...] = ()


def launched_job(job: Job, nodes: int, peers: Peers) -> tuple[JobScript, str]:
    """`job.sh` of a job, and the launch script that runs it on each of its nodes.

    A recipe that starts one process is started on the first node alone.
    """
    several = Nodes(
        count=nodes,
        rank=peers.rank,
        head_address=peers.head_address,
        port=peers.port,
        has_ray=False,
    )
    script = job_script(job, several if nodes > 1 else Nodes(has_ray=False))
    paths = JobPaths(job.folder)
    spreads = bool(
        job.profile.get("run_command") or job.spec.run.cmd or job.spec.run.kind != "direct"
    )
    folder = shlex.quote(str(paths.folder))
    lines = [
        "#!/bin/bash",
        "# Runs job.sh; keeps what it writes, and how it ended, beside it.",
        f"folder={folder} attempt={job.attempt}",
        f"state={shlex.quote(str(paths.status))} log={shlex.quote(str(paths.log))}",
        *(peers.setup if nodes > 1 else ()),
        f'rank="{peers.rank}"' if nodes > 1 else 'rank="0"',
        _FUNCTIONS,
    ]
    if nodes > 1 and not spreads:
        lines.append('[ "$rank" = 0 ] || exit 0')
    return script, "\n".join([*lines, _RUN])


_FUNCTIONS = """\
if [ "$rank" != 0 ]; then log="${log%.log}.$rank.log"; fi
started="$(date +%s)"
say() {
    # The first node speaks for all.
    [ "$rank" = 0 ] || return 0
    printf '{"attempt": %s, "started_at": %s, %s}\\n' "$attempt" "$started" "$1" > "$state.new"
    mv "$state.new" "$state"
}"""

# Whoever cancels the job leaves a file, which reaches it wherever it runs: a service may end a
# container in its own way, in no order, or not at all. With -m the job leads a process group.
_RUN = """\
end() {
    kill -TERM -- "-$job" 2>/dev/null
    for second in 1 2 3 4 5 6 7 8 9 10; do
        sleep 1
        kill -0 "$job" 2>/dev/null || return
    done
    kill -KILL -- "-$job" 2>/dev/null
}
watch() {
    until [ -e "$folder/cancel" ]; do
        sleep 1
        kill -0 "$job" 2>/dev/null || return
    done
    end
}
mkdir -p "${log%/*}"
touch "$log"
say '"state": "running"'
set -m
bash "$folder/job.sh" >> "$log" 2>&1 &
job=$!
set +m
trap 'end &' TERM INT
watch &
# For the pages of the service.
tail -n 0 -f --pid="$job" "$log" &
until wait "$job"; code=$?; ! kill -0 "$job" 2>/dev/null; do :; done
kill -KILL -- "-$job" 2>/dev/null
if [ "$rank" = 0 ]; then rm -f "$folder/secrets.sh"; fi
if [ -e "$folder/cancel" ]; then how=cancelled; else how=ended; fi
say "\\"state\\": \\"$how\\", \\"exit_code\\": $code, \\"ended_at\\": $(date +%s)"
exit "$code"
"""


def stage(script: JobScript, launch: str, folder: Path) -> None:
    """Writes what the container will run into the job's folder.

    Raises:
        ExecutionError: the folder cannot be written.
    """
    paths = JobPaths(folder)
    try:
        paths.log.parent.mkdir(exist_ok=True)
        script.stage(paths)
        target = folder / LAUNCH_SCRIPT
        target.write_text(launch, encoding="utf-8")
        target.chmod(0o755)
        command = f"#!/bin/sh\nexec bash {shlex.quote(str(target))}\n"
        paths.command.write_text(command, encoding="utf-8")
    except OSError as error:
        raise ExecutionError(f"{folder}: {error.strerror}") from error


def recorded_status(folder: Path) -> Status | None:
    """What the job said of itself; None before it ran.

    Raises:
        ExecutionError: the file is none of ours.
    """
    paths = JobPaths(folder)
    try:
        return _status(json.loads(paths.status.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise ExecutionError(f"{paths.status}: not a job's status: {error}") from error


def _status(record: dict[str, Any]) -> Status:
    started, attempt = float(record["started_at"]), int(record["attempt"])
    if record["state"] == "running":
        return Status(State.RUNNING, started_at=started, attempt=attempt)
    code = int(record["exit_code"])
    state = State.FAILED if code else State.SUCCEEDED
    if record["state"] == "cancelled":
        state = State.CANCELLED
    return Status(state, code, started, float(record["ended_at"]), attempt=attempt)
