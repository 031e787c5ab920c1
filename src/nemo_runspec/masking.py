"""Which values are secrets, and how they look where people can read them.

A value is a secret because of its key: one of the words of the key (``_``, ``-``, ``.`` and a
capital letter separate words) says so. Whole words count, so that ``tokenizer``, ``max_tokens``
and ``monkey`` are none. A value that only names where the secret comes from (``${oc.env:X}``)
is shown: it gives nothing away and is what one needs to see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "******"

_SECRET_WORDS = frozenset(
    {
        "apikey",
        "authorization",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "secret",
        "secrets",
    }
)
_SECRET_PAIRS = frozenset(
    {("access", "key"), ("api", "key"), ("api", "keys"), ("auth", "key"), ("private", "key")}
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
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s@]+@")
_ASSIGNMENT = re.compile(r"(?P<key>[-+]*[^\s=]+)=(?P<value>.+)", re.DOTALL)


def is_secret_name(key: str) -> bool:
    """Whether the value under this key must not be shown.

    >>> [is_secret_name(k) for k in ("HF_TOKEN", "wandb.api_key", "tokenizer", "max_tokens")]
    [True, True, False, False]
    """
    words = [word.lower() for word in _WORD.findall(key)]
    if not words or words[-1] in _POINTERS:
        return False
    if _SECRET_WORDS.intersection(words):
        return True
    if _SECRET_PAIRS.intersection(zip(words, words[1:], strict=False)):
        return True
    return words[-1] == "token" and (len(words) == 1 or words[-2] not in _TEXT_TOKENS)


def mask_secrets(value: Any) -> Any:
    """A copy of nested dicts and lists with every secret replaced by ``******``.

    Besides the values of secret keys, these are masked: ``key=value`` texts and
    ``--key value`` neighbours in a list (command lines are kept in the job config), and the
    password of a URL.

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
    assignment = _ASSIGNMENT.fullmatch(text)
    if assignment and is_secret_name(assignment["key"]):
        return f"{assignment['key']}={_hide(assignment['value'])}"
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
