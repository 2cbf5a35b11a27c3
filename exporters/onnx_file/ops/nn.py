"""Operators of neural networks."""

from __future__ import annotations

from kir.exporters.onnx_file.ops.table import SAME, Same
from kir.ops.nn import LogSoftmax, Softmax

SAME.update(
    {
        LogSoftmax: Same("LogSoftmax"),
        Softmax: Same("Softmax"),
    }
)
