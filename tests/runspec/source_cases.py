"""Python programs made by chance: written twice in different style, or damaged a little."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Union

NAMES = ("x", "y", "data", "rb", "f", "not_a_keyword", "_", "größe")
NUMBERS = ("0", "1", "0x1F", "1_000", "1.", ".5", "1.5e-3", "2j", "0b1", "0o17", "1e5")
# Each is valid, and means the same, from Python 3.9 on.
STRINGS = (
    '"# no comment"',
    "'it\\'s'",
    '"say \\"hi\\" \\\\"',
    'r"\\d\\""',
    'Rb"\\x00"',
    'b"#"',
    'u"é"',
    '""',
    "''",
    '"one \\\n two"',
    '"""doc # text\n    with "quotes" and ""two""\n\t\\""""',
    "'''a\n# b\n'c'''",
    'f"{x}"',
    "f'{x!r:>{y}} # {{}}'",
    "f'{data[\"k\"]}'",
    'F"""{data["k"]}\n# {x:#x}"""',
    'f"{x = } {y!s}"',
    'f"{(lambda: 1)()}"',
    "f\"{'#' if x else '}'}\"",
    "f\"{f'{x}'}{y:{x}.{y}}\"",
    'rf"\\{x}\\d"',
    'f"\\N{EM DASH}{x}"',
    'fr"{x}\\N"',
    "f'''{\n x\n}'''",
    'f"{{{x}}}"',
    'f"{x:%H:%M}"',
    'f"{ {1: 2}[1] }"',
    'f"{x != y}"',
)
OPERATORS = ("+", "-", "*", "/", "//", "**", "@", "%", "&", "|", "^", "<<", ">>")
COMPARISONS = ("<", ">", "<=", ">=", "==", "!=", "is", "in")

# Pieces that change what surrounds them.
FRAGMENTS = (
    *NAMES,
    *NUMBERS,
    *STRINGS,
    *OPERATORS,
    *(
        "'",
        '"',
        "'''",
        '"""',
        'f"',
        "f'",
        'f"""',
        "rf'",
        't"',
        "{",
        "}",
        "{{",
        "}}",
        "{x",
        "!r",
        "!",
    ),
    *(":", ":=", "=", "(", ")", "[", "]", ",", ";", ".", "...", "->", "<>", "$", "?", "`", "\\"),
    *(
        "\\\n",
        "\n",
        "\n  ",
        "\n\t",
        "\n    ",
        "\n        ",
        " ",
        "\t",
        "\f",
        "\v",
        "\r",
        "\r\n",
        "\0",
    ),
    *("#", "# c", "# c\n", '#"', "# /// script\n# a\n# ///\n", "# coding: latin-1\n", "\ufeff"),
    *(" if ", " or ", "if 1:", "if x:\n", "lambda x:", "pass", " 0or 1", "0x", "\\N{DASH}", "\\{"),
)


@dataclass(frozen=True)
class Block:
    """A compound statement: the tokens of its header and what is inside it."""

    header: tuple[str, ...]
    body: tuple[Statement, ...]


Statement = Union[tuple[str, ...], Block]
Program = tuple[Statement, ...]


def program(chance: random.Random) -> Program:
    """Return a program of a few statements, as tokens."""
    return tuple(_statement(chance, depth=3) for _ in range(chance.randint(1, 4)))


def _statement(chance: random.Random, depth: int) -> Statement:
    kind = chance.randrange(8)
    if depth and kind < 2:
        header = chance.choice(
            (
                ("if", *_expression(chance, 2), ":"),
                ("while", *_expression(chance, 1), ":"),
                ("for", "i", "in", *_expression(chance, 1), ":"),
                ("with", *_expression(chance, 1), "as", "x", ":"),
                ("def", "f", "(", "a", ",", "*", "b", ",", "c", "=", "1", ")", "->", "int", ":"),
                ("class", "C", "(", "x", ")", ":"),
                ("try", ":"),
            )
        )
        body = tuple(_statement(chance, depth - 1) for _ in range(chance.randint(1, 3)))
        if header[0] == "try":
            return Block(("if", "1", ":"), (Block(header, body), *_HANDLER))
        return Block(header, body)
    if kind == 2:
        return ("pass", ";", "x", "=", *_expression(chance, 2))
    if kind == 3:
        return ("from", ".", "..", "x", "import", "(", "a", ",", "b", "as", "c", ")")
    if kind == 4:
        return (
            "x",
            "[",
            *_expression(chance, 1),
            ":",
            ":",
            "2",
            "]",
            "+=",
            *_expression(chance, 2),
        )
    if kind == 5:
        return ("assert", *_expression(chance, 2), ",", chance.choice(STRINGS))
    return ("x", "=", *_expression(chance, 3))


