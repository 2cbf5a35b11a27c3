"""ONNX's own tests of its operators, on the interpreter.

ONNX makes the models and their data in this process; nothing is fetched. A model has one node, and most of them take
everything as an input, axes and shapes too, which no exporter writes. A model that is refused is tried again with its
inputs of rank 0 and 1, but the first, as initializers; if it is refused again, it must be for a reason that is listed.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from kir.errors import FormatError, InvalidArgumentError, UnsupportedError
from kir.importers.onnx_file.backend import KirBackend, KirModel
from kir.ir.types import type_of
from tests.importers.onnx_file.models import model, node

# What kir refuses of these models, as a pattern of the message, and why.
REFUSED = {
    r"does not know what ai\.onnx\.[\w., ]+ computes": "FlexAttention, images in files, sequences, results at random",
    r"is no tensor": "sequences, optionals and maps",
    r"draws at random": "results that no two runs share",
}
# Where onnxruntime computes otherwise, and kir as it does; onnxruntime leaves these tests out as well.
AS_ONNXRUNTIME = {
    "test_maxunpool_export_with_output_shape",
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_cubic_align_corners",
}
# Refused or not, these cannot be compared.
RANDOM = re.compile(r"test_training_dropout(_default)?$")

ROUNDINGS = {np.dtype(ml_dtypes.bfloat16): 2**-9, np.dtype(np.float16): 2**-12}

# How many models ran, of how many, when this was written. ONNX adds models with every version.
LEAST_SHARE = 0.95


@cache
def cases() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases overflow on purpose
        return {case.name: case for case in collect_testcases(None)}


def as_array(given: Any) -> Any:
    array = numpy_helper.to_array(given) if isinstance(given, TensorProto) else np.asarray(given)
    return array.astype(object) if array.dtype.kind in "US" else array


def prepare(case: Any) -> tuple[KirModel, list[Any]]:
    """Return the model, and the inputs that are left to feed."""
    inputs = list(case.data_sets[0][0])
    try:
        return KirBackend.prepare(case.model), inputs
    except UnsupportedError:
        fixed, left = fix_inputs(case.model, inputs)
        return KirBackend.prepare(fixed), left


def fix_inputs(given: ModelProto, inputs: list[Any]) -> tuple[ModelProto, list[Any]]:
    """Return the model with inputs of rank 0 and 1, but the first, as initializers."""
    fixed = ModelProto()
    fixed.CopyFrom(given)
    pairs = list(zip(given.graph.input, inputs, strict=True))
    small = [pair for pair in pairs[1:] if pair[0].type.HasField("tensor_type") and as_array(pair[1]).ndim <= 1]
    left = [pair for pair in pairs if pair not in small]
    fixed.graph.initializer.extend(numpy_helper.from_array(as_array(data), value.name) for value, data in small)
    del fixed.graph.input[:]
    fixed.graph.input.extend(value for value, _ in left)
    return fixed, [data for _, data in left]


def run_case(case: Any) -> None:
    """Compare as ONNX's own runner does."""
    prepared, inputs = prepare(case)
    outputs = prepared.run([as_array(given) for given in inputs])
    for given, wanted in zip(outputs, map(as_array, case.data_sets[0][1]), strict=True):
        assert (given.shape, type_of(given).dtype) == (wanted.shape, type_of(wanted).dtype)
        if wanted.dtype == object:
            assert given.tolist() == wanted.tolist()
        else:
            # ONNX rounds to 16 bits after every step, kir once.
            rtol = 8 * ROUNDINGS.get(wanted.dtype, 0) or case.rtol or 1e-3
            np.testing.assert_allclose(
                given.astype(np.float64), wanted.astype(np.float64), rtol=rtol, atol=case.atol or 1e-7
            )


@pytest.mark.slow
def test_models_run_or_are_refused_for_a_listed_reason(capsys: pytest.CaptureFixture[str]) -> None:
    reasons: Counter[str] = Counter()
    wrong: list[str] = []
    for name, case in cases().items():
        if RANDOM.search(name):
            continue
        if name in AS_ONNXRUNTIME:
            with pytest.raises(AssertionError, match="Not equal"):
                run_case(case)
            reasons["as onnxruntime"] += 1
            continue
        try:
            run_case(case)
        except (UnsupportedError, FormatError) as error:
            reason = next((pattern for pattern in REFUSED if re.search(pattern, str(error))), "")
            reasons[reason] += 1
            if not reason:
                wrong.append(f"{name}: refused: {error}")
        except Exception as error:  # whatever it is, the others are to be tried
            wrong.append(f"{name}: {type(error).__name__}: {error}")
        else:
            reasons["passed"] += 1
    share = reasons["passed"] / sum(reasons.values())
    with capsys.disabled():
        print(f"\nONNX's backend tests: {reasons['passed']} of {sum(reasons.values())} run and pass ({share:.0%})")
    assert not wrong, "\n".join(wrong[:40])
    assert share >= LEAST_SHARE
    unused = set(REFUSED) - set(reasons)
    assert not unused, f"reasons that nothing is refused for: {unused}"


def test_every_operator_that_kir_reads_is_among_those_that_run() -> None:
    from kir.importers.onnx_file.ops import IMPORTERS

    operators = {
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for case in cases().values()
        for node in case.model.graph.node
    }
    # ONNX has no tests of what is random, and none of onnxruntime's own operators.
    own = {name for name in IMPORTERS if name.startswith("com.microsoft.")}
    assert set(IMPORTERS) - operators <= {"RandomUniformLike", "RandomNormalLike"} | own


def test_random_results_are_of_the_right_type() -> None:
    for name in ("test_training_dropout", "test_training_dropout_default"):
        fixed, inputs = fix_inputs(cases()[name].model, list(cases()[name].data_sets[0][0]))
        (output,) = KirBackend.prepare(fixed).run(inputs)
        assert output.shape == inputs[0].shape


def test_the_backend_refuses_what_it_cannot_do() -> None:
    given = model([node("Relu", "x", "y")], {"x": [2]})
    assert KirBackend.supports_device("CPU")
    with pytest.raises(InvalidArgumentError, match="device='CUDA'"):
        KirBackend.prepare(given, "CUDA")
    with pytest.raises(InvalidArgumentError, match="received 2 inputs; the model has x"):
        KirBackend.prepare(given).run([np.zeros(2), np.zeros(2)])
    (output,) = KirBackend.prepare(given).run(np.array([-1, 1], np.float32))
    assert output.tolist() == [0, 1]
