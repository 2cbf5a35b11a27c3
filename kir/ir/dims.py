"""Symbolic sizes: ``Dim = int | Sym``, the size of one axis.

A `Sym` is a sum of integer multiples of products of atoms; an atom is a name, a floor division that no rule
simplifies (`FloorDiv`) or the smaller of two sizes (`Min`). Arithmetic keeps the sum canonical, so that equal sizes are
equal objects (``8 * 12 * batch // 96 == batch``) and a constant result is a plain ``int``. `kir.ir.dim_parser` reads
what ``str`` prints.

Two things to know:

1. Equality is sound and not complete: sizes that compare equal are equal for every value of the names, but a few equal
   sizes written with floor divisions of differences stay different (``(a + 1) // 2`` and ``a - a // 2``).
2. A name that divides is taken to be positive: ``batch * n // batch`` is ``n``.

Nothing here may import another module of kir than `kir.errors` and `kir.ir.polynomials`: types, layers and passes all
stand on this one.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, NoReturn, SupportsIndex, TypeAlias, TypeGuard

from kir.errors import ShapeError, TraceError
from kir.ir import polynomials
from kir.ir.polynomials import Monomial, Terms

ADVICE: Final = "give a concrete size (--input-shapes, --batch or Input(shape=...))"

# Shapes of real models stay under ten atoms and two nested divisions. The limits keep printing, hashing and the
# recursion over nested divisions cheap when a model multiplies unknown sizes without end.
MAX_ATOMS: Final = 2_000
MAX_NESTING: Final = 20

NAME_PATTERN: Final = r"[^\W\d][\w.:]*(?:/[^\W\d][\w.:]*)*"


class Operation:
    """An atom that is computed from two sizes. Names sort before operations, and operations by kind and text."""

    __slots__ = ("atoms", "nesting", "operands", "text")

    rank: ClassVar[int]
    operands: tuple[Dim, Dim]
    text: str
    atoms: int
    nesting: int

    def __init__(self, a: Dim, b: Dim) -> None:
        atoms, nesting = _count_atoms(a, b), 1 + _nesting(a, b)
        if nesting > MAX_NESTING:
            raise ShapeError(
                f"a size nests {nesting} divisions or minima of unknown sizes, expected at most {MAX_NESTING}; {ADVICE}"
            )
        _freeze(self, "operands", (a, b))
        _freeze(self, "atoms", atoms)
        _freeze(self, "nesting", nesting)
        _freeze(self, "text", self._print())

    def _print(self) -> str:
        """Return the text that `parse_dim` reads; no other operation has it."""
        raise NotImplementedError  # and no abstract class, whose isinstance is slow

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set {name!r}")

    def __reduce__(self) -> tuple[type[Operation], tuple[Dim, Dim]]:
        return type(self), self.operands

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text})"

    # Texts are unambiguous (parse_dim inverts them), so they stand for the whole structure.
    def __hash__(self) -> int:
        return hash((type(self), self.text))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operation) and self.text == other.text

    def __lt__(self, other: str | Operation) -> bool:
        return isinstance(other, Operation) and (self.rank, self.text) < (other.rank, other.text)

    def __gt__(self, other: str | Operation) -> bool:
        return not isinstance(other, Operation) or (self.rank, self.text) > (other.rank, other.text)


class FloorDiv(Operation):
    """The atom ``numerator // denominator``, where no rule of `Sym` simplifies the division.

    Made by ``//`` only; `numerator` and `denominator` are read to evaluate or to export the size.
    """

    __slots__ = ()
    rank = 0

    @property
    def numerator(self) -> Dim:
        return self.operands[0]

    @property
    def denominator(self) -> Dim:
        return self.operands[1]

    def _print(self) -> str:
        return f"{_numerator_text(self.numerator)}//{_denominator_text(self.denominator)}"


class Min(Operation):
    """The atom ``min(a, b)`` of two sizes of which neither is always the smaller one; made by `minimum` only.

    It sorts after divisions: a size is cut by subtracting a minimum, and a sum starts with a positive term.
    """

    __slots__ = ()
    rank = 1

    def _print(self) -> str:
        return f"min({self.operands[0]}, {self.operands[1]})"


Atom: TypeAlias = str | Operation
Operator: TypeAlias = "Callable[[Sym, Sym | SupportsIndex], Dim]"


def _operators(function: Callable[[Dim, Dim], Dim]) -> tuple[Operator, Operator]:
    """Return the methods for an operator of Python and for its reflection."""

    def apply(self: Sym, other: Sym | SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else function(self, dim)

    def apply_reflected(self: Sym, other: Sym | SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else function(dim, self)

    return apply, apply_reflected


def _comparison(sign: str) -> Callable[[Sym, Sym | SupportsIndex], bool]:
    """Return the method for a comparison; it raises, since the answer depends on the value."""

    def refuse(self: Sym, other: Sym | SupportsIndex) -> Any:
        dim = _as_dim(other)
        if dim is None:
            return NotImplemented
        raise self._undecided(f"{self} {sign} {dim}", dim)

    return refuse


class Sym:
    """A size known only by name: immutable, hashable, equal to every `Sym` of the same canonical sum.

    `terms` is that sum: pairs of a product (its atoms sorted, ``()`` for the constant) and its non-zero coefficient,
    products of more atoms first and the constant last. Sizes are made by `symbol` and by arithmetic with integers
    (NumPy's included) and other sizes; a constant result is an ``int``, so a `Sym` never equals an integer.

    Raises ShapeError where the answer depends on the value: truth, ``<``, ``<=``, ``>``, ``>=``; where a division is
    by 0, and where a sum grows past any size of use.
    """

    __slots__ = ("_hash", "terms")
    __array_ufunc__ = None  # NumPy's scalars hand their operators over to the ones below.

    terms: Terms
    _hash: int

    def __init__(self, terms: Terms) -> None:
        if sum(_monomial_atoms(monomial) for monomial, _ in terms) > MAX_ATOMS:
            raise ShapeError(f"a size has over {MAX_ATOMS} factors of unknown size; {ADVICE}")
        _freeze(self, "terms", terms)
        _freeze(self, "_hash", hash(terms))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Sym is immutable: cannot set {name!r}")

    def __reduce__(self) -> tuple[type[Sym], tuple[Terms]]:
        return Sym, (self.terms,)

    @property
    def name(self) -> str | None:
        """The name, if this is a bare symbol."""
        (monomial, coefficient), *others = self.terms
        if others or coefficient != 1 or len(monomial) != 1 or isinstance(monomial[0], Operation):
            return None
        return monomial[0]

    def names(self) -> frozenset[str]:
        """Return the names that this size depends on, those inside divisions and minima included."""
        found: set[str] = set()
        pending: list[Dim] = [self]
        while pending:
            for atom in _atoms(pending.pop()):
                if isinstance(atom, Operation):
                    pending += atom.operands
                else:
                    found.add(atom)
        return frozenset(found)

    def __str__(self) -> str:
        first, *others = (_term_text(*term) for term in self.terms)
        return first + "".join(f" - {text[1:]}" if text[0] == "-" else f" + {text}" for text in others)

    def __repr__(self) -> str:
        return f"Sym({self})"

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Sym) and self._hash == other._hash and self.terms == other.terms)

    def __bool__(self) -> NoReturn:
        raise self._undecided(f"whether {self} is true")

    def __neg__(self) -> Dim:
        return _multiply(self, -1)

    __add__, __radd__ = _operators(lambda a, b: _add(a, b))
    __sub__, __rsub__ = _operators(lambda a, b: _add(a, -b))
    __mul__, __rmul__ = _operators(lambda a, b: _multiply(a, b))
    __floordiv__, __rfloordiv__ = _operators(lambda a, b: floor_divide(a, b))
    __mod__, __rmod__ = _operators(lambda a, b: a - floor_divide(a, b) * b)

    __lt__ = _comparison("<")
    __le__ = _comparison("<=")
    __gt__ = _comparison(">")
    __ge__ = _comparison(">=")

    def _undecided(self, question: str, other: Dim = 0) -> ShapeError:
        names = sorted(self.names() | _names(other))
        unknown = ", ".join(map(repr, names)) + (" is" if len(names) == 1 else " are")
        return ShapeError(f"cannot decide {question}: {unknown} unknown here; {ADVICE}")


Dim: TypeAlias = int | Sym


def symbol(name: str) -> Sym:
    """Return the size called `name`: letters, digits and ``_ . :``, starting with a letter or ``_``.

    Such words may be joined by ``/``.

    Raises:
        ShapeError: any other name, which `parse_dim` could not read.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ShapeError(
            f"received {name!r} as the name of a size; expected letters, digits, '_', '.' and ':', starting with "
            "a letter or '_', such as 'batch' (and such words joined by '/')"
        )
    return Sym((((name,), 1),))


def is_known(dim: Dim) -> TypeGuard[int]:
    """Return whether a size is a plain integer."""
    return isinstance(dim, int)


def product(dims: Iterable[Dim]) -> Dim:
    """Return the product of sizes, such as the number of elements of a shape; 1 for no dims."""
    constant, rest = 1, list[Sym]()
    for dim in dims:
        if isinstance(dim, Sym):
            rest.append(dim)
        else:
            constant *= operator.index(dim)
    total: Dim = constant
    for dim in rest:
        total = total * dim
    return total


def minimum(a: Dim, b: Dim) -> Dim:
    """Return the smaller of two sizes, for all values of their names."""
    difference = a - b
    if isinstance(difference, int):
        return a if difference <= 0 else b
    return Sym((((Min(*sorted((a, b), key=str)),), 1),))


def maximum(a: Dim, b: Dim) -> Dim:
    """Return the larger of two sizes, for all values of their names."""
    return a + b - minimum(a, b)


def sum_of(dims: Iterable[Dim]) -> Dim:
    """Return the sum of sizes; 0 for no dims."""
    return _from_terms(polynomials.add(*map(_terms, dims)))


def substitute(dim: Dim, bindings: Mapping[str, Dim]) -> Dim:
    """Return a size with the names in `bindings` replaced; an ``int`` when every name that it has is bound to one.

    Raises:
        ShapeError: a divisor becomes 0.
    """
    if not isinstance(dim, Sym):
        return dim
    terms = (
        product((coefficient, *(_substitute_atom(atom, bindings) for atom in monomial)))
        for monomial, coefficient in dim.terms
    )
    return sum_of(terms)


def _substitute_atom(atom: Atom, bindings: Mapping[str, Dim]) -> Dim:
    if isinstance(atom, str):
        return bindings[atom] if atom in bindings else Sym((((atom,), 1),))
    if isinstance(atom, FloorDiv):
        return floor_divide(substitute(atom.numerator, bindings), substitute(atom.denominator, bindings))
    assert isinstance(atom, Min), "an operation on sizes must be handled"
    return minimum(*(substitute(operand, bindings) for operand in atom.operands))


def divide_exactly(a: Dim, b: Dim) -> Dim | None:
    """Return the size `q` with ``q * b == a`` for all values of their names; None if there is none, or `b` is 0.

    This is polynomial division with floor divisions as opaque variables: ``(a*b + 2*b) / (a + 2)`` is ``b``.
    """
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    divisor = _terms(b)
    if not divisor:
        return None
    quotient = polynomials.divide_exactly(_terms(a), divisor, MAX_ATOMS)
    return None if quotient is None else _from_terms(quotient)


def reduce_fraction(a: Dim, b: Dim) -> tuple[Dim, Dim]:
    """Return two sizes without their common factor, an integer or a product of names; themselves if one is 0."""
    if a == 0 or b == 0:
        return a, b
    return _reduced(a, b, floor_constant=False)


def bind_dim(dim: Dim, size: int, bindings: dict[str, int]) -> None:
    """Match a declared `dim` with the `size` that an array has: record a bare symbol in `bindings`, or check.

    | declared        | names       | effect                                     |
    | --------------- | ----------- | ------------------------------------------ |
    | integer         |             | ShapeError unless equal to `size`          |
    | bare symbol     | not bound   | bound to `size`                            |
    | bare symbol     | bound       | ShapeError unless bound to `size`          |
    | any other `Sym` | all bound   | ShapeError unless its value is `size`      |
    | any other `Sym` | some unbound| none                                       |
    """
    size = operator.index(size)
    if size < 0:
        raise ShapeError(f"received size {size} for a dimension declared as {dim}; expected 0 or more")
    name = dim.name if isinstance(dim, Sym) else None
    if name is not None and name not in bindings:
        bindings[name] = size
        return
    expected = substitute(dim, bindings)
    if isinstance(expected, int) and expected != size:
        raise ShapeError(_mismatch(dim, expected, size, bindings))


def _mismatch(dim: Dim, expected: int, size: int, bindings: Mapping[str, int]) -> str:
    if isinstance(dim, int):
        return f"expected size {expected}, received {size}; pass an array of the declared size, or declare this one"
    values = ", ".join(f"{name} = {bindings[name]}" for name in sorted(dim.names()))
    return (
        f"expected size {expected} for dimension {dim} (with {values} from other axes), received {size}; "
        "one name has one size: pass arrays that agree, or name the dimensions differently"
    )


# Printing


def _term_text(monomial: Monomial, coefficient: int) -> str:
    if not monomial:
        return str(coefficient)
    if coefficient == 1 and len(monomial) == 1:
        return str(monomial[0])
    sign = {1: "", -1: "-"}.get(coefficient, f"{coefficient}*")
    return sign + "*".join(f"({atom})" if isinstance(atom, FloorDiv) else str(atom) for atom in monomial)


def _numerator_text(dim: Dim) -> str:
    text = str(dim)
    is_product = isinstance(dim, int) or (len(dim.terms) == 1 and not _is_floor_division(dim))
    return text if is_product and text[0] != "-" else f"({text})"


def _denominator_text(dim: Dim) -> str:
    return str(dim) if isinstance(dim, int) or dim.name is not None else f"({dim})"


def _is_floor_division(dim: Sym) -> bool:
    monomial, coefficient = dim.terms[0]
    return len(dim.terms) == 1 and coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], FloorDiv)


