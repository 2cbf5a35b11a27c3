from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kir.ir.dims import symbol
from kir.ir.graph import Graph, Value
from kir.ir.op import Op
from kir.ir.structural import Input, Output
from kir.ops.convolution import Conv
from kir.ops.elementwise import Add, Clip, HardSwish, Mul, Neg, PRelu, Relu, Sigmoid, Sin, Where
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.normalization import BatchNormalization, LayerNormalization
from kir.ops.random import Dropout
from kir.ops.reduce import ArgMax, ReduceMax, ReduceMean
from kir.ops.resize import Resize
from kir.ops.shape import Concat, CumSum, Expand, Gather, Pad, Reshape, Slice, Split, Tile, Transpose
from kir.passes import PASSES, run
from kir.passes.minimum_cut import FAR, NEAR, divide
from kir.passes.move_transposes import Region, move_transposes, move_transposes_freely
from tests.passes.building import (
    Build,
    Builder,
    f32,
    known_size,
    left,
    make_feeds,
    op_names,
    optimize,
    present,
    weights,
)

IMAGE = "f32[batch, 2, 3, 4]"
FIRST, LAST = Transpose((0, 3, 1, 2)), Transpose((0, 2, 3, 1))
SWAP = Transpose((1, 0, 2, 3))


def between(*functions: Builder, first: Op = FIRST, last: Op = LAST) -> Builder:
    def build(b: Build, x: Value) -> Any:
        value = b(first, x)
        for function in functions:
            value = function(b, value)
        return b(last, value)

    return build


def read_twice(b: Build, x: Value) -> Any:
    moved = b(FIRST, x)
    return b(LAST, b(Sin(), moved)), b(Relu(), moved)


CASES = {
    "1 cancel": (between(lambda b, v: b(Relu(), b(Sin(), v))), ["Sin", "Relu"]),
    "1 join": (between(lambda b, v: b(Sin(), v), last=FIRST), ["Sin", "Transpose"]),
    "1 read twice": (read_twice, ["Sin", "Transpose", "Relu"]),
    "1 not without a partner": (lambda b, x: b(Sin(), b(FIRST, x)), ["Transpose", "Sin"]),
    "2 scalar": (between(lambda b, v: b(Mul(), v, f32(2))), ["Mul"]),
    "2 axes in place": (
        between(lambda b, v: b(Mul(), v, weights(3, 4)), first=SWAP, last=SWAP),
        ["Mul"],
    ),
    "3 bias": (between(lambda b, v: b(Add(), v, weights(4, 1, 1))), ["Add"]),
    "3 all axes": (between(lambda b, v: b(Add(), weights(4, 2, 3), v)), ["Add"]),
    "1 far away": (between(*[lambda b, v: b(Sin(), v)] * 40), ["Sin"] * 40),
    "3 where": (between(lambda b, v: b(Where(), weights(4, 1, 3) > 0, weights(3), v)), ["Where"]),
}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    build, expected = CASES[case]
    assert left(move_transposes, build, IMAGE) == expected


def test_2_an_operand_that_is_fed() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(LAST, b(Add(), b(FIRST, x), y))

    assert left(move_transposes, build, IMAGE, "f32[]") == ["Add"]
    assert left(move_transposes, build, IMAGE, "f32[4, 1, 1]") == ["Transpose", "Add", "Transpose"]


def test_2_not_of_a_vector_that_is_expanded_along_another_axis() -> None:
    """It would have to have an axis of size 1 behind its own."""

    def build(b: Build, x: Value) -> Any:
        return b(Transpose((1, 0)), b(Expand((2, symbol("batch"))), x))

    assert left(move_transposes, build, "f32[batch]") == ["Expand", "Transpose"]


def test_what_nothing_reads_takes_no_part() -> None:
    b = Build(IMAGE)
    turned = b(FIRST, b.inputs[0])
    b(Neg(), turned)
    graph = b.finish(b(LAST, b(Sin(), turned)))
    assert run(graph, (move_transposes,), check=True)
    assert op_names(graph) == ["Sin"]


