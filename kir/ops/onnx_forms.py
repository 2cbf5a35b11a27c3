"""The names of operators, their attributes and their modes in ONNX, for the exporter and for the importer.

`SAME` lists the operators whose ONNX operator means the same, with the same inputs and attributes. An equal class name
alone never means equal semantics: each was compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kir.ir.op import Op
from kir.ir.types import DType
from kir.ops import all_ops
from kir.ops.elementwise import BitwiseXor, HardSwish, Maximum, Minimum, Mish, Relu
from kir.ops.resize import CUBIC_COEFFICIENT
from kir.ops.shape import Transpose


@dataclass(frozen=True)
class Same:
    """An ONNX operator that means the same. `renamed` maps fields to ONNX attributes of another name."""

    name: str
    since: int = 13
    renamed: Mapping[str, str] = field(default_factory=dict)


# The names of operators that are called so in ONNX, too.
_ONE_NAME = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Ceil Concat Cos Cosh DepthToSpace Div Elu Equal Erf Exp Floor
Gather GatherElements GatherND Greater GreaterOrEqual HardSigmoid IsInf IsNaN LeakyRelu Less LessOrEqual Log LogSoftmax
Mod Mul Neg Not Or PRelu Pow Reciprocal Round ScatterND Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign
SpaceToDepth Sqrt Sub Tan Tanh ThresholdedRelu Where Xor
"""
_OPS = all_ops()
SAME: dict[type[Op], Same] = {_OPS[name]: Same(name) for name in _ONE_NAME.split()} | {
    BitwiseXor: Same("BitwiseXor", since=18),
    HardSwish: Same("HardSwish", since=14),
    Maximum: Same("Max"),
    Minimum: Same("Min"),
    Mish: Same("Mish", since=18),
    Relu: Same("Relu", since=14),
    Transpose: Same("Transpose", renamed={"permutation": "perm"}),
}

# What ONNX, its schemas and onnxruntime call the element types: "float" for float32.
TYPE_NAMES = {dtype: dtype.keras_name.replace("_", "") for dtype in DType} | {
    DType.FLOAT32: "float",
    DType.FLOAT64: "double",
    DType.FLOAT8_E8M0FNU: "float8e8m0",
    DType.FLOAT4_E2M1FN: "float4e2m1",
}
DTYPES = {name: dtype for dtype, name in TYPE_NAMES.items()}

# The attributes of ONNX's Resize that say what kir's modes do.
RESIZE_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "nearest": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "linear": {"coordinate_transformation_mode": "half_pixel"},
    "cubic": {
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": CUBIC_COEFFICIENT,
        "exclude_outside": 1,
    },
}

# Which of alpha and beta an activation of a recurrent operator takes; ONNX lists only those taken, in order.
TAKES_ALPHA = frozenset({"Affine", "Elu", "HardSigmoid", "LeakyRelu", "ScaledTanh", "ThresholdedRelu"})
TAKES_BETA = frozenset({"Affine", "HardSigmoid", "ScaledTanh"})
