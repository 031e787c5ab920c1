"""Jobs on an existing Ray cluster, through its Jobs API."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.job_script import remove_secrets
from nemo_runspec.execution.patience import patience_seconds
from nemo_runspec.execution.protocol import Executor, Handle, Job, Request, State, Status
from nemo_runspec.execution.ray.jobs_api import ApiError, JobInfo, JobsApi
from nemo_runspec.execution.ray.package import too_large
from nemo_runspec.execution.ray.request import CANCELLED_FILE, RayRequest, make_request
from nemo_runspec.execution.ray.settings import RaySettings
from nemo_runspec.jobs import JobPaths
from nemo_runspec.masking import mask_secrets
from nemo_runspec.utils import write_atomically

_ANSWER_SECONDS = 20.0
# A node whose head is gone ends its jobs on its own after 60 s
# (gcs_rpc_server_reconnect_timeout_s); before that another start of the job could meet it.
_FORGOTTEN_SECONDS = 75.0
# Ray says that a job has ended before its supervisor has written how, when its node was lost.
_RECORD_SECONDS = 8.0
_POLL_SECONDS = (0.1, 1.0)
_CHUNK_BYTES = 1 << 16
_GENERATIONS = 100
_LOST = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")


class RayExecutor(Executor):
    """Runs jobs on a Ray cluster. Its handles serve any process that sees the job's folder.

    Args:
        answer: how long one question to the cluster is asked, in seconds, while nobody answers.
        forgotten: how long a job that the cluster does not know any more is taken to run on, in
            seconds: its head may have been replaced while its nodes still work.
    """

    name = "ray"

    def __init__(
        self, *, answer: float = _ANSWER_SECONDS, forgotten: float = _FORGOTTEN_SECONDS
    ) -> None:
        self._answer = answer
        self._forgotten = forgotten
        self._first_seen: dict[str, float] = {}

    def prepare(self, job: Job) -> RayRequest:
        return make_request(job)

    def stage(self, request: Request) -> None:
        _own(request).stage()

    def submit(self, request: Request, *, attached: bool) -> Handle:
        request = _own(request)
        try:
            handle = self._submit(request)
        except UnreachableError:
            raise  # it may have been accepted, and need its secrets
        except ExecutionError:
            remove_secrets(JobPaths(request.folder))
            raise
        if handle.folder != str(request.folder):
            remove_secrets(JobPaths(request.folder))  # what runs has its own
        return handle

    def _submit(self, request: RayRequest) -> Handle:
        api = self._api(request.settings)
        _check_versions(request, api)
        package = request.stage()
        address = None
        if package is not None:
            try:
                if not api.has_package(package.name):
                    api.upload(package.name, package.content)
            except ApiError as error:
                if error.status == 413:
                    raise too_large(len(package.content)) from error
                raise
            address = package.uri
        for generation in range(1, _GENERATIONS):
            submission_id = request.submission_id(generation)
            # Known before it is submitted: whoever finds the folder finds the job.
            _keep(request, submission_id)
            handle = Handle(self.name, str(request.folder), submission_id)
            if api.submit(request.body(submission_id, address, time.time())):
                return handle
            info = api.job(submission_id)
            if info is None:
                continue  # it was deleted meanwhile
            known = self._handle_of(info, submission_id, request.folder)
            if known is not None:
                return known
        raise ExecutionError(
            f"{request.name}: {_GENERATIONS} jobs of this build have ended on the Ray cluster at "
            f"{request.settings.address}; delete them there with: ray job delete ID"
        )

    def find(self, folder: Path) -> Handle | None:
        submitted = _submitted(folder)
        if submitted is None:
            return None
        handle = Handle(self.name, str(folder), submitted.id)
        if _record(folder) is not None:
            return handle
        info = self._api(submitted.settings).job(submitted.id)
        return None if info is None else self._handle_of(info, submitted.id, folder)

    def _handle_of(self, info: JobInfo, submission_id: str, folder: Path) -> Handle | None:
        """The handle of a job that has the id of the one of this folder.

        It is ours, by a request whose answer was lost; or the same build of another launcher. None:
        it is another's that has ended.
        """
        owner = info.metadata.get("runspec_folder", str(folder))
        is_ours = owner == str(folder)
        return Handle(self.name, owner, submission_id) if is_ours or not info.is_final else None

    def status(self, handle: Handle) -> Status:
        folder = Path(handle.folder)
        record = _record(folder)
        if record is not None and record["state"] == "ended":
            return self._ended(folder, _status_of(record))
        submitted = _known(handle)
        api = self._api(submitted.settings)
        info = api.job(handle.id)
        if info is None:
            return self._forgotten_job(handle, record)
        if info.status == "PENDING":
            if (folder / CANCELLED_FILE).exists():
                return self._verdict(handle, Status(State.CANCELLED, ended_at=time.time()))
            return Status(State.PENDING, why=_why_waiting(info))
        if not info.is_final:
            self._first_seen.pop(handle.id, None)  # the cluster was another's for a moment
            return Status(State.RUNNING, started_at=info.started_at)
        return self._ended_on_ray(handle, submitted, api, info)

    def logs(self, handle: Handle, *, follow: bool = False) -> Iterator[bytes]:
        submitted = _known(handle)
        if submitted.is_shared or _record(Path(handle.folder)) is not None:
            return self._file_logs(handle, follow=follow)
        return self._remote_logs(handle, submitted, follow=follow)

    def cancel(self, handle: Handle) -> None:
        if self.status(handle).state.is_final:
            return
        # A job that waits is started all the same, after Ray has taken this for done.
        (Path(handle.folder) / CANCELLED_FILE).touch()
        self._api(_known(handle).settings).stop(handle.id)
        # If it still waits, nothing of it ever runs that would take them away.
        remove_secrets(JobPaths(Path(handle.folder)))

    def wait(self, handle: Handle, timeout: float | None = None) -> Status:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, longest = _POLL_SECONDS
        while not (status := self.status(handle)).state.is_final:
            left = longest if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, longest)
        return status

    def _api(self, settings: RaySettings) -> JobsApi:
        return JobsApi(settings, self._answer)

    def _ended(self, folder: Path, status: Status) -> Status:
        remove_secrets(JobPaths(folder))
        return status

    def _verdict(self, handle: Handle, status: Status) -> Status:
        """Keeps the end of a job that nobody else wrote down."""
        folder = Path(handle.folder)
        document = {
            "state": "ended",
            "verdict": status.state.value,
            "exit_code": status.exit_code,
            "started_at": status.started_at,
            "ended_at": status.ended_at,
            "why": status.why,
        }
        text = json.dumps(document, indent=2, sort_keys=True)
        write_atomically(JobPaths(folder).status, f"{text}\n", durable=False)
        return self._ended(folder, status)

    def _ended_on_ray(
        self, handle: Handle, submitted: _Submitted, api: JobsApi, info: JobInfo
    ) -> Status:
        """How a job ended that Ray says has ended."""
        folder = Path(handle.folder)
        if not submitted.is_shared and info.node is not None:
            _fetch(api, info.node, handle.id, folder)
        record = _record(folder)
        if record is not None and record["state"] == "ended":
            return self._ended(folder, _status_of(record))
        times = (info.started_at, info.ended_at)
        if record is not None and not self._is_over(handle.id, _RECORD_SECONDS):
            return Status(State.RUNNING, started_at=info.started_at, why="is being ended")
        if info.status == "STOPPED":
            return self._verdict(handle, Status(State.CANCELLED, None, *times))
        if info.error_type in _LOST:
            why = "the node that it ran on was lost"
            return self._verdict(handle, Status(State.UNFINISHED, None, *times, why=why))
        code = info.exit_code
        if code is not None and code < 0:
            code = 128 - code
        state = State.SUCCEEDED if info.status == "SUCCEEDED" else State.FAILED
        reason = None if code is not None else _first_line(info.message)
        if record is not None:
            # Its supervisor was killed with it: then the end of the command says nothing.
            state, reason = State.UNFINISHED, "its supervisor was lost"
        return self._verdict(handle, Status(state, code, *times, why=reason))

    def _forgotten_job(self, handle: Handle, record: Mapping[str, Any] | None) -> Status:
        """Where a job stands that was submitted and is not known to its cluster."""
        started = None if record is None else record["started_at"]
        if not self._is_over(handle.id, self._forgotten):
            why = "its Ray cluster was started anew and forgot it; waiting until its nodes have too"
            return Status(State.RUNNING, started_at=started, why=why)
        why = "its Ray cluster was started anew and forgot it"
        lost = Status(State.UNFINISHED, started_at=started, ended_at=time.time(), why=why)
        return self._verdict(handle, lost)

    def _is_over(self, submission_id: str, seconds: float) -> bool:
        """Whether it is this long ago that this was asked of the job for the first time."""
        now = time.monotonic()
        return now - self._first_seen.setdefault(submission_id, now) >= seconds

    def _file_logs(self, handle: Handle, *, follow: bool) -> Iterator[bytes]:
        silence = _Silence()
        with open(JobPaths(Path(handle.folder)).log, "rb", buffering=0) as log:
            while True:
                # Asked before reading: what was written before the end is then read for certain.
                ended = not follow or self._has_ended(handle, silence)
                while chunk := log.read(_CHUNK_BYTES):
                    yield chunk
                if ended:
                    return
                time.sleep(_POLL_SECONDS[0])

    def _remote_logs(
        self, handle: Handle, submitted: _Submitted, *, follow: bool
    ) -> Iterator[bytes]:
        api = self._api(submitted.settings)
        seen = 0
        silence = _Silence()
        while True:
            # Once it has ended the log is in the folder.
            if self._has_ended(handle, silence) if follow else self.status(handle).state.is_final:
                with open(JobPaths(Path(handle.folder)).log, "rb") as log:
                    log.seek(seen)
                    while chunk := log.read(_CHUNK_BYTES):
                        yield chunk
                return
            node = self._node(api, handle)
            if not follow:
                text = None if node is None else api.file(node, f"{handle.id}.log")
                yield from [text] if text else []
                return
            for chunk in _streamed(api, node, f"{handle.id}.log", seen):
                seen += len(chunk)
                yield chunk
            time.sleep(_POLL_SECONDS[0])

    def _node(self, api: JobsApi, handle: Handle) -> str | None:
        with contextlib.suppress(UnreachableError):
            info = api.job(handle.id)
            return None if info is None else info.node
        return None

    def _has_ended(self, handle: Handle, silence: _Silence) -> bool:
        try:
            state = self.status(handle).state
        except UnreachableError as error:
            silence.goes_on(error)
            return False
        silence.is_over()
        return state.is_final


class _Silence:
    """How long nobody has answered who follows a job."""

    def __init__(self) -> None:
        self._since: float | None = None

    def goes_on(self, error: UnreachableError) -> None:
        """Raises `error` once the caller's patience is at its end."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > patience_seconds():
            raise error

    def is_over(self) -> None:
        self._since = None


