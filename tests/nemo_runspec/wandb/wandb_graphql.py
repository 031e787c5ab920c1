"""Answering GraphQL from plain values: what the real client asks for is picked out of mappings.

A value of a mapping may be a function of the field's arguments. A field that is not there is an
error, as with a real server, so that a test double that knows too little does not pass for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    parse,
    value_from_ast_untyped,
)

Answer = Callable[[Mapping[str, Any]], Any]


class WireError(Exception):
    """What the server tells the client instead of data."""


def execute(text: str, variables: Mapping[str, Any], roots: Mapping[str, Any]) -> tuple[str, Any]:
    """Answer a document of one operation.

    Args:
        text: the document.
        variables: of the operation.
        roots: what ``query`` and ``mutation`` select from.

    Returns:
        The operation's name, and its data.

    Raises:
        WireError: a field is not known.
    """
    document = parse(text)
    operation = next(n for n in document.definitions if isinstance(n, OperationDefinitionNode))
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    known = dict(variables)
    for definition in operation.variable_definitions or ():
        default = definition.default_value
        if definition.variable.name.value not in known and default is not None:
            known[definition.variable.name.value] = value_from_ast_untyped(default)
    name = operation.name.value if operation.name else ""
    picker = _Picker(known, fragments)
    return name, picker.pick(operation.selection_set, roots[operation.operation.value])


class _Picker:
    def __init__(
        self, variables: Mapping[str, Any], fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self.variables = variables
        self.fragments = fragments

    def pick(self, selections: SelectionSetNode, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [self.pick(selections, item) for item in value]
        found: dict[str, Any] = {}
        for node in selections.selections:
            if not self._included(node):
                continue
            if isinstance(node, FieldNode):
                self._field(node, value, found)
            elif isinstance(node, InlineFragmentNode):
                kind = node.type_condition.name.value if node.type_condition else None
                if _is_a(value, kind):
                    _merge(found, self.pick(node.selection_set, value))
            elif isinstance(node, FragmentSpreadNode):
                fragment = self.fragments[node.name.value]
                if _is_a(value, fragment.type_condition.name.value):
                    _merge(found, self.pick(fragment.selection_set, value))
        return found

    def _field(self, node: FieldNode, value: Mapping[str, Any], found: dict[str, Any]) -> None:
        name = node.name.value
        if name not in value:
            raise WireError(f'Cannot query field "{name}" on {value.get("__typename", "?")}')
        answer = value[name]
        if callable(answer):
            answer = answer(
                {arg.name.value: self._value(arg.value) for arg in node.arguments or ()}
            )
        if node.selection_set is not None:
            answer = self.pick(node.selection_set, answer)
        _merge(found, {node.alias.value if node.alias else name: answer})

    def _value(self, node: ValueNode) -> Any:
        if isinstance(node, VariableNode):
            return self.variables.get(node.name.value)
        return value_from_ast_untyped(node, dict(self.variables))

    def _included(self, node: Any) -> bool:
        for directive in node.directives or ():
            condition = directive.arguments[0].value
            value = (
                condition.value
                if isinstance(condition, BooleanValueNode)
                else self._value(condition)
            )
            if bool(value) is not (directive.name.value == "include"):
                return False
        return True


def _is_a(value: Mapping[str, Any], kind: str | None) -> bool:
    own = value.get("__typename")
    return own is None or kind in (None, own) or (kind, own) in _INTERFACES


_INTERFACES = {("ArtifactCollection", "ArtifactSequence")}


def _merge(found: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(found.get(key), dict) and isinstance(value, dict):
            _merge(found[key], value)
        else:
            found[key] = value
