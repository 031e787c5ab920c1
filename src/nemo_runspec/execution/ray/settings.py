"""What a profile says of a Ray cluster: where it is, and what the job's command gets there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nemo_runspec._names import hint
from nemo_runspec.execution.errors import ExecutionError
from runspec import FrozenMapping

ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"  # that of Ray's own command line
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"
DEFAULT_PORT = 8265

_TOKEN_FILE_VARIABLE = "RAY_AUTH_TOKEN_PATH"
_TOKEN_FILE = Path(".ray", "auth_token")  # below the home folder, where `ray` keeps it
_RESOURCES = "entrypoint_resources"
_NUMBERS = ("entrypoint_num_cpus", "entrypoint_num_gpus", "entrypoint_memory")


@dataclass(frozen=True)
class RaySettings:
    """How to reach a cluster.

    Args:
        address: `http(s)://HOST:PORT` of its dashboard.
        token_variable: the variable of the launcher's environment that holds its token.
        ca_file: certificates to trust instead of the system's.
        verify: whether the certificate of an https address is checked.
    """

    address: str
    token_variable: str = TOKEN_VARIABLE
    ca_file: str | None = None
    verify: bool = True

    def token(self, environ: Mapping[str, str] | None = None) -> str | None:
        """The token as Ray's own client finds it; None where there is none."""
        environ = os.environ if environ is None else environ
        token = environ.get(self.token_variable)
        if token:
            return token.strip()
        named = environ.get(_TOKEN_FILE_VARIABLE)
        path = Path(named) if named else Path(environ.get("HOME", "/nonexistent")) / _TOKEN_FILE
        try:
            return path.read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RaySettings:
        ca_file = document.get("ca_file")
        return cls(
            address=str(document["address"]),
            token_variable=str(document["token_variable"]),
            ca_file=None if ca_file is None else str(ca_file),
            verify=bool(document["verify"]),
        )


@dataclass(frozen=True)
class Entrypoint:
    """What Ray keeps free for the job's command itself, besides what its tasks ask for.

    Args:
        fields: as the Jobs API names them; none where the profile asks for nothing.
    """

    fields: Mapping[str, Any] = FrozenMapping()


def ray_settings(
    profile: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> RaySettings:
    """Where the cluster of a profile is.

    Args:
        profile: `host`, `token_variable`, `tls_ca_file`, `tls_verify`.
        environ: where the address is looked for when the profile has no `host`.

    Raises:
        ExecutionError: there is no address, or it is none.
    """
    environ = os.environ if environ is None else environ
    host, origin = profile.get("host"), "run.env.host"
    if not host:
        host, origin = environ.get(ADDRESS_VARIABLE), ADDRESS_VARIABLE
    if not host:
        raise ExecutionError(
            "run.env.host: the profile names no Ray cluster; "
            f'write host = "http://HOST:{DEFAULT_PORT}" in it, or set {ADDRESS_VARIABLE}'
        )
    verify = profile.get("tls_verify", True)
    if not isinstance(verify, bool):
        raise ExecutionError(f"run.env.tls_verify: {verify!r} is neither true nor false")
    ca_file = profile.get("tls_ca_file")
    return RaySettings(
        _address(str(host), origin),
        str(profile.get("token_variable") or TOKEN_VARIABLE),
        None if not ca_file else str(Path(str(ca_file)).expanduser()),
        verify,
    )


def entrypoint(profile: Mapping[str, Any]) -> Entrypoint:
    """What the profile's `entrypoint_…` keys ask for.

    Raises:
        ExecutionError: a value is no number.
    """
    fields: dict[str, Any] = {}
    for key in _NUMBERS:
        if profile.get(key) is not None:
            fields[key] = _number(f"run.env.{key}", profile[key])
    resources = profile.get(_RESOURCES)
    if resources:
        if not isinstance(resources, Mapping):
            raise ExecutionError(
                f"run.env.{_RESOURCES}: {resources!r} is no table; "
                f"write {_RESOURCES} = {{NAME = 1}}"
            )
        fields[_RESOURCES] = {
            str(name): _number(f"run.env.{_RESOURCES}.{name}", value)
            for name, value in resources.items()
        }
    return Entrypoint(fields)


def _address(text: str, origin: str) -> str:
    written = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError as error:
        raise ExecutionError(f"{origin}: {text!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https"):
        meant = hint(parts.scheme, ["http", "https"])
        raise ExecutionError(
            f"{origin}: {text!r} is no address of Ray's Jobs API, which is that of its dashboard "
            f"(http://HOST:{DEFAULT_PORT}); {meant}"
        )
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise ExecutionError(f"{origin}: write http://HOST:{DEFAULT_PORT}, or with https, no more")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # A name without scheme and port is a head's; behind https there is a proxy on its usual port.
    suffix = f":{port}" if port else f":{DEFAULT_PORT}" if "://" not in text else ""
    return f"{parts.scheme}://{host}{suffix}{parts.path.rstrip('/')}"


def _number(origin: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ExecutionError(f"{origin}: {value!r} is no amount; write a number from 0")
    return int(value) if value == int(value) else float(value)