@dataclass(frozen=True)
class _Submitted:
    """What a job's folder says of where the job is.

    Args:
        id: its submission id.
        settings: where its cluster is.
        is_shared: whether the cluster sees the folder.
    """

    id: str
    settings: RaySettings
    is_shared: bool


def _keep(request: RayRequest, submission_id: str) -> None:
    document = {
        "executor": RayExecutor.name,
        "id": submission_id,
        "is_shared": request.upload is None,
        "settings": request.settings.to_document(),
    }
    text = json.dumps(document, indent=2, sort_keys=True)
    write_atomically(JobPaths(request.folder).ray, f"{text}\n")


def _submitted(folder: Path) -> _Submitted | None:
    path = JobPaths(folder).ray
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings = RaySettings.from_document(document["settings"])
        return _Submitted(str(document["id"]), settings, bool(document["is_shared"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ExecutionError(f"{path}: not a job of Ray: {error}") from error


def _known(handle: Handle) -> _Submitted:
    submitted = _submitted(Path(handle.folder))
    if submitted is None:
        raise ExecutionError(f"{handle.folder}: no job was submitted from this folder")
    return submitted


def _record(folder: Path) -> dict[str, Any] | None:
    """What the job's supervisor wrote, or the verdict on it; None before either."""
    path = JobPaths(folder).status
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ExecutionError(f"{path}: not a job's status: {error}") from error
    return record


def _status_of(record: Mapping[str, Any]) -> Status:
    if "verdict" in record:
        state = State(record["verdict"])
    elif record["cancelled"]:
        state = State.CANCELLED
    else:
        state = State.FAILED if record["exit_code"] else State.SUCCEEDED
    times = (record["started_at"], record["ended_at"])
    return Status(state, record["exit_code"], *times, why=record.get("why"))


def _fetch(api: JobsApi, node: str, submission_id: str, folder: Path) -> None:
    """Brings what the job left on its node into its folder; its status last."""
    paths = JobPaths(folder)
    places = (("log", paths.log), ("jsonl", paths.records), ("json", paths.status))
    for suffix, path in places:
        content = api.file(node, f"{submission_id}.{suffix}")
        if content is not None:
            temporary = path.with_name(f".{path.name}.fetched")
            temporary.write_bytes(content)
            temporary.replace(path)


def _streamed(api: JobsApi, node: str | None, name: str, seen: int) -> Iterator[bytes]:
    """What a node's file has beyond its first `seen` bytes, until nothing comes for a while."""
    if node is None:
        return
    silent = (OSError, http.client.HTTPException)  # a read that timed out, or a cut connection
    with contextlib.suppress(*silent), api.follow(node, name, _POLL_SECONDS[1]) as stream:
        skip = seen
        while piece := stream.read1(_CHUNK_BYTES):
            if skip >= len(piece):
                skip -= len(piece)
                continue
            yield piece[skip:]
            skip = 0


def _check_versions(request: RayRequest, api: JobsApi) -> None:
    """A driver and a cluster of different versions of Ray do not understand each other."""
    if request.ray is None:
        return
    there = api.ray_version()
    if there != request.ray:
        raise ExecutionError(
            f"{request.name}: its lockfile has ray {request.ray}, and the Ray cluster at "
            f"{request.settings.address} runs {there}; lock ray=={there}, or leave ray out of the "
            "recipe's requirements and use the cluster's"
        )


def _why_waiting(info: JobInfo) -> str:
    return "waits for resources" if "resources" in info.message else "waits to be started"


def _first_line(text: str) -> str | None:
    lines = [line for line in text.splitlines() if line.strip()]
    return str(mask_secrets(lines[0]))[:300] if lines else None


def _own(request: Request) -> RayRequest:
    if not isinstance(request, RayRequest):
        raise TypeError(f"{type(request).__name__} was prepared by another executor")
    return request
