"""Lineages that the page's tests show: a pipeline, two thousand nodes, and what must stay inert."""

from __future__ import annotations

import random
from typing import Any

from nemo_runspec.lineage.model import (
    Card,
    Kind,
    Lineage,
    LineageEdge,
    LineageNode,
    Mark,
    Spent,
    State,
)
from tests.nemo_runspec.lineage_page.records import loss, version

NEW_COMMIT = "33408482f894c2be765634f3b812b2f83f0431a6"
STORE = "/lustre/team/artifacts"
LARGE = 2000

SFT_CONFIG = {
    "data": "${art:data,path}",
    "model": "${art:model,path}",
    "optimizer": {"learning_rate": 0.003, "beta1": 0.9, "weight_decay": 0.02, "warmup_steps": 20},
    "seed": 1,
    "train": {"batch_size": 16, "steps": 200},
}

HTML_CARD = """<style>h1 { color: #4a6 } td { border-bottom: 1px solid #ddd }</style>
<h1>Evaluation</h1><p>Accuracy on held-out tasks.</p>
<table><tr><td>arithmetic</td><td>0.91</td></tr><tr><td>reading</td><td>0.87</td></tr></table>
<svg width="220" height="60"><rect width="200" height="20" fill="#4a6"/>
<rect y="30" width="174" height="20" fill="#68a"/></svg>
"""

MARKDOWN_CARD = """# Training report

The loss fell **steadily**; the *last* step is `200`.

| split | loss |
|---|---:|
| train | 0.228 |
| valid | 0.251 |

1. warm-up of 20 steps
2. cosine decay

> No divergence was seen. See [the notes](https://example.org/notes).

```
step 200: loss 0.2284
```
"""


