"""The user's own arrays as probes of a graph.

They may be larger than memory: they are mapped from disk, and cut along the batch into pieces that run one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kir.errors import InvalidArgumentError, LimitError, ShapeError
from kir.ir.dims import Dim, Sym, bind_dim
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.ir.structural import TRAINING_INPUT, Input
from kir.ir.types import DType
from kir.numerics.cost import describe, run_cost
from kir.numerics.probes import Probe
from kir.numerics.rounding_sizes import is_float_array
from kir.support.text import counted

# What one piece may take in float64. Most models run many rows in it, and every machine has it.
PIECE_BYTES = 256 << 20


@dataclass(frozen=True)
class NamedArrays:
    """Arrays by name; `label` says in messages where they are from, such as "inputs.npz"."""

    label: str
    arrays: Mapping[str, Array]

    def given_for(self, names: Sequence[str], optional: Sequence[str], wanted: str) -> dict[str, Array]:
        """Return the arrays by the names of inputs or outputs; `arr_0`, `arr_1`, … are those in their order.

        Args:
            names: of all there are.
            optional: of those that may be missing.
            wanted: what these are, for messages: a listing.

        Raises:
            InvalidArgumentError: one is missing or unknown.
        """
        arrays = self.arrays
        if not set(arrays) <= set(names) and list(arrays) == [f"arr_{index}" for index in range(len(arrays))]:
            if len(arrays) > len(names):
                raise InvalidArgumentError(f"{self.label} holds {len(arrays)} arrays; expected {wanted}")
            arrays = dict(zip(names, arrays.values(), strict=False))
        unknown = [name for name in arrays if name not in names]
        missing = [name for name in names if name not in arrays and name not in optional]
        if unknown or missing:
            problem = (
                f"has nothing for {', '.join(missing)}" if missing else f"has {', '.join(unknown)}, which is unknown"
            )
            raise InvalidArgumentError(f"{self.label} {problem}; expected {wanted}")
        return dict(arrays)


@dataclass(frozen=True)
class UserData:
    """The arrays that a user gives as inputs, and what is expected of the outputs for them, if that is given."""

    inputs: NamedArrays
    expected: NamedArrays | None = None

    def probes(self, graph: Graph, seed: int = 0) -> list[DataProbe]:
        """Return the probes that feed all rows to a graph.

        Raises:
            InvalidArgumentError: names or dtypes do not fit, or numbers would change in the input's dtype.
            ShapeError: a shape does not fit.
            LimitError: one row takes too much memory.
        """
        feeding = _Feeding(self.inputs, graph)
        return [
            DataProbe(
                graph,
                sizes,
                run_cost(graph, sizes),
                (seed,),
                purpose=f"rows {start} to {start + rows - 1} of {self.inputs.label}",
                feeding=feeding,
                start=start,
                rows=rows,
            )
            for start, rows, sizes in feeding.pieces()
        ]


@dataclass(frozen=True)
class DataProbe(Probe):
    """Some rows of the user's arrays: `rows` many from `start` on."""

    feeding: _Feeding = field(kw_only=True)
    start: int = field(kw_only=True)
    rows: int = field(kw_only=True)

    def feeds(self) -> dict[str, Array]:
        return self.feeding.feeds(self.start, self.rows)


