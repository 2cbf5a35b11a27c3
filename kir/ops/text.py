"""Operators on texts: their letters, their words and their parts."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from kir.errors import ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Array, Op
from kir.ir.types import DType, TensorType, broadcast_shapes

_LOWER = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


def _require_texts(op: Op, rank: int, x: TensorType) -> None:
    if x.dtype is not DType.STRING or x.rank != rank:
        raise ShapeError(f"{op} needs texts of rank {rank}; received {x}")


@dataclass(frozen=True)
class LowerCase(Op):
    """Texts [n] with a to z in place of A to Z; all other letters stay. There is one text at least.

    ONNX: StringNormalizer with the locale "C".
    """

    def infer(self, x: TensorType) -> TensorType:
        _require_texts(self, 1, x)
        return x

    def eval(self, x: Array) -> Array:
        return _texts([text.translate(_LOWER) for text in x.tolist()])


@dataclass(frozen=True)
class SplitText(Op):
    """The parts of texts [n] between separators, [n, size]: without empty ones, and "" after the last of each text.

    `separators` holds characters, each of which ends a part; without any, every character is a part of its own. `size`
    stands for the number of parts of the text that has most. There is one text at least.

    onnxruntime: Tokenizer of the domain com.microsoft.
    """

    introduces_sizes = True

    separators: str
    size: Dim

    def infer(self, x: TensorType) -> TensorType:
        _require_texts(self, 1, x)
        return x.with_shape((*x.shape, self.size))

    def eval(self, x: Array) -> Array:
        pattern = re.compile(f"[^{re.escape(self.separators)}]+" if self.separators else "(?s:.)")
        rows = [pattern.findall(text) for text in x.tolist()]
        parts = np.full((len(rows), max(map(len, rows), default=0)), "", object)
        for place, row in enumerate(rows):
            parts[place, : len(row)] = row
        return parts


@dataclass(frozen=True)
class JoinTexts(Op):
    """The texts of each row [n, m] one after the other, [n]. ONNX: a Loop of StringConcat, since opset 20."""

    def infer(self, x: TensorType) -> TensorType:
        _require_texts(self, 2, x)
        return x.with_shape(x.shape[:1])

    def eval(self, x: Array) -> Array:
        return _texts(["".join(row) for row in x.tolist()])


@dataclass(frozen=True)
class ConcatTexts(Op):
    """Each text of `a` followed by that of `b`; both broadcast. ONNX: StringConcat since opset 20."""

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if a.dtype is not DType.STRING or b.dtype is not DType.STRING:
            raise ShapeError(f"{self} needs texts; received {a} and {b}")
        return a.with_shape(broadcast_shapes(a.shape, b.shape))

    def eval(self, a: Array, b: Array) -> Array:
        return np.asarray(np.add(a, b), object)


def _texts(items: list[str]) -> Array:
    return np.array(items, object).reshape(len(items))
