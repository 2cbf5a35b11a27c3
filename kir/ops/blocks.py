"""Blocks of neighbouring elements as channels, and back."""

from __future__ import annotations

from dataclasses import dataclass

from kir.errors import ShapeError
from kir.ir.dims import Dim, divide_exactly, product
from kir.ir.op import Array, Op
from kir.ir.types import TensorType

BLOCK_MODES = ("DCR", "CRD")


@dataclass(frozen=True)
class DepthToSpace(Op):
    """Channels of x[N, C, H, W] as blocks of `blocksize` by `blocksize` elements.

    | mode | channel ``c`` of row ``i`` and column ``j`` of a block is channel  |
    |------|------------------------------------------------------------------|
    | DCR  | ``(i * blocksize + j) * C / blocksize² + c``                     |
    | CRD  | ``c * blocksize² + i * blocksize + j``                           |

    ONNX: DepthToSpace since opset 13. Keras: `ops.nn.depth_to_space` (DCR).
    """

    blocksize: int
    mode: str = "DCR"

    def infer(self, x: TensorType) -> TensorType:
        if self.mode not in BLOCK_MODES:
            raise ShapeError(f"DepthToSpace received mode={self.mode!r}; expected one of {', '.join(BLOCK_MODES)}")
        _require_blocks(self, self.blocksize, x)
        batch, _, height, width = x.shape
        size = self.blocksize
        return x.with_shape((batch, _divided(self, x, 1, size * size), height * size, width * size))

    def eval(self, x: Array) -> Array:
        batch, channels, height, width = x.shape
        size = self.blocksize
        depth = channels // size**2
        if self.mode == "DCR":
            blocks = x.reshape(batch, size, size, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
        else:
            blocks = x.reshape(batch, depth, size, size, height, width).transpose(0, 1, 4, 2, 5, 3)
        return blocks.reshape(batch, depth, height * size, width * size)


@dataclass(frozen=True)
class SpaceToDepth(Op):
    """Blocks of `blocksize` by `blocksize` elements of x[N, C, H, W] as channels; undoes `DepthToSpace` of mode DCR.

    ONNX: SpaceToDepth since opset 13. Keras: `ops.nn.space_to_depth`.
    """

    blocksize: int

    def infer(self, x: TensorType) -> TensorType:
        _require_blocks(self, self.blocksize, x)
        size = self.blocksize
        sides = _divided(self, x, 2, size), _divided(self, x, 3, size)
        return x.with_shape((x.shape[0], product((x.shape[1], size, size)), *sides))

    def eval(self, x: Array) -> Array:
        batch, channels, height, width = x.shape
        size = self.blocksize
        blocks = x.reshape(batch, channels, height // size, size, width // size, size).transpose(0, 3, 5, 1, 2, 4)
        return blocks.reshape(batch, channels * size**2, height // size, width // size)


def _require_blocks(op: Op, size: int, x: TensorType) -> None:
    if x.rank != 4 or size < 1:
        raise ShapeError(f"{op} received {x}; expected x[N, C, H, W] and a size of blocks of 1 or more")


def _divided(op: Op, x: TensorType, axis: int, size: int) -> Dim:
    quotient = divide_exactly(x.shape[axis], size)
    if quotient is None:
        raise ShapeError(f"{op} received {x}; expected axis {axis} to be a multiple of {size}")
    return quotient
