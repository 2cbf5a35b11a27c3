"""The reading of each ONNX operator: the mirror of `kir.exporters.onnx_file.ops`, with one module for each group.

What must never be added here: a rewrite that makes the graph better. That is a pass.
"""

from kir.importers.onnx_file.ops import attention as attention
from kir.importers.onnx_file.ops import blocks as blocks
from kir.importers.onnx_file.ops import control as control
from kir.importers.onnx_file.ops import convolution as convolution
from kir.importers.onnx_file.ops import elementwise as elementwise
from kir.importers.onnx_file.ops import folding as folding
from kir.importers.onnx_file.ops import linear as linear
from kir.importers.onnx_file.ops import lookup as lookup
from kir.importers.onnx_file.ops import nn as nn
from kir.importers.onnx_file.ops import normalization as normalization
from kir.importers.onnx_file.ops import pooling as pooling
from kir.importers.onnx_file.ops import quantization as quantization
from kir.importers.onnx_file.ops import random as random
from kir.importers.onnx_file.ops import recurrent as recurrent
from kir.importers.onnx_file.ops import reduce as reduce
from kir.importers.onnx_file.ops import resize as resize
from kir.importers.onnx_file.ops import shape as shape
from kir.importers.onnx_file.ops import spectral as spectral
from kir.importers.onnx_file.ops import text as text
from kir.importers.onnx_file.ops.folding import FOLDED, fold_constants, fold_sizes
from kir.importers.onnx_file.ops.table import IMPORTERS, check_inputs, translate

__all__ = ["FOLDED", "IMPORTERS", "check_inputs", "fold_constants", "fold_sizes", "translate"]
