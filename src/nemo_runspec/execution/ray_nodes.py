"""A Ray on the nodes of one job, for this job alone: started before its command, gone after it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from nemo_runspec.execution.nodes import Nodes
from nemo_runspec.execution.startup import prepend_startup_to_cmd

# Both bounds are for slow file systems: a cold import of Ray takes a minute on some.
_JOIN_SECONDS = 600
# How long the others wait for a head that does not answer before they take it for ended.
_SILENCE_SECONDS = 6

# The name of Ray's command line as a module: a job's packages have no folder of scripts.
_START = "exec python -m ray.scripts.scripts start --block --disable-usage-stats"

_TEXT = """\
# A Ray for this job alone: a head on node 0, which runs the command, and workers on the others.
__ray_head="@head@" __ray_port="@port@" __ray_rank="@rank@" __ray_log=@log@-"$__ray_rank".log
mkdir -p -- @logs@
__ray_own=(--node-ip-address="@address@" --num-cpus="${SLURM_CPUS_ON_NODE:-$(nproc)}")
export RAY_raylet_start_wait_time_s=@patience@
# Nobody waits for requests to be answered when it ends.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
# Once a token lies in the home folder, as ray.init() writes one, a head asks for it that its own
# command line does not show.
export RAY_AUTH_MODE="${RAY_AUTH_MODE-disabled}"
# What makes Ray take a loopback address as it is, and listen there alone; it allows one node then.
# Otherwise Ray listens on every address of a machine.
case "@count@ @address@" in "1 127."*) export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 ;; esac
# Short: Ray has Unix sockets below it, whose names end at 107 bytes. The others use the head's.
__ray_temp=/tmp/ray-$(id -u)-$__ray_port
__ray_end() {
    __code=$?
    trap - EXIT
    kill "$__ray_pid" 2>/dev/null
    wait "$__ray_pid" 2>/dev/null
    rm -rf -- "$__ray_temp"
    exit "$__code"
}
__ray_watch() {
    python - "$1" "$__ray_head" "$__ray_port" "$__ray_pid" @count@ <<'END'
@watch@
END
}
if [ "$__ray_rank" != 0 ]; then
    __ray_pid=$$
    __ray_watch head || {
        printf 'error: no Ray at %s:%s\\n' "$__ray_head" "$__ray_port" >&2
        exit 1
    }
    (@start@ --address="$__ray_head:$__ray_port" "${__ray_own[@]}") >"$__ray_log" 2>&1 &
    __ray_pid=$!
    trap __ray_end EXIT
    trap 'exit 143' TERM
    __ray_watch end || {
        printf 'error: Ray ended on node %s before its head; log: %s\\n' \\
            "$__ray_rank" "$__ray_log" >&2
        exit 1
    }
    exit 0
fi
(@start@ --head --port="$__ray_port" --temp-dir="$__ray_temp" --include-dashboard=false \\
    --dashboard-host="@address@" "${__ray_own[@]}") >"$__ray_log" 2>&1 &
__ray_pid=$!
trap __ray_end EXIT
trap 'exit 143' TERM
export RAY_ADDRESS="$__ray_head:$__ray_port"
__ray_watch nodes >>"$__ray_log" 2>&1 || {
    printf 'error: Ray did not start on @count@ node(s): %s; log: %s\\n' \\
        "$(tail -n 1 "$__ray_log")" "$__ray_log" >&2
    exit 1
}
(
@command@
)
exit
"""

# Standard library, but for `nodes`, which asks Ray.
_WATCH = f"""\
import os, socket, sys, time

what, host, port, pid, count = sys.argv[1:]


def answers():
    try:
        socket.create_connection((host, int(port)), 2).close()
    except OSError:
        return False
    return True


def is_alive():
    try:
        os.kill(int(pid), 0)
    except OSError:
        return False
    return True


end = time.monotonic() + {_JOIN_SECONDS}
if what == "end":
    last = time.monotonic()
    while time.monotonic() - last < {_SILENCE_SECONDS}:
        if answers():
            last = time.monotonic()
        if not is_alive():
            time.sleep({_SILENCE_SECONDS})
            sys.exit(answers())
        time.sleep(1)
    sys.exit(0)
while not answers():
    if time.monotonic() > end or not is_alive():
        sys.exit(1)
    time.sleep(0.2)
if what == "nodes":
    import ray

    while not ray.is_initialized():
        try:
            ray.init(address=f"{{host}}:{{port}}", logging_level="ERROR", log_to_driver=False)
        except Exception:
            # Its own patience is too short for a machine that is busy; what it says is in its log.
            if time.monotonic() > end or not is_alive():
                raise
            time.sleep(1)
    while sum(node["Alive"] for node in ray.nodes()) < int(count):
        if time.monotonic() > end or not is_alive():
            sys.exit(1)
        time.sleep(0.2)"""


def around_ray(command: str, nodes: Nodes, before: Sequence[str], logs: Path) -> str:
    """A bash script that runs a command with a Ray of the job's own around it.

    Every node runs it. Number 0 starts a head, waits until all are there and runs the command with
    `RAY_ADDRESS`; the others end once the head does not answer any more.

    Args:
        command: bash, on number 0.
        nodes: of the job; each node's Ray has its `address`.
        before: bash commands for each node to run before its Ray starts.
        logs: the folder that each node's Ray has its log in.
    """
    values = {
        "head": nodes.head_address,
        "port": nodes.port,
        "rank": nodes.rank,
        "address": nodes.address,
        "count": str(nodes.count),
        "patience": str(_JOIN_SECONDS),
        "log": shlex.quote(str(logs / "ray")),
        "logs": shlex.quote(str(logs)),
        "start": _START,
        "watch": _WATCH,
        "command": command,  # last: what is in it is not looked at
    }
    text = _TEXT
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return prepend_startup_to_cmd(before, text)
