"""Sizes that a file takes to be equal, and that kir cannot prove to be: assumptions, which are checked when it runs.

An Add of sizes ``2*((h + 31)//32)`` and ``(h + 15)//16`` fits for some h only. The file says that it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from kir.errors import UndecidedSizesError, UnsupportedError
from kir.importers.onnx_file.translate import Operand, Translator
from kir.ir.dims import Dim, Sym, reduce_fraction
from kir.ir.structural import Assume

# Sizes of one node that are taken to be equal: those of a few axes of a few inputs.
MAX_ASSUMED = 64

Results = Sequence[Operand | None]


def assuming(
    translator: Translator, inputs: Sequence[Operand | None], translate: Callable[[list[Operand | None]], Results]
) -> Results:
    """Return what a node gives, where sizes of its inputs that must be equal are taken to be.

    Args:
        translator: of the graph.
        inputs: of the node.
        translate: the node's translation, from its inputs.

    Raises:
        UndecidedSizesError: the sizes are known, and differ.
        UnsupportedError: the sizes that must be equal are those of no input.
    """
    given = list(inputs)
    for _ in range(MAX_ASSUMED):
        try:
            return translate(given)
        except UndecidedSizesError as error:
            if not any(isinstance(size, Sym) for size in error.sizes):
                raise
            assumed = _assume_equal(translator, given, *error.sizes)
            if assumed is None:
                raise UnsupportedError(str(error)) from error
            given = assumed
    raise UnsupportedError(f"over {MAX_ASSUMED} sizes would have to be equal")


def _assume_equal(
    translator: Translator, inputs: Sequence[Operand | None], a: Dim, b: Dim
) -> list[Operand | None] | None:
    """Return the inputs with one size in the place of another; None if they have none of both."""
    for taken, expected in _substitutions(a, b):
        assumed = [_with_size(translator, x, taken, expected) for x in inputs]
        if any(new is not old for new, old in zip(assumed, inputs, strict=True)):
            return assumed
    return None


def _substitutions(a: Dim, b: Dim) -> Iterator[tuple[Sym, Dim]]:
    """Yield pairs of a size and what it may be taken for: the simpler of both, and of both without a common factor."""
    for pair in ((a, b), reduce_fraction(a, b)):
        simple, complicated = sorted(pair, key=lambda size: (isinstance(size, Sym), len(str(size)), str(size)))
        for taken, expected in ((complicated, simple), (simple, complicated)):
            if isinstance(taken, Sym):
                yield taken, expected


def _with_size(translator: Translator, x: Operand | None, taken: Sym, expected: Dim) -> Operand | None:
    if x is None or x.is_shape or x.array is not None or x.pending is not None or taken not in x.type.shape:
        return x
    shape = tuple(expected if dim == taken else dim for dim in x.type.shape)
    return replace(translator.add(Assume(shape), x), name=x.name)
