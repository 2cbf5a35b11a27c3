"""Chains of Transpose."""

from __future__ import annotations

from typing import TypeAlias

from kir.ir.dims import Dim, divide_exactly
from kir.ir.graph import Graph, Node, Value
from kir.ir.types import Shape
from kir.ops.shape import Gather, Reshape, Transpose
from kir.passes.rewrite import add_for, exact_pass, given, op_of, rewrite, rule

# Runs of axes before and after a Reshape that hold the same elements.
AxisGroups: TypeAlias = list[tuple[list[int], list[int]]]


@exact_pass
def fold_transposes(graph: Graph) -> int:
    """Transpose(Transpose(x)) → Transpose(x)

    1. Transpose that leaves every axis in its place: x.
    2. Transpose(Transpose(x)): one Transpose(x), or x where they cancel.
    3. Transpose(Reshape(Transpose(x))) where the Transposes cancel across merged or split axes: Reshape(x).
    4. Transpose(Reshape(Transpose(x))) where they do not, but no merged or split axes are taken apart:
       Reshape(Transpose(x)), if nothing else reads what is between.
    5. Gather(Transpose(x)) of one index that removes the only moved axis: Gather(x).

    Exact: nothing is computed; in 3 the elements keep their order in memory.
    """
    return rewrite(graph, (drop_transpose, join_transposes, join_around_reshape, gather_before))


def permutation_of(node: Node) -> tuple[int, ...]:
    """Return the permutation of a Transpose node."""
    return op_of(node, Transpose).permutation


def compose(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    """Return the permutation of the one Transpose that does `first`, then `second`."""
    return tuple(first[axis] for axis in second)


@rule(Transpose)
def drop_transpose(graph: Graph, node: Node) -> Value | None:
    return node.inputs[0] if list(permutation_of(node)) == sorted(permutation_of(node)) else None


@rule(Transpose, above=[Transpose])
def join_transposes(graph: Graph, node: Node, inner: Node) -> Value:
    joined = Transpose(compose(permutation_of(inner), permutation_of(node)))
    return add_for(graph, node, joined, inner.inputs[0])


@rule(Transpose, above=[Reshape, Transpose])
def join_around_reshape(graph: Graph, node: Node, middle: Node, first: Node) -> Value | None:
    x = given(first.inputs[0])
    groups = match_axes(first.output.type.shape, middle.output.type.shape)
    order = read_groups(permutation_of(node), groups, middle.output.type.shape) if groups else None
    if order is None:
        return None
    axes = [permutation_of(first)[axis] for axis in order]
    if not is_in_order(axes, x.type.shape):
        if not graph.is_read_once(middle) or not graph.is_read_once(first):
            return None
        # Axes of size 1 are not in `axes`, and may stand anywhere.
        others = [axis for axis in range(x.type.rank) if axis not in axes]
        x = add_for(graph, node, Transpose((*others, *axes)), x)
    return add_for(graph, node, Reshape(node.output.type.shape), x)


@rule(Gather, above=[Transpose])
def gather_before(graph: Graph, node: Node, turned: Node) -> Value | None:
    index = given(node.inputs[1])
    if index.type.rank != 0:
        return None
    permutation = list(permutation_of(turned))
    axis = permutation.pop(op_of(node, Gather).axis)
    return add_for(graph, node, Gather(axis), turned.inputs[0], index) if permutation == sorted(permutation) else None


def is_in_order(axes: tuple[int, ...] | list[int], shape: Shape) -> bool:
    """Return whether these axes, but for those of size 1, are in order, so that the elements stay where they are."""
    counted = [axis for axis in axes if shape[axis] != 1]
    return counted == sorted(counted)


def match_axes(before: Shape, after: Shape) -> AxisGroups | None:
    """Return how a Reshape merges and splits: the smallest runs of axes before and after that hold the same elements.

    Axes of size 1 belong to no run. None if unknown sizes leave it open, or the tensor is empty.

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
    """Return whether `small` may grow to `large`: it is less where both are known, else a factor."""
    if isinstance(large, int) and isinstance(small, int):
        return small < large
    return divide_exactly(large, small) is not None


def swap_sides(groups: AxisGroups) -> AxisGroups:
    """Return the groups of the Reshape that goes back."""
    return [(right, left) for left, right in groups]


def read_groups(permutation: tuple[int, ...], groups: AxisGroups, shape: Shape) -> list[int] | None:
    """Return the axes before a Reshape in the order in which a Transpose after it reads them.

    None if the Transpose takes a run apart; `shape` is what it transposes. Axes of size 1 are left out.

    >>> read_groups((1, 2, 0), [([0], [0, 1]), ([1], [2])], (2, 3, 4))  # takes 0 and 1 apart
    >>> read_groups((2, 0, 1), [([0], [0, 1]), ([1], [2])], (2, 3, 4))
    [1, 0]
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
