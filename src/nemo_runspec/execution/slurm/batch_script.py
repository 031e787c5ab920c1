"""The batch script: what Slurm starts on the first of a job's nodes.

It starts `job.sh` on each node, by the `srun` command that NeMo-Run made, keeps the job's record
(`record`), ends the job in good order when it is cancelled or its time is nearly over, and puts it
in the queue once more while it may go on. What it knows does not depend on Slurm's accounting, nor
on how long the controller remembers a job.

Measured on Slurm 22.05, and why it is as it is:

- At the time limit, a preemption or `scancel`, Slurm sends SIGTERM to everything, `srun` too, which
  thereupon kills the job's processes. Who wants to save something needs the `signal` ahead.
- In the trap, `scontrol show job` says COMPLETING, whatever the reason. It is in the line that
  Slurm writes to this script's output: `*** JOB 7 ON node1 CANCELLED AT … DUE TO TIME LIMIT ***`.
- A job that Slurm itself puts in the queue again has one restart more by then than its script was
  told. `scontrol requeue` works until the very end, also of a job that ran out of time.
- Whom a signal reaches is for `ProctrackType` to say: with linuxproc all processes of a step; with
  cgroup, which clusters have, those alone that slurmstepd started, and with pgid their groups (in
  Slurm's sources: `proctrack_p_signal`). So ours pass it on where it went no further.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from nemo_runspec.execution.protocol import Job
from nemo_runspec.execution.slurm.render import Rendered
from nemo_runspec.execution.slurm.settings import PREEMPTION, TIME_LIMIT, SlurmSettings
from nemo_runspec.jobs import JobPaths

HEAD_ADDRESS = "RUNSPEC_HEAD_ADDRESS"
HEAD_PORT = "RUNSPEC_HEAD_PORT"
NODE_ADDRESS = "RUNSPEC_NODE_ADDRESS"
# Where setup lines with a secret in them stand: in the file of secrets.
SECRET_SETUP = "RUNSPEC_SECRET_SETUP"


@dataclass(frozen=True)
class Grace:
    """What a cancelled job gets to end in good order.

    Args:
        interrupt: seconds after SIGINT.
        terminate: seconds after SIGTERM, until SIGKILL.
    """

    interrupt: float = 30.0
    terminate: float = 15.0


def secret_setup() -> str:
    """The setup lines that run those which the file of secrets holds."""
    return f'. "$secrets"\neval "${SECRET_SETUP}"\nunset {SECRET_SETUP}'


def batch_script(job: Job, settings: SlurmSettings, rendered: Rendered, grace: Grace) -> str:
    """The whole script.

    Args:
        job: what `job.sh` was made of.
        settings: from its profile.
        rendered: from NeMo-Run.
        grace: what it gets to end.
    """
    paths = JobPaths(job.folder)
    values = {
        "header": "\n".join(rendered.header),
        "script": _quoted(paths.script),
        "log": _quoted(paths.log),
        "slurm_log": _quoted(paths.slurm_log),
        "record": _quoted(paths.status),
        "secrets": _quoted(paths.secrets),
        "cancel": _quoted(paths.cancel),
        "claim": _quoted(paths.slurm_job),
        "attempt": str(job.attempt),
        "segments": str(settings.segments),
        "goes_on": " ".join(_goes_on(settings)),
        "signal": settings.signal or "''",
        "interrupt": f"{grace.interrupt:g}",
        "terminate": f"{grace.terminate:g}",
        "count": str(settings.nodes),
        "srun": rendered.srun,
        "ranks": _ranks(job, settings),
        # Last: what a person wrote is not looked at.
        "setup": settings.setup_lines or ":",
    }
    text = _TEXT
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _goes_on(settings: SlurmSettings) -> Sequence[str]:
    words = {TIME_LIMIT: "'time limit'", PREEMPTION: "preemption"}
    return [word for key, word in words.items() if key in settings.requeue_on] or ["''"]


def _ranks(job: Job, settings: SlurmSettings) -> str:
    """What torch.distributed, and all that is made for it, takes from a process's environment.

    torchrun tells its own processes, and those of a Ray are for the recipe to number.
    """
    kind = job.spec.run.kind
    if kind == "ray" or settings.nodes * settings.tasks_per_node == 1:
        return ""
    lines = [f"export MASTER_ADDR=${HEAD_ADDRESS} MASTER_PORT=${HEAD_PORT}"]
    if kind == "direct":
        lines += [
            "export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS",
            f"export LOCAL_RANK=$SLURM_LOCALID LOCAL_WORLD_SIZE={settings.tasks_per_node}",
        ]
    return "\n".join([*lines, ""])


def _quoted(path: object) -> str:
    return shlex.quote(str(path))


_TEXT = r"""#!/bin/bash
@header@

# What is to be found where.
script=@script@
log=@log@
slurm_log=@slurm_log@
record=@record@
secrets=@secrets@
cancel=@cancel@
claim=@claim@

