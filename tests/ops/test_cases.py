"""What must hold of every row of the table of cases, and that the table is complete."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest

import kir.ops
from kir import passes
from kir.errors import UnsupportedError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.formulas import FLOAT64_FORMULAS
from kir.importers.onnx_file import import_graph
from kir.ir.interpreter import run
from kir.ir.structural import Assume, Constant, Input, Output
from kir.ir.types import DType, TensorType, type_of
from kir.ops import GROUPS, all_ops, group_by_op, ops_of
from kir.ops.attention import Attention
from kir.ops.elementwise import Celu, Gelu, HardSwish, Mish, Relu
from kir.ops.linear import Dense
from kir.ops.normalization import BatchNormalization, LayerNormalization
from kir.ops.opaque import Opaque
from kir.ops.quantization import DequantizeLinear, QuantizeLinear
from kir.ops.shape import Reshape, Size, Trilu
from kir.ops.text import JoinTexts
from tests.ops.cases import Array, Case, Sizes, all_cases, bind_type
from tests.tiers import first_of_each

CASES = all_cases()

# None of these computes anything: a case is built of the first three, and the last is whatever a file says.
STRUCTURAL = {Assume, Input, Output, Constant, Opaque}

# The oldest opset that can be asked for, and the one chosen when none is.
OPSETS = (13, None)


each_case = pytest.mark.parametrize("case", first_of_each(lambda case: type(case.op), CASES), ids=str)


def as_tuple(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


def evaluate(case: Case, sizes: Sizes) -> tuple[Array, ...]:
    return as_tuple(case.op.bind(sizes).eval(*case.values(sizes)))


@each_case
@pytest.mark.filterwarnings("error")
def test_types_and_both_interpreters_agree_with_eval(case: Case) -> None:
    """1. `infer` agrees with symbolic and with static sizes. 2. `eval` gives arrays and leaves its inputs alone.
    3. The interpreter computes the same, and in float64 what rounds to the same."""
    graph, types = case.graph(), case.types()
    graph.check()
    assert [node.op for node in graph.order() if node.op == case.op]
    inferred = as_tuple(case.op.infer(*types))
    for sizes in case.runs():
        expected = frozen_evaluation(case, sizes)
        expected_types = [type_of(output) for output in expected]
        assert [bind_type(type, sizes) for type in inferred] == expected_types
        static = [None if type is None else bind_type(type, sizes) for type in types]
        assert list(as_tuple(case.op.bind(sizes).infer(*static))) == expected_types
        outputs = run(graph, case.feeds(sizes)).values()
        wide = run(graph, case.feeds(sizes), wide=True).values()
        for output, wide_output, value in zip(outputs, wide, expected, strict=True):
            assert isinstance(output, np.ndarray)
            np.testing.assert_array_equal(output, value, strict=True)
            assert wide_output.dtype == (np.float64 if type_of(value).dtype.is_float else value.dtype)
            assert_close(value, wide_output, case.ulps)


def frozen_evaluation(case: Case, sizes: Sizes) -> tuple[Array, ...]:
    """Return the outputs of `eval`, whose inputs cannot be written to."""
    values = case.values(sizes)
    for value in values:
        if value is not None:
            value.setflags(write=False)
    outputs = as_tuple(case.op.bind(sizes).eval(*values))
    assert all(isinstance(output, np.ndarray) for output in outputs)
    return outputs


# Operators of ONNX's younger than opset 13: before, their formula is written, and comes back as such.
YOUNG = (Gelu, HardSwish, LayerNormalization, Mish, Trilu)


def comes_back(case: Case, opset: int | None) -> bool:
    """Return whether a case is written in a way that says which operator it is. It is not:

    1. A known size, which is an initializer.
    2. Where onnxruntime has no kernel for the dtype: a formula in float64, and Celu in any dtype but float32.
    3. Normalizations in float64, where ONNX's epsilon is a float32: it is part of the variance, or of a formula.
    4. Attention, at the opsets before 23 that are tried here; see test_attention.py. JoinTexts, which is a Loop.
    5. Before opset 14 (LayerNormalization: 17): what is younger, Relu of integers (Max), and a Reshape to no elements
       (a new value of none). Before opset 19, quantization in float16: casts stand around it.
    6. Of constants alone: the reader may compute it.
    """
    if case.inputs and not any(isinstance(given, TensorType) for given in case.inputs):
        return False
    op = case.op.activation if isinstance(case.op, Dense) and case.op.activation else case.op
    dtypes = {type.dtype for type in case.types() if type}
    if (isinstance(op, Size) and isinstance(op.dim, int)) or isinstance(op, Attention | JoinTexts):
        return False
    if (type(op) in FLOAT64_FORMULAS and DType.FLOAT64 in dtypes) or (
        isinstance(op, Celu) and dtypes != {DType.FLOAT32}
    ):
        return False
    if type(op).__module__ == BatchNormalization.__module__ and DType.FLOAT64 in dtypes:
        return False
    if opset is None:
        return True
    is_integer_relu = isinstance(op, Relu) and not any(dtype.is_float for dtype in dtypes)
    is_half = isinstance(op, QuantizeLinear | DequantizeLinear) and DType.FLOAT16 in dtypes
    return not (is_half or isinstance(op, YOUNG) or is_integer_relu or (isinstance(op, Reshape) and 0 in op.shape))


@pytest.mark.parametrize("opset", OPSETS, ids=lambda opset: f"opset-{opset or 'chosen'}")
@each_case
def test_written_it_runs_in_onnxruntime_and_imported_back_it_is_the_same_node(case: Case, opset: int | None) -> None:
    graph = case.graph()
    if opset is not None and opset < case.since:
        with pytest.raises(UnsupportedError):
            to_model_proto(graph, opset=opset)
        return
    model = to_model_proto(graph, opset=opset)
    imported = import_graph(model)
    imported.check()
    passes.run(imported, passes.RECOGNITION, check=True)
    if comes_back(case, opset):
        assert str(imported) == str(graph)
        assert to_model_proto(imported, opset=opset).SerializeToString() == model.SerializeToString()
    session = session_of(model)
    names = [f"output{index}" for index in range(len(graph.outputs))]
    for sizes in case.runs():
        feeds = case.feeds(sizes)
        computed, interpreted = session.run(names, feeds), run(imported, feeds).values()
        for output, again, expected in zip(computed, interpreted, evaluate(case, sizes), strict=True):
            assert output.dtype == expected.dtype
            assert_close(output, expected, case.ulps)
            assert_close(again, expected, case.ulps)


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", sorted({case.op.name for case in CASES}))
def test_operators_are_keys_and_their_text_is_stable(name: str) -> None:
    for op in (case.op for case in CASES if case.op.name == name):
        again = op.map_attributes(lambda value: value)
        assert again == op
        assert hash(again) == hash(op)
        assert str(again) == str(op)
        assert str(op).startswith(op.name)
        assert " at 0x" not in str(op)
        assert all(f"{name}=" in str(op) for name in op.attributes())


def test_every_module_of_operators_is_a_group() -> None:
    """But for modules whose operators are bases of others."""
    folder = Path(kir.ops.__file__).parent
    outside = [
        importlib.import_module(f"kir.ops.{path.stem}") for path in folder.glob("*.py") if path.stem not in GROUPS
    ]
    missing = {cls.__module__ for cls in ops_of(*outside) if not cls.__subclasses__()}
    assert not missing, f"not in GROUPS of kir/ops/__init__.py: {sorted(missing)}"


def test_every_operator_has_a_case() -> None:
    missing = set(all_ops().values()) - STRUCTURAL - {type(case.op) for case in CASES}
    lists = sorted(f"{cls.__name__} in {group_by_op()[cls].upper()}_CASES" for cls in missing)
    assert not missing, f"without a case: {lists}"


def test_every_operator_has_symbolic_and_static_cases() -> None:
    symbolic = {type(case.op) for case in CASES if case.runs() != ({},)}
    static = {type(case.op) for case in CASES if case.runs() == ({},)}
    one_sided = {cls.__name__ for cls in symbolic ^ static}
    assert not one_sided, f"with cases of one kind only: {sorted(one_sided)}"


def test_every_operator_has_an_export() -> None:
    from kir.exporters.onnx_file.ops import supported_ops

    missing = set(all_ops().values()) - supported_ops()
    assert not missing, f"without an export: {sorted(cls.__name__ for cls in missing)}"


def test_every_operator_has_an_import() -> None:
    imported = {type(case.op) for case in CASES if comes_back(case, None)}
    written_otherwise = {Attention, JoinTexts}  # at opset 23, see test_attention.py; a Loop
    missing = set(all_ops().values()) - STRUCTURAL - imported - written_otherwise
    assert not missing, f"without a case that comes back: {sorted(cls.__name__ for cls in missing)}"


def test_no_case_is_there_twice() -> None:
    texts = [repr(case) for case in CASES]
    assert len(set(texts)) == len(texts)


def test_values_of_a_case_are_the_same_at_every_call() -> None:
    for case in CASES[:: max(1, len(CASES) // 20)]:
        sizes = case.runs()[0]
        for first, second in zip(case.values(sizes), case.values(sizes), strict=True):
            assert first is second is None or np.array_equal(first, second)  # type: ignore[arg-type]


def assert_close(given: Array, expected: Array, ulps: float) -> None:
    """Equal, or for floats within `ulps` roundings (of the coarser dtype) at the largest expected value, or at 1."""
    if not type_of(expected).dtype.is_float:
        np.testing.assert_array_equal(given, expected)
        return
    wide = expected.astype(np.float64)
    finite = np.abs(wide[np.isfinite(wide)])
    rounding = max(_rounding(given), _rounding(expected))
    allowed = ulps * rounding * max(1.0, float(finite.max(initial=0)))
    np.testing.assert_allclose(given.astype(np.float64), wide, rtol=0, atol=allowed)


def _rounding(array: Array) -> float:
    return float(ml_dtypes.finfo(array.dtype).eps)  # type: ignore[no-untyped-call]
