"""Which values are secrets, and how they look where people can read them.

A value is a secret because of its key: one of the words of the key (``_``, ``-``, ``.`` and a
capital letter separate words) says so. Whole words count, so that ``tokenizer``, ``max_tokens``
and ``monkey`` are none. A value that only names where the secret comes from (``${oc.env:X}``)
is shown: it gives nothing away and is what one needs to see.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

MASK = "******"
_LEAST_CHARACTERS = 8

_SECRET_WORDS = frozenset(
    {
        "accesskey",
        "accesstoken",
        "apikey",
        "apitoken",
        "authorization",
        "authtoken",
        "credential",
        "credentials",
        "privatekey",
        "passwords",
        "secret",
        "secretkey",
        "secrets",
    }
)
# Ends of words: PGPASSWORD is one.
_SECRET_ENDS = ("passphrase", "passwd", "password")
_SECRET_PAIRS = frozenset(
    {
        ("access", "key"),
        ("api", "key"),
        ("api", "keys"),
        ("auth", "config"),
        ("auth", "key"),
        ("encryption", "key"),
        ("encryption", "keys"),
        ("private", "key"),
        ("signing", "key"),
        ("signing", "keys"),
    }
)
# Last words that are secrets except behind some: a forward pass, a file pattern.
_SECRET_LAST = {
    "auth": frozenset[str](),
    "pass": frozenset(
        {"backward", "first", "forward", "last", "max", "multi", "num", "one", "per", "second"}
        | {"single"}
    ),
    "pat": frozenset({"file", "glob", "name", "path", "regex"}),
}
# `tokens` is nearly always text; behind these words it is several of the other kind.
_TOKEN_OWNERS = frozenset(
    {
        "access",
        "api",
        "auth",
        "bearer",
        "bot",
        "gh",
        "github",
        "gitlab",
        "hf",
        "hub",
        "huggingface",
        "ngc",
        "oauth",
        "refresh",
        "slack",
        "wandb",
    }
)
# What a key ends in when its value says where a secret lies or what it is called.
_POINTERS = frozenset({"dir", "file", "folder", "name", "path", "type"})
# `token` as a unit of text, in the words that come before it.
_TEXT_TOKENS = frozenset(
    {
        "audio",
        "begin",
        "bos",
        "cls",
        "end",
        "eos",
        "first",
        "image",
        "last",
        "mask",
        "max",
        "min",
        "new",
        "next",
        "num",
        "pad",
        "per",
        "sep",
        "special",
        "start",
        "stop",
        "think",
        "unk",
        "video",
    }
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ONLY_REFERENCE = re.compile(r"\$\{[A-Za-z_.]+:?[A-Za-z0-9_./-]*\}")
_URL_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<user>[^/\s:@'\"]+)(?P<rest>:?)@")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")
_ASSIGNMENT = re.compile(r"(?P<key>[-+]*[^\s=]+)=(?P<value>.+)", re.DOTALL)
# What a shell takes for one word, and what YAML and headers take for one value.
_SHELL_WORD = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\$\([^)]*\)|\$\{[^}]*\}|\\.|[^\s;&|<>()"'\\])+"""
_YAML_VALUE = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|\$\{[^}]*\}|[^\s,}\]"'][^,}\]"'\n]*)"""
# Secrets inside a longer text: KEY=value, --key value, KEY: value, ${oc.env:KEY,default}.
_INSIDE = re.compile(
    rf"""(?P<env>oc\.env:(?P<env_name>\w+),)(?P<default>[^}}]*)
    | (?<![\w./$-])(?P<before>
        (?P<name>-{{0,2}}[A-Za-z_][\w.-]*)["']?\]?=
      | (?P<option>--[A-Za-z][\w.-]*)\s+(?!-)
    )(?P<word>{_SHELL_WORD})
    | (?<![\w./$-])(?P<label>(?P<yaml_name>[A-Za-z_][\w.-]*)["']?\s*:\s*)(?P<yaml>{_YAML_VALUE})
    """,
    re.VERBOSE,
)
# A value that a shell gets from elsewhere: $NAME, ${NAME}, $(command).
_SHELL_REFERENCE = re.compile(r"""(["']?)\$(?:\w+|\{[\w.:]+\}|\([^)]*\))\1""")


