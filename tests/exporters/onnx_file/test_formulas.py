"""Float64 in onnxruntime, which has no kernels for half of the functions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import layers
from kir.errors import ShapeError
from kir.exporters.onnx_file.formulas import FLOAT64_FORMULAS
from kir.exporters.pipeline import export_model
from kir.ir.types import DType, TensorType, as_dtype
from kir.modeling.sequential import Sequential
from kir.ops.convolution import Conv, ConvTranspose
from kir.ops.elementwise import (
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Celu,
    Cosh,
    Elu,
    Erf,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Mish,
    PRelu,
    Selu,
    Shrink,
    Sinh,
    Softplus,
    Softsign,
    Tan,
    ThresholdedRelu,
)
from kir.ops.onnx_forms import SAME
from kir.ops.pooling import AveragePool
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.resize import Resize
from tests.exporters.onnx_file.graphs import Array, graph_of, run
from tests.ops.cases import Case, all_cases
from tests.ops.test_cases import assert_close, evaluate
from tests.versions import needs_onnxruntime

pytestmark = needs_onnxruntime("1.29", "no Cos of float64, which formulas are made of")

# Where each is compared, from just above 0 (or the lower end, if that is above) to the given end, and mirrored if it
# is defined there; with the operators' own cancellation left out.
RANGES: tuple[tuple[Any, float, float], ...] = (
    (Acos(), -1, 1),
    (Acosh(), 1, 1e4),
    (Asin(), -1, 1),
    (Asinh(), -1e4, 1e4),
    (Atan(), -1e4, 1e4),
    (Atanh(), -1, 1),
    (Celu(0.7), -50, 50),
    (Cosh(), -700, 700),
    (Elu(1.5), -50, 50),
    (Erf(), -7, 7),
    (Gelu(False), -0.5, 50),
    (Gelu(True), -0.5, 50),
    (HardSigmoid(0.2, 0.5), -2, 9),
    (HardSwish(), -2, 9),
    (LeakyRelu(0.2), -9, 9),
    (Mish(), -40, 40),
    (Selu(), -50, 50),
    (Shrink(0.3, 0.5), -9, 9),
    (Sinh(), -700, 700),
    (Softplus(), -700, 700),
    (Softsign(), -9, 9),
    (Tan(), -1.5, 1.5),
    (ThresholdedRelu(0.5), -9, 9),
)

# Results of inf - inf and inf * 0, which the order of the operations decides: Gelu of -inf.
SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, 1.0, -1.0, 1e-300, -1e-300, 2.0, -2.0, 1e300])


def points(low: float, high: float) -> Array:
    """Evenly over the range, and towards 0."""
    small = 10.0 ** np.linspace(-300, 0, 400)
    spread = np.concatenate([np.linspace(low, high, 4001), small, -small])
    return spread[(spread >= low) & (spread <= high)]


@pytest.mark.parametrize(("op", "low", "high"), RANGES, ids=str)
def test_within_a_few_units_in_the_last_place(op: Any, low: float, high: float) -> None:
    x = points(low, high)
    expected = op.eval(x)
    np.testing.assert_allclose(run(graph_of(op, "f64[n]"), {"x0": x})["y0"], expected, rtol=3e-15, atol=1e-320)


@pytest.mark.parametrize("op", [op for op, _, _ in RANGES], ids=str)
def test_special_values(op: Any) -> None:
    result = run(graph_of(op, "f64[n]"), {"x0": SPECIAL})["y0"]
    np.testing.assert_allclose(result, op.eval(SPECIAL), rtol=1e-14)


def test_the_error_function_is_1_from_6_on() -> None:
    x = np.array([6.0, -6.0, 7.5, -np.inf])
    np.testing.assert_array_equal(run(graph_of(Erf(), "f64[n]"), {"x0": x})["y0"], np.sign(x))


def test_every_formula_is_tested() -> None:
    assert set(FLOAT64_FORMULAS) == {type(op) for op, _, _ in RANGES} - {Celu} | {PRelu}
    assert set(FLOAT64_FORMULAS) - {Gelu} <= set(SAME)


# onnxruntime computes none of these in float64, and no formula of other operators is as short as they are.
WITHOUT_KERNELS = (RNN, GRU, LSTM, Conv, ConvTranspose, AveragePool, Resize)


def is_float32(given: TensorType | Array | None) -> bool:
    return given is not None and as_dtype(given.dtype) is DType.FLOAT32


def in_float64(given: TensorType | Array | None) -> TensorType | Array | None:
    """Float64 in the place of float32; anything else as it is."""
    if given is None or not is_float32(given):
        return given
    return given.with_dtype(DType.FLOAT64) if isinstance(given, TensorType) else given.astype(np.float64)


def takes_its_inputs(case: Case) -> bool:
    """Return whether the operator takes float64: quantization does not, and bodies have types of their own."""
    try:
        case.op.infer(*case.types())
    except ShapeError:
        return False
    return True


CASES = [
    changed
    for case in all_cases()
    if not isinstance(case.op, WITHOUT_KERNELS) and any(map(is_float32, case.inputs))
    if takes_its_inputs(changed := dataclasses.replace(case, inputs=tuple(map(in_float64, case.inputs))))
]


@pytest.mark.parametrize("opset", [13, None])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_in_float64(case: Case, opset: int | None) -> None:
    opset = opset and max(opset, case.since)
    for sizes in case.runs():
        outputs = run(case.graph(), case.feeds(sizes), opset)
        for output, expected in zip(outputs.values(), evaluate(case, sizes), strict=True):
            assert output.dtype == expected.dtype
            assert_close(output, expected, case.ulps)


def test_a_float64_model_exports_and_verifies(tmp_path: Path) -> None:
    model = Sequential([layers.Input((8,), dtype="float64")])
    for activation in ("gelu", "elu", "softplus", "mish", "hard_sigmoid", "leaky_relu", "softsign", "tanh"):
        model.add(layers.Dense(8, activation=activation, dtype="float64"))
    result = export_model(model, tmp_path / "m.onnx")
    assert result.verification is not None
    assert {output.dtype for output in result.verification.outputs} == {"float64"}
    assert result.verification.passed
