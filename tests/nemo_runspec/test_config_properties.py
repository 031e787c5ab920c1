"""Laws of merging, on any config that YAML can hold."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nemo_runspec.config import apply_dotlist_overrides, load_config
from nemo_runspec.config.plain import merge_configs
from nemo_runspec.env import load_env_profile
from nemo_runspec.masking import mask_secrets
from nemo_runspec.utils import deep_merge, resolve_run_interpolations, write_atomically

PATIENT = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

keys = st.sampled_from(["a", "b", "c d", "über", "x-1", "steps"])
texts = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="$\\\u2028\u2029\ufeff"),
    max_size=8,
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(allow_nan=False), texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
).filter(lambda value: value != "???")
configs = st.dictionaries(keys, values, max_size=4)


def reference_merge(below: Any, above: Any) -> Any:
    """What the contract says, as directly as it can be written."""
    if isinstance(below, dict) and isinstance(above, dict):
        names = [*below, *(name for name in above if name not in below)]
        return {
            name: reference_merge(below[name], above[name])
            if name in below and name in above
            else (above if name in above else below)[name]
            for name in names
        }
    return above


def has_missing(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_missing, value.values()))
    if isinstance(value, list):
        return any(map(has_missing, value))
    return bool(value == "???")


clean_configs = configs.filter(lambda config: not has_missing(config))


@PATIENT
@given(st.lists(clean_configs, min_size=1, max_size=4))
def test_a_chain_of_defaults_is_the_reference_merge(chain: list[dict[str, Any]]) -> None:
    expected: Any = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, config in enumerate(chain):
            written = {"defaults": f"c{number - 1}", **config} if number else config
            (folder / f"c{number}.yaml").write_text(
                OmegaConf.to_yaml(OmegaConf.create(written)), encoding="utf-8"
            )
            expected = reference_merge(expected, config)
        composed = load_config(folder / f"c{len(chain) - 1}.yaml")
    assert OmegaConf.to_container(composed) == expected


@PATIENT
@given(clean_configs, clean_configs)
def test_merging_is_omegaconf_s_where_that_can(a: dict[str, Any], b: dict[str, Any]) -> None:
    try:
        merged = OmegaConf.merge(OmegaConf.create(a), OmegaConf.create(b))
    except TypeError:
        return
    assert merge_configs(a, b) == OmegaConf.to_container(merged, resolve=False)


@PATIENT
@given(clean_configs, clean_configs)
def test_overrides_win(config: dict[str, Any], over: dict[str, Any]) -> None:
    dotlist = [f"+{key}={as_yaml(value)}" for key, value in over.items()]
    before = copy.deepcopy(config)
    made = OmegaConf.to_container(apply_dotlist_overrides(OmegaConf.create(config), dotlist))
    assert made == reference_merge(config, over)
    assert config == before


@PATIENT
@given(clean_configs.filter(bool), st.data())
def test_overrides_of_present_keys_are_omegaconf_s(
    config: dict[str, Any], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(config)))
    if isinstance(config[key], (dict, list)):
        config[key] = None  # OmegaConf refuses to replace them by something else
    text = data.draw(st.sampled_from(["1e-4", "null", "[1, 2]", "yes", "'x'", "0x10", "1_000", ""]))
    dotlist = [f"{key}={text}"]
    created = OmegaConf.create(config)
    ours = OmegaConf.to_container(apply_dotlist_overrides(created, dotlist))
    theirs = OmegaConf.to_container(OmegaConf.merge(created, OmegaConf.from_dotlist(dotlist)))
    assert ours == theirs


@PATIENT
@given(configs, configs, configs)
def test_laws_of_deep_merge(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    assert deep_merge(a, b) == reference_merge(a, b)
    assert deep_merge(a, {}) == a == deep_merge({}, a)
    assert deep_merge(a, a) == a
    # Associative wherever a mapping never meets something else at one place, which replaces it.
    if same_shape(a, b) and same_shape(b, c) and same_shape(a, c):
        assert deep_merge(deep_merge(a, b), c) == deep_merge(a, deep_merge(b, c))


def same_shape(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return all(same_shape(a[key], b[key]) for key in a.keys() & b.keys())
    return not isinstance(a, dict) and not isinstance(b, dict)


toml_values = st.recursive(
    st.booleans() | st.integers(-(2**31), 2**31) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
profiles = st.dictionaries(st.sampled_from(["nodes", "env_vars", "x", "y"]), toml_values)


@PATIENT
@given(st.lists(profiles.filter(lambda p: not has_missing(p)), min_size=1, max_size=4))
def test_extends_is_the_reference_merge(chain: list[dict[str, Any]]) -> None:
    lines = []
    expected: Any = {}
    for number, profile in enumerate(chain):
        lines.append(f"[p{number}]")
        if number:
            lines.append(f'extends = "p{number - 1}"')
        lines += [f"{as_toml(key)} = {as_toml(value)}" for key, value in profile.items()]
        expected = reference_merge(expected, profile)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "env.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        made = load_env_profile(f"p{len(chain) - 1}", path)
    assert OmegaConf.to_container(made) == expected


@PATIENT
@given(values)
def test_what_holds_no_reference_and_no_secret_stays(value: Any) -> None:
    assert resolve_run_interpolations(value, {"a": 1}) == value


@PATIENT
@given(values)
def test_masking_twice_is_masking_once(value: Any) -> None:
    masked = mask_secrets({"password": value, "list": [f"api_key={value}"], "plain": value})
    assert mask_secrets(masked) == masked


@PATIENT
@given(texts)
def test_written_text_reads_back(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file"
        write_atomically(path, text)
        assert path.read_text(encoding="utf-8") == text
        assert [entry.name for entry in Path(name).iterdir()] == ["file"]


def as_yaml(value: Any) -> str:
    import yaml

    return str(
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    ).removesuffix("\n...\n")


def as_toml(value: Any) -> str:
    import json

    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(k)} = {as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