@pytest.mark.parametrize(("size", "moved"), [(40, True), (400, False)])
def test_3_a_large_constant_is_not_stored_twice(size: int, moved: bool) -> None:
    def build(b: Build, x: Value) -> Any:
        table = b.constant(np.ones((size, size), np.float32))
        swap = Transpose((0, 2, 1))
        return b(swap, b(Add(), b(swap, x), table)), b(Sin(), table)

    names = left(move_transposes, build, f"f32[batch, {size}, {size}]", special=False)
    assert names == (["Add", "Sin"] if moved else ["Transpose", "Add", "Transpose", "Sin"])


def test_4_two() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(Add(), b(FIRST, x), b(FIRST, y))

    assert left(move_transposes, build, IMAGE, IMAGE) == ["Add", "Transpose"]


def test_4_not_of_other_permutations() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(Add(), b(Transpose((0, 2, 1)), x), b(Transpose((0, 1, 2)), y))

    assert len(left(move_transposes, build, "f32[batch, 4, 4]", "f32[batch, 4, 4]")) == 3


# What operators become between Transposes to the channels in front and back, on (batch, 2, 3, 4)

CHANNELS_FIRST: dict[str, tuple[Op, Op]] = {
    "concat": (Concat(1), Concat(3)),
    "slice": (Slice((1, 3), (0, 2), (3, 0), (2, -1)), Slice((3, 2), (0, 2), (3, 0), (2, -1))),
    "pad": (Pad((0, 1, 2, 3), (4, 5, 6, 7)), Pad((0, 2, 3, 1), (4, 6, 7, 5))),
    "tile": (Tile((1, 2, 1, 3)), Tile((1, 1, 3, 2))),
    "cumulative sum": (CumSum(1), CumSum(3)),
    "extreme": (ReduceMax((1,), True), ReduceMax((3,), True)),
    "place of an extreme": (ArgMax(2, True), ArgMax(1, True)),
}


@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_axes_follow(name: str) -> None:
    inside, outside = CHANNELS_FIRST[name]
    graph = optimize(move_transposes, lambda b, x: b(LAST, b(inside, b(FIRST, x))), IMAGE, special=False)
    assert [node.op for node in graph.order()][1:-1] == [outside]


FREELY: dict[str, tuple[Op, Op]] = {
    "mean": (ReduceMean((2, 3), True), ReduceMean((1, 2), True)),
    "softmax": (Softmax(1), Softmax(3)),
    "dropout": (Dropout(0.5, (symbol("batch"), 4, 1, 1), 3), Dropout(0.5, (symbol("batch"), 1, 1, 4), 3)),
}


@pytest.mark.parametrize("name", FREELY)
def test_sums_are_formed_in_another_order(name: str) -> None:
    inside, outside = FREELY[name]
    build = lambda b, x: b(LAST, b(inside, b(FIRST, x)))  # noqa: E731
    assert left(move_transposes, build, IMAGE, special=False) == ["Transpose", inside.name, "Transpose"]
    graph = optimize(move_transposes_freely, build, IMAGE, special=False)
    assert [node.op for node in graph.order()][1:-1] == [outside]


BATCH = symbol("batch")
RESIZED = {
    "linear": (Resize((BATCH, 4, 6, 7), "linear"), ["Resize"]),
    "cubic": (Resize((BATCH, 4, 6, 7), "cubic"), ["Resize"]),
    "the nearest": (Resize((BATCH, 4, 6, 9), "nearest"), ["Resize"]),
    "other axes": (Resize((BATCH, 4, 6, 9), "linear"), ["Transpose", "Resize", "Transpose"]),
}


@pytest.mark.parametrize("case", RESIZED)
def test_images_are_resized_with_the_channels_in_front(case: str) -> None:
    op, expected = RESIZED[case]
    build = lambda b, x: b(FIRST, b(op, b(LAST, x)))  # noqa: E731
    assert left(move_transposes_freely, build, "f32[batch, 7, 2, 3]", special=False) == expected


