from __future__ import annotations

import ast
import base64
import io
import json
import random
import subprocess
import sysconfig
import tokenize
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runspec
from runspec import canonical_source, source_digest
from runspec.lexer import string_spans
from tests.runspec import source_cases, source_digest_runner
from tests.runspec.interpreters import VERSIONS, find_interpreter

PATIENCE_SECONDS = 300
VECTORS = Path(__file__).parent / "source_digest_vectors.json"
UNHURRIED = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
CHANCE = st.randoms(use_true_random=False)


def digest(source: str) -> str:
    return source_digest("x.py", source.encode("utf-8"))


def by_bytes(source: bytes) -> bool:
    return canonical_source(source) == b"bytes\0" + source


@pytest.mark.parametrize(
    "source",
    [
        "if x:\n    y = (1, 2)\n    z = 'a # b'\nelse:\n    pass\n",
        "if x:\n\ty=( 1,2 )\n\tz='a # b'\nelse:\n pass",
        "#!/usr/bin/env python3\n# -*- coding: UTF-8 -*-\nif x:  # type: ignore\n    y = (1, 2)\n"
        "    z = 'a # b'\nelse:\n    pass\n",
        "\n\nif x  :   \n  # c\n\n  y = (\n # (\n1\n,2\n\n)\n\n \t\n  z \\\n  = 'a # b'\n"
        "else:\n  pass\n  # c",
        "\ufeffif x:\r\n    y = (1, 2)\r\n    z = 'a # b'\r\nelse:\r\n    pass\r\n",
        "if x:\r    y = (1, 2)\r    z = 'a # b'\relse:\r    pass\r",
        "\fif x:\n    y = (1, 2)\f\n\f\n    z = 'a # b'\n# ends in \\\nelse:\n    pass\n",
    ],
)
def test_style_does_not_count(source: str) -> None:
    plain = "if x:\n  y = (1, 2)\n  z = 'a # b'\nelse:\n  pass\n"
    assert digest(source) == digest(plain)
    assert not by_bytes(source.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1\n", "x = 2\n"),
        ("x = 'a'\n", 'x = "a"\n'),
        ("x = 'a'\n", "x = u'a'\n"),
        ("x = 'a  b'\n", "x = 'a b'\n"),
        ('x = """a\n"""\n', 'x = """a\n\n"""\n'),
        ('"""a"""\nx\n', '"""b"""\nx\n'),
        ("x = (1)\n", "x = 1\n"),
        ("x = [1]\n", "x = [1,]\n"),
        ("x = 1; y = 2\n", "x = 1\ny = 2\n"),
        ("if x:\n  y\n  z\n", "if x:\n  y\nz\n"),
        ("if x:\n  if y:\n    z\n  w\n", "if x:\n  if y:\n    z\n    w\n"),
        ("a = b\nc\n", "a = b, c\n"),
        ("x = 'a' 'b'\n", "x = 'a''b' ''\n"),
        ("x = - -1\n", "x = --1 - 0\n"),
        ("ab\n", "a b\n"),
        ("x = f'{ y}'\n", "x = f'{y}'\n"),
        ("x = 0 or 1\n", "x = 0or 1\n"),
        ("x = 1 if y else 2\n", "x = 1 if y else 2.\n"),
        ("a\nb\n", "a b\n"),
        ("x = '\\n'\n", "x = r'\\n'\n"),
    ],
)
def test_whatever_may_mean_something_counts(one: str, other: str) -> None:
    assert digest(one) != digest(other)


def test_newlines_in_strings_are_what_python_makes_of_them() -> None:
    assert digest('x = """a\r\nb"""\r\n') == digest('x = """a\nb"""\n')


def test_numbers_may_touch_keywords() -> None:
    assert digest("x = 1if y else 0xfor z\n") == digest("x = 1 if y else 0xf or z\n")


BLOCK = "# /// script\n# [tool.runspec]\n# name = 'a'\n# ///\n"


