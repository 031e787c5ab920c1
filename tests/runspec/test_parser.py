from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runspec
from runspec import (
    Runspec,
    RunspecConfig,
    RunspecError,
    RunspecResources,
    RunspecRun,
    parse,
    parse_bytes,
    parse_text,
)


def script(toml: str, before: str = "", after: str = "import numpy\n") -> str:
    """Return a script whose block, three lines below `before`, holds the TOML document."""
    lines = "".join(f"# {line}\n" if line else "#\n" for line in toml.split("\n"))
    return f"{before}# /// script\n{lines}# ///\n{after}"


FULL = script(
    """\
dependencies = ["numpy>=1.26", 'rich']
requires-python = ">=3.11"

[tool.uv]
anything = true

[tool.runspec]
schema = "1"
docs = "https://example.org/spec.md"
name = "nano3/pretrain"
image = "/home/${oc.env:USER}/x.sqsh"
setup = \"\"\"

  Two lines,
  and größe.
\"\"\"

[tool.runspec.run]
launch = "ray"
cmd = "uv run --no-project {script} --config {config} 'a b'"
workdir = "/opt/nemo-rl"

[tool.runspec.config]
dir = "../shared config"
default = "tiny"
format = "yaml"

[tool.runspec.resources]
nodes = 384
gpus_per_node = 0

[tool.runspec.env]
NCCL_NVLS_ENABLE = "0"
A = "x=1; \\\\n" """,
    before="#!/usr/bin/env python3\n# Copyright\n\n",
)


def test_all_fields() -> None:
    assert parse_text(FULL, "a b/train.py") == Runspec(
        schema="1",
        docs="https://example.org/spec.md",
        name="nano3/pretrain",
        image="/home/${oc.env:USER}/x.sqsh",
        setup="Two lines,\n  and größe.",
        run=RunspecRun(
            launch="ray",
            cmd="uv run --no-project {script} --config {config} 'a b'",
            workdir="/opt/nemo-rl",
        ),
        config=RunspecConfig(dir="../shared config", default="tiny", format="yaml"),
        resources=RunspecResources(nodes=384, gpus_per_node=0),
        env={"NCCL_NVLS_ENABLE": "0", "A": "x=1; \\n"},
        dependencies=("numpy>=1.26", "rich"),
        requires_python=">=3.11",
        script_path=Path("a b/train.py"),
    )


def test_defaults_and_other_ways_to_write_it() -> None:
    assert parse_text(script("[tool.runspec]"), "x.py") == Runspec(script_path=Path("x.py"))
    spec = parse_text(
        script('tool.runspec = {run.launch = "python", resources = {gpus_per_node = "gpu"}}'),
        "x.py",
    )
    assert (spec.run.launch, spec.run.kind, spec.resources.gpus_per_node) == (
        "python",
        "direct",
        "gpu",
    )


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_newlines_and_byte_order_mark(newline: str) -> None:
    written = "\ufeff" + FULL.replace("\n", newline)
    assert parse_text(written, "x.py") == parse_text(FULL, "x.py")
    assert parse_bytes(written.encode("utf-8"), "x.py") == parse_text(FULL, "x.py")


def test_parse_reads_the_file_and_knows_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "größe 1").mkdir()
    file = tmp_path / "größe 1" / "train.py"
    file.write_bytes(FULL.replace("\n", "\r\n").encode("utf-8"))
    monkeypatch.chdir(tmp_path)
    spec = parse("größe 1/train.py")
    assert spec == parse(file) == parse(str(file))
    assert spec.script_path == file
    assert spec.config_dir == tmp_path / "größe 1" / "../shared config"


