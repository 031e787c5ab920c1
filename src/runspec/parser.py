"""From a script to its `Runspec`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Optional, Union

from runspec.blocks import Block, iterate_blocks, normalise_newlines
from runspec.errors import (
    DuplicateBlockError,
    InvalidFieldError,
    InvalidTomlError,
    NoBlockError,
    NoRunspecTableError,
    PathLike,
    ScriptEncodingError,
    ScriptNotFoundError,
    UnknownFieldError,
    UnreadableScriptError,
    nearest,
)
from runspec.fields import FieldProblem, show, type_name
from runspec.lexer import UndecidedSourceError, string_spans, tokenise
from runspec.models import Runspec
from runspec.toml_lines import key_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SCRIPT = "script"
_HINT = f"# /// {_SCRIPT}"
_TABLE = ("tool", "runspec")
# Keys of `[tool.runspec]`; those that are tables of their own with their keys, or None where any
# key may stand.
_FIELDS: Mapping[str, Optional[frozenset[str]]] = {
    "run": frozenset(("launch", "cmd", "workdir")),
    "config": frozenset(("dir", "default", "format")),
    "resources": frozenset(("nodes", "gpus_per_node")),
    "env": None,
    "schema": None,
    "docs": None,
    "name": None,
    "image": None,
    "setup": None,
}
_OPENS_NEARLY = re.compile(r"(?m)^([ \t]*)#[ \t]*/{2,4}[ \t]*script[ \t]*$", re.IGNORECASE)
_CLOSES_NEARLY = re.compile(r"[ \t]*#[ \t]*/{2,4}[ \t]*\Z")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")
# What somebody wrote without quotes who meant text, or a constant of Python.
_BARE_VALUE = re.compile(r"([\w.-]+)\s*=\s*([A-Za-z./~$][^#\"']*?)\s*(?:#.*)?\Z")


def parse(path: PathLike) -> Runspec:
    """Return what a recipe script says about itself.

    Args:
        path: the script; a relative one counts from the working directory.

    Returns:
        The runspec, with an absolute `script_path`.

    Raises:
        RunspecError: one of its kinds, with file, line and fix, whatever is wrong with the script.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ScriptNotFoundError(path, None, "there is no such script", "check the path") from None
    except OSError as error:
        raise UnreadableScriptError(
            path, None, f"the script cannot be read ({error.strerror})", "name a readable file"
        ) from None
    return _parse(_decoded(data, path), path, Path(os.path.abspath(path)))


def parse_bytes(data: bytes, path: PathLike) -> Runspec:
    """Return what a recipe script, given as the bytes of its file, says about itself.

    Args:
        data: the script.
        path: its path, for messages and as `script_path`.

    Raises:
        RunspecError: one of its kinds, with file, line and fix, whatever is wrong with the script.
    """
    return _parse(_decoded(data, path), path, Path(path))


def parse_text(text: str, path: PathLike) -> Runspec:
    """Return what the text of a recipe script says about itself.

    Args:
        text: the script; a byte order mark and any kind of newlines are allowed.
        path: its path, for messages and as `script_path`.

    Raises:
        RunspecError: one of its kinds, with file, line and fix, whatever is wrong with the script.
    """
    return _parse(text, path, Path(path))


def find_block(text: str, path: PathLike = "<text>") -> Optional[Block]:
    """Return the script's `script` block, or None.

    What PEP 723's regular expression matches is a block, even inside a string literal, which cannot
    be told from a comment without knowing Python. Only where that gives more than one, those inside
    string literals (an example in a docstring) do not count: the PEP speaks of comment blocks, and
    its text has precedence over its expression.

    Args:
        text: the script.
        path: its path, for messages.

    Raises:
        DuplicateBlockError: there are several.
    """
    blocks = _script_blocks(text)
    if len(blocks) > 1:
        raise DuplicateBlockError(
            path,
            blocks[1].line,
            f"a second `{_HINT}` block; the first is at line {blocks[0].line}",
            "keep one of them",
        )
    return blocks[0] if blocks else None


def has_block(text: str) -> bool:
    """Whether the text carries a `script` block, or several."""
    return bool(_script_blocks(text))