def test_images_are_not_resized_with_the_channels_behind() -> None:
    build = lambda b, x: b(LAST, b(Resize((BATCH, 4, 6, 7), "cubic"), b(FIRST, x)))  # noqa: E731
    names = left(move_transposes_freely, build, "f32[batch, 3, 7, 4]", special=False)
    assert names == ["Transpose", "Resize", "Transpose"]


def test_rows_of_a_dense_and_of_a_layer_normalization() -> None:
    swap = Transpose((0, 2, 1, 3))

    def build(b: Build, x: Value) -> Any:
        value = b(LayerNormalization(3, 0.1), b(Dense(), b(swap, x), weights(4, 5)), weights(5))
        return b(swap, value)

    assert left(move_transposes_freely, build, IMAGE, special=False) == ["Dense", "LayerNormalization"]


def test_rows_of_unknown_number() -> None:
    swap = Transpose((1, 0, 2))

    def build(b: Build, x: Value) -> Any:
        return b(swap, b(Relu(), b(Dense(), b(swap, x), weights(4, 5), weights(5))))

    assert left(move_transposes_freely, build, "f32[batch, time, 4]", special=False) == ["Dense", "Relu"]


def test_weights_follow_axes_that_are_normalized_in_another_order() -> None:
    swap = Transpose((0, 1, 3, 2))

    def build(b: Build, x: Value) -> Any:
        value = b(LayerNormalization(2, 0.1), b(swap, x), weights(6, 5), weights(6, 5, seed=2))
        return b(swap, value)

    assert left(move_transposes_freely, build, "f32[batch, 4, 5, 6]", special=False) == ["LayerNormalization"]


def test_a_split_and_what_is_joined_again() -> None:
    def build(b: Build, x: Value) -> Any:
        first, second = b(Split(1, (1, 3)), b(FIRST, x))
        return b(LAST, b(Concat(1), second, b(Relu(), first)))

    assert left(move_transposes, build, IMAGE) == ["Split", "Relu", "Concat"]


def test_indices_stay() -> None:
    def build(b: Build, x: Value) -> Any:
        return b(LAST, b(Gather(1), b(FIRST, x), np.array([3, 0])))

    assert left(move_transposes, build, IMAGE) == ["Gather"]


def test_axes_that_vanish() -> None:
    def build(b: Build, x: Value) -> Any:
        # (batch, 4, 3) from (batch, 4, 2, 3): the channels are first still.
        return b(Transpose((0, 2, 1)), b(ReduceMax((2,), False), b(FIRST, x)))

    graph = optimize(move_transposes, build, IMAGE)
    assert [node.op for node in graph.order()][1:-1] == [ReduceMax((1,), False)]


def test_reshapes_that_take_nothing_apart() -> None:
    batch = symbol("batch")

    def build(b: Build, x: Value) -> Any:
        flat = b(Sin(), b(Reshape((batch, 4, 6)), b(FIRST, x)))
        return b(Transpose((0, 2, 1)), flat), b(LAST, b(Reshape((batch, 4, 2, 3)), flat))

    assert left(move_transposes, build, IMAGE) == ["Reshape", "Sin", "Reshape"]
    apart = lambda b, x: b(LAST, b(Relu(), b(Reshape((batch, 2, 3, 4)), b(FIRST, x))))  # noqa: E731
    assert left(move_transposes, apart, IMAGE) == ["Transpose", "Reshape", "Relu", "Transpose"]


def test_operands_that_broadcast() -> None:
    def build(b: Build, x: Value, y: Value) -> Any:
        return b(LAST, b(Add(), b(PRelu(), b(FIRST, x), weights(4, 1, 1)), b(Expand((symbol("batch"), 4, 2, 3)), y)))

    assert left(move_transposes, build, IMAGE, "f32[]") == ["PRelu", "Expand", "Add"]


# Networks, as layers of Keras with the channels behind make them


