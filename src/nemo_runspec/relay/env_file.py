"""The `env.toml` of the other host: the profile that was chosen here, resolved, with the tables
that all profiles share.

No secret is in it. Where one stood, it refers to a variable, which the command there gets.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nemo_runspec.env import RESERVED_SECTIONS
from nemo_runspec.execution.environment import RELAY_PREFIX
from nemo_runspec.masking import is_secret_name, mask_secrets, secret_values

# Where a command is relayed from, and how: the other side needs none of it.
_HERE = frozenset({"host", "identity", "tunnel", "user"})
_LATE_RESOLVER = "${auto_mount:"
_ENV_REFERENCE = re.compile(r"\$\{oc\.env:(?P<name>\w+)(?:,[^${}]*)?\}")
_INTERPOLATION = re.compile(r"(\\*)\$\{")


@dataclass(frozen=True)
class EnvFile:
    """An `env.toml` and the variables that it refers to.

    Args:
        text: the file.
        secrets: the variables, by name.
    """

    text: str
    secrets: Mapping[str, str]


def env_file(
    name: str,
    profile: Mapping[str, Any],
    tables: Mapping[str, Any],
    environ: Mapping[str, str] = os.environ,
) -> EnvFile:
    """The file for the other host.

    Args:
        name: the profile's.
        profile: it, resolved, as plain data.
        tables: all of `env.toml` here; the shared ones go along as they are written, but for the
            secrets that they take from our environment.
        environ: that environment.
    """
    secrets = _Secrets(environ)
    there = {key: value for key, value in profile.items() if key not in _HERE}
    shared = {
        key: secrets.with_environment(value)
        for key, value in tables.items()
        if key in RESERVED_SECTIONS
    }
    masked: Any = mask_secrets(there)
    own = {**secrets.taken_out(_literal(there), _literal(masked)), "tunnel": "local"}
    common = secrets.taken_out(shared, mask_secrets(shared))
    return EnvFile(toml_text({**common, name: own}), secrets.variables)


def toml_text(tables: Mapping[str, Any]) -> str:
    """Tables in TOML, each value in a line of its own; None is left out."""
    lines = []
    for title, table in tables.items():
        lines.append(f"[{_text(title)}]")
        items = table.items() if isinstance(table, Mapping) else ()
        lines += [f"{_text(key)} = {_value(each)}" for key, each in items if each is not None]
    return "\n".join(lines) + "\n"


class _Secrets:
    """Secret values, each under the name of a variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.variables: dict[str, str] = {}
        self._environ = environ
        self._known = secret_values(environ)

    def taken_out(self, value: Any, masked: Any) -> Any:
        """`value` with references where `masked` differs from it, or a secret of the environment
        stands in it: in a profile that is resolved nothing else says that it is one."""
        if isinstance(value, Mapping):
            return {key: self.taken_out(item, masked[key]) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            pairs = zip(value, masked, strict=True)
            return [self.taken_out(item, hidden) for item, hidden in pairs]
        text = _unescaped(str(value))
        is_known = isinstance(value, str) and any(secret in text for secret in self._known)
        return value if value == masked and not is_known else self._reference(text)

    def with_environment(self, value: Any, *, is_secret: bool = False) -> Any:
        """`value` with the secrets of our environment that it refers to; all else counts there."""
        if isinstance(value, Mapping):
            return {
                key: self.with_environment(item, is_secret=is_secret or is_secret_name(str(key)))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.with_environment(item, is_secret=is_secret) for item in value]
        if not isinstance(value, str):
            return value

        def ours(found: re.Match[str]) -> str | None:
            return self._environ.get(found["name"]) if is_secret_name(found["name"]) else None

        def known(found: re.Match[str]) -> str:
            secret = self._environ.get(found["name"]) if is_secret else ours(found)
            return found[0] if secret is None else secret

        def referred(found: re.Match[str]) -> str:
            secret = ours(found)
            return found[0] if secret is None else self._reference(secret)

        text = _ENV_REFERENCE.sub(known, value)
        if is_secret or mask_secrets(text) != text:
            return text  # to be taken out whole
        return _ENV_REFERENCE.sub(referred, value)

    def _reference(self, secret: str) -> str:
        variable = f"{RELAY_PREFIX}SECRET_{len(self.variables) + 1}"
        self.variables[variable] = secret
        return f"${{oc.env:{variable}}}"


def _literal(value: Any) -> Any:
    """`value` so that it means itself when it is resolved once more."""
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_literal(item) for item in value]
    if not isinstance(value, str) or _LATE_RESOLVER in value:
        return value
    return _INTERPOLATION.sub(lambda found: 2 * found[1] + r"\${", value)


def _unescaped(text: str) -> str:
    return re.sub(r"((?:\\\\)*)\\\$\{", lambda found: found[1][::2] + "${", text)


def _value(value: Any) -> str:
    """A value in TOML, in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else {True: "nan"}.get(value != value, f"{value}")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        items = (f"{_text(str(k))} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {', '.join(items)} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item) for item in value if item is not None)}]"
    return _text(str(value))


def _text(text: str) -> str:
    # JSON's escapes are TOML's, which wants one for DEL as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
