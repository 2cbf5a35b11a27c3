"""The names that scripts which kir wrote import beside models, layers, operators and `kir.backend`.

Such scripts live long, so these names are all that they need from inside kir, and they stay here wherever their homes
move:

>>> from kir import Input, Model
>>> from kir.ops import elementwise
>>> from kir.scripting import Traced, emit
>>> def compute_gate(x):
...     return emit(elementwise.HardSwish(), x)
>>> x = Input(shape=(4,), name="x")
>>> model = Model(x, Traced(compute_gate, name="gate")(x), name="gated")
"""

from kir.backend.dispatch import emit_source
from kir.ir.dim_parser import parse_dim
from kir.ir.dims import minimum
from kir.ir.graph import Origin
from kir.ir.trace import constant, emit
from kir.ir.types import DType, parse_type
from kir.modeling.model import load_arrays
from kir.modeling.operation import Operation, Traced

__all__ = [
    "DType",
    "Operation",
    "Origin",
    "Traced",
    "constant",
    "emit",
    "emit_source",
    "load_arrays",
    "minimum",
    "parse_dim",
    "parse_type",
]