HEAD = "[tool.runspec]\n"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "import numpy\n",
            "NoBlockError",
            "1: the script has no PEP 723 block; describe it in comment lines from "
            "`# /// script` to `# ///` with a [tool.runspec]",
        ),
        (
            "\n#/// Script\n# a\n# ///\n",
            "NoBlockError",
            "2: `#/// Script` opens no PEP 723 block; write exactly `# /// script`, at the start "
            "of the line, without trailing spaces",
        ),
        (
            "# /// script \n# a\n# ///\n",
            "NoBlockError",
            "1: `# /// script` opens no PEP 723 block; write exactly `# /// script`, at the start "
            "of the line, without trailing spaces",
        ),
        (
            "\n# /// script\n# [tool.runspec]\nimport numpy\n",
            "NoBlockError",
            "4: the block that line 2 opens is not closed before this line; put `# ///` before it",
        ),
        (
            "# /// script\n# [tool.runspec]\n#name = 'a'\n# ///\n",
            "NoBlockError",
            "3: the block that line 1 opens is not closed before this line; start it with `# `, as "
            "every line of a block: `# name = 'a'`",
        ),
        (
            "# /// script\n# [tool.runspec]\n# /// \n",
            "NoBlockError",
            '3: "# /// " does not close the block; write exactly `# ///`',
        ),
        (
            "# /// script\n# ///\n",
            "NoBlockError",
            "2: the block is empty; describe the recipe in it",
        ),
        (
            "# /// script\n# a = 1",
            "NoBlockError",
            "1: the block is not closed; put `# ///` behind its last line",
        ),
        (
            script(HEAD) + "\n" + script(HEAD),
            "DuplicateBlockError",
            "7: a second `# /// script` block; the first is at line 1; keep one of them",
        ),
        (
            script("dependencies = []"),
            "NoRunspecTableError",
            "1: the block has no [tool.runspec]; add a line `# [tool.runspec]` and its fields",
        ),
        (
            script("dependencies = []\n\n[tool.runspce]\nname = 'a'"),
            "NoRunspecTableError",
            "4: the block has no [tool.runspec]; did you mean it by [tool.runspce]?",
        ),
        (
            script("\ntool = 1"),
            "InvalidFieldError",
            "3: tool is 1 (an integer), not a table; make it the table [tool.runspec]",
        ),
        (
            script("[tool]\nrunspec = ['a']"),
            "InvalidFieldError",
            '3: tool.runspec is ["a"] (a list), not a table; make it the table [tool.runspec]',
        ),
        (
            script(HEAD + "run = 1"),
            "InvalidFieldError",
            "3: tool.runspec.run is 1 (an integer), not a table; make it a table",
        ),
        (
            script(HEAD + "name = 3"),
            "InvalidFieldError",
            '3: tool.runspec.name is 3 (an integer), not a string; put it in quotes: "3"',
        ),
        (
            script(HEAD + "name = 1979-05-27"),
            "InvalidFieldError",
            '3: tool.runspec.name is "1979-05-27" (a date or time), not a string; write it as text '
            "in quotes",
        ),
        (
            script(HEAD + 'image = "a\\u0000b"'),
            "InvalidFieldError",
            '3: tool.runspec.image is "a\\u0000b", with a NUL character; leave that out',
        ),
        (
            script(HEAD + 'schema = "2"'),
            "UnsupportedSchemaError",
            '3: tool.runspec.schema is "2", which this version cannot read; write schema = "1" or '
            "use a newer runspec",
        ),
        (
            script(HEAD + "schema = 1"),
            "InvalidFieldError",
            '3: tool.runspec.schema is 1 (an integer), not a string; put it in quotes: "1"',
        ),
        (
            script('\n[tool.runspec.run]\n\nlaunch = "torchrn"'),
            "UnknownLaunchError",
            '5: tool.runspec.run.launch is "torchrn", which is no launcher; did you mean '
            '"torchrun"? There are "torchrun", "ray", "direct", "python"',
        ),
        (
            script(HEAD + 'run = {cmd = "a", launch = "slurm"}'),
            "UnknownLaunchError",
            '3: tool.runspec.run.launch is "slurm", which is no launcher; use one of "torchrun", '
            '"ray", "direct", "python"',
        ),
        (
            script(HEAD + 'run.cmd = "a"\nrun.workdir = 1.5'),
            "InvalidFieldError",
            '4: tool.runspec.run.workdir is 1.5 (a number), not a string; put it in quotes: "1.5"',
        ),
        (
            script("[tool.runspec.resources]\nnodes = 0"),
            "InvalidFieldError",
            "3: tool.runspec.resources.nodes is 0, less than 1; write an integer, 1 or more",
        ),
        (
            script("[tool.runspec.resources]\nnodes = true"),
            "InvalidFieldError",
            "3: tool.runspec.resources.nodes is true (a boolean), not an integer; write an "
            "integer, 1 or more",
        ),
        (
            script("[tool.runspec.resources]\ngpus_per_node = -8"),
            "InvalidFieldError",
            "3: tool.runspec.resources.gpus_per_node is -8, less than 0; write an integer, 0 or "
            "more",
        ),
        (
            script('[tool.runspec.resources]\ngpus_per_node = "8"'),
            "InvalidFieldError",
            '3: tool.runspec.resources.gpus_per_node is "8"; write an integer, 0 or more, or "gpu" '
            "for all that a node has",
        ),
        (
            script(HEAD + '[tool.runspec.env]\nA = "1"\nB = 1'),
            "InvalidFieldError",
            '5: tool.runspec.env.B is 1 (an integer), not a string; put it in quotes: "1"',
        ),
        (
            script(HEAD + '[tool.runspec.env]\n"A=B" = "1"'),
            "InvalidFieldError",
            "4: tool.runspec.env.A=B is no environment variable: \"A=B\"; use a name without '='",
        ),
        (
            script('dependencies = "numpy"\n' + HEAD),
            "InvalidFieldError",
            '2: dependencies is "numpy" (a string), not a list; write a list of strings: ["…"]',
        ),
        (
            script('dependencies = [\n"numpy", 1]\n' + HEAD),
            "InvalidFieldError",
            '2: dependencies holds 1 (an integer), not a string; write a list of strings: ["…"]',
        ),
        (
            script("requires-python = 3.11\n" + HEAD),
            "InvalidFieldError",
            '2: requires-python is 3.11 (a number), not a string; put it in quotes: "3.11"',
        ),
        (
            script(HEAD + 'nme = "a"'),
            "UnknownFieldError",
            '3: [tool.runspec] has no field "nme"; did you mean `name`? There are config, docs, '
            "env, image, name, resources, run, schema, setup",
        ),
        (
            script(HEAD + 'launch = "ray"'),
            "UnknownFieldError",
            '3: [tool.runspec] has no field "launch"; did you mean `run.launch` of [tool.runspec]? '
            "There are config, docs, env, image, name, resources, run, schema, setup",
        ),
        (
            script(HEAD + "\n[tool.runspec.resources]\nnodes = 2\ngpus = 8"),
            "UnknownFieldError",
            '6: [tool.runspec.resources] has no field "gpus"; did you mean `gpus_per_node`? There '
            "are gpus_per_node, nodes",
        ),
        (
            script(HEAD + "[tool.runspec.config]\nimage = 'a'"),
            "UnknownFieldError",
            '4: [tool.runspec.config] has no field "image"; did you mean `image` of '
            "[tool.runspec]? There are default, dir, format",
        ),
        (
            script(HEAD + "zzz = 1"),
            "UnknownFieldError",
            '3: [tool.runspec] has no field "zzz"; There are config, docs, env, image, name, '
            "resources, run, schema, setup",
        ),
    ],
)
def test_bad_metadata_names_file_line_and_fix(text: str, error: str, message: str) -> None:
    for written in (text, text.replace("\n", "\r\n")):
        with pytest.raises(RunspecError) as caught:
            parse_text(written, "a b.py")
        assert str(caught.value) == f"a b.py:{message}"
        assert type(caught.value) is getattr(runspec, error)


