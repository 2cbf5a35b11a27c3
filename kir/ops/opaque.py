"""An operator of a file that kir does not know, carried through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

from kir.errors import UnsupportedError
from kir.ir.dims import Dim, Sym, substitute
from kir.ir.op import Op, Types
from kir.ir.types import DType, TensorType

# The domains of values that no file can hold: what only training computes, and what is drawn at every run.
TRAINING_DOMAIN = "kir.modeling.training"
RANDOM_DOMAIN = "kir.modeling.random"

DRAWN_AT_RANDOM = (
    "it draws other numbers at every run, so that no file could be proved to compute the same; export the layers "
    "before it (--outputs LAYER), a part of the model (kir export model.py:encoder), or leave it out where the model "
    "is not trained"
)
# Why an output cannot depend on a value of a domain.
REASONS = {
    TRAINING_DOMAIN: "it computes nothing here, and an output depends on it: kir exports models and does not train "
    "them; leave off what only training needs (--outputs LAYER)",
    RANDOM_DOMAIN: DRAWN_AT_RANDOM,
}


@dataclass(frozen=True)
class Opaque(Op):
    """An ONNX operator that kir does not know, and writes again as it was read.

    `domain`, `op_type` and `version` (of the domain) name the operator; `encoded` holds the rest of the node, as
    protobuf in base64; `types` are those of its outputs. Only a graph that was read with ``keep_unknown=True`` has one.

    Its subgraphs, if it has any, may read values from outside: the last `captured` inputs, which they call outer_0,
    outer_1, …. `imports` are the domains of the operators in them, with their versions.
    """

    domain: str
    op_type: str
    version: int
    encoded: str
    types: tuple[TensorType, ...]
    captured: int = 0
    imports: tuple[tuple[str, int], ...] = ()

    deterministic = False  # nobody knows, so it is neither merged nor folded

    @property
    def reason_against(self) -> str | None:
        """Why no output may depend on this, if it is an operator of `for_training` or `drawn_at_random`."""
        return REASONS.get(self.domain)

    def infer(self, *values: TensorType | None) -> Types:
        return self.types if len(self.types) != 1 else self.types[0]

    def eval(self, *values: Any) -> NoReturn:
        if self.reason_against is not None:
            raise UnsupportedError(f"{self.op_type}: {self.reason_against}")
        raise UnsupportedError(
            f"kir does not know what {self.domain or 'ai.onnx'}.{self.op_type} computes; only a runtime does"
        )

    def bind(self, sizes: Mapping[str, Dim]) -> Self:
        shapes = [tuple(substitute(dim, sizes) for dim in type.shape) for type in self.types]
        types = tuple(type.with_shape(shape) for type, shape in zip(self.types, shapes, strict=True))
        return replace(self, types=types)

    def symbols(self) -> frozenset[str]:
        dims = (dim for type in self.types for dim in type.shape)
        return frozenset[str]().union(*(dim.names() for dim in dims if isinstance(dim, Sym)))


def for_training(name: str) -> Opaque:
    """Return what a loss or a metric of Keras gives inside a layer's `call`; no exported value may depend on it."""
    return Opaque(TRAINING_DOMAIN, name, 1, "", (TensorType(DType.FLOAT32, ()),))


def drawn_at_random(name: str, type: TensorType) -> Opaque:
    """Return what a function of `keras.random` gives inside a layer's `call`; no exported value may depend on it."""
    return Opaque(RANDOM_DOMAIN, name, 1, "", (type,))