def conv(b: Build, x: Value, units: int = 4, **options: int) -> Any:
    """Return a convolution of 1 by 1 with the channels last."""
    channels = known_size(x, -1)
    op = Conv((1, 1), (1, 1), 1, (0, 0, 0, 0))
    return b(LAST, b(op, b(FIRST, x), weights(units, channels, 1, 1, **options), weights(units, **options)))


def normalized(b: Build, x: Value) -> Any:
    size = known_size(x, -1)
    vectors = [weights(size, seed=seed) for seed in range(3)]
    return b(LAST, b(BatchNormalization(0.1), b(FIRST, x), *vectors, np.abs(weights(size, seed=4))))


def sequential(b: Build, x: Value) -> Any:
    return conv(b, b(Relu(), normalized(b, conv(b, x))))


def residual(b: Build, x: Value) -> Any:
    for _ in range(3):
        x = b(Relu(), b(Add(), x, conv(b, b(Relu(), conv(b, x)))))
    return x


def dense_block(b: Build, x: Value) -> Any:
    for _ in range(3):
        x = b(Concat(3), x, conv(b, b(Relu(), normalized(b, x))))
    return x


def gated(b: Build, x: Value) -> Any:
    """Squeeze and excite by convolutions, with x * sigmoid(x) between."""
    x = conv(b, x)
    x = b(Mul(), x, b(Sigmoid(), x))
    squeezed = b(ReduceMean((1, 2), True), x)
    gate = b(Sigmoid(), conv(b, b(Relu(), conv(b, squeezed, 2))))
    return conv(b, b(Mul(), x, gate))


def gated_by_dense(b: Build, x: Value) -> Any:
    """Squeeze and excite by Dense layers, and a Reshape to (1, 1, channels)."""
    x = b(HardSwish(), conv(b, x))
    squeezed = b(Dense(Sigmoid()), b(ReduceMean((1, 2), False), x), weights(4, 4))
    return conv(b, b(Mul(), x, b(Reshape((symbol("batch"), 1, 1, 4)), squeezed)))


def padded_and_cropped(b: Build, x: Value) -> Any:
    x = b(Pad((0, 1, 1, 0), (0, 1, 1, 0)), conv(b, x))
    x = conv(b, b(Slice((1, 2), (1, 0), (4, 4), (1, 1)), x))
    return b(Clip(), conv(b, b(Tile((1, 2, 2, 1)), x)), f32(0), f32(6))


def classified(b: Build, x: Value) -> Any:
    return b(Dense(), b(ReduceMean((1, 2), False), b(Relu(), conv(b, x))), weights(4, 3))


def flattened(b: Build, x: Value) -> Any:
    x = b(Reshape((symbol("batch"), 24)), b(Relu(), conv(b, x)))
    return b(Dense(), x, weights(24, 3), weights(3))


def segmented(b: Build, x: Value) -> Any:
    return b(Softmax(3), b(Mul(), conv(b, b(Add(), b(Mul(), x, f32(0.5, 1, 2, 3)), f32(1))), weights(4)))


NETWORKS = {
    sequential: 2,
    residual: 2,
    dense_block: 2,
    gated: 2,
    gated_by_dense: 2,
    padded_and_cropped: 2,
    classified: 1,
    flattened: 1,
    segmented: 2,
}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_a_network_has_transposes_at_its_edges_alone(network: Any) -> None:
    names = left((*PASSES,), network, IMAGE, special=False)
    assert names.count("Transpose") == NETWORKS[network]
    again = left((move_transposes_freely,), network, IMAGE, special=False)
    assert again.count("Transpose") == NETWORKS[network]


def test_layer_normalizations_want_the_channels_behind() -> None:
    def build(b: Build, x: Value) -> Any:
        for _ in range(4):
            y = b(LayerNormalization(3, 0.1), conv(b, x), weights(4))
            x = b(Add(), x, b(Mul(), b(Dense(), y, weights(4, 4)), weights(4)))
        return x

    # Two for each convolution; and fewer there cannot be, since each stands between two that want the others.
    assert left(move_transposes_freely, build, IMAGE, special=False).count("Transpose") == 8


