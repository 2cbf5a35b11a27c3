"""The operators, one frozen dataclass each: declaration, type rule and meaning in NumPy together."""

import inspect
from types import ModuleType

from kir.ir import structural
from kir.ir.op import Op
from kir.ops import (
    attention,
    blocks,
    control,
    convolution,
    elementwise,
    linear,
    lookup,
    nn,
    normalization,
    opaque,
    pooling,
    quantization,
    random,
    recurrent,
    reduce,
    resize,
    shape,
    sparse,
    spectral,
    text,
)
from kir.support.caching import cached

# The exporters and importers of ONNX, the tests and `kir ops` call the groups by the same names.
GROUPS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        *(attention, blocks, control, convolution, elementwise, linear, lookup, nn, normalization, opaque),
        *(pooling, quantization, random, recurrent, reduce, resize, shape, sparse, spectral, structural, text),
    )
}


def ops_of(*groups: ModuleType) -> frozenset[type[Op]]:
    """Return the operator classes that these groups define."""
    return frozenset(
        cls
        for group in groups
        for name, cls in vars(group).items()
        if isinstance(cls, type)
        and issubclass(cls, Op)
        and inspect.getmodule(cls) is group
        and not name.startswith("_")
    )


@cached
def group_by_op() -> dict[type[Op], str]:
    """Return the name of its group for each operator class."""
    return {cls: name for name, group in GROUPS.items() for cls in ops_of(group)}


def all_ops() -> dict[str, type[Op]]:
    """Return every operator class by name, in the order of the names."""
    return dict(sorted((cls.__name__, cls) for cls in group_by_op()))