def is_recipe(source: Union[str, bytes]) -> bool:
    """Whether a file, its text or its bytes, is meant as a recipe.

    That is a script with a `script` block that has a `[tool.runspec]`, or that mentions runspec and
    is too broken to tell.
    """
    text = source if isinstance(source, str) else source.decode("utf-8", "replace")
    return any(_is_meant_as_recipe(block) for block in _script_blocks(text))


def _is_meant_as_recipe(block: Block) -> bool:
    if "runspec" not in block.content:
        return False
    try:
        tool = tomllib.loads(block.content).get("tool")
    except (ValueError, RecursionError):
        return True
    return isinstance(tool, dict) and "runspec" in tool


def _decoded(data: bytes, path: PathLike) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = normalise_newlines(data[: error.start].decode("utf-8"))
        raise ScriptEncodingError(
            path,
            before.count("\n") + 1,
            f"the script is not UTF-8: it holds the byte 0x{data[error.start]:02x}",
            "save it as UTF-8",
        ) from None


def _script_blocks(text: str) -> list[Block]:
    """Return the `script` blocks that count, in order."""
    if _HINT not in text:
        return []
    source = normalise_newlines(text.removeprefix("\ufeff"))
    blocks = [block for block in iterate_blocks(source) if block.type == _SCRIPT]
    if len(blocks) < 2:
        return blocks
    return [block for block in blocks if not _in_string(source, block)] or blocks


def _in_string(source: str, block: Block) -> bool:
    """Whether a block stands inside a string literal; False in a source that does not lex."""
    data = source.encode("utf-8", "surrogatepass")
    try:
        tokenise(data)
    except UndecidedSourceError:
        return False
    start = len(source[: block.start].encode("utf-8", "surrogatepass"))
    return any(first < start < last for first, last in string_spans(data))


def _parse(text: str, path: PathLike, script_path: Path) -> Runspec:
    block = find_block(text, path)
    if block is None:
        _refuse_without_block(normalise_newlines(text.removeprefix("\ufeff")), path)
    try:
        document = tomllib.loads(block.content)
    except (ValueError, RecursionError) as error:
        raise _toml_error(error, block, path) from None
    tool = document.get("tool", {})
    if not isinstance(tool, dict):
        raise _not_a_table(_TABLE[:1], tool, block, path)
    if "runspec" not in tool:
        raise _no_table(tool, block, path)
    fields = tool["runspec"]
    if not isinstance(fields, dict):
        raise _not_a_table(_TABLE, fields, block, path)
    _refuse_unknown(fields, block, path)
    standard = {
        "dependencies": document.get("dependencies", ()),
        "requires_python": document.get("requires-python", ""),
    }
    try:
        return Runspec.from_dict({**fields, **standard}, script_path)
    except FieldProblem as problem:
        keys = (*_TABLE, *problem.keys)
        if problem.keys[0] in standard:
            keys = (problem.keys[0].replace("_", "-"),)
        raise problem.error(
            path, _line(block, keys), f"{'.'.join(keys)} {problem.problem}", problem.fix
        ) from None


def _line(block: Block, keys: tuple[str, ...]) -> int:
    """Return the line of the file where a key of a block stands, or the nearest table around it."""
    return block.line + (key_line(block.content, keys) or 0)


def _not_a_table(
    keys: tuple[str, ...], value: object, block: Block, path: PathLike
) -> InvalidFieldError:
    return InvalidFieldError(
        path,
        _line(block, keys),
        f"{'.'.join(keys)} is {show(value)} ({type_name(value)}), not a table",
        "make it the table [tool.runspec]",
    )


def _no_table(tool: Mapping[str, Any], block: Block, path: PathLike) -> NoRunspecTableError:
    meant = nearest("runspec", tool)
    if meant is None:
        fix = "add a line `# [tool.runspec]` and its fields"
        return NoRunspecTableError(path, block.line, "the block has no [tool.runspec]", fix)
    return NoRunspecTableError(
        path,
        _line(block, ("tool", meant)),
        "the block has no [tool.runspec]",
        f"did you mean it by [tool.{meant}]?",
    )