@pytest.mark.parametrize(
    ("toml", "line", "fix"),
    [
        (HEAD + "name = nano3/pretrain\nimage = 'a'", 3, 'text stands in quotes: name = "nano3/'),
        (HEAD + "flag = True # c", 3, "write flag = true"),
        (HEAD + "image = None", 3, "leave the line out"),
        (HEAD + "name = ", 3, "correct this line"),
        (HEAD + "name = 'a'\nname = 'b'", 4, "correct this line"),
        (HEAD + "\n[tool.runspec]", 4, "correct this line"),
        (HEAD + 'a = """\n\nb', 5, "close what is still open at its end"),
        (HEAD + 'a = "\\q"', 3, "correct this line"),
        (HEAD + "a = 'b\u2028c'\nb = c", 4, 'text stands in quotes: b = "c"'),
        (HEAD + "///\n/// other\nb", 3, "a block ends at the last `# ///` of its run"),
        (HEAD + "a = " + "[" * 5000, 3, ""),
        (HEAD + "a = " + "9" * 5000 + "x", 3, ""),
    ],
)
def test_bad_toml_names_the_line_of_the_file(toml: str, line: int, fix: str) -> None:
    with pytest.raises(runspec.InvalidTomlError) as caught:
        parse_text(script(toml, before='"""Doc."""\n\n'), "x.py")
    assert caught.value.line == line + 2
    assert caught.value.fix.startswith(fix)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


