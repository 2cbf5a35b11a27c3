"""An operator of a file that kir has no class for, carried through."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from kir.errors import UnsupportedError
from kir.ir.dims import Dim, Sym, substitute
from kir.ir.op import Array, Op, Types, format_attribute, widened_type
from kir.ir.structural import Data
from kir.ir.types import DType, TensorType, as_dtype

if TYPE_CHECKING:
    from kir.ops.meanings import Meaning

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


# The value of an attribute. A list of numbers with no elements is one of integers.
Setting: TypeAlias = int | float | str | Data | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]

# What runs an operator that kir does not know, on arrays of the given dtypes; see `asking`.
Runtime: TypeAlias = Callable[["Opaque", Sequence[Array | None]], tuple[Array, ...]]

_RUNTIME: ContextVar[Runtime | None] = ContextVar("runtime", default=None)


@contextmanager
def asking(runtime: Runtime) -> Iterator[None]:
    """Let a runtime compute the operators that have no meaning in kir, as long as this lasts."""
    token = _RUNTIME.set(runtime)
    try:
        yield
    finally:
        _RUNTIME.reset(token)


@dataclass(frozen=True)
class Opaque(Op):
    """An operator of a file that kir has no class for, and writes again as it was read.

    `domain`, `op_type` and `version` (of the domain) name the operator; `settings` are its attributes by name, sorted,
    and `types` those of its outputs. It leaves the outputs at the places `left_out` out. What kir cannot read of its
    attributes, subgraphs above all, is `encoded`: a node as protobuf in base64.

    Its subgraphs, if it has any, may read values from outside: the last `captured` inputs, which they call outer_0,
    outer_1, …. `imports` are the domains of the operators in them, with their versions.

    If `kir.ops.meanings` knows what it computes, it is an operator like any other. Else only a runtime can run it, and
    it is neither merged nor folded.
    """

    domain: str
    op_type: str
    version: int
    settings: tuple[tuple[str, Setting], ...]
    types: tuple[TensorType, ...]
    left_out: tuple[int, ...] = ()
    encoded: str = ""
    captured: int = 0
    imports: tuple[tuple[str, int], ...] = ()

    takes_carried = True

    @cached_property
    def meaning(self) -> Meaning | None:
        """What it computes; None if kir does not know it."""
        from kir.ops.meanings import meaning_of  # start-up time: for files of other exporters alone

        return meaning_of(self)

    @property
    def deterministic(self) -> bool:  # type: ignore[override]  # it depends on the operator that this is
        return self.meaning is not None and not self.meaning.random

    @property
    def reason_against(self) -> str | None:
        """Why no output may depend on this, if it is an operator of `for_training` or `drawn_at_random`."""
        return REASONS.get(self.domain)

    @property
    def full_name(self) -> str:
        """The name of the operator with its domain."""
        return f"{self.domain or 'ai.onnx'}.{self.op_type}"

    def __str__(self) -> str:
        shown = [f"{name}={format_attribute(setting)}" for name, setting in self.settings]
        if self.encoded:
            shown.append(f"encoded=<{hashlib.sha256(self.encoded.encode()).hexdigest()[:12]}>")
        return f"{self.full_name}-{self.version}({', '.join(shown)})"

    def infer(self, *values: TensorType | None) -> Types:
        return self.types if len(self.types) != 1 else self.types[0]

    def eval(self, *values: Array | None) -> Any:
        if self.reason_against is not None:
            raise UnsupportedError(f"{self.op_type}: {self.reason_against}")
        if self.meaning is not None:
            with np.errstate(all="ignore"):
                return self._outputs(self.meaning(self, *values))
        runtime = _RUNTIME.get()
        if runtime is None:
            raise UnsupportedError(f"kir does not know what {self.full_name} computes; only a runtime does")
        return self._outputs(runtime(self, values))

    def resolve(self, values: Sequence[Array | None]) -> tuple[Op, Sequence[Array | None]]:
        """Return the operator of kir that this is on these inputs, and the inputs of that; or this and them."""
        resolved = None if self.meaning is None else self.meaning.resolve(self, *values)
        return (self, values) if resolved is None else resolved

    def prepare_wide(self, *types: TensorType | None) -> Callable[..., Any]:
        if self.meaning is not None:
            return super().prepare_wide(*types)

        # A runtime may have a kernel for the dtypes of the file alone.
        def run(*values: Array | None) -> Any:
            own = [
                x if x is None or type is None or not type.dtype.is_float else x.astype(type.dtype.numpy)
                for x, type in zip(values, types, strict=True)
            ]
            results = self.eval(*own)
            return tuple(map(_widened, results)) if isinstance(results, tuple) else _widened(results)

        return run

    def _outputs(self, found: Sequence[Any]) -> Any:
        """Return the outputs, with something in the places of those that are left out."""
        results = [
            np.zeros((), bool) if place in self.left_out else np.asarray(found[place])
            for place in range(len(self.types))
        ]
        return results[0] if len(results) == 1 else tuple(results)

    def bind(self, sizes: Mapping[str, Dim]) -> Self:
        shapes = [tuple(substitute(dim, sizes) for dim in type.shape) for type in self.types]
        types = [replace(type, shape=shape) for type, shape in zip(self.types, shapes, strict=True)]
        return replace(self, types=tuple(types))

    def widen(self) -> Self:
        return replace(self, types=tuple(widened_type(type) for type in self.types))

    def symbols(self) -> frozenset[str]:
        dims = (dim for type in self.types for dim in type.shape)
        return frozenset[str]().union(*(dim.names() for dim in dims if isinstance(dim, Sym)))


def _widened(array: Array) -> Array:
    return array.astype(np.float64) if as_dtype(array.dtype).is_float else array


def for_training(name: str) -> Opaque:
    """Return what a loss or a metric of Keras gives inside a layer's `call`; no exported value may depend on it."""
    return Opaque(TRAINING_DOMAIN, name, 1, (), (TensorType(DType.FLOAT32, ()),))


def drawn_at_random(name: str, type: TensorType) -> Opaque:
    """Return what a function of `keras.random` gives inside a layer's `call`; no exported value may depend on it."""
    return Opaque(RANDOM_DOMAIN, name, 1, (), (type,))
