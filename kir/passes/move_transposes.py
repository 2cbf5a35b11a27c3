"""Transposes that cancel, however far apart they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from kir.ir.graph import Graph, Node, Use, Value
from kir.ir.op import Array
from kir.ir.structural import Constant
from kir.ir.types import Shape
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.linear import Dense
from kir.ops.pooling import AveragePool, MaxPool
from kir.ops.shape import Reshape, Transpose
from kir.passes.fold_constants import MAX_GROWN_BYTES
from kir.passes.fold_transposes import drop_transpose, join_transposes, match_axes, permutation_of
from kir.passes.layouts import Moved, Permutation, Port, can_move, invert, move
from kir.passes.minimum_cut import FAR, NEAR, divide
from kir.passes.rewrite import (
    add_constant,
    add_for,
    constant_array,
    exact_pass,
    given,
    order_without_dead_nodes,
    remove_dead_nodes,
    rewrite,
    rounding_pass,
    rule,
)


@exact_pass
def move_transposes(graph: Graph) -> int:
    """Transpose(f(Transpose(x))) → f(x)

    f is any part of the graph whose operators can also compute on values with permuted axes: see `kir.passes.layouts`.
    It may fork and join, and other operators may stand anywhere between.

    1. A region is everything that can be reached from a Transpose through such operators. Each of its values is in one
       of two layouts, that before the Transpose or that after it, and its Transposes lead from one to the other.
    2. Each operator of the region computes in one of the layouts. A value costs a Transpose if it is read in a layout
       other than its own, one for all readers. Operators outside of the region want the layout that they have, but for
       other Transposes, which can start from either layout.
    3. The division of the region with the fewest Transposes is a minimum cut. If it has more Transposes than there are,
       the region stays as it is.
    4. Constants are transposed at export, unless they are large and something else reads them too.
    5. If as many Transposes are left, operators still move to the side that more operators outside of the region want:
       padding, for example, across a Transpose to the convolution.

    This ends, since every change removes a Transpose or brings operators to where they stay. No file gets more nodes.
    Every node belongs to one region, and is visited once for each of its operands.
    Exact: operators of the region compute every element on its own.
    """
    return _move_all(graph, exactly=True)


@rounding_pass(tolerance=1024)
def move_transposes_freely(graph: Graph) -> int:
    """ReduceMean(Transpose(x)) → ReduceMean(x)

    As `move_transposes`, also through operators that sum: reductions, Softmax, the rows of a Dense.

    1. The same, through these operators too.
    2. Dense(Reshape(Transpose(x))), where the Reshape makes features of the transposed axes: the rows of the kernel are
       transposed instead, at export. A region does not count such a Transpose.
    3. A Dense of more than two axes becomes a convolution of 1 by 1, if its region borders on convolutions or pooling,
       or is left without a Transpose. A convolution has its own bias, and so is one node less in ONNX: it counts as
       half a Transpose. Elsewhere, as in attention, the Dense stays, which people and quantizers look for.

    Rounding: sums of up to some thousand terms are formed in another order.
    """
    return _move_all(graph, exactly=False) + rewrite(graph, (permute_rows,))


def _move_all(graph: Graph, exactly: bool) -> int:
    if not graph.has_any(Transpose):
        return 0
    order = order_without_dead_nodes(graph)
    seeds = [node for node in order if isinstance(node.op, Transpose)]
    places = dict(zip(order, count()))
    taken: set[Node | Value] = set()
    saved = 0
    for seed in seeds:
        if seed in graph and not taken & {seed.output, given(seed.inputs[0])}:
            region = Region(graph, exactly, taken)
            region.grow(seed)
            saved += Division(region, places).apply()
    # At the border of a region, one Transpose may have become two.
    return saved + (rewrite(graph, (drop_transpose, join_transposes)) if saved else 0)


# 1. Regions


@dataclass(frozen=True, slots=True)
class Layout:
    """A value in a region.

    Attributes:
        side: NEAR or FAR: in which of the region's two layouts the graph has the value.
        other: the permutation that brings it into the other one.
    """

    side: int
    other: Permutation

    def transposed(self, permutation: Permutation) -> Layout | None:
        """Return the layout of a Transpose of this value; None if it is neither of the region's."""
        return Layout(1 - self.side, invert(permutation)) if permutation == self.other else None