def test_a_dense_among_convolutions_is_one() -> None:
    def build(b: Build, x: Value) -> Any:
        x = b(Relu(), b(Dense(), conv(b, x), weights(4, 6), weights(6)))
        return conv(b, b(Dense(), x, weights(6, 4)))

    graph = optimize(move_transposes_freely, build, IMAGE, special=False)
    assert op_names(graph) == ["Transpose", "Conv", "Conv", "Relu", "Conv", "Conv", "Transpose"]


@pytest.mark.parametrize(("type", "names"), [("f32", ["Conv"]), ("f64", ["Transpose", "Dense", "Transpose"])])
def test_a_dense_between_transposes_is_a_convolution_where_onnxruntime_has_one(type: str, names: list[str]) -> None:
    def build(b: Build, x: Value) -> Any:
        kernel, bias = (array.astype(x.type.dtype.numpy) for array in (weights(4, 6), weights(6)))
        return b(FIRST, b(Dense(), b(LAST, x), kernel, bias))

    assert left(move_transposes_freely, build, f"{type}[batch, 4, 5, 6]", special=False) == names


def test_a_dense_without_convolutions_stays_where_a_transpose_does() -> None:
    """As the keys of attention: the features are divided into heads, and these come first."""

    def build(b: Build, x: Value) -> Any:
        heads = b(Reshape((symbol("batch"), 5, 2, 4)), b(Dense(), x, weights(6, 8), weights(8)))
        return b(Transpose((0, 2, 3, 1)), heads), b(Transpose((0, 2, 1)), b(Sin(), x))

    names = left(move_transposes_freely, build, "f32[batch, 5, 6]", special=False)
    assert "Conv" not in names
    assert sorted(names) == sorted(["Dense", "Reshape", "Transpose", "Transpose", "Sin"])


def test_two_dense_with_biases_outweigh_a_transpose() -> None:
    def build(b: Build, x: Value) -> Any:
        y = b(LayerNormalization(3, 0.1), conv(b, x), weights(4))
        for seed in range(3):
            y = b(Dense(), y, weights(4, 4, seed=seed), weights(4))
        return b(Add(), conv(b, x, seed=2), conv(b, y))

    names = left(move_transposes_freely, build, IMAGE, special=False)
    assert (names.count("Conv"), names.count("Dense"), names.count("Transpose")) == (6, 0, 4)


def test_a_large_kernel_read_by_others_stays_one_of_a_dense() -> None:
    def build(b: Build, x: Value) -> Any:
        kernel = b.constant(np.ones((200, 200), np.float32))
        x = conv(b, x, 200)
        return conv(b, b(Dense(), b(Dense(), x, kernel), kernel))

    assert left(move_transposes_freely, build, IMAGE, special=False).count("Dense") == 2


def test_what_could_be_on_either_side_goes_to_those_who_cannot() -> None:
    def build(b: Build, x: Value) -> Any:
        return conv(b, b(Pad((0, 1, 1, 0), (0, 1, 1, 0)), b(Mul(), x, f32(2))))

    assert left(move_transposes, build, IMAGE) == ["Transpose", "Mul", "Pad", "Conv", "Transpose"]


def test_a_flatten_read_by_others_stays() -> None:
    def build(b: Build, x: Value) -> Any:
        flat = b(Reshape((symbol("batch"), 24)), b(Relu(), conv(b, x)))
        return b(Dense(), flat, weights(24, 3)), flat

    assert left(move_transposes_freely, build, IMAGE, special=False).count("Transpose") == 2


def test_a_kernel_read_by_others_stays() -> None:
    def build(b: Build, x: Value) -> Any:
        kernel = b.constant(weights(24, 24))
        flat = b(Reshape((symbol("batch"), 24)), b(LAST, x))
        return b(Dense(), b(Dense(), flat, kernel), kernel)

    assert left(move_transposes_freely, build, "f32[batch, 4, 2, 3]", special=False)[0] == "Transpose"