# Of an element of an array, SLURM_JOB_ID may be the number of them all.
job_id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job_id=${job_id:-$SLURM_JOB_ID}
restarts=${SLURM_RESTART_COUNT:-0}
attempt=$((@attempt@ + restarts))
# Slurm may have taken the job twice, where its first answer was lost: it is the first to start's.
ln -s -- "$job_id" "$claim" 2>/dev/null
taken_by=$(readlink -- "$claim")
if [[ -n $taken_by && $taken_by != "$job_id" ]]; then
    echo "error: the job of this folder is number $taken_by; a folder has one job" >&2
    exit 1
fi
started_at=$(date +%s.%N)
said_before=$(wc -c 2>/dev/null <"$slurm_log")
stage=starting  # then: running, over
why=            # this was asked to end; what people read
received=       # the signals that have not been answered yet
for signum in HUP INT TERM USR1 USR2; do
    trap "received+=' $signum'" $signum
done

# write_record STATE EXIT_CODE WHY: what others read of this job.
write_record() {
    local ended_at=null
    case $1 in running | requeued) ;; *) ended_at=$(date +%s.%N) ;; esac
    {
        printf '{"attempt": %d, "executor": "slurm", "exit_code": %s, ' "$attempt" "${2:-null}"
        printf '"job_id": "%s", "nodes": "%s", ' "$job_id" "$SLURM_JOB_NODELIST"
        printf '"started_at": %s, "ended_at": %s, ' "$started_at" "$ended_at"
        printf '"state": "%s", "why": "%s"}\n' "$1" "$3"
    } >"$record.$job_id" && mv -f -- "$record.$job_id" "$record"
}

# end STATE EXIT_CODE: the job will not be started again.
end() {
    stage=over
    write_record "$1" "$2" "$why"
    rm -f -- "$secrets"
    if [[ $1 == cancelled ]]; then
        trap '' TERM
        scancel --quiet "$job_id"  # what its script exits with is no cancellation for Slurm
    fi
    exit "$2"
}

# What Slurm, and the job's processes besides their log, have written since this was started.
said() {
    tail -c "+$((${said_before:-0} + 1))" "$slurm_log"
}

# The reason that Slurm gave for ending the job.
reason() {
    case $(said | sed -n 's/.*\*\*\* JOB .* CANCELLED AT [^ ]* *//p' | tail -n 1) in
    *'TIME LIMIT'*) echo 'time limit' ;;
    *PREEMPTION*) echo preemption ;;
    *'NODE FAIL'*) echo 'node failure' ;;
    *'JOB REQUEUE'*) echo requeued ;;
    *) echo cancelled ;;
    esac
}

# Whether Slurm itself has put the job in the queue again. If nobody answers it may have; whoever
# asks for the job's status asks Slurm then.
may_be_requeued() {
    local known
    known=$(scontrol -o show job "$job_id" 2>/dev/null) || return 0
    [[ $known =~ \ Restarts=([0-9]+) ]] && ((BASH_REMATCH[1] > restarts))
}

# requeue EXIT_CODE: in the queue again, unless Slurm does not want it.
requeue() {
    stage=over
    trap '' TERM
    write_record requeued "$1" "$why"
    scontrol requeue "$job_id" && exit "$1"
}

# Signals to the job's processes, ever harder. srun answers SIGTERM by SIGKILL to them.
end_in_order() {
    scancel --signal=INT "$job_id"
    sleep @interrupt@
    scancel --signal=TERM "$job_id"
    sleep @terminate@
    kill -TERM "$step"
}

# answer SIGNAL
answer() {
    if [[ -e $cancel ]]; then
        if [[ $why != cancelled ]]; then
            why=cancelled
            end_in_order &
            ladder=$!
        fi
    elif [[ $1 == TERM ]]; then
        why=$(reason)
        write_record running '' "$why"
    elif [[ $1 == @signal@ && -z $why ]]; then
        why='time limit'
        write_record running '' "$why"
        scancel --signal="$1" "$job_id"
    fi
}

# What is left of the job when its processes have ended.
finish() {
    local code=$1 failed cause
    if [[ -n $ladder ]]; then
        kill "$ladder" 2>/dev/null
    fi
    # Where one process fails, srun ends the others: its exit code is then that of a signal.
    failed=$(said | sed -n 's/^first: \(process .* ended with exit code [0-9]*\)$/\1/p' | head -n 1)
    if [[ -n $failed ]]; then
        code=${failed##* }
    fi
    # Slurm's signal to this script may come later than the end that it caused.
    if [[ -z $why ]] && ((code != 0)) && said | grep -q '\*\*\* JOB .* CANCELLED AT'; then
        why=$(reason)
    fi
    case $why in
    '')
        if ((code == 0)); then
            end succeeded 0
        fi
        why=$failed
        end failed "$code"
        ;;
    cancelled) end cancelled "$code" ;;
    esac
    if [[ $why == requeued ]] || may_be_requeued; then
        stage=over
        write_record requeued "$code" "$why"
        exit "$code"
    fi
    for cause in @goes_on@; do
        if [[ $why == "$cause" ]] && ((attempt < @segments@)); then
            requeue "$code"
        fi
    done
    end unfinished "$code"
}