# Sums of products

_freeze: Final = object.__setattr__


def _as_dim(value: object) -> Dim | None:
    if type(value) is int or isinstance(value, Sym):
        return value
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except (TypeError, TraceError):  # a symbolic tensor has the operators for a size, too
        return None


def _terms(dim: Dim) -> Terms:
    if isinstance(dim, Sym):
        return dim.terms
    return (((), dim),) if dim else ()


def _atoms(*dims: Dim) -> Iterable[Atom]:
    return (atom for dim in dims for monomial, _ in _terms(dim) for atom in monomial)


def _names(dim: Dim) -> frozenset[str]:
    return dim.names() if isinstance(dim, Sym) else frozenset()


def _monomial_atoms(monomial: Monomial) -> int:
    return sum(atom.atoms if isinstance(atom, Operation) else 1 for atom in monomial) or 1


def _count_atoms(*dims: Dim) -> int:
    return sum(_monomial_atoms(monomial) for dim in dims for monomial, _ in _terms(dim))


def _nesting(*dims: Dim) -> int:
    return max((atom.nesting for atom in _atoms(*dims) if isinstance(atom, Operation)), default=0)


def _from_terms(terms: Terms) -> Dim:
    if not terms:
        return 0
    monomial, coefficient = terms[0]
    return Sym(terms) if monomial else coefficient