# That it is the best, and takes as long as it is large


def best(graph: Graph) -> int:
    """The fewest Transposes, by trying every layout of every operator of a graph of Sin, Add and what is fixed."""
    order = graph.order()
    free = [node for node in order if isinstance(node.op, Sin | Add)]
    fewest = len(order)
    for sides in product((0, 1), repeat=len(free)):
        chosen = dict(zip(free, sides, strict=True))
        needed = set()
        for node in order:
            for value in present(node.inputs):
                source, turned = value, 0
                while isinstance(source.node.op, Transpose):
                    [source], turned = present(source.node.inputs), 1 - turned
                if isinstance(node.op, Transpose):
                    continue
                # The layout of the value that is read, less that of the value as it is computed.
                given_side = chosen.get(source.node, 0 if source.type.shape[-1] == 4 else 1)
                wanted = chosen.get(node, 0 if value.type.shape[-1] == 4 else 1)
                if given_side != wanted:
                    needed.add(source)
        fewest = min(fewest, len(needed))
    return fewest


@st.composite
def graphs(draw: Any) -> Any:
    """Up to nine operators on images whose channels, 4 of them, are behind or in front: Sin, Add, and Transposes."""
    steps = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(0, 99)), max_size=9))
    read = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3))

    def build(b: Any, *inputs: Any) -> Any:
        values = list(inputs)
        for kind, first, second in steps:
            x = values[first % len(values)]
            alike = [value for value in values if value.type == x.type]
            if kind == 0:
                values.append(b(Sin(), x))
            elif kind == 1:
                values.append(b(Add(), x, alike[second % len(alike)]))
            else:
                values.append(b(LAST if x.type.shape[1] == 4 else FIRST, x))
        return tuple(dict.fromkeys(values[index % len(values)] for index in read))

    return build


@settings(max_examples=150)
@given(graphs())
def test_no_division_is_better(build: Any) -> None:
    b = Build("f32[batch, 2, 3, 4]", "f32[batch, 4, 2, 3]")
    graph = b.finish(build(b, *b.inputs))
    expected = best(graph)
    prepared = tuple(p for p in PASSES if p.name in ("remove-dead", "merge-common", "fold-transposes"))
    run(graph, (*prepared, move_transposes), check=True, feeds=make_feeds(graph))
    assert op_names(graph).count("Transpose") == expected


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), max_size=9))
def test_a_cut_is_minimal(groups: list[list[int]]) -> None:
    def count(sides: list[int]) -> int:
        return sum(len({sides[thing] for thing in group}) > 1 for group in groups)

    found = divide(7, groups)
    assert found[:2] == [NEAR, FAR]
    assert count(found) == min(count([NEAR, FAR, *rest]) for rest in product((NEAR, FAR), repeat=5))


def layers_of(count: int) -> Graph:
    """Layers that want the channels in front, with residuals around them, and some that want them behind."""
    b = Build(IMAGE)
    x = b.inputs[0]
    for index in range(count):
        y = normalized(b, b(Sin(), x))
        if index % 5 == 4:
            y = b(LayerNormalization(3, 0.1), y, weights(4))
        x = b(Add(), x, y)
    return b.finish(x)


def test_the_work_grows_with_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = 0
    original = Region._visit

    def visit(self: Any, *args: Any) -> None:
        nonlocal visits
        visits += 1
        original(self, *args)

    monkeypatch.setattr(Region, "_visit", visit)
    counts = []
    for count in (100, 400):
        visits = 0
        graph = layers_of(count)
        assert move_transposes(graph)
        counts.append(visits)
    assert counts[1] <= 4.5 * counts[0]


def test_it_is_deterministic() -> None:
    texts = set()
    for _ in range(2):
        graph = layers_of(20)
        run(graph, PASSES, check=True)
        texts.add(str(graph))
    assert len(texts) == 1
    assert all(isinstance(node.op, Input) for node in graph.inputs)
    assert all(isinstance(node.op, Output) for node in graph.outputs)
