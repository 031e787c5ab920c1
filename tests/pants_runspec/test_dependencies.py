"""What recipes and configs depend on, and who depends on what."""

from __future__ import annotations

import pytest
from pants.backend.project_info import dependents
from pants.backend.project_info.dependents import Dependents, DependentsRequest
from pants.backend.project_info.list_targets import List
from pants.backend.project_info.list_targets import rules as list_rules
from pants.engine.target import TransitiveTargets, TransitiveTargetsRequest
from pants.testutil.rule_runner import QueryRule, RuleRunner

from tests.pants_runspec.harness import OPTIONS, address_of, dependencies, make_runner, script

DEPENDENTS = (*dependents.rules(), QueryRule(Dependents, (DependentsRequest,)))

SHARED = "[tool.runspec.config]\ndir = '../shared'\n"

# Two recipes with a helper in common, one of which has a config folder with bases elsewhere.
TREE = {
    "src/lib/near.py": "from lib import far\n",
    "src/lib/far.py": "",
    "src/lib/other.py": "",
    "src/lib/BUILD": "python_sources()",
    "src/r/one/train.py": script(body="import lib.near\n"),
    "src/r/two/train.py": script("[tool.runspec.config]\ndir = 'conf'\n", "import lib.other\n"),
    "src/r/one/config/default.yaml": "defaults: [sub/small, _self_]\nlr: 1\n",
    "src/r/one/config/sub/small.yaml": "defaults: ../../../../base/common.yaml\n",
    "src/r/two/conf/default.yml": "lr: 2\n",
    "src/r/BUILD": """\
python_sources(sources=["**/*.py"])
runspec_recipe(name="one", script="one/train.py")
runspec_recipe(name="two", script="two/train.py")
runspec_configs(name="configs", sources=["**/*.yaml", "**/*.yml"])
""",
    "src/base/common.yaml": "seed: 0\n",
    "src/base/lonely.yaml": "seed: 1\n",
    "src/base/BUILD": "runspec_configs()",
}


def closure(runner: RuleRunner, spec: str) -> set[str]:
    request = TransitiveTargetsRequest([address_of(runner, spec)])
    found = runner.request(TransitiveTargets, [request])
    return {target.address.spec for target in found.dependencies}


def recipes_touched(runner: RuleRunner, spec: str) -> set[str]:
    """Return the recipes that `--changed-since` names for a change of what a target owns."""
    request = DependentsRequest([address_of(runner, spec)], transitive=True, include_roots=True)
    found = {address.spec for address in runner.request(Dependents, [request])}
    return found & {"src/r:one", "src/r:two"}


def test_script_and_configs() -> None:
    runner = make_runner(TREE, rules=[QueryRule(TransitiveTargets, (TransitiveTargetsRequest,))])
    assert dependencies(runner, "src/r:one") == [
        "src/r/one/config/default.yaml:../../configs",
        "src/r/one/config/sub/small.yaml:../../../configs",
        "src/r/one/train.py:../r",
    ]
    assert dependencies(runner, "src/r:two") == [
        "src/r/two/conf/default.yml:../../configs",
        "src/r/two/train.py:../r",
    ]
    assert closure(runner, "src/r:one") == {
        "src/base/common.yaml",
        "src/lib/far.py",
        "src/lib/near.py",
        "src/r/one/config/default.yaml:../../configs",
        "src/r/one/config/sub/small.yaml:../../../configs",
        "src/r/one/train.py:../r",
    }


@pytest.mark.parametrize(
    ("changed", "recipes"),
    [
        ("src/lib/far.py", {"src/r:one"}),
        ("src/lib/near.py", {"src/r:one"}),
        ("src/lib/other.py", {"src/r:two"}),
        ("src/r/two/train.py:../r", {"src/r:two"}),
        ("src/base/common.yaml", {"src/r:one"}),
        ("src/base/lonely.yaml", set()),
        ("src/r/one/config/sub/small.yaml:../../../configs", {"src/r:one"}),
        ("src/r/two/conf/default.yml:../../configs", {"src/r:two"}),
    ],
)
def test_a_change_touches_exactly_its_recipes(changed: str, recipes: set[str]) -> None:
    runner = make_runner(TREE, rules=DEPENDENTS)
    assert recipes_touched(runner, changed) == recipes


