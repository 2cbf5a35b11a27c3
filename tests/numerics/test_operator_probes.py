"""Inputs for one operator alone: what they meet, and of which shapes they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.ir.op import Array, Op
from kir.ir.types import DType, parse_type
from kir.numerics.operator_probes import OperatorProbe, choose_operator_probe, fill
from kir.ops import elementwise as e
from kir.ops.convolution import Conv
from kir.ops.lookup import Lookup
from kir.ops.nn import Softmax
from kir.ops.pooling import MaxPool
from kir.ops.reduce import ReduceMean
from kir.ops.shape import Gather, OneHot, Reshape, TopK
from tests.ops.cases import Case, all_cases

CASES = all_cases()


def probe(op: Op, *given: str | Array) -> OperatorProbe:
    """Return the inputs of an operator: of a text, that is a type, or of a constant."""
    constants = [None if isinstance(one, str) else one for one in given]
    types = [parse_type(one) if isinstance(one, str) else parse_type(f"{kind(one)}{list(one.shape)}") for one in given]
    found = choose_operator_probe(op, types, constants)
    assert found is not None
    return found


def kind(array: Array) -> str:
    return {"f": "f", "i": "i"}[array.dtype.kind] + str(array.dtype.itemsize * 8)


def values(op: Op, *given: str | Array) -> Any:
    """Return the first input as numbers."""
    return probe(op, *given).inputs[0].ravel().tolist()  # type: ignore[union-attr]


# Elementwise operators


def test_a_clip_meets_both_sides_of_its_limits() -> None:
    low, high = np.float32(-0.5), np.float32(6)
    met = values(e.Clip(), "f32[batch, 8, 8, 32]", np.asarray(low), np.asarray(high))
    for bound in (low, high):
        assert {float(np.nextafter(bound, np.float32(9))), float(np.nextafter(bound, np.float32(-9))), bound} <= set(
            met
        )


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f32", "f64"])
def test_round_meets_ties_of_both_signs(dtype: str) -> None:
    assert {0.5, 1.5, 2.5, -0.5, -1.5, -2.5} <= set(map(float, values(e.Round(), f"{dtype}[n]")))


def test_a_comparison_meets_every_element_of_a_constant_at_its_place() -> None:
    constant = np.asarray([0.1, 0.2, 0.3], np.float32)
    (x, _) = probe(e.GreaterOrEqual(), "f32[batch, 1, 3]", constant).inputs
    assert x is not None
    assert x.shape[1:] == (1, 3)
    assert (x == constant).all(axis=(1, 2)).any()
    assert (x == np.nextafter(constant, np.float32(-9))).all(axis=(1, 2)).any()


def test_what_meets_boundaries_by_broadcasting_meets_all_of_them() -> None:
    boundaries = np.linspace(0, 1, 100).astype(np.float32)
    assert set(boundaries.tolist()) <= set(values(e.Greater(), "f32[batch, 1]", boundaries))


def test_two_inputs_meet_in_all_pairs() -> None:
    a, b = probe(e.Maximum(), "f32[batch, 3]", "f32[batch, 3]").inputs
    assert a is not None
    assert b is not None
    assert a.shape == b.shape
    assert (a == b).any()
    assert {(0.0, 100.0), (100.0, 0.0)} <= set(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))


def test_a_size_of_1_stays_1_and_others_are_more() -> None:
    a, b = probe(e.Add(), "f32[batch, 7, 1]", "f32[batch, 1, 9]").inputs
    assert a is not None
    assert b is not None
    assert (a.shape[1:], b.shape[1:]) == ((2, 1), (1, 2))


def test_scalars_get_a_new_axis() -> None:
    a, b = probe(e.Less(), "f32[]", "f32[3]").inputs
    assert a is not None
    assert b is not None
    assert (a.ndim, b.ndim) == (2, 2)


def test_nothing_is_divided_by_an_integer_of_0() -> None:
    _, divisor = probe(e.Div(), "i32[n]", "i32[n]").inputs
    assert divisor is not None
    assert divisor.all()


def test_a_float_is_cast_to_integers_that_it_fits() -> None:
    x = np.asarray(values(e.Cast(DType.UINT8), "f32[n]"))
    assert x.min() > -1
    assert x.max() < 256


def test_a_threshold_without_an_exact_float32_is_kept_away_from() -> None:
    x = np.asarray(values(e.ThresholdedRelu(0.1), "f32[n]"))
    assert not (np.abs(x / 0.1 - 1) < 4e-7).any()
    assert (np.abs(x / 0.1 - 1) < 2e-6).sum() == 2
    assert 0.5 in values(e.ThresholdedRelu(0.5), "f32[n]")


def test_a_constant_that_leaves_no_room_is_not_probed() -> None:
    types = [parse_type("f32[512, 768]")] * 2
    assert choose_operator_probe(e.Add(), types, [None, np.zeros((512, 768), np.float32)]) is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_nothing_infinite_is_met(dtype: Any) -> None:
    """Masks add the lowest number, or minus infinity."""
    for lowest in (np.finfo(dtype).min, -np.inf):
        constant = np.asarray([lowest, 1], dtype)
        x, _ = probe(e.Add(), f"f{8 * constant.itemsize}[batch, 2]", constant).inputs
        assert x is not None
        assert np.isfinite(x).all()


# Others


def test_every_row_of_a_table_is_looked_up() -> None:
    table = np.zeros((5000, 2), np.float32)
    _, indices = probe(Gather(0), table, "i32[batch, 10]").inputs
    assert indices is not None
    assert set(range(5000)) | {-1, -5000} <= set(indices.ravel().tolist())
    assert indices.ndim == 2


def test_a_one_hot_gets_indices_from_the_end_and_outside() -> None:
    assert set(range(-6, 6)) == set(values(OneHot(4, 1), "i64[batch]", np.asarray([0, 1], np.float32)))


def test_a_lookup_gets_all_keys_and_others() -> None:
    met = values(Lookup((3, 5), (1, 2), 0), "i64[batch, 2]")
    assert {3, 5} < set(met)


def test_images_shrink_to_several_windows_with_the_same_padding() -> None:
    op = MaxPool((3, 3), (2, 2), (1, 1), "same", False)
    (x,) = probe(op, "f32[batch, 64, 112, 113]").inputs
    assert x is not None
    assert x.shape == (5, 3, 8, 7)


def test_a_convolution_keeps_its_channels() -> None:
    kernel = np.zeros((4, 16, 3, 3), np.float32)
    op = Conv((1, 1), (2, 2), 1, (0, 0, 0, 0))
    x, _ = probe(op, "f32[batch, 16, 100, 100]", kernel).inputs
    assert x is not None
    assert x.shape == (5, 16, 7, 7)


def test_unknown_sizes_grow_until_they_fit() -> None:
    found = probe(TopK(9, 1), "f32[batch, length]")
    assert found.inputs[0] is not None
    assert found.inputs[0].shape[1] >= 9
    assert found.sizes["length"] == found.inputs[0].shape[1]


def test_an_unknown_size_does_not_become_nothing() -> None:
    inputs = probe(ReduceMean((1,), False), "f32[batch, n // 32 - 1, 4]").inputs
    assert inputs[0] is not None
    assert inputs[0].size


def test_sizes_of_the_operator_are_bound_too() -> None:
    length = parse_type("f32[length]").shape[0]
    found = probe(Reshape((2 * length,)), "f32[length, 2]")
    assert found.op == Reshape((2 * found.sizes["length"],))


def test_rows_are_of_several_kinds() -> None:
    x = fill(DType.FLOAT32, (5, 100), np.random.default_rng(0))
    assert len(set(x[1].tolist())) < 20
    assert len(set(x[2].tolist())) == 1
    assert x[3].max() < 0
    mask = fill(DType.BOOL, (3, 50), np.random.default_rng(0))
    assert mask[1].all()
    assert not mask[2].any()
    assert 0 < mask[0].sum() < 50


def test_a_softmax_is_small_whatever_its_type() -> None:
    (x,) = probe(Softmax(2), "f32[100, 200, 1000]").inputs
    assert x is not None
    assert x.size < 100


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operators_take_what_they_are_given(case: Case) -> None:
    types, constants = case.types(), [one if isinstance(one, np.ndarray) else None for one in case.inputs]
    found = choose_operator_probe(case.op, types, constants)
    if found is not None:
        with np.errstate(all="ignore"):
            found.op.eval(*found.inputs)
