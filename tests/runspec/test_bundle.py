from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runspec import Bundle, Fingerprints, InvalidBundleError, Runspec, from_json, to_json

BUNDLE = Bundle(
    recipe="src/recipes/nano3:pretrain",
    spec=Runspec(
        name="nano3/pretrain", env={"A": "größe 'x'"}, script_path=Path("code/src/a b/train.py")
    ),
    script="code/src/a b/train.py",
    source_roots=("code/src", "code/lib"),
    job_pex="job.pex",
    inherit_path=True,
    interpreter_constraints=("CPython>=3.11,<3.14",),
    requirements={"rich": "13.0", "numpy": "2.4.6"},
    fingerprints=Fingerprints(code="c" * 64, environment="e" * 64, config="f" * 64),
    files={"src/a b/train.py": "a" * 64},
    digest="d" * 64,
    contents={"code/src/a b/train.py": "b" * 64},
)


def document(**changes: Any) -> str:
    return json.dumps({**json.loads(to_json(BUNDLE)), **changes})


def test_round_trip() -> None:
    assert from_json(to_json(BUNDLE), "bundle.json") == BUNDLE
    assert hash(from_json(to_json(BUNDLE), "bundle.json")) == hash(BUNDLE)


def test_the_spec_knows_where_its_script_is() -> None:
    bundle = from_json(to_json(BUNDLE), "/jobs/x/bundle.json")
    assert bundle.spec.script_path == Path("/jobs/x/code/src/a b/train.py")
    assert bundle.spec.config_dir == Path("/jobs/x/code/src/a b/config")


def test_the_text_is_canonical() -> None:
    text = to_json(BUNDLE)
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert text.isascii()


def test_optional_keys_have_defaults_and_unknown_keys_are_ignored() -> None:
    full = json.loads(document(new={"a": 1}, schema="1.3"))
    for key in ("job_pex", "inherit_path", "interpreter_constraints", "requirements", "contents"):
        del full[key]
    bundle = from_json(json.dumps(full), "bundle.json")
    assert (bundle.job_pex, bundle.inherit_path) == (None, False)
    assert (bundle.interpreter_constraints, dict(bundle.requirements)) == ((), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n,", ":2: the bundle is no JSON: "),
        ("[1]", ": the bundle is no JSON object; make it anew"),
        ("[" * 100_000, ": the bundle is nested too deep; make it anew"),
        (document(schema="2"), ': schema is "2", and this version reads "1"; use the launcher '),
        (document(schema=1), ": schema is 1 (an integer), not a string; "),
        ("{}", ': schema is "", and this version reads "1"; '),
        ('{"schema": "1"}', ": recipe is missing; make the bundle anew"),
        (document(script="../x.py"), ': script is "../x.py", outside the bundle; '),
        (document(script=""), ': script is "", outside the bundle; '),
        (document(job_pex="/x"), ': job_pex is "/x", outside the bundle; '),
        (document(source_roots=["code", "a/../../b"]), ': source_roots is "a/../../b", outside'),
        (document(source_roots="code"), ': source_roots is "code" (a string), not a list; '),
        (document(inherit_path="no"), ': inherit_path is "no" (a string), not a boolean; '),
        (document(files={"a": None}), ": files.a is null, not a string; "),
        (document(digest="../" * 21 + "x"), ': digest is "../../'),
        (document(digest="D" * 64), ": digest is "),
        (document(digest="d" * 64 + "\n"), ": digest is "),
        (document(contents={"../x": "a"}), ': contents is "../x", outside the bundle; '),
        (document(fingerprints=[]), ": fingerprints is [] (a list), not a table; "),
        (
            document(fingerprints=dict.fromkeys(("code", "environment", "config"), 1)),
            ": fingerprints.code is 1 (an integer), not a string",
        ),
        (document(fingerprints={"code": "a"}), ": fingerprints.environment is missing; "),
        (document(spec={"run": {"launch": "x"}}), ': spec.run.launch is "x", which is no launcher'),
    ],
)
def test_bad_documents_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InvalidBundleError) as caught:
        from_json(text, "a b/bundle.json")
    assert str(caught.value).startswith(f"a b/bundle.json{message}")
    assert "\n" not in str(caught.value)