def test_the_scripts_owner_is_that_of_the_resolve() -> None:
    runner = make_runner(
        {
            "r/train.py": script(),
            "r/BUILD": """\
python_sources(name="lib", resolve=parametrize("default", "other"))
resources(name="also", sources=["*.py"])
runspec_recipe(name="t", script="train.py")
runspec_recipe(name="o", script="train.py", resolve="other")
""",
        }
    )
    assert dependencies(runner, "r:t") == ["r/train.py:lib@resolve=default"]
    assert dependencies(runner, "r:o") == ["r/train.py:lib@resolve=other"]


def test_an_unowned_script_and_unowned_configs() -> None:
    runner = make_runner(
        {
            "r/train.py": script(),
            "r/config/default.yaml": "a: 1",
            "r/BUILD": "runspec_recipe(name='t', script='train.py')",
        }
    )
    assert dependencies(runner, "r:t") == []


def test_a_shared_config_folder() -> None:
    runner = make_runner(
        {
            "r/a/train.py": script(SHARED),
            "r/b/train.py": script(SHARED + "default = 'b'"),
            "r/shared/a.yaml": "",
            "r/shared/b.yaml": "",
            "r/shared/BUILD": "runspec_configs()",
            "r/BUILD": """\
python_sources(sources=["**/*.py"])
runspec_recipes(name="all")
""",
        }
    )
    for name in ("a", "b"):
        assert dependencies(runner, f"r:all#{name}/train") == [
            f"r/{name}/train.py:../r",
            "r/shared/a.yaml",
            "r/shared/b.yaml",
        ]


def test_explicit_dependencies_are_added() -> None:
    runner = make_runner(
        {
            "r/train.py": script(),
            "r/words.txt": "",
            "r/BUILD": """\
python_sources()
files(name="words", sources=["*.txt"])
runspec_recipe(name="t", script="train.py", dependencies=[":words"])
""",
        }
    )
    assert dependencies(runner, "r:t") == ["r/train.py", "r:words"]


BROKEN = [
    "print('no block')\n",
    "# /// script\n# [tool.runspec\n# ///\n",
    script("nam = 'typo'"),
    script(standard="dependencies = ['a b']"),
    script("[tool.runspec.config]\ndir = '/opt/config'"),
    script("[tool.runspec.config]\ndir = '../../..'"),
]


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_script_is_inferred_alone_and_fails_nothing_else(content: str) -> None:
    runner = make_runner(
        {
            "r/train.py": content,
            "r/config/default.yaml": "a: 1",
            "r/good.py": script(),
            "r/BUILD": """\
python_sources()
runspec_recipe(name="broken", script="train.py")
runspec_recipe(name="good", script="good.py")
runspec_configs(name="configs", sources=["config/*.yaml"])
""",
        },
        rules=[*DEPENDENTS, *list_rules()],
    )
    assert dependencies(runner, "r:broken") == ["r/train.py"]
    listed = runner.run_goal_rule(List, global_args=OPTIONS, args=["::"])
    assert {"r:broken", "r:good"} <= set(listed.stdout.split())
    request = DependentsRequest(
        [address_of(runner, "r/config/default.yaml:../configs")],
        transitive=True,
        include_roots=False,
    )
    found = {each.spec for each in runner.request(Dependents, [request])}
    assert found == {"r:configs", "r:good"}


def test_a_script_that_is_not_utf_8() -> None:
    # Pants' own import parser fails on it once somebody asks for the imports of its owner.
    runner = make_runner(
        {
            "r/train.py": script().encode() + b"# \xff\n",
            "r/BUILD": "python_sources()\nrunspec_recipe(name='t', script='train.py')",
        },
        rules=list_rules(),
    )
    assert dependencies(runner, "r:t") == ["r/train.py"]
    listed = runner.run_goal_rule(List, global_args=OPTIONS, args=["::"])
    assert "r:t" in listed.stdout.split()


