"""The writing of each operator in ONNX: one module for each group of `kir/ops`, and the tables that they fill.

What must never be added here: a rewrite that makes the graph better. That is a pass.
"""

from kir.exporters.onnx_file.ops import attention as attention
from kir.exporters.onnx_file.ops import control as control
from kir.exporters.onnx_file.ops import convolution as convolution
from kir.exporters.onnx_file.ops import elementwise as elementwise
from kir.exporters.onnx_file.ops import linear as linear
from kir.exporters.onnx_file.ops import lookup as lookup
from kir.exporters.onnx_file.ops import normalization as normalization
from kir.exporters.onnx_file.ops import opaque as opaque
from kir.exporters.onnx_file.ops import pooling as pooling
from kir.exporters.onnx_file.ops import quantization as quantization
from kir.exporters.onnx_file.ops import random as random
from kir.exporters.onnx_file.ops import recurrent as recurrent
from kir.exporters.onnx_file.ops import reduce as reduce
from kir.exporters.onnx_file.ops import resize as resize
from kir.exporters.onnx_file.ops import shape as shape
from kir.exporters.onnx_file.ops import sparse as sparse
from kir.exporters.onnx_file.ops import spectral as spectral
from kir.exporters.onnx_file.ops import text as text
from kir.exporters.onnx_file.ops.table import EXPORTERS, STRUCTURAL, emit, supported_ops

__all__ = ["EXPORTERS", "STRUCTURAL", "emit", "supported_ops"]