def _add(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int):
        a, b = b, a
    if not isinstance(a, Sym) or isinstance(b, Sym):
        return sum_of((a, b))
    terms = a.terms
    if not terms[-1][0]:
        b += terms[-1][1]
        terms = terms[:-1]
    return _from_terms((*terms, ((), b)) if b else terms)


def _multiply(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int):
        a, b = b, a
    if isinstance(a, int) or isinstance(b, Sym):
        return _from_terms(polynomials.multiply(_terms(a), _terms(b)))
    if b == 1:
        return a
    return _from_terms(tuple((monomial, b * coefficient) for monomial, coefficient in a.terms) if b else ())


# Floor division


def floor_divide(numerator: Dim, denominator: Dim) -> Dim:
    """Return ``numerator // denominator``, by the first rule that applies.

    With d the denominator, k an integer, and the rules marked + only where d is one product of names, hence positive:

    1. n // -d             = -n // d
    2. q*d // d            = q
    3. (q*d + r) // d      = q + r // d             d one term
    4. g*n // (g*d)        = n // d                 g an integer or a product of atoms
    5. (g*n + k) // (g*d)  = (n + k // g) // d      + g an integer
    6. -n // d             = -1 - (n - 1) // d      + so that ceil(n / d), however written, is one size
    7. (n // m + k) // d   = (n + k*m) // (m*d)     +
    """
    if isinstance(denominator, int) and (denominator == 0 or isinstance(numerator, int)):
        return _divide_by_known(numerator, denominator)
    if _terms(denominator)[0][1] < 0:
        return floor_divide(-numerator, -denominator)
    exact = divide_exactly(numerator, denominator)
    if exact is not None:
        return exact
    if len(_terms(denominator)) > 1:
        return _atom(*_reduced(numerator, denominator, floor_constant=False))
    quotient, remainder = map(_from_terms, polynomials.split(_terms(numerator), _terms(denominator)))
    if quotient != 0:
        return quotient + floor_divide(remainder, denominator)
    positive = not any(isinstance(atom, Operation) for atom in _atoms(denominator))
    reduced = _reduced(numerator, denominator, floor_constant=positive)
    if reduced != (numerator, denominator):
        return floor_divide(*reduced)
    if positive and _terms(numerator)[0][1] < 0:
        return -1 - floor_divide(-1 - numerator, denominator)
    if positive and (inner := _floor_division_plus_constant(numerator)):
        division, constant = inner
        return floor_divide(division.numerator + constant * division.denominator, division.denominator * denominator)
    return _atom(numerator, denominator)


def _divide_by_known(numerator: Dim, denominator: int) -> Dim:
    if denominator == 0 or not isinstance(numerator, int):
        raise ShapeError(f"cannot divide the size {numerator} by 0; expected a divisor of 1 or more")
    return numerator // denominator


def _reduced(numerator: Dim, denominator: Dim, floor_constant: bool) -> tuple[Dim, Dim]:
    reduced = polynomials.reduce_fraction(_terms(numerator), _terms(denominator), floor_constant)
    return _from_terms(reduced[0]), _from_terms(reduced[1])


def _atom(numerator: Dim, denominator: Dim) -> Sym:
    return Sym((((FloorDiv(numerator, denominator),), 1),))


def _floor_division_plus_constant(dim: Dim) -> tuple[FloorDiv, int] | None:
    (monomial, coefficient), *others = _terms(dim)
    if coefficient != 1 or len(monomial) != 1 or not isinstance(monomial[0], FloorDiv) or len(others) > 1:
        return None
    if others and others[0][0]:
        return None
    return monomial[0], others[0][1] if others else 0