class LaterTomlError(ValueError):
    """What tomllib raises since Python 3.14, and tomli since 2.1."""

    def __init__(self, lineno: int) -> None:
        super().__init__(f"Invalid value (at line {lineno}, column 1)")
        self.msg, self.lineno, self.colno = "Invalid value", lineno, 1


class EarlierTomlError(ValueError):
    """What tomllib raises before."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (LaterTomlError(2), 3),
        (EarlierTomlError("Invalid value (at line 2, column 7)"), 3),
        (EarlierTomlError("Unclosed array (at end of document)"), 4),
        (EarlierTomlError("something else"), 4),
        (LaterTomlError(99), 4),
        (RecursionError("maximum recursion depth exceeded"), 4),
    ],
)
def test_both_forms_of_toml_errors_have_a_line(
    error: Exception, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(text: str) -> Optional[object]:
        raise error

    monkeypatch.setattr("runspec.parser.tomllib.loads", refuse)
    with pytest.raises(runspec.InvalidTomlError) as caught:
        parse_text(script("a = 1\nb = 2\nc = 3"), "x.py")
    assert caught.value.line == line


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = tmp_path / "a\nb.py"
    with pytest.raises(FileNotFoundError) as not_found:
        parse(missing)
    assert isinstance(not_found.value, runspec.ScriptNotFoundError)
    assert str(not_found.value) == (
        f"{tmp_path}{os.sep}a\\nb.py: there is no such script; check the path"
    )
    with pytest.raises(runspec.UnreadableScriptError, match="cannot be read"):
        parse(tmp_path)
    file = tmp_path / "x.py"
    file.write_bytes(b"# a\r\n# b\r\n# \xe9\r\n" + FULL.encode("utf-8"))
    with pytest.raises(runspec.ScriptEncodingError) as encoding:
        parse(file)
    assert str(encoding.value) == (
        f"{file}:3: the script is not UTF-8: it holds the byte 0xe9; save it as UTF-8"
    )


def test_errors_can_be_caught_as_values_and_pickled() -> None:
    with pytest.raises(ValueError) as caught:
        parse_text("", "x.py")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.line == 1
    missing = runspec.ScriptNotFoundError(Path("a"), None, "b", "c")
    assert str(pickle.loads(pickle.dumps(missing))) == str(missing) == "a: b; c"


WORDS = st.sampled_from(
    (
        "[tool.runspec]",
        "name",
        "=",
        '"a"',
        "run",
        ".",
        "launch",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"""',
        "1",
    )
)


@given(st.lists(st.lists(st.one_of(WORDS, st.text(max_size=3)), max_size=6), max_size=6))
def test_any_block_gives_a_spec_or_one_line(lines: list[list[str]]) -> None:
    text = script("\n".join(" ".join(words) for words in lines))
    try:
        parse_text(text, "x.py")
    except RunspecError as error:
        assert str(error).startswith("x.py:") and len(str(error).splitlines()) == 1
        assert error.line is not None and 1 <= error.line <= len(text.split("\n")) + 1
