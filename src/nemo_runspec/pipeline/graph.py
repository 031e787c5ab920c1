"""The artifact targets of a plan in the order they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from nemo_runspec._names import hint
from nemo_runspec.exceptions import NemoRunspecError, UsageError
from runspec.plan import Plan, PlanArtifact


class GraphError(NemoRunspecError):
    """The artifact targets do not make a graph that can be run."""


class CycleError(GraphError):
    """Artifacts are made from each other in a circle.

    Args:
        cycle: the addresses, each made from the next, the first once more at the end.
    """

    def __init__(self, cycle: Sequence[str]) -> None:
        self.cycle = tuple(cycle)
        super().__init__(
            f"artifacts are made from each other in a circle: {' <- '.join(self.cycle)}; "
            "take one of these inputs out, or pin it to a version (name:v3)"
        )


class DuplicateNameError(GraphError):
    """Two targets make artifacts of one name.

    Args:
        name: the name.
        addresses: of the targets.
    """

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self.name = name
        self.addresses = tuple(addresses)
        super().__init__(
            f"{' and '.join(self.addresses)} both make the artifact {name!r}; "
            "give one of them another artifact_name"
        )


class Graph:
    """The artifacts of a plan, what each is made from and what is made from each.

    Args:
        plan: the document.

    Raises:
        CycleError: artifacts are made from each other in a circle.
        DuplicateNameError: two targets make artifacts of one name.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.artifacts: Mapping[str, PlanArtifact] = {one.address: one for one in plan.artifacts}
        _check_names(plan.artifacts)
        # A join may name an input twice, by two keys.
        self.inputs: Mapping[str, tuple[str, ...]] = {
            one.address: tuple(
                dict.fromkeys(each.artifact for each in one.inputs if each.artifact is not None)
            )
            for one in plan.artifacts
        }
        consumers: dict[str, list[str]] = {address: [] for address in self.artifacts}
        for address, inputs in self.inputs.items():
            for each in inputs:
                consumers[each].append(address)
        self.consumers: Mapping[str, Sequence[str]] = consumers
        self.order: tuple[PlanArtifact, ...] = self._sorted()

    @cached_property
    def roots(self) -> frozenset[str]:
        """Addresses of the artifacts that were asked for."""
        return frozenset(self.plan.roots)

    def artifact(self, address: str) -> PlanArtifact:
        """The artifact target with this address.

        Raises:
            UsageError: the plan does not hold it.
        """
        if address not in self.artifacts:
            raise UsageError(f"the plan has no {address}; {hint(address, self.artifacts)}")
        return self.artifacts[address]

    def _sorted(self) -> tuple[PlanArtifact, ...]:
        # By waves, not by recursion: a chain may be ten thousand long.
        missing = {address: len(inputs) for address, inputs in self.inputs.items()}
        order = [address for address, count in missing.items() if count == 0]
        for address in order:
            for consumer in self.consumers[address]:
                missing[consumer] -= 1
                if missing[consumer] == 0:
                    order.append(consumer)
        if len(order) < len(self.artifacts):
            raise CycleError(self._cycle({a for a, count in missing.items() if count}))
        return tuple(self.artifacts[address] for address in order)

    def _cycle(self, left: set[str]) -> list[str]:
        """A circle among the artifacts that can never be made."""
        path: dict[str, int] = {}
        here = min(left)
        while here not in path:
            path[here] = len(path)
            here = next(each for each in self.inputs[here] if each in left)
        return [*list(path)[path[here] :], here]


def _check_names(artifacts: Sequence[PlanArtifact]) -> None:
    made_by: dict[str, str] = {}
    for one in artifacts:
        other = made_by.setdefault(one.name, one.address)
        if other != one.address:
            raise DuplicateNameError(one.name, sorted((other, one.address)))