def pipeline() -> Lineage:
    """Data preparation to evaluation, with two versions of the model and every mark."""
    sft_inputs = (("model", "nano3-pretrain-model"), ("data", "nano3-sft-data"))
    newer = {**SFT_CONFIG, "optimizer": {**SFT_CONFIG["optimizer"], "learning_rate": 0.001}}  # type: ignore[dict-item]
    newer["precision"] = "bf16"
    nodes = (
        LineageNode(
            id="external:s3://corpora/web-2026.jsonl",
            kind=Kind.EXTERNAL,
            name="s3://corpora/web-2026.jsonl",
            state=State.EXTERNAL,
        ),
        version(
            "nano3-pretrain-data",
            state=State.FRESH,
            type_="PretrainDataArtifact",
            metadata={"total_tokens": 50630, "num_shards": 4, "shards": [{"tokens": 16384}]},
            spent=Spent(seconds=64.2, gpu_hours=0.0, nodes=1, gpus=0),
        ),
        version(
            "nano3-sft-data",
            state=State.STALE,
            type_="SFTDataArtifact",
            revoked=Mark(
                by="jonas",
                at="2026-11-20T09:30:00+00:00",
                reason="two evaluation sets leaked into it",
                reference="nano3-sft-data:v1",
            ),
            reasons=(
                {
                    "category": "revoked",
                    "what": "nano3-sft-data:v1",
                    "old": None,
                    "new": None,
                    "text": "nano3-sft-data:v1 was revoked by jonas",
                },
                {
                    "category": "config",
                    "what": "prepare.max_documents",
                    "old": "800",
                    "new": "1200",
                    "text": "prepare.max_documents: 800 -> 1200",
                },
                {
                    "category": "code",
                    "what": "src/recipes/nano3/stage1_sft/data_prep.py",
                    "old": "1d48e79c921c",
                    "new": "9252b54c17c3",
                    "text": "src/recipes/nano3/stage1_sft/data_prep.py changed",
                },
            ),
        ),
        version(
            "nano3-pretrain-model",
            state=State.FRESH,
            accepted=Mark(
                by="mira",
                at="2026-11-21T08:00:00+00:00",
                reason="only log lines changed",
                reference="nano3-pretrain-model:v1",
            ),
            aliases=("production",),
            inputs=(("data", "nano3-pretrain-data"),),
            metrics={"final_loss": 2.149703313536099, "perplexity": 8.58},
            series={"train/loss": loss(400, 6.5), "learning_rate": loss(60, 0.003)},
        ),
        version(
            "nano3-sft-model",
            1,
            state=State.GONE,
            gone="/lustre/team/outputs/nano3-sft-model/1 is not there any more",
            config=SFT_CONFIG,
            inputs=sft_inputs,
            metrics={"success": 0.51875, "final_loss": 0.31},
            metadata={"step": 200},
        ),
        version(
            "nano3-sft-model",
            2,
            state=State.DEPENDS,
            config=newer,
            inputs=sft_inputs,
            files={"src/recipes/nano3/training.py": "train better", "src/recipes/nano3/new.py": ""},
            commit=NEW_COMMIT,
            dirty=True,
            user="jonas",
            aliases=("candidate", "latest"),
            reasons=(
                {
                    "category": "upstream",
                    "what": "nano3-sft-data",
                    "old": None,
                    "new": None,
                    "text": "nano3-sft-data may change",
                },
            ),
            metrics={"success": 0.6125, "final_loss": 0.2284547},
            series={"train/loss": loss(120, 1.4), "reward": ((None, 0.5, "2026-11-21T14:00:00Z"),)},
            cards=(
                Card("Evaluation", "html", HTML_CARD),
                Card("Training report", "markdown", MARKDOWN_CARD),
            ),
            log="/lustre/team/jobs/20261121-140828-nano3-sft-model/logs/job.log",
            metadata={"step": 200},
        ),
        version("nano3-rl-data", state=State.FRESH, type_="RLDataArtifact"),
        _target(
            "rl-model",
            State.RUNNING,
            "mira runs it since 14:02",
            spent=Spent(seconds=86400.0 * 2.5, gpu_hours=960.0, nodes=2, gpus=8),
            document={"version": 4, "run": {"user": "wei"}},
        ),
        _target("eval-results", State.BLOCKED, "waits for nano3-rl-model"),
    )
    edges = [
        ("external:s3://corpora/web-2026.jsonl", "nano3-pretrain-data:v1", None),
        ("nano3-pretrain-data:v1", "nano3-pretrain-model:v1", "data"),
        ("nano3-pretrain-model:v1", "nano3-sft-model:v1", "model"),
        ("nano3-sft-data:v1", "nano3-sft-model:v1", "data"),
        ("nano3-pretrain-model:v1", "nano3-sft-model:v2", "model"),
        ("nano3-sft-data:v1", "nano3-sft-model:v2", "data"),
        ("nano3-sft-model:v2", "target:src/recipes/nano3:rl-model", "model"),
        ("nano3-rl-data:v1", "target:src/recipes/nano3:rl-model", "data"),
        ("target:src/recipes/nano3:rl-model", "target:src/recipes/nano3:eval-results", "model"),
        ("nano3-sft-model:v2", "target:src/recipes/nano3:eval-results", "baseline"),
        ("nano3-pretrain-model:v1", "target:src/recipes/nano3:eval-results", "reference"),
    ]
    return Lineage(
        roots=("target:src/recipes/nano3:eval-results",),
        nodes=nodes,
        edges=tuple(LineageEdge(*edge) for edge in edges),
        store=STORE,
    )


def _target(name: str, state: State, why: str, **values: Any) -> LineageNode:
    """An artifact target for which there is no version."""
    address = f"src/recipes/nano3:{name}"
    reason = {"category": state.value, "what": why, "old": None, "new": None, "text": why}
    return LineageNode(
        id=f"target:{address}",
        kind=Kind.TARGET,
        name=f"nano3-{name}",
        state=state,
        address=address,
        reasons=(reason,),
        **values,
    )


def large(count: int = LARGE) -> Lineage:
    """A team's store of a year: sources, a fan-out over shards, and chains of models."""
    rng = random.Random(7)
    files = {f"src/recipes/nano3/module_{number}.py": str(number) for number in range(12)}
    users = ("mira", "jonas", "wei", "amara", "tomas")
    states = (State.FRESH, State.FRESH, State.FRESH, State.RECORDED, State.STALE, State.DEPENDS)
    nodes: list[LineageNode] = []
    edges: list[LineageEdge] = []
    for number in range(count):
        if number < 20:
            name, type_, above = f"corpus-{number:02d}", "DataArtifact", []
        elif number < 420:
            name, type_ = f"shards/{number:04d}", "Artifact"
            above = [nodes[rng.randrange(20)]]
        else:
            name, type_ = f"model-{number:04d}", "ModelArtifact"
            above = [
                nodes[number - rng.randrange(80, 400)] for _ in range(rng.choice((1, 1, 2, 3)))
            ]
        node = version(
            name,
            state=rng.choice(states),
            type_=type_,
            config={"seed": number, "optimizer": {"learning_rate": rng.random()}},
            inputs=[(None, other.name) for other in above],
            files=files,
            user=rng.choice(users),
            metrics={"loss": rng.random()},
        )
        nodes.append(node)
        edges += [LineageEdge(other.id, node.id) for other in above]
    return Lineage((nodes[-1].id,), tuple(nodes), tuple(edges), STORE, "both")


