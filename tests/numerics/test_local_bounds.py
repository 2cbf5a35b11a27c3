"""The bounds of single operators."""

from __future__ import annotations

import numpy as np
import pytest

from kir.numerics import local_bounds
from kir.numerics.local_bounds import expect_results, gave_the_same
from kir.ops.convolution import Conv
from kir.ops.elementwise import Relu
from kir.ops.linear import MatMul
from kir.ops.nn import Softmax
from kir.ops.shape import Split
from kir.ops.spectral import STFT
from tests.passes.building import Build


def test_an_operator_may_get_nothing() -> None:
    build = Build("f32[batch, 3]")
    node = build(Softmax(0), build.inputs[0]).node
    (expected,) = expect_results(node, node.op, [np.zeros((0, 3), np.float32)])
    assert expected.reference.shape == expected.allowed.shape == (0, 3)


@pytest.mark.parametrize("groups", [1, 2])
def test_how_many_filters_are_computed_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    build = Build(f"f32[1, {3 * groups}, 5, 5]", "f32[6, 3, 3, 3]", "f32[6]")
    node = build(Conv((1, 1), (1, 1), groups, (1,) * 4), *build.inputs).node
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal(shape, np.float32) for shape in ((1, 3 * groups, 5, 5), (6, 3, 3, 3), (6,))]
    (whole,) = expect_results(node, node.op, inputs)
    monkeypatch.setattr(local_bounds, "BLOCK_ELEMENTS", 4 * 27)
    (parts,) = expect_results(node, node.op, inputs)
    np.testing.assert_allclose(parts.reference, whole.reference, rtol=1e-12)
    np.testing.assert_allclose(parts.allowed, whole.allowed, rtol=1e-5)


def test_only_exact_operators_give_the_same() -> None:
    build = Build("f32[4]")
    x = np.array([-1, 0, 2, np.nan], np.float32)
    y = np.array([0, 0, 2, np.nan], np.float32)
    relu, softmax = (build(op, build.inputs[0]).node for op in (Relu(), Softmax(0)))
    split = build(Split(0, (1, 3)), build.inputs[0])[0].node
    assert gave_the_same(relu, relu.op, [x], [y])
    assert not gave_the_same(relu, relu.op, [x], [x])
    assert not gave_the_same(relu, relu.op, [x], [y[:3]])
    assert not gave_the_same(softmax, softmax.op, [y[:1]], [np.ones(1, np.float32)])
    assert gave_the_same(split, split.op, [x], [None, x[1:]])
    assert not gave_the_same(split, split.op, [x], [None, y[:3]])


@pytest.mark.parametrize("kind", ["conv", "matmul"])
def test_small_numbers_beside_others_keep_their_bound(kind: str) -> None:
    # Squares of the small ones are below all of float32, where the large ones are not.
    scales = np.array([1, 1e-13], np.float32)
    generator = np.random.default_rng(0)
    x, kernel = generator.standard_normal((1, 2, 5, 5), np.float32), generator.standard_normal((2, 1, 5, 5), np.float32)
    if kind == "conv":
        build = Build("f32[1, 2, 5, 5]", "f32[2, 1, 5, 5]")
        node = build(Conv((1, 1), (1, 1), 2, (0,) * 4), *build.inputs).node
    else:
        x, kernel = x.reshape(2, 1, 25), kernel.reshape(2, 25, 1)
        build = Build("f32[2, 1, 25]", "f32[2, 25, 1]")
        node = build(MatMul(), *build.inputs).node
    allowed = []
    for factors in (np.ones(2, np.float32), scales):
        of_x, of_kernel = (factors.reshape([2 if size == 2 else 1 for size in one.shape]) for one in (x, kernel))
        (expected,) = expect_results(node, node.op, [x * of_x, kernel * of_kernel])
        allowed.append(expected.allowed.ravel())
    np.testing.assert_allclose(allowed[1], allowed[0] * scales**2, rtol=1e-4)


@pytest.mark.parametrize("length", [25, 400, 401, 1000])
@pytest.mark.parametrize("is_wave", [False, True])
def test_the_angles_of_a_transform_are_rounded_where_a_length_is_no_power_of_2(length: int, is_wave: bool) -> None:
    generator = np.random.default_rng(length)
    steps, bins = np.arange(length), np.arange(length // 2 + 1)
    wave = np.cos(2 * np.pi * (length // 3) * steps / length)
    signal = np.tile(wave, (20, 1)) if is_wave else generator.standard_normal((20, length))
    x, window = signal.astype(np.float32), np.ones(length, np.float32)
    single = np.float32
    angles = (single(np.pi) * steps.astype(single) * steps.astype(single) / single(length)).astype(np.float64)
    terms = np.exp(1j * (angles[abs(bins[:, None] - steps)] - angles[bins][:, None] - angles))
    found = x.astype(np.float64) @ terms.T
    result = np.stack([found.real, found.imag], axis=-1)[:, None]
    build = Build(f"f32[20, {length}]")
    node = build(STFT(1), build.inputs[0], build.constant(window)).node
    (expected,) = expect_results(node, node.op, [x, window])
    error = np.abs(result - expected.reference)
    assert (error <= expected.allowed).all()
    assert error.max() > expected.allowed.max() / 200