@dataclass(frozen=True, slots=True)
class Member:
    """A node of a region: its layout in the graph, and the operator for the other one."""

    side: int
    moved: Moved


@dataclass(slots=True)
class Region:
    """Operators that can compute in either of two layouts, with the values and Transposes between them.

    `taken` holds the nodes and values of all regions so far: each belongs to one region.
    """

    graph: Graph
    exactly: bool
    taken: set[Node | Value]
    layouts: dict[Value, Layout] = field(default_factory=dict)
    members: dict[Node, Member] = field(default_factory=dict)
    pending: list[Value] = field(default_factory=list)

    def grow(self, seed: Node) -> None:
        """Add everything that can be reached from a Transpose. O(operands of the nodes that are visited)."""
        x, permutation = given(seed.inputs[0]), permutation_of(seed)
        self._assign(x, Layout(NEAR, permutation))
        while self.pending:
            value = self.pending.pop()
            self._visit(value.node, Port(True, value.index), self.layouts[value])
            for use in self.graph.uses(value):
                self._visit(use.node, Port(False, use.slot), self.layouts[value])

    def _assign(self, value: Value, layout: Layout) -> None:
        self.layouts[value] = layout
        self.taken.add(value)
        self.pending.append(value)

    def _visit(self, node: Node, port: Port, layout: Layout) -> None:
        if isinstance(node.op, Transpose):
            self._cross(node, port, layout)
        elif node not in self.taken:
            moved = move(node, port, layout.other, self.exactly)
            operands = None if moved is None else self._find_operands(node, moved)
            if moved is None or operands is None or not all(self._agrees(v, layout.side, p) for v, p in operands):
                return
            self.taken.add(node)
            self.members[node] = Member(layout.side, moved)
            for value, other in operands:
                if value not in self.layouts:
                    self._assign(value, Layout(layout.side, other))

    def _find_operands(self, node: Node, moved: Moved) -> list[tuple[Value, Permutation]] | None:
        """Return the values that a node reads or computes in another layout, each with its permutation.

        Constants that move along are left out. None if a constant would have to move and cannot.
        """
        pairs = [*zip(node.inputs, moved.inputs, strict=True), *zip(node.outputs, moved.outputs, strict=True)]
        found = []
        if not all(is_adaptable(self.graph, given(node.inputs[slot])) for slot in moved.shapes):
            return None
        for value, other in pairs:
            if value is None or other is None or is_adaptable(self.graph, value):
                continue
            if value.type.rank != len(other):
                return None
            found.append((value, other))
        return found

    def _cross(self, node: Node, port: Port, layout: Layout) -> None:
        """Go on to the other end of a Transpose, if it leads from one of the region's layouts to the other."""
        permutation, end = permutation_of(node), node.output
        if port.is_output:
            permutation, end = invert(permutation), given(node.inputs[0])
        transposed = layout.transposed(permutation)
        if transposed is not None and end not in self.taken:
            self._assign(end, transposed)

    def _agrees(self, value: Value, side: int, other: Permutation) -> bool:
        """Return whether a value is in no region yet, or has this layout in this region."""
        return value not in self.taken or self.layouts.get(value) == Layout(side, other)

    def is_inner(self, node: Node) -> bool:
        """Return whether a node is a Transpose from one layout of the region to the other."""
        if not isinstance(node.op, Transpose) or node.output not in self.layouts:
            return False
        layout = self.layouts.get(given(node.inputs[0]))
        return layout is not None and layout.transposed(node.op.permutation) == self.layouts[node.output]

    def get_source(self, value: Value) -> Value:
        """Return the value at the start of a chain of Transposes inside the region. O(1): chains are folded before."""
        while self.is_inner(value.node):
            value = given(value.node.inputs[0])
        return value