def test_metadata_blocks_count_and_other_comments_do_not() -> None:
    assert digest(BLOCK + "x = 1\n") == digest("# c\n\n" + BLOCK + "\n# c\nx = 1 # c\n")
    assert digest(BLOCK + "x = 1\n") == digest((BLOCK + "x = 1\n").replace("\n", "\r\n"))
    assert digest(BLOCK + "x = 1\n") != digest("x = 1\n")
    assert digest(BLOCK + "x = 1\n") != digest(BLOCK.replace("'a'", "'a' ") + "x = 1\n")
    assert digest(BLOCK) != digest(BLOCK.replace("script", "other"))


@pytest.mark.parametrize(
    "source",
    [
        b"x = '\n",
        b"x = '''a\n'\n",
        b'x = """a"\n',
        b"x = (\n",
        b"x = )\n",
        b"x = $1\n",
        b"x = 1 ! 2\n",
        b"x = 1 \\",
        b"x = 1 \\\n",
        b"x = 1 \\ \n",
        b"x = 1\x00\n",
        b"x = '\x00'\n",
        b"x = 1 # \x00\n",
        b"x = 1\x1a",
        b"\x0bx = 1\n",
        b"x = '\xff'\n",
        b"# coding: latin-1\nx = '\xff'\n",
        b"\n# vim: set fileencoding=cp1252 :\nx\n",
        b"if x:\n    y\n  z\n",
        b"if x:\n\ty\n        z\n",
        b"if x:\n        if y:\n\t\tz\n",
        # 3.9 ends the block here, 3.11 does not.
        b"if a:\n    x\n\\\n    y\n",
        # One string since 3.12, two before.
        b"x = f'{d['a']}'\n",
        b"x = f'''{'''a'''}'''\n",
        b"x = f'{\nx}'\n",
        b"x = f'{x # c\n}'\n",
        b"x = f'{x:{{1}}}'\n",
        b"x = f'{x'\n",
        b"x = f'}'\n",
        b"x = t'{d['a']}'\n",
        b"""x = f"{'''a'}"\n""",
    ],
)
def test_what_is_in_doubt_counts_by_its_bytes(source: bytes) -> None:
    assert by_bytes(source)
    assert source_digest("x.py", source) != source_digest("x.py", source + b"# c\n")


@pytest.mark.parametrize(
    "source",
    [
        # Before 3.12 the string ends at the second quote and the rest of the line is a comment.
        "x = f'{d['#WORD']}'\n",
        """x = f"{'''a'}"  # WORD '''}"\n""",
        "x = f'{d[\"#WORD\"]}'\n",
    ],
)
def test_nested_quotes_never_hide_code_behind_a_comment_sign(source: str) -> None:
    assert digest(source.replace("WORD", "a")) != digest(source.replace("WORD", "b"))


def test_string_spans() -> None:
    source = b'x = \'a\', rb"b" # \'c\'\n\ny = f"""d\n"""\n'
    assert [source[start:end] for start, end in string_spans(source)] == [
        b"'a'",
        b'rb"b"',
        b'f"""d\n"""',
    ]


def test_bytes_and_tokens_never_meet() -> None:
    form = canonical_source(b"x = 1\n")
    assert canonical_source(form) == b"bytes\0" + form
    assert source_digest("x.py", form) != source_digest("x.py", b"x = 1\n")


def test_other_files_count_by_their_bytes() -> None:
    assert source_digest("x.yaml", b"a: 1\n") != source_digest("x.yaml", b"a: 1 # c\n")
    assert source_digest("x.pyi", b"a: 1\n") != source_digest("x.pyi", b"a: 1 # c\n")
    assert source_digest("x.txt", b"x = 1\n") != source_digest("x.py", b"x = 1\n")


@UNHURRIED
@given(CHANCE)
def test_a_program_has_one_digest_in_any_style(chance: random.Random) -> None:
    program = source_cases.program(chance)
    sources = [source_cases.written(program, chance) for _ in range(3)]
    assert not by_bytes(sources[0])
    assert_right(sources, same=True)


@UNHURRIED
@given(CHANCE)
def test_a_damaged_program_has_another_digest_if_it_means_something_else(
    chance: random.Random,
) -> None:
    source = source_cases.written(source_cases.program(chance), chance)
    assert_right([source, *(source_cases.damaged(source, chance) for _ in range(8))], same=False)


