"""Operators that only onnxruntime knows, one by one in onnxruntime, so that the rest of a graph can be computed.

What it says of them is taken for true: it is both the reference and what is compared with it. The reports name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Lock

import numpy as np

from kir.exporters.onnx_file.build import OLDEST_OPSET
from kir.exporters.onnx_file.session import Session, make_session, run_session
from kir.exporters.onnx_file.write import to_model_proto
from kir.ir.dims import symbol
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.structural import Input, Output
from kir.ir.types import TensorType, as_dtype
from kir.ops.opaque import Opaque, asking

AT_ITS_WORD = "taken at onnxruntime's word: kir does not know what it computes"


def asking_onnxruntime(provider: str) -> AbstractContextManager[None]:
    """Let onnxruntime compute the operators without a meaning, as long as the context lasts."""
    return asking(_Asked(provider))


class _Asked:
    """What runs single operators in onnxruntime; it keeps a session for each operator and types of inputs."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._sessions: dict[object, Session] = {}
        self._lock = Lock()  # runs of the interpreter may lie side by side

    def __call__(self, op: Opaque, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        kinds = tuple([None if x is None else (as_dtype(x.dtype), x.ndim) for x in inputs])
        with self._lock:
            if (op, kinds) not in self._sessions:
                self._sessions[op, kinds] = _session_of(op, inputs, self._provider)
            return _run(self._sessions[op, kinds], op, inputs)


def run_in_onnxruntime(op: Opaque, inputs: Sequence[Array | None], provider: str = "cpu") -> tuple[Array, ...]:
    """Return what onnxruntime computes of one operator; something in the place of an output that is left out."""
    return _run(_session_of(op, inputs, provider), op, inputs)


def _session_of(op: Opaque, inputs: Sequence[Array | None], provider: str) -> Session:
    model = to_model_proto(_graph_of(op, inputs), opset=_opset_of(op))
    return make_session(model.SerializeToString(), provider)


def _run(session: Session, op: Opaque, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
    results = run_session(session, {f"input_{place}": x for place, x in enumerate(inputs) if x is not None})
    absent = np.zeros((), bool)
    return tuple([results.get(f"output_{place}", absent) for place in range(len(op.types))])


def _opset_of(op: Opaque) -> int | None:
    """Return the opset to write an operator in; None if any will do."""
    version = dict(op.imports).get("") if op.domain else op.version
    return None if version is None else max(version, OLDEST_OPSET)


def _graph_of(op: Opaque, inputs: Sequence[Array | None]) -> Graph:
    """Return a graph of one operator, on inputs of these element types and ranks and of any sizes."""
    graph = Graph(op.op_type)
    values = [
        None
        if x is None
        else graph.add(
            Input(
                f"input_{place}",
                TensorType(as_dtype(x.dtype), tuple(symbol(f"size_{place}_{axis}") for axis in range(x.ndim))),
            )
        ).output
        for place, x in enumerate(inputs)
    ]
    node = graph.add(op, *values)
    for place, value in enumerate(node.outputs):
        if place not in op.left_out:
            graph.add(Output(f"output_{place}"), value)
    return graph
