"""Meanings against onnxruntime, within what a verification allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kir.exporters.onnx_file.verify.asked import run_in_onnxruntime
from kir.ir.graph import Graph
from kir.ir.structural import Input
from kir.ir.types import TensorType, as_dtype, type_of
from kir.numerics.compare import compare
from kir.numerics.local_bounds import expect_results
from kir.ops.opaque import Opaque, Setting

Array = np.ndarray[Any, Any]


def check(
    op_type: str,
    *inputs: Array | None,
    dtypes: str = "",
    domain: str = "",
    version: int = 21,
    left_out: tuple[int, ...] = (),
    **settings: Setting,
) -> tuple[Array, ...]:
    """Compare what an operator means with what onnxruntime computes; return that.

    Args:
        op_type: its name.
        inputs: what it is run on.
        dtypes: of the outputs, as printed, with blanks between; by default that of the first input.
        domain: of the operator.
        version: of the domain.
        left_out: places of outputs that are not asked for.
        settings: its attributes.
    """
    inputs = tuple(None if x is None else np.asarray(x) for x in inputs)
    types = tuple(TensorType(as_dtype(name), ()) for name in dtypes.split() or [str(type_of(_first(inputs)).dtype)])
    op = Opaque(domain, op_type, version, tuple(sorted(settings.items())), types, left_out)
    assert op.meaning is not None
    results = op.eval(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    op = replace(op, types=tuple(map(type_of, results)))
    assert [type.dtype for type in op.types] == [type.dtype for type in types]
    graph = Graph()
    values = [None if x is None else graph.add(Input(f"x{i}", type_of(x))).output for i, x in enumerate(inputs)]
    node = graph.add(op, *values)
    actual = run_in_onnxruntime(op, inputs)
    for place, (expected, y) in enumerate(zip(expect_results(node, op, inputs), actual, strict=True)):
        if place not in left_out:
            report = compare(f"{op_type} {place}", expected, y)
            assert report.passed, f"{report}: {y} is not {results[place]}"
    return actual


def _first(inputs: tuple[Array | None, ...]) -> Array:
    return next(x for x in inputs if x is not None)


def floats(*shape: int, seed: int = 0, dtype: str = "float32") -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def integers(*given: int) -> Array:
    return np.array(given, np.int64)
