from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runspec import DuplicateBlockError, find_block, has_block, is_recipe
from runspec.blocks import iterate_blocks, normalise_newlines

# Letter for letter from https://peps.python.org/pep-0723/#reference-implementation.
REFERENCE = r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"

LINES = st.sampled_from(
    (
        "# /// script",
        "# /// script",
        "# ///",
        "# ///",
        "# /// other-1",
        "# /// script ",
        " # /// script",
        "#/// script",
        "# /// ",
        "# /// sc_ipt",
        "x = 1  # /// script",
        "#",
        "# ",
        "# [tool.runspec]",
        "#  name = 'a'",
        "#name = 'a'",
        "# a\u2028b\x0c\x85\x1c",
        '"""',
        "",
        " ",
        "import numpy",
    )
)
BARE = st.sampled_from(("# /// script", "# ///", "# /// other", "# a", "#", ""))
TEXTS = st.one_of(
    st.lists(st.one_of(LINES, LINES, LINES, st.text(max_size=5)), max_size=14),
    st.lists(BARE, max_size=9),
).flatmap(lambda lines: st.sampled_from(("\n".join(lines), "\n".join(lines) + "\n")))


def reference_content(match: re.Match[str]) -> str:
    """The PEP's example code, but for what ends a line: a newline, not each Unicode separator."""
    return "".join(
        line[2:] if line.startswith("# ") else line[1:]
        for line in re.findall(r"[^\n]*\n", match["content"])
    )


@settings(deadline=None, max_examples=500)
@given(TEXTS)
def test_the_peps_expression_decides_what_a_block_is(text: str) -> None:
    source = normalise_newlines(text)
    assert [
        (block.type, block.source, block.content, block.start, block.line)
        for block in iterate_blocks(source)
    ] == [
        (
            match["type"],
            match[0],
            reference_content(match),
            match.start(),
            source[: match.start()].count("\n") + 1,
        )
        for match in re.finditer(REFERENCE, source)
    ]


@settings(deadline=None)
@given(TEXTS)
def test_one_block_is_found_whatever_ends_the_lines(text: str) -> None:
    expected = [match for match in re.finditer(REFERENCE, text) if match["type"] == "script"]
    for newline in ("\n", "\r\n", "\r"):
        if "\r" in text:
            continue
        written = text.replace("\n", newline)
        assert has_block(written) == bool(expected)
        if len(expected) == 1:
            block = find_block(written)
            assert block is not None and block.content == reference_content(expected[0])


BLOCK = "# /// script\n# [tool.runspec]\n# name = 'a'\n# ///\n"
EXAMPLE = BLOCK.replace("'a'", "'example'")


def found(text: str) -> str:
    block = find_block(text)
    assert block is not None
    return block.content


def test_a_block_inside_a_docstring_is_one() -> None:
    # PEP 723's expression cannot tell, and neither can other tools that read the script.
    assert found(f'"""Trains.\n\n{BLOCK}"""\nimport numpy\n') == "[tool.runspec]\nname = 'a'\n"
    assert is_recipe(f'"""Trains.\n\n{BLOCK}"""\n')


@pytest.mark.parametrize(
    "text",
    [
        f'{BLOCK}"""Write it so:\n\n{EXAMPLE}"""\n',
        f'"""Write it so:\n\n{EXAMPLE}"""\n{BLOCK}',
        f"\"\"\"größe {EXAMPLE}\n{EXAMPLE}\"\"\"\n{BLOCK}\nX = f'''\n{EXAMPLE}'''\n",
        f'"""Write it so:\r\n\r\n{EXAMPLE}"""\r\n{BLOCK}'.replace("\r\n", "\n").replace(
            "\n", "\r\n"
        ),
    ],
)
def test_examples_in_strings_do_not_count_beside_a_block_in_comments(text: str) -> None:
    assert "'a'" in found(text)


def test_an_indented_example_is_none() -> None:
    assert find_block('"""\n    # /// script\n    # a = 1\n    # ///\n"""\n') is None


@pytest.mark.parametrize(
    ("text", "line", "first"),
    [
        (f"{BLOCK}\nimport numpy\n{EXAMPLE}", 7, 1),
        (f'"""\n{BLOCK}\n{EXAMPLE}"""\n', 7, 2),
        # What does not lex cannot say what is a string.
        (f'{BLOCK}\nx = (\n"""\n{EXAMPLE}"""\n', 8, 1),
    ],
)
def test_two_blocks_are_an_error(text: str, line: int, first: int) -> None:
    with pytest.raises(DuplicateBlockError) as caught:
        find_block(text, "a b.py")
    assert str(caught.value) == (
        f"a b.py:{line}: a second `# /// script` block; the first is at line {first}; "
        "keep one of them"
    )
    assert has_block(text)
    assert is_recipe(text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[tool.runspec]", True),
        ("tool = {runspec = {}}", True),
        ("tool.runspec.name = 'a'", True),
        ("tool.runspec = 3", True),
        ("[tool.runspec", True),
        ('[tool."runspec"]\n# a = ', True),
        ("dependencies = []", False),
        ("[tool.uv]", False),
        ("[tool.uv", False),
        ("[runspec]", False),
        ("x = 'tool.runspec'", False),
        ("tool = 1 # runspec", False),
    ],
)
def test_a_recipe_has_the_table_or_is_too_broken_to_tell(content: str, expected: bool) -> None:
    assert is_recipe(f"# /// script\n# {content}\n# ///\n") is expected


def test_other_types_and_other_scripts_are_no_recipes() -> None:
    assert not is_recipe("# /// other\n# [tool.runspec]\n# ///\n")
    assert not is_recipe("import numpy\n")
    assert not has_block("")
    assert has_block("\ufeff" + BLOCK)


def test_bytes_that_are_no_utf_8_may_be_a_recipe_all_the_same() -> None:
    assert is_recipe(BLOCK.encode("utf-8") + b"# \xe9\n")
    assert not is_recipe(b"# \xe9\n")