# Only setup lines can lead here before the job is over.
at_exit() {
    if [[ $stage != over ]]; then
        why='the setup lines of its profile ended it'
        end failed "$1"
    fi
}
trap 'at_exit $?' EXIT

if [[ -e $cancel ]]; then
    why=cancelled
    end cancelled 143
fi
write_record running '' ''

# How the processes find each other. Names of nodes need not resolve, so these are addresses.
known=$(scontrol -o show node "$SLURM_JOB_NODELIST" 2>/dev/null)
addresses=
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
    address=$(sed -n "s/^NodeName=$node .* NodeAddr=\([^ ]*\) .*/\1/p" <<<"$known")
    addresses+="${address:-$node} "
done
export RUNSPEC_NODE_ADDRESSES=$addresses
export RUNSPEC_HEAD_ADDRESS=${addresses%% *}
# Above the ports of Ray's own, below those that a kernel gives away.
RUNSPEC_HEAD_PORT=$((20000 + (SLURM_JOB_ID * 37 + restarts) % 12000))
while (exec 3<>"/dev/tcp/$RUNSPEC_HEAD_ADDRESS/$RUNSPEC_HEAD_PORT") 2>/dev/null; do
    RUNSPEC_HEAD_PORT=$((RUNSPEC_HEAD_PORT + 1))
done
export RUNSPEC_HEAD_PORT
# srun of Slurm 22.05 and later does not take it from the job.
if [[ -n $SLURM_CPUS_PER_TASK ]]; then
    export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
fi

# Whether Slurm's signals reach none but the processes that it started itself.
passes_on=yes
if [[ $(scontrol show config 2>/dev/null) =~ ProctrackType\ *=\ proctrack/linuxproc ]]; then
    passes_on=
fi

# The setup lines of the profile. They may use any name: ours are put back after them.
__runspec_kept=$(
    declare -p script log slurm_log record secrets cancel claim job_id restarts attempt
    declare -p started_at said_before stage why
    declare -f
)
{
@setup@
} >>"$log" 2>&1
eval "$__runspec_kept"
unset __runspec_kept

# One process of the job. Signals reach this shell too: it outlives job.sh, and waits for what is
# left of the job when it was asked to end, because Slurm kills the rest once this is over.
task='
script=$1
passes_on=$2
exec 3>&2 2>&1 </dev/null
set -- $RUNSPEC_NODE_ADDRESSES
shift "$SLURM_NODEID"
export RUNSPEC_NODE_ADDRESS=$1
unset RUNSPEC_NODE_ADDRESSES
@ranks@job=
received=
# below PID: the processes that it started, and those that these did.
below() {
    local child
    for child in $(cat "/proc/$1"/task/*/children); do
        echo "$child"
        below "$child"
    done
}
# Who starts others passes on what asks them to end; of the rest torchrun, say, knows nothing.
pass_on() {
    case $1 in
    INT | TERM) kill -s "$1" -- "-$job" ;;
    *) kill -s "$1" "$job" $(below "$job") ;;
    esac
}
answer() {
    received+=" $1"
    if [[ -n $job && -n $passes_on ]]; then pass_on "$1"; fi
}
for signum in HUP INT TERM USR1 USR2; do trap "answer $signum" $signum; done
set -m  # a process group of its own, so that its remains are known
bash "$script" 3>&- &
started=$!
set +m
exec 2>/dev/null  # bash has something to say of how jobs end
early=$received
job=$started
if [[ -n $passes_on ]]; then
    for signum in $early; do pass_on "$signum"; done
fi
while :; do
    before=$received
    wait "$job"
    now=$?
    if ((now != 127)); then code=$now; fi
    if [[ $received == "$before" ]]; then break; fi
done
while [[ -n $received ]] && kill -0 -- "-$job"; do sleep 0.1; done
if ((code)); then
    node=${SLURMD_NODENAME:-$(uname -n)}
    echo "first: process $SLURM_PROCID on $node ended with exit code $code" >&3
fi
exit "$code"
'

stage=running
if [[ -n $received ]]; then
    for signum in $received; do answer "$signum"; done
    finish 143
fi
@srun@ \
    bash -c "$task" task "$script" "$passes_on" >>"$log" &
step=$!
code=143
while :; do
    wait "$step"
    now=$?
    if ((now != 127)); then
        code=$now
    fi
    if [[ -z $received ]]; then
        break
    fi
    signals=$received
    received=
    for signum in $signals; do answer "$signum"; done
done
finish "$code"
"""
