from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_runspec.pipeline.key import (
    FORM,
    GatherParts,
    InputPart,
    KeyParts,
    Parts,
    as_json,
    canonical_json,
    key_of,
)

_DOCS = Path(__file__).parents[3] / "docs" / "key.md"
_SIMPLE = KeyParts(
    recipe="src/pipe:data",
    code="a" * 64,
    environment={
        "constraints": ["CPython>=3.11"],
        "image": None,
        "inherit_path": False,
        "requirements": "b" * 64,
    },
    command={"launch": "direct", "cmd": None, "workdir": None, "passthrough": []},
)
_RICH = KeyParts(
    recipe="src/pipe:sft",
    code="c" * 64,
    environment={
        "constraints": ["CPython>=3.11,<3.14"],
        "image": "nvcr.io/nvidia/nemo:24.07",
        "inherit_path": True,
        "requirements": "d" * 64,
    },
    command={
        "launch": "torchrun",
        "cmd": "bash {script} {config}",
        "workdir": "/opt/nemo",
        "passthrough": [],
    },
    env={"WANDB_API_KEY": "<secret>", "NCCL_DEBUG": "INFO"},
    inputs=(
        InputPart("data", "sft-data", "sha256:" + "e" * 64),
        InputPart(None, "words/de", "key:" + "f" * 64),
        InputPart("skipped", "more", None),
    ),
    config=canonical_json(
        {"train": {"lr": 1e-4, "name": "Søren"}, "data": "${art:data,path}/x", "out": "<output>/m"}
    ),
    external=(("raw/words.txt", "sha256:" + "0" * 64),),
    output={"path": "model", "type": "ModelArtifact"},
    element={"value": "<input>/a.bin", "content": [["<input>/a.bin", "sha256:" + "1" * 64]]},
)
_GATHER = GatherParts("src/pipe:stats", (("2" * 64, "sha256:" + "3" * 64), ("4" * 64, None)))

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def test_vectors_of_the_documentation() -> None:
    blocks = re.findall(r"```\n(\[.*)\n([0-9a-f]{64})\n```", _DOCS.read_text(encoding="utf-8"))
    assert len(blocks) == 3
    vectors: list[Parts] = [_SIMPLE, _RICH, _GATHER]
    for parts, (text, key) in zip(vectors, blocks, strict=True):
        assert parts.canonical == text
        assert key_of(parts) == key


@given(_VALUES)
def test_the_config_is_put_in_as_if_it_were_encoded_with_the_rest(value: object) -> None:
    parts = replace(_RICH, config=canonical_json(value))
    assert parts.canonical == canonical_json([FORM, parts.document()])


@given(st.dictionaries(st.text(), _VALUES, max_size=6), st.randoms())
def test_the_order_of_a_mapping_does_not_count(mapping: dict[str, object], random: object) -> None:
    items = list(mapping.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert canonical_json(as_json(dict(items))) == canonical_json(as_json(mapping))


@given(_VALUES)
def test_json_values_stay_what_they_are(value: object) -> None:
    assert as_json(value) == value
    assert json.loads(canonical_json(as_json(value))) == value


def test_what_json_has_not_is_kept_apart() -> None:
    texts = [
        canonical_json(as_json(value))
        for value in (
            {1: "a"},
            {"1": "a"},
            {True: "a"},
            {None: "a"},
            math.inf,
            -math.inf,
            math.nan,
            b"\x00",
            "00",
            1,
            1.0,
            True,
            "1",
            Path("x"),
        )
    ]
    assert len(set(texts)) == len(texts)
    assert as_json({1: math.nan}) == {"<int 1>": "<float nan>"}


def test_nan_is_refused_in_canonical_json() -> None:
    with pytest.raises(ValueError):
        canonical_json(math.nan)


@pytest.mark.parametrize(
    "changed",
    [
        {"recipe": "src/pipe:other"},
        {"code": "0" * 64},
        {"environment": {}},
        {"command": {}},
        {"env": {}},
        {"inputs": _RICH.inputs[::-1]},
        {"inputs": (*_RICH.inputs[:2], replace(_RICH.inputs[2], identity="key:x"))},
        {"config": "{}"},
        {"external": ()},
        {"output": {}},
        {"element": None},
    ],
)
def test_each_part_counts(changed: dict[str, object]) -> None:
    assert key_of(replace(_RICH, **changed)) != key_of(_RICH)  # type: ignore[arg-type]


def test_the_order_of_elements_counts() -> None:
    assert key_of(replace(_GATHER, elements=_GATHER.elements[::-1])) != key_of(_GATHER)


def test_manifests_keep_the_parts_as_plain_data() -> None:
    for parts in (_SIMPLE, _RICH, _GATHER):
        assert json.loads(json.dumps(parts.document())) == parts.document()
    assert _RICH.document()["config"]["train"] == {"lr": 1e-4, "name": "Søren"}
