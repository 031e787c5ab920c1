from __future__ import annotations

from nemo_runspec._names import hint, nearest


def test_hints() -> None:
    assert nearest("TINNY", ["tiny", "default"]) == "tiny"
    assert nearest("zzz", ["tiny"]) is None
    assert hint("tinny", ["tiny", "default"]) == "did you mean 'tiny'? There are: default, tiny"
    assert hint("zzz", ["b", "a"], kind="Keys") == "keys: a, b"
    assert hint("x", []) == "there are none"
    assert hint("zzz", [f"{n:03}" for n in range(99)]).endswith("028, 029, … (99 in all)")
