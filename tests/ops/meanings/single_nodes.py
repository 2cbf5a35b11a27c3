"""Meanings against onnxruntime: one node, run by both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from kir.importers.onnx_file.opaque import read_opaque
from kir.ir.graph import Graph
from kir.ir.structural import Input
from kir.ir.types import TensorType, as_dtype, parse_type, type_of
from kir.numerics.compare import compare
from kir.numerics.local_bounds import expect_results
from kir.ops.opaque import Opaque

ML = "ai.onnx.ml"
MICROSOFT = "com.microsoft"
VERSIONS = {"": 23, ML: 4, MICROSOFT: 1}

Array = np.ndarray[Any, Any]


class Numbers:
    """Random arrays, the same ones in every run."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> Array:
        return self.generator.normal(size=shape).astype(np.float32)

    def integers(self, end: int, *shape: int, dtype: type = np.int64) -> Array:
        return self.generator.integers(0, end, shape).astype(dtype)


def texts(*items: str) -> Array:
    return np.array(items, object)


def check(op_type: str, *inputs: Any, **how: Any) -> None:
    """Compare an operator's meaning, in its own precision and in float64, with onnxruntime.

    Args:
        op_type: the operator.
        inputs: its inputs; None is one that is absent.
        how: its attributes, but those that are None; `domain` and `version`; of how many `outputs`; `constants`, the
            places of the inputs that are initializers, as some operators want them; and `rtol`, how far floats may be
            off.
    """
    domain, constants, rtol = how.pop("domain", ""), how.pop("constants", ()), how.pop("rtol", 2e-5)
    opset, outputs = how.pop("version", VERSIONS[domain]), how.pop("outputs", 1)
    arrays = [None if given is None else _as_array(given) for given in inputs]
    names = [f"x{place}" if array is not None else "" for place, array in enumerate(arrays)]
    given = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    fixed = {names[place]: given[names[place]] for place in constants}
    node = helper.make_node(op_type, names, [f"y{i}" for i in range(outputs)], domain=domain, **how)
    graph = helper.make_graph(
        [node],
        "one node",
        [helper.make_tensor_value_info(name, _code(x), x.shape) for name, x in given.items() if name not in fixed],
        [ValueInfoProto(name=name) for name in node.output],
        [numpy_helper.from_array(array, name) for name, array in fixed.items()],
    )
    opsets = [helper.make_opsetid(domain, opset)] + ([helper.make_opsetid("", 17)] if domain else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = list(map(np.asarray, session.run(None, {name: x for name, x in given.items() if name not in fixed})))
    types = tuple(TensorType(as_dtype(y.dtype), y.shape) for y in wanted)
    op = read_opaque(node, {domain: opset}, types, None)
    assert op.meaning is not None, f"{op_type} has no meaning with the attributes {dict(op.settings)}"
    wide = [x if x is None or x.dtype.kind != "f" else x.astype(np.float64) for x in arrays]
    _compare(op, arrays, wanted, rtol)
    _verify(op, arrays, wanted)
    _compare(op.widen(), wide, [y.astype(np.float64) if y.dtype.kind == "f" else y for y in wanted], rtol)


def has_meaning(op_type: str, types: str = "f32[3]", **how: Any) -> bool:
    """Return whether an operator with these attributes, and outputs of these types, has a meaning."""
    domain, version = how.pop("domain", ""), how.pop("version", 23)
    parsed = tuple(map(parse_type, types.split("; ")))
    node = helper.make_node(op_type, [], [f"y{place}" for place in range(len(parsed))], **how)
    op = read_opaque(node, {"": version}, parsed, None)
    return replace(op, domain=domain).meaning is not None


def _compare(op: Opaque, inputs: Sequence[Array | None], wanted: Sequence[Array], rtol: float) -> None:
    found = op.eval(*inputs)
    for given, expected in zip(found if isinstance(found, tuple) else (found,), wanted, strict=True):
        assert (given.dtype, given.shape) == (expected.dtype, expected.shape)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(given, expected, rtol, atol=rtol / 10)
        else:
            assert given.tolist() == expected.tolist()


def _verify(op: Opaque, inputs: Sequence[Array | None], wanted: Sequence[Array]) -> None:
    """Compare as a verification does, which allows what rounding explains."""
    graph = Graph()
    values = [None if x is None else graph.add(Input(f"x{i}", type_of(x))).output for i, x in enumerate(inputs)]
    node = graph.add(op, *values)
    for place, (expected, y) in enumerate(zip(expect_results(node, op, inputs), wanted, strict=True)):
        report = compare(f"{op.op_type} {place}", expected, y)
        assert report.passed, f"{report}: {y} of {inputs}"


def _as_array(given: Any) -> Array:
    array = np.asarray(given)
    return array.astype(object) if array.dtype.kind in "USO" else array


def _code(array: Array) -> int:
    return TensorProto.STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)
