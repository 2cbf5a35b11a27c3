"""Fourier transforms."""

from __future__ import annotations

import numpy as np

from kir.errors import UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ops.spectral import STFT


@imports("STFT")
def stft(
    call: OperatorCall, signal: Operand, step: Operand, window: Operand | None = None, length: Operand | None = None
) -> Results:
    """Read an STFT. A real signal may do without its last axis; without a window, all of a frame counts."""
    if not call.attributes.integer("onesided", 1):
        raise UnsupportedError("kir has STFT with onesided=1 only")
    if signal.type.shape[2:] not in ((), (1,)):
        raise UnsupportedError(f"kir has STFT of real signals only; received {signal.type}")
    if window is None:
        (size,) = call.known(length, "frame_length") if length is not None else (None,)
        if size is None:
            raise UnsupportedError("kir has STFT with a window or a frame_length only")
        window = call.translator.constant(np.ones(size), signal.type.dtype)
    elif length is not None and tuple(call.known(length, "frame_length")) != window.type.shape:
        raise UnsupportedError("kir has STFT with a frame_length that is the window's only")
    (every,) = call.known(step, "frame_step")
    return call.add(STFT(every), signal, window)
