"""Putting the bodies of a model's own functions in place of their calls, once what that gives is known to be bounded.

26 functions that call one another twice each make 67 million nodes of a file of 1,660 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from onnx import FunctionProto, ModelProto, NodeProto

from kir.errors import FormatError
from kir.support.limits import MAX_INLINED_BYTES, MAX_INLINED_NODES, MAX_INLINED_RATIO, MAX_NODES
from kir.support.onnx_files import require_few_nodes, walk_subgraphs

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Cost:
    """The size of nodes once they are inlined. Numbers stop growing where they are past every limit."""

    nodes: int
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(min(self.nodes + other.nodes, MAX_NODES + 1), min(self.bytes + other.bytes, MAX_INLINED_BYTES + 1))


def without_functions(model: ModelProto, what: str) -> ModelProto:
    """Return the model with the bodies of its own functions in place of their calls.

    Raises:
        FormatError: a function calls itself, or the result would be out of all proportion, or ONNX refuses to do it.
    """
    from onnx.inliner import inline_local_functions  # start-up time

    _require_bounded(model, what)
    try:
        inlined = inline_local_functions(model)
    except Exception as error:  # whatever the C++ code says of a broken model
        raise FormatError(f"the functions of {what} cannot be put in place of their calls: {error}") from None
    require_few_nodes(len(inlined.graph.node), what)
    return inlined


def _require_bounded(model: ModelProto, what: str) -> None:
    functions = {_key(function.domain, function.name, function.overload): function for function in model.functions}
    costs = _costs(functions, what)
    total = sum((_cost(node, costs) for node in _all_nodes(model.graph.node)), Cost(0, 0))
    own = len(model.graph.node) + sum(len(function.node) for function in model.functions)
    allowed = min(MAX_NODES, MAX_INLINED_NODES + MAX_INLINED_RATIO * own)
    if total.nodes > allowed or total.bytes > max(MAX_INLINED_BYTES, model.ByteSize()):
        raise FormatError(
            f"the functions of {what} would make {own} nodes into more than {allowed}, or into more than "
            f"{MAX_INLINED_BYTES} bytes; no more are read: inline them where the model is made"
        )


def _costs(functions: Mapping[Key, FunctionProto], what: str) -> dict[Key, Cost]:
    """Return what a call of each function costs: first those that it calls, without recursion."""
    bodies = {key: list(_all_nodes(function.node)) for key, function in functions.items()}
    costs: dict[Key, Cost] = {}
    for first in functions:
        open_calls: dict[Key, Iterator[Key]] = {}
        pending = [first] if first not in costs else []
        while pending:
            key = pending[-1]
            if key not in open_calls:
                open_calls[key] = iter([called for node in bodies[key] if (called := _called(node)) in functions])
            inner = next((name for name in open_calls[key] if name not in costs), None)
            if inner is not None:
                if inner in open_calls:
                    raise FormatError(f"the function {inner[1]} of {what} calls itself, which ONNX does not allow")
                pending.append(inner)
                continue
            costs[key] = sum((_cost(node, costs) for node in bodies[key]), Cost(0, 0))
            del open_calls[key]
            pending.pop()
    return costs


def _cost(node: NodeProto, costs: Mapping[Key, Cost]) -> Cost:
    called = costs.get(_called(node))
    return Cost(1, node.ByteSize()) if called is None else called + Cost(0, node.ByteSize())


def _all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for graph in walk_subgraphs(node):
            yield from graph.node


def _called(node: NodeProto) -> Key:
    return _key(node.domain, node.op_type, node.overload)


def _key(domain: str, name: str, overload: str) -> Key:
    return ("" if domain == "ai.onnx" else domain, name, overload)
