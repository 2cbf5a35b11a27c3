"""Fourier transforms."""

from __future__ import annotations

from kir.errors import UnsupportedError
from kir.exporters.onnx_file.emitter import Emitter, FileTensor
from kir.exporters.onnx_file.ops.table import Names, exports
from kir.ops.spectral import STFT


@exports(STFT)
def stft(emitter: Emitter, op: STFT, x: FileTensor, window: FileTensor) -> Names:
    if emitter.opset < 17:
        raise UnsupportedError(f"a Fourier transform needs opset 17 or newer; received opset {emitter.opset}")
    # onnx's shape inference takes an absent attribute for its opposite.
    return emitter.node("STFT", [x.name, emitter.constant(op.step, "step"), window.name], onesided=1)
