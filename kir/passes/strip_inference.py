"""Operators that are the identity, always or when a model is used rather than trained."""

from __future__ import annotations

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import Cast, Clip
from kir.ops.random import Dropout
from kir.ops.shape import Concat, Expand, Pad, Slice, Split, Tile
from kir.passes.rewrite import add_for, constant_array, exact_pass, given, op_of, rewrite, rule


@exact_pass
def strip_inference(graph: Graph) -> int:
    """Dropout(x) → x, and the like

    1. Dropout without a training input, or with a constant false one: x. A Dropout whose training input may be true
       stays, so that the training pipeline can have this pass too.
    2. Cast to the dtype of x: x.
    3. Clip without bounds: x.
    4. Expand to the shape of x, Tile by ones, Pad by nothing, Concat and Split with one part: x.
    5. Slice that takes all elements, forwards: x. One that takes all elements of some axes loses those axes.

    Exact: each is the identity, NaN, -0.0 and integers included.
    """
    return rewrite(graph, (strip_dropout, strip_clip, strip_by_type, strip_slice))


@rule(Dropout)
def strip_dropout(graph: Graph, node: Node) -> Value | None:
    x, training = (*node.inputs, None)[:2]
    flag = constant_array(training)
    return x if training is None or (flag is not None and not flag.any()) else None


@rule(Clip)
def strip_clip(graph: Graph, node: Node) -> Value | None:
    return node.inputs[0] if all(bound is None for bound in node.inputs[1:]) else None


@rule(Cast, Expand, Tile, Pad, Concat, Split)
def strip_by_type(graph: Graph, node: Node) -> Value | None:
    # Equal types decide: without a change of shape, repeating, padding and joining add no element. (An empty tensor has
    # none that could differ.) Pad is asked for its sizes, since a negative one could cancel another.
    if isinstance(node.op, Pad) and any(dim != 0 for dim in (*node.op.before, *node.op.after)):
        return None
    if isinstance(node.op, Concat | Split) and len(node.inputs) + len(node.outputs) > 2:
        return None
    x = given(node.inputs[0])
    return x if x.type == node.outputs[0].type else None


@rule(Slice)
def strip_slice(graph: Graph, node: Node) -> Value | None:
    x, op = given(node.inputs[0]), op_of(node, Slice)
    # A slice as long as its axis with step 1 can only start at 0.
    if set(op.steps) <= {1} and x.type == node.output.type:
        return x
    columns = list(zip(op.axes, op.starts, op.ends, op.steps, strict=True))
    kept = [c for c in columns if c[1:] != (0, x.type.shape[c[0]], 1)]
    if len(kept) in (0, len(columns)):
        return None
    axes, starts, ends, steps = zip(*kept, strict=True)
    return add_for(graph, node, Slice(axes, starts, ends, steps), x)
