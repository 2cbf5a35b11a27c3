"""kir as a backend of ONNX: imported graphs, run by the interpreter.

`prepare(model).run(inputs)` is the interface that ONNX's own suite of tests drives; see `onnx.backend.base`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.backend.base import Backend, BackendRep

from kir.errors import InvalidArgumentError, UnsupportedError
from kir.importers.onnx_file.build import import_graph
from kir.ir.graph import Graph
from kir.ir.interpreter import Plan
from kir.ir.op import Array
from kir.ir.structural import Input
from kir.ir.types import CarriedType
from kir.ops.opaque import Opaque


class KirModel(BackendRep):
    """A model that is ready to run."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._plan = Plan(graph)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """Return the outputs, in order, of inputs in the order of the model.

        Raises:
            InvalidArgumentError: there are more inputs than the model has.
            ShapeError: an input does not fit.
        """
        arrays: Sequence[Any] = inputs if isinstance(inputs, list | tuple) else [inputs]
        names = list(self._plan.inputs)
        if len(arrays) > len(names):
            raise InvalidArgumentError(f"received {len(arrays)} inputs; the model has {', '.join(names) or 'none'}")
        return tuple(self._plan.run(dict(zip(names, map(np.asarray, arrays), strict=False))).values())


class KirBackend(Backend):
    """ONNX's interface to whatever runs its models."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> KirModel:
        """Return the model, imported.

        Raises:
            UnsupportedError: kir does not know what some of its nodes compute.
            FormatError: the model is not valid.
            InvalidArgumentError: the device is not the CPU.
        """
        if not cls.supports_device(device):
            raise InvalidArgumentError(f"received device={device!r}; kir's interpreter runs on the CPU")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is carried through, which is refused unless it has a meaning
            graph = import_graph(model)
        unknown = {node.op.full_name for node in graph.order() if isinstance(node.op, Opaque) and not node.op.meaning}
        others = [n.op.label for n in graph.inputs if isinstance(n.op, Input) and isinstance(n.op.type, CarriedType)]
        if others:
            raise UnsupportedError(f"the input {others[0]!r} is no tensor, and kir's interpreter takes tensors only")
        if unknown:
            raise UnsupportedError(f"kir does not know what {', '.join(sorted(unknown))} computes")
        return KirModel(graph)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"