def _refuse_unknown(fields: Mapping[str, Any], block: Block, path: PathLike) -> None:
    """Raise `UnknownFieldError` for the first key that `[tool.runspec]` does not have."""
    for key, value in fields.items():
        if key not in _FIELDS:
            _refuse_field((key,), block, path)
        known = _FIELDS[key]
        if known is not None and isinstance(value, dict):
            for name in value:
                if name not in known:
                    _refuse_field((key, name), block, path)


def _refuse_field(keys: tuple[str, ...], block: Block, path: PathLike) -> NoReturn:
    table, name = keys[:-1], keys[-1]
    siblings = sorted((_FIELDS[table[0]] if table else None) or _FIELDS)
    elsewhere = [f"{key}.{field}" for key, known in _FIELDS.items() for field in known or ()]
    meant = nearest(name, siblings)
    hint = f"did you mean `{meant}`? " if meant else ""
    if meant is None:
        meant = nearest(name, [*sorted(elsewhere), *(sorted(_FIELDS) if table else ())])
        hint = f"did you mean `{meant}` of [tool.runspec]? " if meant else ""
    raise UnknownFieldError(
        path,
        _line(block, (*_TABLE, *keys)),
        f"[{'.'.join((*_TABLE, *table))}] has no field {show(name)}",
        f"{hint}There are {', '.join(siblings)}",
    )


def _toml_error(error: Exception, block: Block, path: PathLike) -> InvalidTomlError:
    """Return the error of a TOML parser with the line of the file."""
    lines = block.content.removesuffix("\n").split("\n")
    message = str(error)
    place = _TOML_PLACE.search(message)
    reason = message[: place.start()] if place else message.partition(" (")[0]
    number: object = getattr(error, "lineno", None)  # Python 3.14 and tomli 2.1 say it so
    if not isinstance(number, int):
        number = int(place[1]) if place and place[1] else len(lines)
    line = max(1, min(number, len(lines)))
    source = lines[line - 1].strip()
    at_end = "end of document" in message[len(reason) :]
    return InvalidTomlError(
        path,
        block.line + line,
        f"the block is no TOML: {reason[:1].lower()}{reason[1:]} in `{source[:80]}`",
        "close what is still open at its end" if at_end else _toml_fix(source),
    )


def _toml_fix(source: str) -> str:
    """Return what to do about a line that is no TOML."""
    if source.startswith("///"):
        return (
            "a block ends at the last `# ///` of its run of comment lines: put an empty line "
            "behind the first"
        )
    bare = _BARE_VALUE.match(source)
    if bare is None:
        return "correct this line"
    key, value = bare[1], bare[2]
    if value in ("True", "False"):
        return f"write {key} = {value.lower()}"
    if value in ("None", "null"):
        return "leave the line out"
    return f'text stands in quotes: {key} = "{value}"'


def _refuse_without_block(source: str, path: PathLike) -> NoReturn:
    """Raise `NoBlockError`, with what keeps a comment that looks like a block from being one."""
    opening = _OPENS_NEARLY.search(source)
    if opening is None:
        raise NoBlockError(
            path,
            1,
            "the script has no PEP 723 block",
            f"describe it in comment lines from `{_HINT}` to `# ///` with a [tool.runspec]",
        )
    line = source.count("\n", 0, opening.start()) + 1
    if opening[0] != _HINT:
        raise NoBlockError(
            path,
            line,
            f"`{opening[0].strip()}` opens no PEP 723 block",
            f"write exactly `{_HINT}`, at the start of the line, without trailing spaces",
        )
    following = source[opening.end() :].split("\n")[1:]
    for number, content in enumerate(following, start=line + 1):
        if content == "# ///":
            raise NoBlockError(path, number, "the block is empty", "describe the recipe in it")
        if _CLOSES_NEARLY.match(content):
            raise NoBlockError(
                path, number, f"{show(content)} does not close the block", "write exactly `# ///`"
            )
        if content != "#" and not content.startswith("# "):
            commented = content.lstrip().startswith("#")
            raise NoBlockError(
                path,
                number,
                f"the block that line {line} opens is not closed before this line",
                f"start it with `# `, as every line of a block: `# {content.lstrip()[1:].lstrip()}`"
                if commented
                else "put `# ///` before it",
            )
    raise NoBlockError(path, line, "the block is not closed", "put `# ///` behind its last line")
