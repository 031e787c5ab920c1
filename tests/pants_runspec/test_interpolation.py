"""OmegaConf's grammar; what OmegaConf itself says of it is in test_config_check_oracle.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pants_runspec.config.interpolation import (
    Argument,
    Call,
    InterpolationError,
    Key,
    Reference,
    nested,
    parse_interpolations,
)


def texts(value: str) -> list[str]:
    return [each.text for each in nested(parse_interpolations(value))]


def test_reference() -> None:
    assert parse_interpolations("a ${..b[0].c} d") == (
        "a ",
        Reference("${..b[0].c}", 2, (Key("b", False), Key("0", True), Key("c", False))),
        " d",
    )


def test_call_with_quotes_and_nesting() -> None:
    value = "${oc.env:X, 'it''s'}"
    with pytest.raises(InterpolationError):
        parse_interpolations(value)
    (call,) = parse_interpolations(r"${f: a b , 'it\'s ${x}', [1, ${y}], {k: ${z}} }")
    assert isinstance(call, Call)
    assert call.name == ("f",)
    x, y, z = (Reference(f"${{{name}}}", 0, (Key(name, False),)) for name in "xyz")
    assert call.arguments == (
        Argument(("a b",), False),
        Argument(("it's ", x), False),
        Argument((y,), True),
        Argument((z,), True),
    )


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (r"\${a}", ("${a}",)),
        (r"x\\\${a}", (r"x\${a}",)),
        ("a$b $", ("a$b $",)),
        (r"a\b ${", None),
    ],
)
def test_escapes(value: str, parts: object) -> None:
    if parts is None:
        with pytest.raises(InterpolationError):
            parse_interpolations(value)
    else:
        assert parse_interpolations(value) == parts


def test_an_even_number_of_backslashes_escapes_nothing() -> None:
    assert texts(r"\\${a}") == ["${a}"]
    assert parse_interpolations(r"\\${a}")[0] == "\\"


def test_inner_ones_come_first() -> None:
    assert texts("${a.${b.${c}}} ${f:${d}}") == [
        "${c}",
        "${b.${c}}",
        "${a.${b.${c}}}",
        "${d}",
        "${f:${d}}",
    ]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("${", "`${`: it ends too early, a key must stand here"),
        ("x ${a.b", "`${a.b`: it ends too early, `}` must stand here"),
        ("${a b}", "unexpected 'b'"),
        ("${x:~/cache}", "unexpected '~'"),
        ("${x:'a}", "the quote ' is not closed"),
        ("${" * 60 + "}" * 60, "nested too deeply"),
        ("${f:" + "[" * 60, "nested too deeply"),
        ("${a.b:c d}${", "`${`"),
        ("${1a:b}", "'1a' is no name of a resolver"),
    ],
)
def test_errors(value: str, problem: str) -> None:
    with pytest.raises(InterpolationError) as caught:
        parse_interpolations(value)
    assert problem in str(caught.value)


@given(st.text(alphabet="${}.[]:,'\"\\ ab0é\n"))
def test_any_text_parses_or_is_refused(value: str) -> None:
    try:
        found = texts(value)
    except InterpolationError as error:
        assert "\n" not in str(error) or "\n" in error.problem
        return
    assert all(text in value for text in found)
    if "${" not in value:
        assert "".join(map(str, parse_interpolations(value))) == value
