"""The operators, one frozen dataclass each: declaration, type rule and meaning in NumPy together."""

from kir.ir import structural as structural
from kir.ir.op import Op
from kir.ops import attention as attention
from kir.ops import convolution as convolution
from kir.ops import elementwise as elementwise
from kir.ops import linear as linear
from kir.ops import lookup as lookup
from kir.ops import nn as nn
from kir.ops import normalization as normalization
from kir.ops import opaque as opaque
from kir.ops import pooling as pooling
from kir.ops import random as random
from kir.ops import recurrent as recurrent
from kir.ops import reduce as reduce
from kir.ops import resize as resize
from kir.ops import shape as shape
from kir.ops import sparse as sparse
from kir.ops import spectral as spectral

_GROUPS = (
    *(attention, convolution, elementwise, linear, lookup, nn, normalization, opaque, pooling, random, recurrent),
    *(reduce, resize, shape, sparse, spectral, structural),
)


def all_ops() -> dict[str, type[Op]]:
    """Return every operator class by name, in the order of the names."""
    found = {
        name: cls
        for group in _GROUPS
        for name, cls in vars(group).items()
        if isinstance(cls, type) and issubclass(cls, Op) and cls is not Op and not name.startswith("_")
    }
    return dict(sorted(found.items()))
