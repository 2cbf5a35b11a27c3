"""`K`: the names of old `keras.backend` and of `keras.ops`, on symbolic tensors and on arrays.

    from kir import backend as K

    Lambda(lambda x: K.l2_normalize(x - K.mean(x, axis=1, keepdims=True), axis=1))

Every function takes three kinds of tensors, and may mix them with arrays and numbers:

    a symbolic tensor inside a traced function     adds operators to the graph
    a tensor of a functional model                 is recorded as a layer
    arrays and numbers only                        is computed at once

Names, arguments and numbers are those of `keras.ops` (https://keras.io/api/ops/); dtypes follow its promotion rules
(see `kir.backend.dispatch`). Where old `keras.backend` and `keras.ops` disagree on the default of an axis (argmax,
argmin, concatenate, cumsum, repeat), it must be given.
"""

from __future__ import annotations

import difflib
import types
from typing import NoReturn

from kir.backend.arrangement import *  # noqa: F403
from kir.backend.attention import *  # noqa: F403
from kir.backend.basic import *  # noqa: F403
from kir.backend.comparison import *  # noqa: F403
from kir.backend.control import *  # noqa: F403
from kir.backend.convolution import *  # noqa: F403
from kir.backend.creation import *  # noqa: F403
from kir.backend.dispatch import operation as operation
from kir.backend.dispatch import record_calls as _record_calls
from kir.backend.elementwise import *  # noqa: F403
from kir.backend.image import *  # noqa: F403
from kir.backend.indexing import *  # noqa: F403
from kir.backend.linear import *  # noqa: F403
from kir.backend.nn import *  # noqa: F403
from kir.backend.numpy_functions import numpy_functions as _numpy_functions
from kir.backend.ordering import *  # noqa: F403
from kir.backend.pooling import *  # noqa: F403
from kir.backend.reduce import *  # noqa: F403
from kir.backend.shapes import *  # noqa: F403
from kir.backend.special import *  # noqa: F403
from kir.backend.spectral import *  # noqa: F403
from kir.backend.statistics import *  # noqa: F403
from kir.backend.unsupported import REASONS as _REASONS
from kir.config import epsilon as epsilon
from kir.config import floatx as floatx
from kir.config import image_data_format as image_data_format
from kir.config import set_epsilon as set_epsilon
from kir.config import set_floatx as set_floatx
from kir.config import set_image_data_format as set_image_data_format
from kir.errors import TraceError
from kir.ir.trace import register_functions

# What says something about a tensor, what makes one of sizes and numbers, and what calls functions is not recorded.
_NOT_RECORDED = frozenset({
    "arange", "bartlett", "blackman", "cond", "constant", "dtype", "empty", "eye", "fori_loop", "geomspace", "hamming",
    "hanning", "int_shape", "is_keras_tensor", "is_tensor", "kaiser", "linspace", "logspace", "ndim", "ones",
    "operation", "shape", "size", "tri", "variable", "while_loop", "zeros",
})  # fmt: skip
_PUBLIC = [name for name, value in globals().items() if name[0] != "_" and isinstance(value, types.FunctionType)]
_OWN = [name for name in _PUBLIC if globals()[name].__module__.startswith("kir.backend.")]
_record_calls(globals(), [name for name in _OWN if name not in _NOT_RECORDED])

_FUNCTIONS = {name: value for name, value in globals().items() if callable(value)}
NUMPY_FUNCTIONS = _numpy_functions(_FUNCTIONS)
register_functions(_FUNCTIONS, NUMPY_FUNCTIONS)


class UnknownFunctionError(TraceError, AttributeError):
    """`kir.backend` has no function of that name."""


def __getattr__(name: str) -> NoReturn:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _REASONS:
        raise UnknownFunctionError(f"K.{name} cannot be traced: {_REASONS[name]}")
    known = [known for known in globals() if not known.startswith("_")]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(close)}?" if close else "see dir(kir.backend) for what there is"
    raise UnknownFunctionError(f"kir.backend has no function {name!r}; {hint}")
