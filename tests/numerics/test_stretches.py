"""Graphs are compared stretch by stretch: what the outputs hide is seen, and what a pass may do is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.graph import Graph
from kir.ir.op import Op
from kir.ir.types import BATCH, DType
from kir.numerics.compare import Run, expect_runs
from kir.numerics.stretches import Difference, Stretches
from kir.ops.convolution import Conv
from kir.ops.elementwise import Add, Cast, Clip, Log, Minimum, Mul, Relu, Round, Sigmoid, Sqrt, Tanh
from kir.ops.linear import Dense
from kir.ops.nn import Softmax
from kir.ops.normalization import BatchNormalization
from kir.ops.recurrent import LSTM
from kir.ops.reduce import ArgMax
from kir.ops.shape import Reshape, Slice, Transpose
from tests.passes.building import Build

GENERATOR = np.random.default_rng(0)


def weight(*shape: int) -> Any:
    return (GENERATOR.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


FIRST, SECOND, THIRD = weight(6, 6), weight(6, 6), weight(6, 6)
BIAS = weight(6)
DEAD = np.full(6, -1e6, np.float32)
RELU, SOFTMAX = (Relu(),), Softmax(1)
BROKEN = np.where(np.arange(6) == 2, np.nan, BIAS).astype(np.float32)


def last_run(graph: Graph) -> Run:
    return list(expect_runs(graph, 0))[-1]


def differences(original: Graph, rewritten: Graph) -> list[Difference]:
    return Stretches(original, rewritten, 0).find_differences(last_run(original))


def layers(found: list[Difference]) -> list[str]:
    return [one.origin.path for one in found if one.origin]


def stack(
    first: Any = FIRST,
    bias: Any = BIAS,
    bend: Any = RELU,
    second: Any = SECOND,
    end: Op = SOFTMAX,
    scale: Any = None,
) -> Graph:
    """Return a graph of two Dense layers: layer_1, bent by layer_2 and on, and a last one with an end."""
    build = Build("f32[batch, 6]")
    y = build(Dense(), build.inputs[0], first, bias)
    for op in bend:
        y = build(op, y) if isinstance(op, Op) else build(*op[:1], y, *op[1:])
    y = build(Dense(), y, second if scale is None else (second.astype(np.float64) * scale).astype(np.float32))
    return build.finish(build(end, y))


RELU6 = (Clip(), np.float32(0), np.float32(6))

WRONG = {
    "relu for relu6": (stack(bend=[RELU6]), stack(bend=[Relu()]), "layer_2"),
    "relu6 for relu": (stack(), stack(bend=[RELU6]), "layer_2"),
    "clip at 100": (stack(), stack(bend=[Relu(), (Minimum(), np.float32(100))]), "layer_3"),
    "scale before a saturated Softmax": (stack(second=1e6 * SECOND), stack(second=1.0001e6 * SECOND), "layer_3"),
    "before a Softmax": (stack(second=1e6 * SECOND), stack(FIRST * 1.01, second=1e6 * SECOND), "layer_1"),
    "before dead units": (stack(bias=DEAD), stack(FIRST.T, bias=DEAD), "layer_1"),
    "after dead units": (stack(bias=DEAD), stack(bias=DEAD, second=SECOND.T), "layer_3"),
    "after NaN": (stack(bias=BROKEN), stack(bias=BROKEN, second=SECOND.T), "layer_3"),
    "before ArgMax": (stack(end=ArgMax(1, False)), stack(BIAS * FIRST, end=ArgMax(1, False)), "layer_1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_outputs_hide_is_seen(case: str) -> None:
    original, rewritten, layer = WRONG[case]
    assert layers(differences(original, rewritten))[0] == layer
    for graph in (original, rewritten):
        assert differences(graph, graph.copy()) == []


@pytest.mark.parametrize("bias", [BIAS, DEAD, BROKEN], ids=["alive", "dead", "nan"])
def test_one_weight_that_is_a_little_off_shows(bias: Any) -> None:
    wrong = SECOND.copy()
    wrong[2, 3] *= np.float32(1 + 1e-5)
    assert layers(differences(stack(bias=bias), stack(bias=bias, second=wrong))) == ["layer_3"]


def test_a_recurrence_after_nan_is_seen() -> None:
    def recurrent(second: Any) -> Graph:
        build = Build("f32[5, batch, 6]")
        y, layer = build.inputs[0], LSTM(6, "forward", (("Sigmoid", 0.0, 0.0), ("Tanh", 0.0, 0.0), ("Tanh", 0.0, 0.0)))
        broken = np.where(np.arange(48) == 3, np.nan, 0).astype(np.float32)[None]
        for kernel, bias in ((KERNEL, broken), (second, np.zeros((1, 48), np.float32))):
            y = build(layer, y, kernel, KERNEL, bias)[0]
            y = build(Reshape((5, BATCH, 6)), y)
        return build.finish(y)

    assert differences(recurrent(KERNEL), recurrent(KERNEL.copy())) == []
    assert layers(differences(recurrent(KERNEL), recurrent(KERNEL[:, ::-1].copy()))) == ["layer_3"]


KERNEL = weight(1, 24, 6)


# What may be rewritten


def normalized(folded: bool) -> Graph:
    build = Build("f32[batch, 3, 8, 8]")
    kernel, scale, shift = weight_of((6, 3, 3, 3), 1), np.abs(weight_of((6,), 2)) + 0.5, weight_of((6,), 3)
    conv = Conv((1, 1), (1, 1), 1, "same")
    if folded:
        kernel = (kernel.astype(np.float64) * scale[:, None, None, None] / np.sqrt(1 + 1e-3)).astype(np.float32)
        y = build(conv, build.inputs[0], kernel, shift)
    else:
        y = build(conv, build.inputs[0], kernel)
        y = build(BatchNormalization(1e-3), y, scale, shift, np.zeros(6, np.float32), np.ones(6, np.float32))
    y = build(Transpose((0, 2, 3, 1)), build(Relu(), y)) if folded else build(Relu(), build(Transpose((0, 2, 3, 1)), y))
    return build.finish(build(Softmax(3), build(Dense(), y, weight_of((6, 4), 4))))


def weight_of(shape: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def joined(are_joined: bool) -> Graph:
    build = Build("f32[batch, 6]")
    x = build.inputs[0]
    if are_joined:
        both = build(Dense(), x, np.concatenate([FIRST, SECOND], 1))
        halves = [build(Slice((1,), (start,), (start + 6,), (1,)), both) for start in (0, 6)]
    else:
        halves = [build(Dense(), x, kernel) for kernel in (FIRST, SECOND)]
    return build.finish(build(Add(), build(Tanh(), halves[0]), build(Sigmoid(), halves[1])))


def merged(are_merged: bool) -> Graph:
    build = Build("f32[batch, 6]")
    first = build(Dense(), build.inputs[0], FIRST)
    second = first if are_merged else build(Dense(), build.inputs[0], FIRST)
    return build.finish((first, build(Tanh(), build(Dense(), second, SECOND))))


def scaled_units(are_scaled: bool) -> Graph:
    """Return a graph in which a scale stands before a Relu, or after it."""
    return stack(2 * FIRST, 2 * BIAS, second=SECOND / 2) if are_scaled else stack()


def skipping(skips: bool) -> Graph:
    """Return a graph in which a value is computed from another, or anew."""
    build = Build("f32[batch, 6]")
    first = build(Dense(), build.inputs[0], FIRST)
    again = build(Dense(), build.inputs[0], FIRST * 3) if skips else build(Mul(), first, np.float32(3))
    return build.finish(build(Add(), build(Relu(), first), build(Tanh(), again)))


def doubled_relu(is_doubled: bool) -> Graph:
    return stack(bend=[Relu(), Relu()] if is_doubled else [Relu()])


def many_axes(are_moved: bool) -> Graph:
    """Return a graph that scales a result as a row, or with more axes than are tried in every order, reversed."""
    build = Build("f32[batch, 64]")
    y, scale = build(Dense(), build.inputs[0], weight_of((64, 64), 5)), weight_of((64,), 6)
    if are_moved:
        y = build(Transpose((0, 6, 5, 4, 3, 2, 1)), build(Reshape((BATCH, 2, 2, 2, 2, 2, 2)), y))
        y = build(Mul(), y, scale.reshape(2, 2, 2, 2, 2, 2).transpose())
        y = build(Reshape((BATCH, 64)), build(Transpose((0, 6, 5, 4, 3, 2, 1)), build(Tanh(), y)))
    else:
        y = build(Tanh(), build(Mul(), y, scale))
    return build.finish(y)


def moved_units(are_moved: bool) -> Graph:
    """Return a graph whose units stand in another order."""
    order = [3, 0, 5, 1, 4, 2]
    return stack(FIRST[:, order], BIAS[order], second=SECOND[order]) if are_moved else stack()


RIGHT = {
    "moved units": (moved_units(False), moved_units(True)),
    "many axes": (many_axes(False), many_axes(True)),
    "folded": (normalized(False), normalized(True)),
    "joined": (joined(False), joined(True)),
    "merged": (merged(False), merged(True)),
    "scaled": (scaled_units(False), scaled_units(True)),
    "skipping": (skipping(False), skipping(True)),
    "dropped": (doubled_relu(True), doubled_relu(False)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_means_the_same_is_right(case: str) -> None:
    one, other = RIGHT[case]
    assert differences(one, other) == differences(other, one) == []


@pytest.mark.parametrize("end", [Round(), ArgMax(1, False), Sqrt(), Log(), Cast(DType.INT32)], ids=str)
def test_ties_and_what_has_no_result_raise_no_alarm(end: Op) -> None:
    constant = stack(np.zeros((6, 6), np.float32), second=np.zeros((6, 6), np.float32), end=end)
    assert differences(constant, constant.copy()) == []
    apart = (FIRST.astype(np.float64) * 3).astype(np.float32)
    assert differences(stack(apart, end=end), stack(apart, end=end, scale=1.0)) == []


def test_cuts_that_correspond_are_counted() -> None:
    stretches = Stretches(stack(), stack(), 0)
    assert stretches.find_differences(last_run(stack())) == []
    assert stretches.count == 2
