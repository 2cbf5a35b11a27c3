"""The table of cases: every operator, on inputs of static and of symbolic shape.

Rows are in `cases_<group>.py`, one list `<GROUP>_CASES` each; `all_cases()` finds them all. What is tested of every
row is in test_cases.py.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kir.ir.dims import Sym, substitute, symbol
from kir.ir.graph import Graph, Value
from kir.ir.op import Op
from kir.ir.structural import Input, Output, constant
from kir.ir.types import DType, TensorType, type_of

Array = np.ndarray[Any, Any]
Sizes = Mapping[str, int]

# A size of 1 is where broadcasting and squeezing go wrong; sizes that differ tell the axes apart.
DEFAULT_SAMPLES: tuple[Sizes, ...] = ({"batch": 1, "length": 1, "n": 1}, {"batch": 3, "length": 4, "n": 5})


# Texts of two words.
TEXTS = ("a B", "\u00e9, \u00c9.", " z  -9")


@dataclass(frozen=True)
class Case:
    """One operator on inputs.

    Args:
        op: the operator.
        inputs: for each input a type, whose values are drawn; or an array, used as it is and a Constant in the graph;
            or None for an optional input that is absent.
        low, high: the range that numbers are drawn from; for integers both ends count.
        ulps: the error allowed to onnxruntime, in units of the output dtype's rounding at the largest output, or at 1.
            Integers and booleans must be equal.
        samples: what the symbolic sizes are bound to, one run for each.
        since: the first opset that can say it; below, the exporter must refuse.
    """

    op: Op
    inputs: tuple[TensorType | Array | None, ...]
    low: float = -2
    high: float = 2
    ulps: float = 8
    samples: tuple[Sizes, ...] = DEFAULT_SAMPLES
    since: int = 13

    def __str__(self) -> str:
        shown = ", ".join("None" if given is None else str(_type_of(given)) for given in self.inputs)
        return f"{self.op}({shown})"

    def types(self) -> list[TensorType | None]:
        """Return the type of each input, with symbolic sizes."""
        return [None if given is None else _type_of(given) for given in self.inputs]

    def runs(self) -> tuple[Sizes, ...]:
        """Return the samples, or one run without sizes if nothing is symbolic."""
        symbols = self.op.symbols().union(
            *(dim.names() for type in self.types() if type for dim in type.shape if isinstance(dim, Sym))
        )
        return self.samples if symbols else ({},)

    def loose_symbols(self) -> list[str]:
        """The operator's symbols that are no axis of an input: `graph()` has an unread input for each of them."""
        axes = {dim for given in self.inputs if isinstance(given, TensorType) for dim in given.shape}
        return sorted(name for name in self.op.symbols() if symbol(name) not in axes)

    def values(self, sizes: Sizes) -> list[Array | None]:
        """Return an array for each input; the same at every call."""
        random = np.random.default_rng(zlib.crc32(str(self).encode()))
        return [
            self._draw(bind_type(given, sizes), random) if isinstance(given, TensorType) else given
            for given in self.inputs
        ]

    def graph(self) -> Graph:
        """Return the operator alone in a graph: inputs input0, input1 …, outputs output0 …"""
        graph = Graph("case")
        values: list[Value | None] = []
        for index, given in enumerate(self.inputs):
            if given is None:
                values.append(None)
            else:
                source = Input(f"input{index}", given) if isinstance(given, TensorType) else constant(given)
                values.append(graph.add(source).output)
        for name in self.loose_symbols():
            graph.add(Input(f"size_{name}", TensorType(DType.BOOL, (symbol(name),))))
        for index, output in enumerate(graph.add(self.op, *values).outputs):
            graph.add(Output(f"output{index}"), output)
        return graph

    def feeds(self, sizes: Sizes) -> dict[str, Array]:
        """What `graph()` is run on, by input name."""
        sources = {f"size_{name}": np.zeros(sizes[name], bool) for name in self.loose_symbols()}
        return sources | {
            f"input{index}": value
            for index, (given, value) in enumerate(zip(self.inputs, self.values(sizes), strict=True))
            if isinstance(given, TensorType) and value is not None
        }

    def _draw(self, type: TensorType, random: np.random.Generator) -> Array:
        shape: Any = type.shape
        if type.dtype is DType.STRING:
            drawn: Any = random.choice(np.asarray(TEXTS, object), shape)
        elif type.dtype is DType.BOOL:
            drawn = random.random(shape) < 0.5
        elif type.dtype.is_integer:
            drawn = random.integers(int(self.low), int(self.high), shape, endpoint=True)
        else:
            drawn = random.uniform(self.low, self.high, shape)
        return np.asarray(drawn, type.dtype.numpy)


def bind_type(type: TensorType, sizes: Sizes) -> TensorType:
    """Return the type with symbolic sizes replaced."""
    return type.with_shape(substitute(dim, sizes) for dim in type.shape)


def all_cases() -> list[Case]:
    """Return the rows of every `cases_<group>.py`."""
    found: list[Case] = []
    for path in sorted(Path(__file__).parent.glob("cases_*.py")):
        group = importlib.import_module(f"tests.ops.{path.stem}")
        found += getattr(group, f"{path.stem.removeprefix('cases_').upper()}_CASES")
    return found


def _type_of(given: TensorType | Array) -> TensorType:
    return given if isinstance(given, TensorType) else type_of(given)