_HANDLER: tuple[Statement, ...] = (Block(("finally", ":"), (("pass",),)),)


def _expression(chance: random.Random, depth: int) -> tuple[str, ...]:
    if not depth:
        return (chance.choice(chance.choice((NAMES, NUMBERS, STRINGS))),)

    def inner() -> tuple[str, ...]:
        return _expression(chance, depth - 1)

    return chance.choice(
        (
            lambda: ("(", *inner(), chance.choice(OPERATORS), *inner(), ")"),
            lambda: ("(", *inner(), chance.choice(COMPARISONS), *inner(), ")"),
            lambda: ("(", *inner(), "if", *inner(), "else", *inner(), ")"),
            lambda: ("(", "n", ":=", *inner(), ")"),
            lambda: ("[", *inner(), ",", *inner(), ",", "]"),
            lambda: ("{", *inner(), ":", *inner(), "}"),
            lambda: ("x", ".", "y", "(", *inner(), ",", "k", "=", *inner(), ")"),
            lambda: ("(", "lambda", "a", ",", "*", "b", ":", *inner(), ")"),
            lambda: ("(", "not", "-", "x", "[", *inner(), ":", *inner(), "]", ")"),
            lambda: ("(", chance.choice(STRINGS[:2]), chance.choice(STRINGS[:4]), ")"),
            inner,
        )
    )()


def written(program: Program, chance: random.Random) -> bytes:
    """Return the program as a file, in a style that chance chooses and that means nothing."""
    lines: list[str] = []
    _write(program, "", lines, chance)
    text = "".join(lines)
    if chance.random() < 0.3:
        text = text.rstrip("\n") or text
    if chance.random() < 0.2:
        text = "#!/usr/bin/env python3\n" + text
    newline = chance.choice(("\n", "\n", "\r\n", "\r"))
    bom = "\ufeff" if chance.random() < 0.1 else ""
    return (bom + text).replace("\n", newline).encode("utf-8")


def damaged(source: bytes, chance: random.Random) -> bytes:
    """Return the source with a few pieces put in, left out or replaced."""
    text = source.decode("utf-8")
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice((0, 0, 0, 1, 1, 2, 3)))
        text = text[:start] + chance.choice((*FRAGMENTS, "")) + text[end:]
    return text.encode("utf-8")


def debris(chance: random.Random) -> bytes:
    """Return pieces of Python, joined with no regard to syntax."""
    return "".join(chance.choice(FRAGMENTS) for _ in range(chance.randint(1, 8))).encode("utf-8")


def _write(program: Program, margin: str, lines: list[str], chance: random.Random) -> None:
    deeper = margin + chance.choice((" ", "  ", "    ", "\t", "        ", "\t\t"))
    for statement in program:
        if chance.random() < 0.3:
            lines.append(_nothing(chance))
        tokens = statement.header if isinstance(statement, Block) else statement
        feed = "\f" if not margin and chance.random() < 0.1 else ""
        end = chance.choice(("", "", " ", "\t", "\f", "  # type: ignore", "#!" + 3 * '"', "# {'"))
        lines.append(f"{feed}{margin}{_joined(tokens, chance)}{end}\n")
        if isinstance(statement, Block):
            _write(statement.body, deeper, lines, chance)


def _nothing(chance: random.Random) -> str:
    """Return lines that mean nothing, at any indentation."""
    line = chance.choice(("", " ", "\t  ", "\f", "# comment", "      # ' \" ''' {", "\t# \\", "#"))
    return f"{line}\n"


def _joined(tokens: tuple[str, ...], chance: random.Random) -> str:
    text = tokens[0]
    depth = 0
    for before, token in zip(tokens, tokens[1:]):
        depth += (before in "([{") - (before in ")]}")
        text += _space(before, token, depth > 0, chance) + token
    return text


def _space(before: str, token: str, inside: bool, chance: random.Random) -> str:
    """Return whitespace between two tokens; none only where they stay two without it."""
    options = [" ", "  ", "\t", " \f "]
    if inside:
        options += ["\n", " # c\n", "\n\n   ", "#'\n\t", "\\\n"]
    else:
        options += ["\\\n", " \\\n    ", "\t\\\n\\\n "]
    bracketed = before in "([{" or token in ")]}" or token in ",;" or before in ",;"
    word = before[-1].isalnum() or before[-1] in "_'\""
    operator = token in ("+", "-", "*", "<", "=", "==", ":=", "(", "[")
    if bracketed or (word and operator):
        options += [""] * 6
    return chance.choice(options)