def is_adaptable(graph: Graph, value: Value) -> bool:
    """Return whether a value is a constant that may move to another layout: one with one use, or a small one."""
    array = constant_array(value)
    return array is not None and (graph.is_read_once(value.node) or array.nbytes <= MAX_GROWN_BYTES)


# 2. and 3. The division of a region

# Operators that want the channels before the spatial axes.
WINDOWED = (Conv, ConvTranspose, MaxPool, AveragePool)


class Division:
    """The choice of a layout for each operator of a region, for as few Transposes as possible."""

    def __init__(self, region: Region, places: dict[Node, int]) -> None:
        self.region = region
        self.graph = region.graph
        self.members = sorted(region.members, key=places.__getitem__)
        self.sides: dict[Node, int] = {}
        self.wanted: int | None = None
        # The Dense nodes that are convolutions in the other layout.
        self.dense = [
            node
            for node, member in region.members.items()
            if isinstance(node.op, Dense) and isinstance(member.moved.op, Conv)
        ]
        self.fixed: set[Node] = set()
        # The new values: of each source in each layout, and of outputs that have only one layout.
        self.built: dict[tuple[Value, int], Value] = {}
        self.renewed: dict[Value, Value] = {}

    def apply(self) -> int:
        """Divide the region and rebuild it, if that is better; return how many Transposes and additions it saves.

        If it is as good, the region is rebuilt if operators move towards those that cannot.
        """
        inner = [value.node for value in self.region.layouts if self.region.is_inner(value.node)]
        sides = {node: member.side for node, member in self.region.members.items()}
        transposes = self._divide()
        if transposes and self.dense and not self._borders_on_windows():
            self.fixed.update(self.dense)
            transposes = self._divide()
        before = len(inner), self._count_additions(sides), self._count_away(sides)
        after = transposes, self._count_additions(self.sides), self._count_away(self.sides)
        if _weigh(after) >= _weigh(before):
            return 0
        self._build()
        remove_dead_nodes(self.graph, [*inner, *self.members])
        return max(1, len(inner) - transposes + before[1] - after[1])

    def _divide(self) -> int:
        """Choose the sides; return the number of Transposes that they take."""
        groups, wishes = self._group()
        # Of divisions with equal costs, take the one with the fewest members on the side that is wanted less.
        is_turned = wishes[FAR] < wishes[NEAR]
        self.wanted = (NEAR if is_turned else FAR) if wishes[NEAR] != wishes[FAR] else None
        numbers = {node: 2 + index for index, node in enumerate(self.members)}
        sides = {NEAR: FAR, FAR: NEAR} if is_turned else {NEAR: NEAR, FAR: FAR}
        pins = [[sides[pin] if isinstance(pin, int) else numbers[pin] for pin in group] for group in groups]
        preferences = [[numbers[node], sides[side]] for node, side in self.convolutions.items()]
        chosen = divide(2 + len(numbers), [*pins, *pins, *preferences] if preferences else pins)
        self.sides = {node: sides[chosen[number]] for node, number in numbers.items()}
        self.sides |= {node: self.region.members[node].side for node in self.fixed}
        return sum(len({chosen[pin] for pin in group}) > 1 for group in pins)

    def _borders_on_windows(self) -> bool:
        """Return whether an operator outside, with windows over images, computes or reads a value of the region."""
        return any(
            isinstance(node.op, WINDOWED) and node not in self.region.members
            for value in self.region.layouts
            for node in (value.node, *self.graph.consumers(value.node))
        )

    @property
    def convolutions(self) -> dict[Node, int]:
        """The Dense nodes with a bias that may become convolutions, each with the side on which it does."""
        free = [node for node in self.dense if node not in self.fixed]
        with_bias = [node for node in free if len(node.inputs) > 2 and node.inputs[2] is not None]
        return {node: 1 - self.region.members[node].side for node in with_bias}

    def _count_additions(self, sides: Mapping[Node, int]) -> int:
        """Return how many biases are operators in ONNX, where a Dense of more than two axes is a product and a sum."""
        return sum(sides[node] != side for node, side in self.convolutions.items())

    def _count_away(self, sides: Mapping[Node, int]) -> int:
        """Return how many members are not on the side that more operators outside want."""
        return 0 if self.wanted is None else sum(side != self.wanted for side in sides.values())

    def _group(self) -> tuple[list[list[Node | int]], list[int]]:
        """Return who computes and reads each source, and how many operators outside want each side.

        Members stand for themselves, operators outside for the side that they want. The counts leave out inputs,
        outputs, and operators that can move in other regions.
        """
        groups: dict[Value, list[Node | int]] = {}
        wishes = [0, 0]
        for value, layout in self.region.layouts.items():
            source = self.region.get_source(value)
            group = groups.setdefault(source, [])
            if self._gives(value):
                group.append(self._pin(value.node))
            elif not isinstance(value.node.op, Transpose):
                group.append(layout.side)
                wishes[layout.side] += not can_move(value.node.op)
            for use in self.graph.uses(value):
                if self._reads(use):
                    group.append(self._pin(use.node))
                # Any other Transpose is needed in any case, and its permutation can be one from the other layout.
                elif not isinstance(use.node.op, Transpose) and not self._is_indifferent(use, layout):
                    group.append(layout.side)
                    wishes[layout.side] += not can_move(use.node.op)
        return list(groups.values()), wishes

    def _pin(self, member: Node) -> Node | int:
        """Return the member, or its side if it is fixed there."""
        return self.region.members[member].side if member in self.fixed else member

    def _gives(self, value: Value) -> bool:
        """Return whether a member computes the value, in the layout of its side."""
        member = self.region.members.get(value.node)
        return member is not None and member.moved.outputs[value.index] is not None

    def _reads(self, use: Use) -> bool:
        """Return whether a member reads a value there, in the layout of its side."""
        member = self.region.members.get(use.node)
        return member is not None and member.moved.inputs[use.slot] is not None

    def _is_indifferent(self, use: Use, layout: Layout) -> bool:
        """Return whether a Dense reads the value as features, so that its kernel can adapt; see `permute_rows`."""
        if self.region.exactly or not isinstance(use.node.op, Reshape) or not self.graph.is_read_once(use.node):
            return False
        (reader,) = self.graph.consumers(use.node)
        has_kernel = isinstance(reader.op, Dense) and _find_kernel(self.graph, reader) is not None
        return has_kernel and find_features(use.node, invert(layout.other)) is not None

    # Building

    def _build(self) -> None:
        for node in self.members:
            self._build_member(node)
        for value, layout in self.region.layouts.items():
            source = self.region.get_source(value)
            for use in self.graph.uses(value):
                if use.node not in self.region.members and not self.region.is_inner(use.node):
                    self.graph.set_input(use.node, use.slot, self._get(source, layout.side, use.node))
        for old, new in self.renewed.items():
            for use in self.graph.uses(old):
                if use.node not in self.region.members:
                    self.graph.set_input(use.node, use.slot, new)

    def _build_member(self, node: Node) -> None:
        member, side = self.region.members[node], self.sides[node]
        is_moved = side != member.side
        inputs = [
            None if value is None else self._get_input(node, slot, value, side, is_moved)
            for slot, value in enumerate(node.inputs)
        ]
        new = self.graph.add(member.moved.op if is_moved else node.op, *inputs, origin=node.origin)
        self.region.taken.update((new, *new.outputs))
        for value, other, output in zip(node.outputs, member.moved.outputs, new.outputs, strict=True):
            if other is None:
                self.renewed[value] = output
            else:
                self.built[value, side] = output

    def _get_input(self, node: Node, slot: int, value: Value, side: int, is_moved: bool) -> Value:
        other = self.region.members[node].moved.inputs[slot]
        if other is not None and value in self.region.layouts:
            return self._get(self.region.get_source(value), side, node)
        if other is not None and is_moved:
            return self._move_constant(value, other, self.region.members[node].moved.shapes.get(slot))
        return self.renewed.get(value, value)

    def _get(self, source: Value, side: int, reader: Node) -> Value:
        """Return a source in the layout of a side; the first reader in the other layout gets a new Transpose."""
        layout = self.region.layouts[source]
        if not self._gives(source):
            self.built.setdefault((source, layout.side), self.renewed.get(source, source))
        if (source, side) not in self.built:
            permutation = invert(layout.other) if side == layout.side else layout.other
            given_value = self.built[source, 1 - side]
            self.built[source, side] = add_for(self.graph, reader, Transpose(permutation), given_value)
            self.region.taken.update((self.built[source, side], self.built[source, side].node))
        return self.built[source, side]

    def _move_constant(self, value: Value, other: Permutation, shape: Shape | None) -> Value:
        array = constant_array(value)
        assert array is not None, "only constants move without being in a layout"
        aligned = array.reshape((1,) * (len(other) - array.ndim) + array.shape)
        moved = aligned.transpose(other)
        return add_constant(self.graph, value.node, moved if shape is None else moved.reshape(shape))  # type: ignore[arg-type]