class _Feeding:
    """The user's arrays, as the inputs of a graph."""

    def __init__(self, given: NamedArrays, graph: Graph) -> None:
        self._label, self._graph = given.label, graph
        inputs = {node.op.label: node.op for node in graph.inputs if isinstance(node.op, Input)}
        self._types = {name: op.type for name, op in inputs.items()}
        optional = [name for name, op in inputs.items() if op.default is not None or name == TRAINING_INPUT]
        listed = ", ".join(f"{name}: {type}" for name, type in self._types.items()) or "no inputs"
        self._wanted = f"an array for each input: {listed}"
        self._arrays = given.given_for(list(inputs), optional, self._wanted)
        for name, array in self._arrays.items():
            self._check_rank(name, array)
        self.conversions = tuple(
            f"{name}: {array.dtype} converted to {self._types[name].dtype.keras_name}"
            for name, array in self._arrays.items()
            if as_kind(array.dtype) is not self._types[name].dtype
        )
        self.batch = self._common_batch()
        self.rows = next((len(self._arrays[name]) for name in self._arrays), 0) if self.batch is not None else 1

    def pieces(self) -> Iterator[tuple[int, int, dict[str, int]]]:
        """Yield the first row of each piece, how many rows it has, and the sizes with which it runs."""
        if self.batch is None:
            sizes = self._sizes(self._arrays)
            self._require_bounded(sizes)
            yield 0, self.rows, sizes
            return
        step = self._rows_of_a_piece(self.batch)
        for start in range(0, self.rows, step):
            rows = min(step, self.rows - start)
            yield start, rows, self._sizes(self._cut(start, rows))

    def feeds(self, start: int, rows: int) -> dict[str, Array]:
        """Return the inputs of some rows, in the dtypes of the graph."""
        feeds = {
            name: convert(array, self._types[name].dtype, f"{self._label}: {name!r}", start)
            for name, array in self._cut(start, rows).items()
        }
        if TRAINING_INPUT in self._types:
            feeds.setdefault(TRAINING_INPUT, np.array(False))
        return feeds

    def _cut(self, start: int, rows: int) -> dict[str, Array]:
        if self.batch is None:
            return self._arrays
        return {name: array[start : start + rows] for name, array in self._arrays.items()}

    def _common_batch(self) -> Dim | None:
        """Return the size that is the first of all inputs and nowhere else, along which arrays are cut; None if not."""
        shapes = [self._types[name].shape for name in self._arrays]
        if not shapes or not all(shapes) or len({shape[0] for shape in shapes}) != 1:
            return None
        batch = shapes[0][0]
        if isinstance(batch, Sym) and (batch.name is None or any(batch in shape[1:] for shape in shapes)):
            return None
        return batch if len({len(array) for array in self._arrays.values()}) == 1 else None

    def _rows_of_a_piece(self, batch: Dim) -> int:
        if isinstance(batch, int):
            if self.rows % max(batch, 1) or not self.rows:
                raise ShapeError(
                    f"{self._label} has {counted(self.rows, 'row')}, and the model's batch is fixed to {batch}; give a "
                    f"multiple of it"
                )
            self._require_bounded(self._sizes(self._cut(0, batch)))
            return batch
        if not self.rows:
            raise ShapeError(f"{self._label} has no rows; expected at least one")
        whole = run_cost(self._graph, self._sizes(self._arrays))
        if whole.bytes <= PIECE_BYTES:
            return self.rows
        one = self._require_bounded(self._sizes(self._cut(0, 1)))
        return max(1, min(self.rows, PIECE_BYTES // max(one, 1)))

    def _require_bounded(self, sizes: Mapping[str, int]) -> int:
        cost = run_cost(self._graph, sizes)
        if not cost.is_bounded:
            raise LimitError(describe(cost, sizes))
        return cost.bytes

    def _sizes(self, arrays: Mapping[str, Array]) -> dict[str, int]:
        """Return the values of all symbolic sizes that the shapes of arrays tell."""
        sizes: dict[str, int] = {}
        for _ in range(2):  # a computed size may stand before the names in it
            for name, array in arrays.items():
                for dim, size in zip(self._types[name].shape, array.shape, strict=True):
                    try:
                        bind_dim(dim, size, sizes)
                    except ShapeError as error:
                        raise self._misfit(name, array, str(error)) from None
        return sizes

    def _check_rank(self, name: str, array: Array) -> None:
        type = self._types[name]
        if array.ndim == type.rank:
            return
        lacks_batch = array.ndim == type.rank - 1 and _fits(type.shape[1:], array.shape)
        raise self._misfit(name, array, "it has no axis for the batch: give array[None]" if lacks_batch else "")

    def _misfit(self, name: str, array: Array, reason: str) -> ShapeError:
        why = f": {reason}" if reason else ""
        return ShapeError(
            f"{self._label}: {name!r} is {shown_type(array)}, which does not fit "
            f"{self._types[name]}{why}; expected {self._wanted}"
        )


def _fits(shape: Sequence[Dim], sizes: Sequence[int]) -> bool:
    return all(isinstance(dim, Sym) or dim == size for dim, size in zip(shape, sizes, strict=True))


def shown_type(array: Array) -> str:
    """Return "float32[64, 2]"."""
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def as_kind(dtype: np.dtype[Any]) -> DType | None:
    """Return the element type of arrays of a dtype; None if no tensor has such elements."""
    if dtype.kind in "USO":
        return DType.STRING
    return next((one for one in DType if one.numpy == dtype.newbyteorder("=")), None)


def convert(array: Array, dtype: DType, where: str, first_row: int = 0) -> Array:
    """Return an array in a dtype. Floats are rounded, as Keras does with inputs; nothing else may change.

    Args:
        array: what to convert.
        dtype: the wanted one.
        where: what the array is called in messages.
        first_row: the number of its first row in messages.

    Raises:
        InvalidArgumentError: a number would change, or overflow; or only one of the two is of strings.
    """
    array = np.asarray(array)
    kind = as_kind(array.dtype)
    if kind is None or (kind is DType.STRING) != (dtype is DType.STRING):
        raise InvalidArgumentError(f"{where} is {array.dtype}; expected {dtype.keras_name}")
    if kind is DType.STRING:
        texts = [text.decode() if isinstance(text, bytes) else text for text in array.ravel().tolist()]
        return np.asarray(texts, object).reshape(array.shape)
    with np.errstate(all="ignore"):
        converted = array.astype(dtype.numpy)
        wide = array.astype(np.float64) if is_float_array(array) else array
        changed = converted.astype(wide.dtype) != wide
    if kind.is_float and dtype.is_float:
        changed = np.isinf(converted) & np.isfinite(wide)
    if changed.any():
        place = tuple(int(index[0]) for index in np.nonzero(np.atleast_1d(changed)))
        number = np.atleast_1d(array)[place]
        shown = ", ".join(map(str, (place[0] + first_row, *place[1:])))
        raise InvalidArgumentError(
            f"{where} is {array.dtype}, and {number} at [{shown}] is no {dtype.keras_name}; give {dtype.keras_name}"
        )
    return converted
