"""Ray's Jobs API over HTTP, as its dashboard serves it; no `ray` is needed here.

Source: the REST API of ray 2.60 (in `ray/dashboard/modules`: `job/job_head.py` and
`state/state_head.py`), checked against a real cluster.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from nemo_runspec.execution.errors import ExecutionError, UnreachableError
from nemo_runspec.execution.ray.settings import RaySettings

UPLOAD_LIMIT_BYTES = (
    100 * 1024 * 1024
)  # ray/_private/runtime_env/packaging.py: GCS_STORAGE_MAX_SIZE

_REQUEST_SECONDS = 15.0
_UPLOAD_SECONDS = 300.0
_PAUSE_SECONDS = (0.1, 2.0)  # between two attempts: at first, at most
# Said by what stands before a dashboard that is starting or gone for a moment, or by the dashboard
# to one who asks too often.
_NOT_NOW = (429, 502, 503, 504)
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class JobInfo:
    """What the cluster says of a job.

    Args:
        id: its submission id.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        message: a sentence or a traceback.
        error_type: which kind of failure.
        started_at: when it was submitted, in seconds since the epoch.
        ended_at: likewise.
        exit_code: of its command; None while it runs, and when it was stopped or lost.
        metadata: what was submitted with it.
        node: id of the node that its command runs on.
    """

    id: str
    status: str
    message: str
    error_type: str | None
    started_at: float | None
    ended_at: float | None
    exit_code: int | None
    metadata: Mapping[str, str]
    node: str | None

    @property
    def is_final(self) -> bool:
        return self.status not in ("PENDING", "RUNNING")


class ApiError(ExecutionError):
    """The cluster refused a request.

    Args:
        status: the HTTP status.
        said: the body of its answer.
    """

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class JobsApi:
    """A cluster's Jobs API.

    Args:
        settings: where it is.
        patience: how long one request is tried, in seconds, while nobody answers.
    """

    def __init__(self, settings: RaySettings, patience: float) -> None:
        self._settings = settings
        self._patience = patience
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if settings.address.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=_tls(settings)))
        self._opener = urllib.request.build_opener(*handlers)

    def ray_version(self) -> str:
        """The version of the cluster's Ray."""
        return str(self._json("GET", "/api/version")["ray_version"])

    def submit(self, body: Mapping[str, Any]) -> bool:
        """Submits a job; False where there is one of its submission id already."""
        try:
            self._json("POST", "/api/jobs/", body)
        except ApiError as error:
            if "already exists" in error.said:
                return False
            raise
        return True

    def job(self, submission_id: str) -> JobInfo | None:
        """What is known of a job; None where nothing is.

        Raises:
            UnreachableError: nobody answered in time.
        """
        try:
            answer = self._json("GET", f"/api/jobs/{quote(submission_id, safe='')}")
        except ApiError as error:
            if error.status == 404 and "does not exist" in error.said:
                return None
            raise
        return _job_info(answer)

    def stop(self, submission_id: str) -> None:
        """Asks a job to end; of no effect on one that has ended or is not known."""
        try:
            self._json("POST", f"/api/jobs/{quote(submission_id, safe='')}/stop", {})
        except ApiError as error:
            if error.status != 404:
                raise

    def has_package(self, name: str) -> bool:
        """Whether the cluster has the upload of this name."""
        try:
            self._bytes("GET", f"/api/packages/gcs/{name}")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def upload(self, name: str, content: bytes) -> None:
        """Uploads a package.

        Raises:
            ApiError: of status 413 where it is larger than the cluster allows.
        """
        self._bytes("PUT", f"/api/packages/gcs/{name}", content, seconds=_UPLOAD_SECONDS)

    def file(self, node: str, name: str) -> bytes | None:
        """A file of the folder in which a node keeps the logs of its Ray; None if there is none."""
        query = urlencode({"node_id": node, "filename": name, "lines": -1})
        try:
            return self._bytes("GET", f"/api/v0/logs/file?{query}", seconds=_UPLOAD_SECONDS)
        except ApiError as error:
            if error.status == 500 and _is_missing(error.said):
                return None
            raise

    @contextlib.contextmanager
    def follow(self, node: str, name: str, seconds: float) -> Iterator[http.client.HTTPResponse]:
        """The same as a stream, from its start and on while it grows.

        Args:
            node: id of the node.
            name: the file.
            seconds: how long a read waits before it raises TimeoutError.

        Raises:
            UnreachableError: nobody answered in time.
            FileNotFoundError: there is no such file, or no such node.
            ConnectionError: somebody says that nobody can answer now.
        """
        query = urlencode({"node_id": node, "filename": name, "lines": -1, "interval": 0.2})
        request = self._request("GET", f"/api/v0/logs/stream?{query}", None, None)
        try:
            with self._opener.open(request, timeout=seconds) as answer:
                yield answer
        except urllib.error.HTTPError as error:
            said = _text(error)
            if error.code == 500:
                raise FileNotFoundError(name) from error
            if error.code in _NOT_NOW:
                raise ConnectionError(said) from error
            raise self._refused(error.code, said, request) from error

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        answer = self._bytes(method, path, content, kind="application/json")
        try:
            return json.loads(answer)
        except ValueError:
            raise ExecutionError(
                f"{self._settings.address}{path}: the answer is no JSON; is that the address of a "
                "Ray dashboard?"
            ) from None

    def _bytes(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        kind: str = "application/octet-stream",
        seconds: float = _REQUEST_SECONDS,
    ) -> bytes:
        """The answer's body, after as many attempts as the patience allows.

        To ask once more is safe: a package is named by its content, a job by its submission id.
        """
        deadline = time.monotonic() + self._patience
        pause, longest = _PAUSE_SECONDS
        while True:
            request = self._request(method, path, content, kind)
            left = max(0.5, deadline - time.monotonic())
            limit = min(seconds, left) if content is None or len(content) < 1 << 20 else seconds
            try:
                with self._opener.open(request, timeout=limit) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                if error.code not in _NOT_NOW:
                    raise self._refused(error.code, _text(error), request) from error
                why = f"it answers with {error.code}"
            except (OSError, http.client.HTTPException) as error:
                why = self._why(error)
            if time.monotonic() + pause >= deadline:
                raise UnreachableError(
                    f"the Ray cluster at {self._settings.address} does not answer ({why}); "
                    "what runs there is not known until it does"
                )
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def _why(self, error: OSError | http.client.HTTPException) -> str:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            # No patience mends that.
            raise ExecutionError(
                f"{self._settings.address}: its certificate is not trusted "
                f"({reason.verify_message}); name the file of its authority in tls_ca_file"
            ) from error
        if isinstance(reason, TimeoutError):
            return "no answer in time"
        return str(getattr(reason, "strerror", None) or reason) or type(reason).__name__

    def _request(
        self, method: str, path: str, content: bytes | None, kind: str | None
    ) -> urllib.request.Request:
        request = urllib.request.Request(
            f"{self._settings.address}{path}", data=content, method=method
        )
        if content is not None and kind is not None:
            request.add_header("Content-Type", kind)
        token = self._settings.token()
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        return request

    def _refused(self, status: int, said: str, request: urllib.request.Request) -> ApiError:
        address, variable = self._settings.address, self._settings.token_variable
        what = f"{request.get_method()} {request.selector.partition('?')[0]}"
        lines = [line for line in said.strip().splitlines() if line.strip()]
        last = lines[-1].strip() if lines else ""
        if status == 401:
            why = f"it wants a token and got none; set {variable}"
        elif status == 403:
            why = f"it does not take the token of {variable}"
        elif status in range(300, 400):
            why = "it sends on to another address; name that one in host"
        else:
            why = f"{what} got {status} {last}".strip()
        return ApiError(f"the Ray cluster at {address} refuses: {why}", status, said)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A login page behind a redirect would be taken for an answer."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _tls(settings: RaySettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ExecutionError(
            f"run.env.tls_ca_file: {settings.ca_file}: cannot be read: {error.strerror or error}"
        ) from error
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _text(error: urllib.error.HTTPError) -> str:
    try:
        return error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""


def _is_missing(said: str) -> bool:
    """Whether a failed look into a node's logs says that there is no such file or node."""
    return True if not said else "not found" in said.lower() or "Server got itself" in said


def _job_info(answer: Mapping[str, Any]) -> JobInfo:
    def seconds(key: str) -> float | None:
        return float(answer[key]) / 1000 if answer.get(key) else None

    code = answer.get("driver_exit_code")
    return JobInfo(
        id=str(answer["submission_id"]),
        status=str(answer["status"]),
        message=str(answer.get("message") or ""),
        error_type=answer.get("error_type"),
        started_at=seconds("start_time"),
        ended_at=seconds("end_time"),
        exit_code=None if code is None else int(code),
        metadata=dict(answer.get("metadata") or {}),
        node=answer.get("driver_node_id"),
    )
