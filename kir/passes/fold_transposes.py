"""Chains of Transpose."""

from __future__ import annotations

from kir.ir.dims import Dim, divide_exactly
from kir.ir.graph import Graph, Node, Value
from kir.ir.types import Shape
from kir.ops.shape import Gather, Reshape, Transpose
from kir.passes.rewrite import add_for, exact_pass, given, producer, rewrite, rule


@exact_pass
def fold_transposes(graph: Graph) -> int:
    """Transpose(Transpose(x)) → Transpose(x)

    1. Transpose that leaves every axis in its place: x.
    2. Transpose(Transpose(x)): one Transpose(x), or x where they cancel.
    3. Transpose(Reshape(Transpose(x))) where the second puts back what the first moved, in merged or split axes:
       Reshape(x).
    4. Transpose(Reshape(Transpose(x))) where they do not cancel, but no merged or split axes are taken apart:
       Reshape(Transpose(x)), if nobody else reads what is between.
    5. Gather(Transpose(x)) of one index that takes the only moved axis away: Gather(x).

    Exact: nothing is computed; in 3 the elements keep their order in memory.
    """
    return rewrite(graph, (drop_transpose, join_transposes, join_around_reshape, gather_before))


def permutation_of(node: Node) -> tuple[int, ...]:
    """The permutation of a Transpose node."""
    assert isinstance(node.op, Transpose)
    return node.op.permutation


def compose(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation of the one Transpose that does `first`, then `second`."""
    return tuple(first[axis] for axis in second)


@rule(Transpose)
def drop_transpose(graph: Graph, node: Node) -> Value | None:
    return node.inputs[0] if list(permutation_of(node)) == sorted(permutation_of(node)) else None


@rule(Transpose)
def join_transposes(graph: Graph, node: Node) -> Value | None:
    inner = producer(node, Transpose)
    if inner is None:
        return None
    joined = Transpose(compose(permutation_of(inner), permutation_of(node)))
    return add_for(graph, node, joined, inner.inputs[0])


@rule(Transpose)
def join_around_reshape(graph: Graph, node: Node) -> Value | None:
    middle = producer(node, Reshape)
    first = producer(middle, Transpose) if middle else None
    if middle is None or first is None:
        return None
    x = given(first.inputs[0])
    groups = match_axes(first.output.type.shape, middle.output.type.shape)
    order = _read_groups(permutation_of(node), groups, middle.output.type.shape) if groups else None
    if order is None:
        return None
    axes = [permutation_of(first)[axis] for axis in order]
    if not is_in_order(axes, x.type.shape):
        if not graph.is_read_once(first) or not graph.is_read_once(middle):
            return None
        # Axes of size 1 are not among those that are read, and may stand anywhere.
        others = [axis for axis in range(x.type.rank) if axis not in axes]
        x = add_for(graph, node, Transpose((*others, *axes)), x)
    return add_for(graph, node, Reshape(node.output.type.shape), x)


@rule(Gather)
def gather_before(graph: Graph, node: Node) -> Value | None:
    turned = producer(node, Transpose)
    index = given(node.inputs[1])
    if turned is None or index.type.rank != 0:
        return None
    assert isinstance(node.op, Gather)
    permutation = list(permutation_of(turned))
    axis = permutation.pop(node.op.axis)
    return add_for(graph, node, Gather(axis), turned.inputs[0], index) if permutation == sorted(permutation) else None


def is_in_order(axes: tuple[int, ...] | list[int], shape: Shape) -> bool:
    """Whether reading the axes in this order reads the elements in their order; axes of size 1 do not count."""
    counted = [axis for axis in axes if shape[axis] != 1]
    return counted == sorted(counted)


def match_axes(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]] | None:
    """How a Reshape merges and splits: the smallest runs of axes before and after that hold the same elements.

    Axes of size 1 belong to no run. None where it cannot be told, or the tensor is empty.

    >>> match_axes((2, 3, 4), (6, 2, 2))
    [([0, 1], [0]), ([2], [1, 2])]
    """
    old, new = _nontrivial(before), _nontrivial(after)
    if any(dim == 0 for dim in (*before, *after)):
        return None
    groups = []
    while old and new:
        left, right = [old.pop(0)], [new.pop(0)]
        size_left, size_right = before[left[0]], after[right[0]]
        while size_left != size_right:
            grow_right = _is_multiple(size_left, size_right)
            if not (new if grow_right else old) or not (grow_right or _is_multiple(size_right, size_left)):
                return None
            if grow_right:
                right.append(new.pop(0))
                size_right = size_right * after[right[-1]]
            else:
                left.append(old.pop(0))
                size_left = size_left * before[left[-1]]
        groups.append((left, right))
    return None if old or new else groups


def _nontrivial(shape: Shape) -> list[int]:
    return [axis for axis, dim in enumerate(shape) if dim != 1]


def _is_multiple(large: Dim, small: Dim) -> bool:
    """Whether to go on growing `small`: it is a factor of `large`, or less than it where both are known."""
    if isinstance(large, int) and isinstance(small, int):
        return small < large
    return divide_exactly(large, small) is not None


def _read_groups(
    permutation: tuple[int, ...], groups: list[tuple[list[int], list[int]]], shape: Shape
) -> list[int] | None:
    """The axes in front of the Reshape in the order in which the Transpose behind it reads them.

    None if it takes a run apart.
    """
    group_of = {right[0]: (left, right) for left, right in groups}
    remaining = [axis for axis in permutation if shape[axis] != 1]
    order: list[int] = []
    while remaining:
        left, right = group_of.get(remaining[0], ([], []))
        if not right or remaining[: len(right)] != right:
            return None
        order += left
        remaining = remaining[len(right) :]
    return order
