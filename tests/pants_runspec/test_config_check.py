"""What lint says of a recipe's YAML configs."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pants_runspec.config.check import Finding, check_recipe, defaults_of
from pants_runspec.config.compose import Composer
from pants_runspec.config.yaml_tree import KeyPath, leaves


def files(**texts: str) -> dict[str, str]:
    """Return YAMLs of one folder by their stems."""
    return {f"r/{stem}.yaml": dedent(text) for stem, text in texts.items()}


def check_config(path: str, known: dict[str, str]) -> tuple[Finding, ...]:
    return check_recipe((path,), known)


def composed_values(path: str, known: dict[str, str]) -> dict[KeyPath, object]:
    """Return the values of a composed config by the keys and indices that lead to them."""
    return {keys: leaf.value for keys, leaf in leaves(Composer(known).compose(path).tree)}


def check(text: str) -> list[str]:
    findings = check_config("r/a.yaml", files(a=text))
    assert all("\n" not in finding.message for finding in findings)
    return [f"{finding.line}: {finding.message}" for finding in findings]


def spellings(*paths: str) -> tuple[str, ...]:
    return tuple(f"{path}{suffix}" for path in paths for suffix in ("", ".yaml", ".yml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", ()),
        ("defaults:", ()),
        ("defaults: base.yaml", spellings("r/c/base.yaml")),
        ("defaults: ../base.yml", spellings("r/base.yml")),
        ("defaults: v1.5", spellings("r/c/v1.5")),
        ("defaults: x/./", spellings("r/c/x")),
        ("defaults: [_self_, x/a.yaml, ../../b.yaml]", spellings("r/c/x/a.yaml", "b.yaml")),
        ("defaults: _self_", ()),
        ("defaults: [{model: gpt}, base.yaml]", ()),
        ("defaults: 3", ()),
        ("a: [1", ()),
        ("- a", ()),
    ],
)
def test_defaults_of(text: str, expected: tuple[str, ...]) -> None:
    assert defaults_of(text, "r/c/a.yaml") == expected


def test_a_chain_is_merged_in_order() -> None:
    composition = Composer(
        files(
            root="x: {p: 1, q: [1, 2]}\ny: root",
            left="defaults: root\ny: left\nz: 1",
            right="defaults: [_self_, root]\nx: {q: [3]}",
            a="""\
                defaults:
                  - left
                  - right.yaml
                x:
                  r: ???
                  p: ???
                z: null
                """,
        )
    ).compose("r/a.yaml")
    assert composition.chain == ("r/root.yaml", "r/left.yaml", "r/right.yaml", "r/a.yaml")
    assert composition.is_complete and composition.findings == ()
    found = {keys: (leaf.value, leaf.path, leaf.line) for keys, leaf in leaves(composition.tree)}
    assert found == {
        ("x", "p"): (1, "r/root.yaml", 1),
        ("x", "q", 0): (3, "r/right.yaml", 2),
        ("x", "r"): ("???", "r/a.yaml", 5),
        ("y",): ("root", "r/root.yaml", 2),
        ("z",): (None, "r/a.yaml", 7),
    }


def test_a_base_is_tried_as_written_then_with_a_suffix() -> None:
    known = {"a.yaml": "defaults: b.x"}
    for name in ("b.x.yml", "b.x.yaml", "b.x"):
        known[name] = f"name: {name}"
        assert composed_values("a.yaml", known) == {("name",): name}


def test_missing_base() -> None:
    found = check_config("r/a.yaml", files(a="x: ${y}\ndefaults: [defalt]", default="y: 1"))
    assert found == (
        Finding(
            "r/a.yaml",
            2,
            "the base `defalt` is missing: there is no r/defalt.yaml; did you mean r/default.yaml?",
            True,
        ),
    )


def test_missing_config() -> None:
    (found,) = check_config("r/tini.yaml", files(tiny="x: 1"))
    assert "there is no r/tini.yaml; did you mean r/tiny.yaml?" in found.message


def test_circle_of_bases_is_said_once() -> None:
    known = files(a="defaults: b", b="x: 1\ndefaults: c", c="defaults: [a]", d="defaults: b")
    found = check_recipe(known, known)
    assert [str(each) for each in found] == [
        "r/c.yaml:1: `defaults` runs in a circle: r/a.yaml -> r/b.yaml -> r/c.yaml -> r/a.yaml"
    ]
    (itself,) = check_config("r/a.yaml", files(a="defaults: a"))
    assert "r/a.yaml -> r/a.yaml" in itself.message


def test_a_long_chain_ends() -> None:
    known = {f"{index}.yaml": f"defaults: '{index + 1}'" for index in range(2_000)}
    assert "more than 50 files" in check_config("0.yaml", known)[0].message


def test_a_base_is_no_place_for_interpolations() -> None:
    (found,) = check_config("r/a.yaml", files(a="x: 1\ndefaults: '${oc.env:X}/b'"))
    assert found.is_error and found.line == 2 and "there is no r/${oc.env:X}/b" in found.message


@pytest.mark.parametrize("base", ["/abs/base.yaml", "../../up.yaml"])
def test_a_base_that_cannot_be_seen_here_is_no_error(base: str) -> None:
    (found,) = check_config("r/a.yaml", files(a=f"defaults: {base}\nx: ${{from.there}}"))
    assert not found.is_error and found.line == 1 and "not checked" in found.message


def test_defaults_of_hydra_stay_for_the_script() -> None:
    known = files(hydra="defaults: [{model: '${size}'}, base, _self_]\nx: 1", a="defaults: hydra")
    (found,) = check_config("r/a.yaml", known)
    assert not found.is_error and "Hydra" in found.message
    assert composed_values("r/a.yaml", known) == {
        ("defaults", 0, "model"): "${size}",
        ("defaults", 1): "base",
        ("defaults", 2): "_self_",
        ("x",): 1,
    }


@pytest.mark.parametrize(
    ("defaults", "line", "problem"),
    [
        ("5", 1, "`defaults` is 5;"),
        ("false", 1, "`defaults` is False;"),
        ("{model: gpt}", 1, "`defaults` is a mapping;"),
        ("\n- base\n- 7", 3, "`defaults` has 7 in its list;"),
        ("[null]", 1, "`defaults` has null in its list;"),
        ("[base, [base]]", 1, "`defaults` has a list in its list;"),
    ],
)
def test_defaults_that_name_no_files(defaults: str, line: int, problem: str) -> None:
    known = files(base="y: 1", a=f"defaults: {defaults}\nx: ${{y}}")
    (found,) = check_config("r/a.yaml", known)
    assert found.is_error and found.line == line
    assert found.message == f"{problem} write a file name or a list of file names"


def test_a_list_and_a_mapping_replace_each_other() -> None:
    known = files(base="x:\n  y: [1]\nz: {w: 1}", a="defaults: base\nx:\n  y: {k: 1}\nz: [2]")
    assert check_config("r/a.yaml", known) == ()
    assert composed_values("r/a.yaml", known) == {("x", "y", "k"): 1, ("z", 0): 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: 1\ny: [1", "broken YAML"),
        ("x: 1\nx: 2", "2: the key `x` stands here for the second time (first in line 1)"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", "4: the key `b`"),
        ("- a", "1: the top level is a list"),
        ("text", "1: the top level is a single value"),
        ("a: 1\n---\nb: 2", "2: broken YAML: expected a single document in the stream, but"),
        ("a: 1\nnull: 2", "2: a key is null"),
        ("a: !mine 2", "1: broken YAML: could not determine a constructor"),
        ("a: &x [*x]", "an alias stands inside"),
        ("a: &x {<<: *x}", "into itself"),
        ("a: !!int x", "'x' is no int"),
        ("a: 1\nb: !!timestamp 2020-01-01", "2: a date has no place"),
        ("é: 1\nb: '\x07'", "2: broken YAML: the character U+0007 is not allowed"),
        ("a: 1\n\tb: 2", "2: broken YAML"),
    ],
)
def test_files_that_are_no_config(text: str, expected: str) -> None:
    (found,) = check(text)
    assert expected in found


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "a: " + "[" * 100_000, "- " * 50_000, "{a: " * 20_000, "? " * 50_000]
)
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    (found,) = check(text)
    assert "nested more than" in found


def test_aliases_that_fill_the_memory() -> None:
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for index in range(1, 12):
        laughs.append(f"a{index}: &a{index} [{', '.join([f'*a{index - 1}'] * 10)}]")
    (found,) = check("\n".join(laughs))
    assert "aliases" in found


def test_sound_files() -> None:
    assert check("") == []
    assert check("# only a comment\n") == []
    assert check("\ufeffa: 1\nb: &b {c: 1}\nd: {<<: *b, c: 2}\ne: ${d.c}\n1: ${b.c}") == []
    assert check("a: 1\r\nb: ${a}\r\n") == []


@given(st.text(alphabet="ab:{}[]-&*!<>|'\"#?, \n\t${.}é\x00", max_size=60))
def test_any_text_is_checked(text: str) -> None:
    check_config("a.yaml", {"a.yaml": text})


RESOLVING = """\
    a: {b: {c: 3}, list: [1, {x: 2}], none: null}
    name: b
    index: 1
    path: a.b
    absolute: ${a.b.c}
    middle: pre-${a.b.c}-${name}.txt
    index_dot: ${a.list.0}
    index_bracket: ${a[list][1].x}
    negative: ${a.list.-1}
    inner: ${a.${name}.c} ${a.list.${index}.x} ${${path}.c}
    null_value: ${a.none}
    section: ${a}
    through: ${section.b.c}
    relative: {x: 1, y: "${.x}", z: {w: "${..x} ${...index}"}}
    in_list:
      - ${.1}
      - ${..name}
      - [ "${..1}" ]
    escaped: \\${nothing.at.all} \\\\\\${nothing}
    dollars: $HOME $$ $(x) {x}
    env: ${oc.env:HOME} ${oc.env:NOPE,${a.b.c}} ${oc.env:X,"a ${name} b"}
    other: ${oc.select:nothing,3}
    given_later: ???
    uses_given: ${given_later}
    at_run_time: ${run.mode} ${run.profile} ${run.env.nodes} ${run.cli.argv} ${run.recipe.name}
    wandb: ${run.wandb.project} ${run.output_dir} ${run} ${artifacts.manifest.root}
    from_env: ${oc.env:WHERE}
    below_env: ${from_env.x} ${a.${from_env}}
    mount: ${auto_mount:git+https://h.example/r.git@main,/opt/r} ${manifest:/data,train}
    "${key}": 1
    """


def test_what_resolves() -> None:
    assert check(RESOLVING) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "${trian.lr}",
            "`${trian.lr}` does not resolve: there is no `trian.lr`; did you mean `train.lr`?",
        ),
        ("${train.sched.wramup}", "did you mean `train.sched.warmup`?"),
        ("${warmup}", "there is no `warmup`; did you mean `train.sched.warmup`?"),
        ("${entirely_other}", "there is no `entirely_other`; the config has `train`, `v`"),
        ("${train.zzzz}", "; `train` has `lr`, `sched`, `steps`"),
        ("${PWD}", "an environment variable is `${oc.env:PWD}`"),
        ("${train.lr.x}", "`train.lr` is 0.1, it holds no `x`"),
        ("${train.steps.2}", "`train.steps` is a list of 2, it has no `2`"),
        ("${train.steps.first}", "`train.steps` is a list of 2"),
        ("${train.steps[-3]}", "is a list of 2"),
        ("${.nope}", "there is no `nope`"),
        ("${...train}", "3 dots from `v` lead above the top"),
        ("${v}", "`${v}` refers to itself"),
        ("${train.${train.lr}}", "`${train.lr}` is 0.1, which is no key"),
        ("${run.dta}", "there is no `run.dta`"),
        ("${run.profil}", "did you mean `run.profile`?"),
        ("${a.b", "is no interpolation that OmegaConf reads"),
        ("x ${}", "`${}` is no interpolation"),
        ("${VAR:-~/x}", "is no interpolation that OmegaConf reads: unexpected '~'"),
        ("pre ${oc.env:X,${trian.lr}} post", "`${trian.lr}` does not resolve"),
        ("${oc.env:X,'${trian.lr}'}", "`${trian.lr}` does not resolve"),
        ("${trian.${train.lrr}}", "`${train.lrr}` does not resolve"),
    ],
)
def test_what_does_not_resolve(value: str, expected: str) -> None:
    quoted = value.replace("'", "''")
    text = f"train: {{lr: 0.1, sched: {{warmup: 1}}, steps: [1, 2]}}\n\nv: '{quoted}'\n"
    (found,) = check(text)
    assert found.startswith("3: ") and expected in found


def test_in_lists_and_in_texts_of_several_lines() -> None:
    text = """\
        a:
          - [1, {b: "${x.y}"}]
        script: |
          echo ${ok}

          echo ${nope}
        folded: >-
          one
          two ${nope2}
        quoted: "one

          ${nope3}"
        ok: 1
        """
    places = [(each.split(":")[0], each.split("`")[1]) for each in check(text)]
    assert places == [("2", "${x.y}"), ("6", "${nope}"), ("9", "${nope2}"), ("12", "${nope3}")]


def test_circles_of_values() -> None:
    found = check("a: ${b}\nb: x-${c.d}\nc: {d: '${a}', e: '${f.g}'}\nf: {g: '${f}'}\nh: ${a}")
    assert found == [
        "1: `${b}` refers to itself: a -> b -> c.d -> a",
        "4: `${f}` refers to `f`, which holds it",
    ]


def test_a_failure_is_told_where_it_is() -> None:
    assert len(check("a: ${b.c}\nb: {c: '${d.e}'}\nd: {e: '${nope}'}\nf: ${a} ${d.e}")) == 1


def test_doubling_texts_end() -> None:
    lines = [f"a{index}: ${{a{index + 1}}}${{a{index + 1}}}" for index in range(60)]
    assert check("\n".join([*lines, "a60: xy"])) == []


def test_a_long_chain_of_values_ends() -> None:
    lines = [f"a{index}: ${{a{index + 1}}}" for index in range(3_000)]
    assert check("\n".join([*lines, "a3000: 1"])) == []


def test_merging_into_a_referred_section() -> None:
    known = files(base="a: ${c}\nc: {d: 1}", a="defaults: base\na: {e: 2}\nf: ${a.d}${a.e}")
    assert check_config("r/a.yaml", known) == ()
    assert composed_values("r/a.yaml", known) == {
        ("a", "d"): 1,
        ("a", "e"): 2,
        ("c", "d"): 1,
        ("f",): "${a.d}${a.e}",
    }


@pytest.mark.parametrize(
    "value",
    ["d", "nano3-data:latest", "super3/rl/data:v12", "d:7", "'${oc.env:DATA}'", "d_1.x", "'???'"],
)
def test_artifacts(value: str) -> None:
    text = (
        f"run: {{data: {value}, which: data}}\na: ${{art:data}} ${{art:${{run.which}},metadata.x}}"
    )
    assert check(text) == []


@pytest.mark.parametrize(
    ("run", "value", "expected"),
    [
        ("{data: 'd:latest'}", "${art:dta,path}", "names no artifact `dta`; did you mean `data`?"),
        ("{data: 'd:latest'}", "${art:model}", "names no artifact `model`; it has `data`"),
        ("{}", "${art:data}", "names no artifacts; add `run: {data: NAME:latest}`"),
        ("", "${art:data}", "names no artifacts"),
        ("{data: 'host:port'}", "${art:data}", "`run.data` is 'host:port', which is no artifact"),
        ("{data: '04:00:00'}", "${art:data}", "which is no artifact"),
        ("{data: 'nvcr.io/x/nemo:25.11'}", "${art:data}", "which is no artifact"),
        ("{data: {a: 1}}", "${art:data}", "`run.data` is a section"),
        ("{data: 7}", "${art:data}", "`run.data` is 7"),
        ("{data: d}", "${art:}", "write `${art:KEY}` or `${art:KEY,FIELD}`"),
        ("{data: d}", "${art:data,path,x}", "write `${art:KEY}`"),
    ],
)
def test_artifacts_that_are_none(run: str, value: str, expected: str) -> None:
    (found,) = check(f"run: {run}\nv: {value}")
    assert found.startswith("2: ") and expected in found


def test_foreign_resolvers_are_listed_once() -> None:
    known = files(
        a="x: ${mul:2,3} ${mul:1,1}\nr: ${ns.div:1,${x}}",
        b="y: ${mul:1}\nz: ${${oc.env:X}:1}",
    )
    assert check_recipe(known, known) == (
        Finding(
            "r/a.yaml",
            1,
            "not checked: the script itself must register the resolvers `mul`, `ns.div`",
            False,
        ),
    )


def test_a_base_may_leave_keys_to_what_builds_on_it() -> None:
    known = files(base="x: ${model.size}\ny: ${", a="defaults: base\nmodel: {size: 3}")
    (syntax,) = check_recipe(known, known)
    assert syntax.line == 2
    assert [each.line for each in check_recipe(known, known, default="r/base.yaml")] == [1, 2]


def test_a_failure_in_a_base_is_told_once_and_names_what_is_composed() -> None:
    known = files(base="x: ${model.size}", a="defaults: base", b="defaults: base\nmodel: {siz: 3}")
    assert [str(each) for each in check_recipe(known, known)] == [
        "r/base.yaml:1: `${model.size}` does not resolve: there is no `model.size`; "
        "the config has `x` (composing r/a.yaml)"
    ]


def test_findings_are_sorted_and_the_same_in_any_order() -> None:
    known = files(a="x: ${q}\ny: ${w}", b="- a", c="defaults: nope")
    found = check_recipe(sorted(known), known)
    assert [(each.path, each.line) for each in found] == [
        ("r/a.yaml", 1),
        ("r/a.yaml", 2),
        ("r/b.yaml", 1),
        ("r/c.yaml", 1),
    ]
    assert check_recipe(sorted(known, reverse=True), known) == found


def test_many_configs_on_one_base() -> None:
    base = "\n".join(f"s{index}: {{k: '${{s0.v}}', v: {index}}}" for index in range(100))
    known = {"base.yaml": base, **{f"{index}.yaml": "defaults: base" for index in range(200)}}
    assert check_recipe(known, known) == ()