@pytest.mark.parametrize("folder", ["conf[1", "c*nf", "{a,b}", "!conf", "a b/ü", "..conf"])
def test_odd_config_folders(folder: str) -> None:
    runner = make_runner(
        {
            "train.py": script(f"[tool.runspec.config]\ndir = '{folder}'"),
            "cxnf/default.yaml": "not of this recipe",
            "BUILD": """\
python_sources()
runspec_configs(name="configs", sources=["cxnf/*.yaml"])
runspec_recipe(name="t", script="train.py")
""",
        }
    )
    assert dependencies(runner, "//:t") == ["//train.py"]


@pytest.mark.parametrize(
    ("defaults", "bases"),
    [
        ("base", ["r/base.yaml:c"]),
        ("[base.yaml, yml_one]", ["r/base.yaml:c", "r/yml_one.yml:c"]),
        ("{model: gpt}", []),
        ("missing", []),
        ("default", []),
        ("/etc/base.yaml", []),
        ("../../../base.yaml", []),
        ("'x[.yaml'", []),
        ("'**'", []),
        ("'*.yaml'", []),
        ("'!base'", []),
        ("'${oc.env:HOME}/base.yaml'", []),
        ("[base", []),
    ],
)
def test_bases(defaults: str, bases: list[str]) -> None:
    runner = make_runner(
        {
            "r/default.yaml": f"defaults: {defaults}\n",
            "r/base.yaml": "",
            "r/yml_one.yml": "",
            "r/BUILD": "runspec_configs(name='c')",
        }
    )
    assert dependencies(runner, "r/default.yaml:c") == bases


def test_bases_in_a_circle() -> None:
    runner = make_runner(
        {
            "r/a.yaml": "defaults: b",
            "r/b.yaml": "defaults: a",
            "r/BUILD": "runspec_configs()",
        },
        rules=[QueryRule(TransitiveTargets, (TransitiveTargetsRequest,))],
    )
    assert closure(runner, "r/a.yaml") >= {"r/b.yaml"}


def test_a_config_that_is_not_utf_8() -> None:
    runner = make_runner(
        {
            "r/a.yaml": b"defaults: b\nname: \xff\n",
            "r/b.yaml": "",
            "r/BUILD": "runspec_configs()",
        }
    )
    assert dependencies(runner, "r/a.yaml") == ["r/b.yaml"]


def test_a_script_that_uses_torchx_needs_the_trackers_it_loads_by_name() -> None:
    tracker = "src/nemo_runspec/torchx_tracker"
    runner = make_runner(
        {
            f"{tracker}/in_job.py": "",
            f"{tracker}/mlflow.py": "",
            "src/nemo_runspec/BUILD": (
                "python_sources(sources=['**/*.py'], resolve=parametrize('default', 'other'))"
            ),
            "r/uses.py": script(body="def run():\n    from torchx.tracker import AppRun\n"),
            "r/also.py": script(body="import torchx.tracker\n"),
            "r/not.py": script(body="import torchxyz\n# import torchx\nx = 'from torchx'\n"),
            "r/broken.py": "# /// script\n# [tool.runspec\n# ///\nimport torchx\n",
            "r/BUILD": """\
python_sources(resolve=parametrize("default", "other"))
runspec_recipe(name="uses", script="uses.py")
runspec_recipe(name="also", script="also.py", resolve="other")
runspec_recipe(name="not", script="not.py")
runspec_recipe(name="broken", script="broken.py")
""",
        }
    )
    for name, resolve in (("uses", "default"), ("also", "other"), ("broken", "default")):
        assert dependencies(runner, f"r:{name}") == [
            f"r/{name}.py@resolve={resolve}",
            f"{tracker}/in_job.py:../nemo_runspec@resolve={resolve}",
            f"{tracker}/mlflow.py:../nemo_runspec@resolve={resolve}",
        ]
    assert dependencies(runner, "r:not") == ["r/not.py@resolve=default"]
