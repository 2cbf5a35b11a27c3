"""The recorded calls between the inputs and outputs of a model, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kir.errors import InvalidArgumentError
from kir.ir.trace import SymbolicOperators
from kir.ir.types import TensorType
from kir.modeling.functional import Call, KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.support.naming import unique
from kir.support.trees import Tree, flatten, map_structure


def calls_between(inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]) -> list[Call]:
    """Return the calls that compute the outputs from the inputs, each after those it depends on. O(calls).

    Raises:
        InvalidArgumentError: an output depends on an Input that is not among the inputs.
    """
    given = {id(x) for x in inputs}
    ordered: list[Call] = []
    seen: set[int] = set()
    for output in outputs:
        if id(output) in given or id(output.call) in seen:
            continue
        seen.add(id(output.call))
        stack = [(output.call, iter(output.call.inputs))]
        while stack:
            call, pending = stack[-1]
            for x in pending:
                if id(x) not in given and id(x.call) not in seen:
                    seen.add(id(x.call))
                    stack.append((x.call, iter(x.call.inputs)))
                    break
            else:
                _require_inputs(call)
                ordered.append(call)
                stack.pop()
    return ordered


def from_inputs_only(inputs: Tree[SymbolicOperators], outputs: Tree[SymbolicOperators]) -> tuple[Any, Any]:
    """Replace every given input that a layer computed by a new Input, and repeat the calls after it.

    The new model then does not hold the layers before its inputs. O(calls), and nothing if all are Inputs.

    Source: `clone_graph_nodes` in keras/src/models/functional.py
    """
    given = flatten(inputs)
    if all(isinstance(x.call.layer, InputLayer) for x in given):
        return inputs, outputs
    stands_for: dict[int, KerasTensor] = {
        id(x): x if isinstance(x.call.layer, InputLayer) else _new_input(x.type) for x in given
    }

    def replaced(leaf: object) -> object:
        return stands_for.get(id(leaf), leaf)

    for recorded in calls_between(given, flatten(outputs)):
        args, kwargs = map_structure(replaced, recorded.arguments)
        call = Call(recorded.layer, args, kwargs)
        for x in flatten(recorded.outputs):
            stands_for[id(x)] = KerasTensor(x.type, call, x.index, x.mask_type)
        call.outputs = map_structure(replaced, recorded.outputs)
        recorded.layer.calls.append(call)
    return map_structure(replaced, inputs), map_structure(replaced, outputs)


def _new_input(type: TensorType) -> KerasTensor:
    sizes = [dim if isinstance(dim, int) else str(dim) for dim in type.shape[1:]]
    batch = [dim if isinstance(dim, int) else None for dim in type.shape[:1]]
    return InputLayer(batch_shape=(*batch, *sizes), dtype=type.dtype).tensor


def layers_by_depth(
    calls: Sequence[Call], inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
) -> list[Layer]:
    """Return the layers of the calls and inputs in Keras's order, on which saved weights depend. O(calls log calls).

    The depth of a call is the longest way from it to an output; layers are sorted from the deepest on, and by the
    order in which a walk back from the outputs meets them.

    Source: `map_graph` in keras/src/ops/function.py
    """
    input_calls = {id(x.call): x.call for x in inputs}
    members = {id(call) for call in calls} | set(input_calls)
    call_depths: dict[int, int] = {}
    layer_depths: dict[int, int] = {}
    for call in reversed([*input_calls.values(), *calls]):
        depth = max(call_depths.get(id(call), 0), layer_depths.get(id(call.layer), 0))
        call_depths[id(call)] = layer_depths[id(call.layer)] = depth
        for x in call.inputs:
            if id(x.call) in members and id(call) not in input_calls:
                call_depths[id(x.call)] = max(depth + 1, call_depths.get(id(x.call), 0))
    order = _preorder(outputs, members, set(input_calls))
    layers = {id(call.layer): call.layer for call in [*input_calls.values(), *calls]}
    return sorted(layers.values(), key=lambda layer: (-layer_depths[id(layer)], order.get(id(layer), -1)))


def _preorder(outputs: Sequence[KerasTensor], members: set[int], stop: set[int]) -> dict[int, int]:
    """Return each layer's place in a depth-first walk back from the outputs, one after the other."""
    order: dict[int, int] = {}
    seen: set[int] = set()
    stack = [x.call for x in reversed(outputs)]
    while stack:
        call = stack.pop()
        if id(call) in seen or id(call) not in members:
            continue
        seen.add(id(call))
        order.setdefault(id(call.layer), len(order))
        if id(call) not in stop:
            stack.extend(x.call for x in reversed(call.inputs))
    return order


def _require_inputs(call: Call) -> None:
    if isinstance(call.layer, InputLayer):
        raise InvalidArgumentError(
            f"the outputs depend on Input {call.layer.name!r}, which is not among the model's inputs; add it to them"
        )


def unique_names(tensors: Sequence[KerasTensor], structure: Tree[KerasTensor], taken: set[str]) -> list[str]:
    wanted = sorted(structure) if isinstance(structure, Mapping) else [tensor.name for tensor in tensors]
    if len(wanted) != len(tensors):
        wanted = [tensor.name for tensor in tensors]
    names: list[str] = []
    for name in wanted:
        chosen = f"{name}_output" if name in taken and name not in names else name
        chosen = unique(chosen, taken)
        taken.add(chosen)
        names.append(chosen)
    return names