def _parts() -> tuple[LineageNode, ...]:
    return tuple(version(f"part-{number:04d}", document={}) for number in range(LARGE))


def chain() -> Lineage:
    """Each version made from the one before, and from the first."""
    parts = _parts()
    edges = [LineageEdge(one.id, next_.id) for one, next_ in zip(parts, parts[1:], strict=False)]
    edges += [LineageEdge(parts[0].id, each.id) for each in parts[2:]]
    return Lineage((parts[-1].id,), parts, tuple(edges), STORE)


def fan() -> Lineage:
    """One version that all others were made from, and one that was made from them."""
    first, *others, last = _parts()
    edges = [LineageEdge(first.id, each.id) for each in others]
    edges += [LineageEdge(each.id, last.id) for each in others]
    return Lineage((last.id,), (first, *others, last), tuple(edges), STORE)


ATTACK = "<img src=x onerror=\"window.hit('{0}')\"><script>window.hit('{0}')</script>"
LONG_NAME = "team/" + "very-long-segment-" * 16 + "end"
RIGHT_TO_LEFT = "نموذج-التدريب-‮gnp.exe"


def nasty() -> Lineage:
    """Names, reasons, metadata and cards that would like to be markup or script."""
    close = "</script><script>window.hit('close')</script><!--<script>"
    card = (
        "<script>parent.hit('card')</script><img src=x onerror=\"parent.hit('card image')\">"
        '<meta http-equiv="refresh" content="0;url=http://tracker.invalid/refresh">'
        '<link rel="preconnect" href="http://tracker.invalid"><img src="http://tracker.invalid/a">'
        '<iframe src="http://tracker.invalid/frame"></iframe>'
        '<a id="away" href="http://tracker.invalid/link">away</a><p>harmless words</p>'
    )
    text = (
        ATTACK.format("markdown")
        + "\n\n[click](javascript:window.hit('link')) ![x](http://tracker.invalid/i.png)"
        + "\n\n`"
        + close
        + "`"
    )
    plain = (
        version(
            LONG_NAME,
            state=State.STALE,
            metadata={
                close: close,
                "line separators": "a\u2028b\u2029c",
                "lone surrogate": "\ud83d",
                "__proto__": {"polluted": True},
                "hub_token": "******",
                "seed": 12345678901234567891,
            },
            config={
                'a"b': {"c'd": "${x}", "templ`ate": "`${window.hit('template')}`"},
                "e.f[0]": [[]],
            },
            reasons=(
                {"category": "<b>bold</b>", "what": "x", "text": ATTACK.format("reason")},
                {"category": "config", "what": "nothing"},
            ),
            metrics={ATTACK.format("metric"): float("nan"), "up": float("inf")},
            series={
                "loss<i>": ((1, float("nan"), ""), (2, float("-inf"), ""), (3, 1.5, "")),
                "all nan": ((1, float("nan"), ""),),
            },
            cards=(Card(ATTACK.format("title"), "html", card), Card(close, "markdown", text)),
            files={"it's; rm -rf $HOME.py": "x"},
            commit="$(touch pwned)",
            gone=ATTACK.format("gone"),
            log=ATTACK.format("log"),
        ),
        version("naïve-模型-🚀", state=State.FRESH, aliases=(ATTACK.format("alias"),)),
        version(RIGHT_TO_LEFT, state=State.RECORDED, user=ATTACK.format("user")),
        LineageNode(id=f"external:{close}", kind=Kind.EXTERNAL, name=close, state=State.EXTERNAL),
        LineageNode(id="bare:v1", kind=Kind.VERSION, name="bare", state=State.MISSING, version=1),
    )
    names = [node.id for node in plain]
    # A circle and an edge to nowhere are no lineage, but may stand in a broken store.
    edges = [
        LineageEdge(names[3], names[0], ATTACK.format("key")),
        LineageEdge(names[0], names[1]),
        LineageEdge(names[1], names[2]),
        LineageEdge(names[2], names[0]),
        LineageEdge("nowhere:v1", names[2]),
    ]
    return Lineage((names[0],), plain, tuple(edges), f"s3://store/{close}")


def empty() -> Lineage:
    """Nothing at all."""
    return Lineage((), (), (), STORE)