@UNHURRIED
@given(CHANCE)
def test_debris_with_one_digest_is_the_same_to_python(chance: random.Random) -> None:
    by_digest: dict[str, list[bytes]] = {}
    for _ in range(100):
        source = source_cases.debris(chance)
        by_digest.setdefault(source_digest("x.py", source), []).append(source)
    for sources in by_digest.values():
        assert_right(sources, same=False)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_digest(data: bytes) -> None:
    assert len(source_digest("x.py", data)) == 64


def assert_right(sources: list[bytes], same: bool) -> None:
    digests = [source_digest("x.py", source) for source in sources]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert source_digest_runner.check(sources, digests, same) == []


def vectors() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return loaded


def vector_bytes(vector: dict[str, Any]) -> bytes:
    if "base64" in vector:
        return base64.b64decode(vector["base64"])
    return str(vector["source"]).encode("utf-8")


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["about"])
def test_vectors(vector: dict[str, Any]) -> None:
    assert source_digest(vector["path"], vector_bytes(vector)) == vector["digest"]


def replayed_cases() -> list[dict[str, Any]]:
    """Return the vectors, and a few hundred programs and damaged programs that never change."""
    chance = random.Random(723)
    cases = [
        {"path": vector["path"], "sources": encoded(vector_bytes(vector)), "same": False}
        for vector in vectors()
    ]
    for _ in range(200):
        program = source_cases.program(chance)
        one, other = (source_cases.written(program, chance) for _ in range(2))
        worse = [source_cases.damaged(one, chance) for _ in range(3)]
        cases.append({"sources": encoded(one, other), "same": True})
        cases.append({"sources": encoded(one, *worse), "same": False})
    return cases


def encoded(*sources: bytes) -> list[str]:
    return [base64.b64encode(source).decode("ascii") for source in sources]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_gives_the_same_digests(version: str, tmp_path: Path) -> None:
    python = find_interpreter(version)
    if python is None:
        pytest.skip(f"no CPython {version} on this machine; `uv python install {version}` gets one")
    cases = replayed_cases()
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases), encoding="utf-8")
    package = Path(runspec.__file__).parent
    done = subprocess.run(
        [str(python), "-I", source_digest_runner.__file__, str(package), str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["problems"] == []
    assert answer["digests"] == [
        [
            source_digest(case.get("path", "x.py"), base64.b64decode(source))
            for source in case["sources"]
        ]
        for case in cases
    ]


def library_sources() -> list[bytes]:
    """Return modules of this Python's standard library that it can read itself."""
    library = Path(sysconfig.get_path("stdlib"))
    folders = (library, library / "asyncio", library / "email", library / "test")
    sources = []
    for file in sorted(file for folder in folders for file in folder.glob("*.py"))[::4]:
        data = file.read_bytes()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(data.decode("utf-8"))
        except (SyntaxError, ValueError):
            continue
        sources.append(data)
    return sources


def test_real_modules_lex_and_keep_their_digest_without_comments() -> None:
    sources = library_sources()
    if len(sources) < 50:
        pytest.skip("this Python comes without the sources of its standard library")
    undecided = 0
    for source in sources:
        if by_bytes(source):
            undecided += 1
        else:
            assert source_digest("x.py", source) == source_digest("x.py", stripped(source))
    assert undecided <= len(sources) / 100


def stripped(source: bytes) -> bytes:
    """Return the source without Python's own comment tokens, and with spaces behind its lines."""
    text = source.decode("utf-8-sig").replace("\r\n", "\n")
    lines = text.split("\n")
    inside: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (row, column), (end, _) = token.start, token.end
        if token.type == tokenize.COMMENT:
            lines[row - 1] = lines[row - 1][:column]
        elif end > row:
            inside.update(range(row, end))
    return "\n".join(
        line if row in inside or line.endswith("\\") else line + "  \t"
        for row, line in enumerate(lines, start=1)
    ).encode("utf-8")
