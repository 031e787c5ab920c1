from __future__ import annotations

from runspec.toml_lines import key_line, key_lines

DOCUMENT = '''\
# [comment]
dependencies = [
  "a", # ]
  'b',
]
tool.runspec.name = """
[no.table]
x = 1\\""""""
"requires-python" = '>=3.11'

[ tool . "runspec" . run ] # c
launch = "a=b\\" [x]"
cmd = \'\'\'
nodes = 3\'\'\'

[[array]]
inline = {a.b = 1, "c d" = [{e = 2}, {f = 3}], g = { h = "}" }}
when = 1979-05-27 07:32:00
"\\u0041" = inf
'''


def test_each_key_has_its_line() -> None:
    assert key_lines(DOCUMENT) == {
        ("dependencies",): 2,
        ("tool",): 6,
        ("tool", "runspec"): 6,
        ("tool", "runspec", "name"): 6,
        ("requires-python",): 9,
        ("tool", "runspec", "run"): 11,
        ("tool", "runspec", "run", "launch"): 12,
        ("tool", "runspec", "run", "cmd"): 13,
        ("array",): 16,
        ("array", "inline"): 17,
        ("array", "inline", "a"): 17,
        ("array", "inline", "a", "b"): 17,
        ("array", "inline", "c d"): 17,
        ("array", "inline", "c d", "e"): 17,
        ("array", "inline", "c d", "f"): 17,
        ("array", "inline", "g"): 17,
        ("array", "inline", "g", "h"): 17,
        ("array", "when"): 18,
        ("array", "A"): 19,
    }


def test_a_key_without_a_line_has_that_of_its_table() -> None:
    assert key_line(DOCUMENT, ("tool", "runspec", "run", "launch")) == 12
    assert key_line(DOCUMENT, ("tool", "runspec", "run", "nodes")) == 11
    assert key_line(DOCUMENT, ("nowhere", "x")) is None


def test_scanning_ends_where_there_is_no_toml() -> None:
    for text in ("", "[", "a = {", "a = [", "a = {=", "a = [,=", "= 1", "}", "a = }", "\x00"):
        assert set(key_lines(text)) <= {("a",)}