def _weigh(counts: tuple[int, int, int]) -> tuple[int, int]:
    """Return the cost of Transposes and additions, then the number of members on the side that is wanted less."""
    # A Transpose moves memory; an addition after a product moves hardly any.
    transposes, additions, away = counts
    return 2 * transposes + additions, away


# Rows of a kernel


@rule(Dense, above=[Reshape, Transpose], once=True)
def permute_rows(graph: Graph, node: Node, reshape: Node, turn: Node) -> Value | None:
    """Rewrite Dense(Reshape(Transpose(x))) → Dense(Reshape(x)), with the rows of the kernel in another order."""
    kernel, axes = _find_kernel(graph, node), find_features(reshape, permutation_of(turn))
    if kernel is None or axes is None:
        return None
    sizes = [int(size) for size in (turn.output.type.shape[axis] for axis in axes)]  # type: ignore[arg-type]
    sources = [permutation_of(turn)[axis] for axis in axes]
    rows = kernel.reshape(*sizes, -1).transpose(*np.argsort(sources), len(sizes)).reshape(kernel.shape)
    old = given(node.inputs[1]).node
    label = old.op.label if isinstance(old.op, Constant) else None
    x = add_for(graph, reshape, reshape.op, turn.inputs[0])
    return add_for(graph, node, node.op, x, add_constant(graph, old, rows, label), *node.inputs[2:])


def find_features(reshape: Node, permutation: Permutation) -> list[int] | None:
    """Return the axes that a Reshape merges into its last axis, if a permutation moves no others; else None.

    The permutation is that of the Transpose before the Reshape; axes of size 1 do not count.
    """
    before, after = given(reshape.inputs[0]).type.shape, reshape.output.type.shape
    groups = match_axes(before, after)
    if not groups or groups[-1][1] != [len(after) - 1]:
        return None
    axes = groups[-1][0]
    if not all(isinstance(before[axis], int) for axis in axes):
        return None
    others = [permutation[axis] for left, _ in groups[:-1] for axis in left]
    moved = [permutation[axis] for axis in axes]
    return axes if [*others, *sorted(moved)] == sorted([*others, *moved]) else None


def _find_kernel(graph: Graph, node: Node) -> Array | None:
    """Return the kernel of a Dense if it is constant and nothing else reads it."""
    kernel = given(node.inputs[1])
    return constant_array(kernel) if graph.is_read_once(kernel.node) else None
