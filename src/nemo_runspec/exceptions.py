"""The library's errors: one small ladder, each rung a meaning that a caller can catch.

``NemoRunspecError`` is everything a person can mend (input, environment, a store that lacks
something); a command line prints it as one line and exits with 2. Anything else that is raised is
a bug. The rungs for configuration and profiles are ``ValueError`` as well, and a missing file is a
``FileNotFoundError``, because recipe scripts in the field catch those.
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "ArtifactNotFoundError",
    "ArtifactVersionNotFoundError",
    "ConfigError",
    "ConfigNotFoundError",
    "EnvError",
    "NemoRunspecError",
    "OverrideError",
    "ProfileError",
    "UsageError",
]


class NemoRunspecError(Exception):
    """Base of all errors of this library; ``str()`` of each is one line."""

    def __str__(self) -> str:
        return " ".join(line.strip() for line in super().__str__().splitlines())


class UsageError(NemoRunspecError, ValueError):
    """The command line says something that cannot be done."""


class ConfigError(NemoRunspecError, ValueError):
    """A YAML config is broken, or does not hold what is needed of it."""


class ConfigNotFoundError(ConfigError, FileNotFoundError):
    """A config, or one that its ``defaults:`` names, does not exist."""


class OverrideError(ConfigError):
    """A ``key=value`` override does not fit the config."""


class EnvError(NemoRunspecError, ValueError):
    """``env.toml`` is missing, broken, or holds something that cannot be."""


class ProfileError(EnvError):
    """A profile of ``env.toml`` does not exist or cannot be put together."""


class ArtifactError(NemoRunspecError):
    """Base of what can go wrong with an artifact."""


class ArtifactNotFoundError(ArtifactError):
    """No artifact of this name can be found.

    Args:
        name: the name that was looked for.
        message: the whole sentence, where the plain one would say too little.
    """

    def __init__(self, name: str, message: str | None = None) -> None:
        self.name = name
        self.message = message or f"artifact {name!r} not found"
        super().__init__(self.message)


class ArtifactVersionNotFoundError(ArtifactError):
    """The artifact exists, this version of it does not.

    Args:
        name: the artifact's name.
        version: the version that was looked for (``"v3"``, ``3`` or ``"latest"``).
        message: the whole sentence, where the plain one would say too little.
    """

    def __init__(self, name: str, version: str | int, message: str | None = None) -> None:
        self.name = name
        self.version = version
        self.message = message or f"artifact {name!r} has no version {version!r}"
        super().__init__(self.message)