@functools.lru_cache(maxsize=8192)
def is_secret_name(key: str) -> bool:
    """Whether the value under this key must not be shown.

    >>> [is_secret_name(k) for k in ("HF_TOKEN", "wandb.api_key", "tokenizer", "max_tokens")]
    [True, True, False, False]
    """
    words = [word.lower() for word in _WORD.findall(key)]
    if not words or words[-1] in _POINTERS:
        return False
    if _SECRET_WORDS.intersection(words) or any(word.endswith(_SECRET_ENDS) for word in words):
        return True
    if _SECRET_PAIRS.intersection(zip(words, words[1:], strict=False)):
        return True
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _SECRET_LAST:
        return before not in _SECRET_LAST[last]
    if last == "pwd":  # PWD and OLDPWD are folders
        return bool(before) and not re.search(r"(?i)(?:^|\.)(?:old_?)?pwd$", key)
    if last == "tokens":
        return before in _TOKEN_OWNERS
    return last == "token" and before not in _TEXT_TOKENS


def secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values of an environment's secret variables, to be known wherever else they stand.

    Short ones are left out: they stand in many a text that has nothing to do with them.
    """
    return frozenset(
        value
        for name, value in environ.items()
        if len(value) >= _LEAST_CHARACTERS and is_secret_name(name)
    )


def mask_secrets(value: Any) -> Any:
    """A copy of nested dicts and lists with every secret replaced by ``******``.

    Besides the values of secret keys, these are masked: ``--key value`` neighbours in a list
    (command lines are kept in the job config), and inside texts (shell commands, overrides)
    ``key=value``, ``--key value``, ``key: value``, and the passwords and tokens of URLs.

    Args:
        value: plain data: dicts, lists, tuples and scalars.

    Returns:
        The same shape. None, booleans and empty values stay: they hide nothing.
    """
    if isinstance(value, Mapping):
        return {
            key: _hide(item) if is_secret_name(str(key)) else mask_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return _mask_items(value)
    if isinstance(value, str):
        return _mask_text(value)
    return value


def _hide(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _hide(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hide(item) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, str) and _ONLY_REFERENCE.fullmatch(value):
        return value
    return MASK


def _mask_items(items: list[Any] | tuple[Any, ...]) -> list[Any]:
    masked = []
    option_is_secret = False
    for item in items:
        if option_is_secret and isinstance(item, str) and not item.startswith("-"):
            masked.append(_hide(item))
            option_is_secret = False
            continue
        option_is_secret = (
            isinstance(item, str)
            and item.startswith("--")
            and "=" not in item
            and is_secret_name(item)
        )
        masked.append(mask_secrets(item))
    return masked


def _mask_text(text: str) -> str:
    # What names a secret has one of these; most texts have none.
    if "=" not in text and ":" not in text and "--" not in text:
        return text
    assignment = _ASSIGNMENT.fullmatch(text)
    if assignment and is_secret_name(assignment["key"]):
        word = re.match(_SHELL_WORD, assignment["value"])
        # The whole of it, for it may be one argument with spaces, but for a shell's own reference.
        if word is None or not _SHELL_REFERENCE.fullmatch(word[0]):
            return f"{assignment['key']}={_hide(assignment['value'])}"
    return _URL_USER.sub(_mask_user, _URL_PASSWORD.sub(_mask_password, _mask_inside(text)))


def _mask_inside(text: str) -> str:
    """`text` without the secrets that stand in it beside their names."""
    masked = ""
    while found := _INSIDE.search(text):
        prefix, value = next(
            (found.end(prefix), found[value])
            for prefix, value in (("env", "default"), ("before", "word"), ("label", "yaml"))
            if found[prefix] is not None
        )
        name = found["env_name"] or found["name"] or found["option"] or found["yaml_name"]
        if is_secret_name(name) and not _SHELL_REFERENCE.fullmatch(value):
            masked += text[:prefix] + MASK
            text = text[found.end() :]
        else:
            # Only past the name: another may stand in the value, as in sh -c "TOKEN=… run".
            masked += text[:prefix]
            text = text[prefix:]
    return masked + text


def _mask_user(found: re.Match[str]) -> str:
    """A user without a password is a token, except where keys are the passwords."""
    is_login = found["scheme"].endswith(("ssh", "sftp")) or found["user"] == "git"
    user = found["user"] if is_login else MASK
    return f"{found['scheme']}://{user}{found['rest']}@"


def _mask_password(found: re.Match[str]) -> str:
    # GitHub takes a token for the user and this for the password.
    user = MASK if found[2] == "x-oauth-basic" else found[1]
    return f"{user}:{MASK}@"
