"""Symbolic sizes: ``Dim = int | Sym``, the size of one axis.

A `Sym` is a sum of integer multiples of products of atoms; an atom is a name, a floor division that no rule
simplifies (`FloorDiv`) or the smaller of two sizes (`Min`). Arithmetic keeps the sum canonical, so that equal sizes are
equal objects (``8 * 12 * batch // 96 == batch``) and a size that turns out constant is a plain ``int``.

Two things to know:

1. Equality is sound and not complete: sizes that compare equal are equal for every value of the names, but a few equal
   sizes written with floor divisions of differences stay different (``(a + 1) // 2`` and ``a - a // 2``).
2. A name is taken to be positive where it divides: ``batch * n // batch`` is ``n``, whatever ``batch`` is.

Nothing here may import another module of kir than `kir.errors`: types, layers and passes all stand on this one.
"""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import gcd
from typing import ClassVar, Final, NoReturn, SupportsIndex, TypeAlias, TypeGuard

from kir.errors import ShapeError, TraceError

__all__ = [
    "Atom",
    "Dim",
    "FloorDiv",
    "Min",
    "Operation",
    "Sym",
    "bind_dim",
    "divide_exactly",
    "is_known",
    "maximum",
    "minimum",
    "parse_dim",
    "product",
    "substitute",
    "symbol",
]

ADVICE: Final = "give a concrete size (--input-shapes, --batch or Input(shape=...))"

# Shapes of real models stay under ten atoms and two nested divisions. The limits keep printing, hashing and the
# recursion over nested divisions cheap when a model multiplies unknown sizes without end.
MAX_ATOMS: Final = 2_000
MAX_NESTING: Final = 20
MAX_TEXT: Final = 1_000_000
MAX_PARENTHESES: Final = 50  # each nested division prints at most two, each minimum one

_NAME: Final = r"[^\W\d][\w.:]*(?:/[^\W\d][\w.:]*)*"
_TOKEN: Final = re.compile(rf"\s*(?:(?P<number>[0-9]+)|(?P<name>{_NAME})|(?P<operator>//|[-+*%(),]))")


class Operation:
    """An atom that is computed from two sizes. Names sort before operations, and these by kind and text."""

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
        """The text that `parse_dim` reads; each operation has its own. No abstract class: their isinstance is slow."""
        raise NotImplementedError

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

    Sorts behind divisions: what a size is cut to is subtracted from it, and a sum starts with a positive term.
    """

    __slots__ = ()
    rank = 1

    def _print(self) -> str:
        return f"min({self.operands[0]}, {self.operands[1]})"


Atom: TypeAlias = str | Operation
Monomial: TypeAlias = tuple[Atom, ...]
Terms: TypeAlias = tuple[tuple[Monomial, int], ...]


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
        """The name of a bare symbol; None for any other size."""
        (monomial, coefficient), *others = self.terms
        if others or coefficient != 1 or len(monomial) != 1 or isinstance(monomial[0], Operation):
            return None
        return monomial[0]

    def names(self) -> frozenset[str]:
        """The names this size depends on, those inside divisions and minima included."""
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
        return _scale(self, -1)

    def __add__(self, other: Sym | SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else _add(self, dim)

    __radd__ = __add__

    def __sub__(self, other: Sym | SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else _add(self, -dim)

    def __rsub__(self, other: SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else -self + dim

    def __mul__(self, other: Sym | SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else _multiply(self, dim)

    __rmul__ = __mul__

    def __floordiv__(self, other: Sym | SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else _floor_divide(self, dim)

    def __rfloordiv__(self, other: SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else _floor_divide(dim, self)

    def __mod__(self, other: Sym | SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else self - self // dim * dim

    def __rmod__(self, other: SupportsIndex) -> Dim:
        dim = _as_dim(other)
        return NotImplemented if dim is None else dim - dim // self * self

    def __lt__(self, other: Sym | SupportsIndex) -> bool:
        dim = _as_dim(other)
        if dim is None:
            return NotImplemented
        raise self._undecided(f"{self} < {dim}", dim)

    def __le__(self, other: Sym | SupportsIndex) -> bool:
        dim = _as_dim(other)
        if dim is None:
            return NotImplemented
        raise self._undecided(f"{self} <= {dim}", dim)

    def __gt__(self, other: Sym | SupportsIndex) -> bool:
        dim = _as_dim(other)
        if dim is None:
            return NotImplemented
        raise self._undecided(f"{self} > {dim}", dim)

    def __ge__(self, other: Sym | SupportsIndex) -> bool:
        dim = _as_dim(other)
        if dim is None:
            return NotImplemented
        raise self._undecided(f"{self} >= {dim}", dim)

    def _undecided(self, question: str, other: Dim = 0) -> ShapeError:
        names = sorted(self.names() | _names(other))
        unknown = ", ".join(map(repr, names)) + (" is" if len(names) == 1 else " are")
        return ShapeError(f"cannot decide {question}: {unknown} unknown here; {ADVICE}")


Dim: TypeAlias = int | Sym


def symbol(name: str) -> Sym:
    """The size called `name`: letters, digits and ``_ . :``, starting with a letter or ``_``, or such words joined by
    ``/``.

    Raises ShapeError for any other name, since printed sizes must read back.
    """
    if not re.fullmatch(_NAME, name):
        raise ShapeError(
            f"received {name!r} as the name of a size; expected letters, digits, '_', '.' and ':', starting with "
            "a letter or '_', such as 'batch' (and such words joined by '/')"
        )
    return Sym((((name,), 1),))


def is_known(dim: Dim) -> TypeGuard[int]:
    """Whether `dim` is a plain integer."""
    return isinstance(dim, int)


def product(dims: Iterable[Dim]) -> Dim:
    """The number of elements of a shape; 1 for no dims."""
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
    """The smaller of two sizes, whatever the names in them are."""
    difference = a - b
    if isinstance(difference, int):
        return a if difference <= 0 else b
    return Sym((((Min(*sorted((a, b), key=str)),), 1),))


def maximum(a: Dim, b: Dim) -> Dim:
    """The larger of two sizes, whatever the names in them are."""
    return a + b - minimum(a, b)


def substitute(dim: Dim, bindings: Mapping[str, Dim]) -> Dim:
    """`dim` with the names in `bindings` replaced; an ``int`` when every name it depends on is bound to one.

    Raises ShapeError if a divisor becomes 0.
    """
    if not isinstance(dim, Sym):
        return dim
    terms = (
        product((coefficient, *(_substitute_atom(atom, bindings) for atom in monomial)))
        for monomial, coefficient in dim.terms
    )
    return _sum(terms)


def _substitute_atom(atom: Atom, bindings: Mapping[str, Dim]) -> Dim:
    if isinstance(atom, str):
        return bindings[atom] if atom in bindings else Sym((((atom,), 1),))
    if isinstance(atom, FloorDiv):
        return _floor_divide(substitute(atom.numerator, bindings), substitute(atom.denominator, bindings))
    assert isinstance(atom, Min), "an operation on sizes must be handled"
    return minimum(*(substitute(operand, bindings) for operand in atom.operands))


def divide_exactly(a: Dim, b: Dim) -> Dim | None:
    """The size `q` with ``q * b == a``, or None when there is none that holds whatever the names are (or `b` is 0).

    Polynomial division with floor divisions as opaque variables: ``(a*b + 2*b) / (a + 2)`` is ``b``.
    """
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    divisor = _terms(b)
    if not divisor:
        return None
    lead_monomial, lead_coefficient = divisor[0]
    remainder, quotient = dict(_terms(a)), dict[Monomial, int]()
    while remainder:
        # Cancel the leading term; products of more atoms come first, so each round leaves only later ones.
        leading = min(remainder, key=_monomial_order)
        monomial = _without(leading, lead_monomial)
        coefficient, left = divmod(remainder[leading], lead_coefficient)
        if monomial is None or left or len(quotient) > MAX_ATOMS:
            return None
        quotient[monomial] = coefficient
        for divisor_monomial, divisor_coefficient in divisor:
            _accumulate(remainder, _times(monomial, divisor_monomial), -coefficient * divisor_coefficient)
    return _from_coefficients(quotient)


def bind_dim(dim: Dim, size: int, bindings: dict[str, int]) -> None:
    """Matches a declared `dim` with the `size` an array has: records a bare symbol in `bindings`, or checks.

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


def parse_dim(text: str) -> Dim:
    """Reads what ``str`` prints: integers, names, ``+ - * // % min`` and parentheses, with Python's precedence.

    Raises ShapeError if `text` is anything else, or too long.
    """
    if len(text) > MAX_TEXT:
        raise ShapeError(f"received a size of {len(text)} characters; expected at most {MAX_TEXT}")
    return _Parser(text).parse()


_FACTOR_OPERATORS: Final[Mapping[str, Callable[[Dim, Dim], Dim]]] = {
    "*": operator.mul,
    "//": lambda a, b: _floor_divide(a, b),
    "%": lambda a, b: a - _floor_divide(a, b) * b,
}


class _Parser:
    """Recursive descent over the tokens of one size; one level per parenthesis, at most MAX_PARENTHESES."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.parentheses = 0
        self.kind, self.token = "", ""
        self.advance()

    def fail(self) -> ShapeError:
        shown = self.text if len(self.text) <= 80 else self.text[:77] + "..."
        found = repr(self.token) if self.token else "the end"
        return ShapeError(
            f"cannot read {shown!r} as a size: {found} is not expected before character {self.position}; "
            "expected integers, names, + - * // % min and parentheses, such as '(batch + 1)//2'"
        )

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.position)
        if match:
            self.position = match.end()
            self.kind, self.token = str(match.lastgroup), match[str(match.lastgroup)]
        else:
            self.kind, self.token = "end", self.text[self.position :].strip()[:1]
            if self.token:
                raise self.fail()

    def parse(self) -> Dim:
        dim = self.sum()
        if self.kind != "end":
            raise self.fail()
        return dim

    def sum(self) -> Dim:
        terms = [self.term()]
        while self.token in ("+", "-"):
            negative = self.token == "-"
            self.advance()
            terms.append(-self.term() if negative else self.term())
        return _sum(terms)

    def term(self) -> Dim:
        dim = self.factor()
        while self.token in _FACTOR_OPERATORS:
            operation = _FACTOR_OPERATORS[self.token]
            self.advance()
            dim = operation(dim, self.factor())
        return dim

    def factor(self) -> Dim:
        negative = False
        while self.token == "-":
            negative = not negative
            self.advance()
        dim = self.operand()
        return -dim if negative else dim

    def operand(self) -> Dim:
        kind, token = self.kind, self.token
        if kind == "number" and len(token) <= 100:
            self.advance()
            return int(token)
        if kind == "name":
            self.advance()
            return self.smaller() if token == "min" and self.token == "(" else symbol(token)
        if token == "(" and self.parentheses < MAX_PARENTHESES:
            return self.parenthesis()
        raise self.fail()

    def parenthesis(self) -> Dim:
        self.parentheses += 1
        self.advance()
        dim = self.sum()
        self.expect(")")
        self.parentheses -= 1
        return dim

    def smaller(self) -> Dim:
        if self.parentheses >= MAX_PARENTHESES:
            raise self.fail()
        self.parentheses += 1
        self.advance()
        a = self.sum()
        self.expect(",")
        b = self.sum()
        self.expect(")")
        self.parentheses -= 1
        return minimum(a, b)

    def expect(self, token: str) -> None:
        if self.token != token:
            raise self.fail()
        self.advance()


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


def _monomial_order(monomial: Monomial) -> tuple[int, Monomial]:
    # The graded lexicographic order: products keep it (m < n implies m*k < n*k), which polynomial division needs.
    return -len(monomial), monomial


def _times(a: Monomial, b: Monomial) -> Monomial:
    return tuple(sorted(a + b))


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    """`monomial` divided by the product of `factors`; None if it is no multiple of it."""
    rest = list(monomial)
    for factor in factors:
        if factor not in rest:
            return None
        rest.remove(factor)
    return tuple(rest)


def _from_terms(terms: Terms) -> Dim:
    if not terms:
        return 0
    monomial, coefficient = terms[0]
    return Sym(terms) if monomial else coefficient


def _from_coefficients(coefficients: Mapping[Monomial, int]) -> Dim:
    ordered = sorted(coefficients, key=_monomial_order)
    return _from_terms(tuple((monomial, coefficients[monomial]) for monomial in ordered))


def _accumulate(coefficients: dict[Monomial, int], monomial: Monomial, coefficient: int) -> None:
    total = coefficients.get(monomial, 0) + coefficient
    if total:
        coefficients[monomial] = total
    else:
        coefficients.pop(monomial, None)


def _sum(dims: Iterable[Dim]) -> Dim:
    coefficients: dict[Monomial, int] = {}
    for dim in dims:
        for monomial, coefficient in _terms(dim):
            _accumulate(coefficients, monomial, coefficient)
    return _from_coefficients(coefficients)


def _add(dim: Sym, other: Dim) -> Dim:
    if isinstance(other, Sym):
        return _sum((dim, other))
    terms = dim.terms
    if not terms[-1][0]:
        other += terms[-1][1]
        terms = terms[:-1]
    return _from_terms((*terms, ((), other)) if other else terms)


def _scale(dim: Sym, factor: int) -> Dim:
    if factor == 1:
        return dim
    return _from_terms(tuple((monomial, factor * coefficient) for monomial, coefficient in dim.terms) if factor else ())


def _multiply(dim: Sym, other: Dim) -> Dim:
    if isinstance(other, int):
        return _scale(dim, other)
    coefficients: dict[Monomial, int] = {}
    for monomial, coefficient in dim.terms:
        for other_monomial, other_coefficient in other.terms:
            _accumulate(coefficients, _times(monomial, other_monomial), coefficient * other_coefficient)
    return _from_coefficients(coefficients)


# Floor division


def _floor_divide(numerator: Dim, denominator: Dim) -> Dim:
    """``numerator // denominator`` by the first rule that applies.

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
        return _floor_divide(-numerator, -denominator)
    exact = divide_exactly(numerator, denominator)
    if exact is not None:
        return exact
    if len(_terms(denominator)) > 1:
        return _atom(*_reduced(numerator, denominator, floor_constant=False))
    quotient, remainder = _split(numerator, denominator)
    if quotient != 0:
        return quotient + _floor_divide(remainder, denominator)
    positive = not any(isinstance(atom, Operation) for atom in _atoms(denominator))
    reduced = _reduced(numerator, denominator, floor_constant=positive)
    if reduced != (numerator, denominator):
        return _floor_divide(*reduced)
    if positive and _terms(numerator)[0][1] < 0:
        return -1 - _floor_divide(-1 - numerator, denominator)
    if positive and (inner := _floor_division_plus_constant(numerator)):
        division, constant = inner
        return _floor_divide(division.numerator + constant * division.denominator, division.denominator * denominator)
    return _atom(numerator, denominator)


def _divide_by_known(numerator: Dim, denominator: int) -> Dim:
    if denominator == 0 or not isinstance(numerator, int):
        raise ShapeError(f"cannot divide the size {numerator} by 0; expected a divisor of 1 or more")
    return numerator // denominator


def _atom(numerator: Dim, denominator: Dim) -> Sym:
    return Sym((((FloorDiv(numerator, denominator),), 1),))


def _split(numerator: Dim, denominator: Dim) -> tuple[Dim, Dim]:
    """The quotient and the remainder of rule 3, term by term.

    Coefficients keep their sign in the remainder, so that ``(a - b) // 2`` stays as it is; the constant becomes
    non-negative, so that ``(a - 1) // 2 + 1`` is ``(a + 1) // 2``.
    """
    ((factors, divisor),) = _terms(denominator)
    quotient, remainder = dict[Monomial, int](), dict[Monomial, int]()
    for monomial, coefficient in _terms(numerator):
        rest = _without(monomial, factors)
        toward_zero = -(-coefficient // divisor) if coefficient < 0 and monomial else coefficient // divisor
        count = 0 if rest is None else toward_zero
        if rest is not None:
            _accumulate(quotient, rest, count)
        _accumulate(remainder, monomial, coefficient - count * divisor)
    return _from_coefficients(quotient), _from_coefficients(remainder)


def _reduced(numerator: Dim, denominator: Dim, floor_constant: bool) -> tuple[Dim, Dim]:
    """Both divided by their common factor; a constant in the numerator that is no multiple of it is rounded down if
    `floor_constant` (rule 5), otherwise it limits the factor (rule 4)."""
    terms = _terms(numerator) + _terms(denominator)
    symbolic = [coefficient for monomial, coefficient in terms if monomial]
    counted = [coefficient for _, coefficient in terms]
    if floor_constant and isinstance(numerator, Sym):
        counted = symbolic + [coefficient for monomial, coefficient in _terms(denominator) if not monomial]
    factor = gcd(*counted)
    shared = Counter(terms[0][0])
    for monomial, _ in terms:
        shared &= Counter(monomial)
    factors = tuple(sorted(shared.elements()))
    return _shrink(numerator, factor, factors), _shrink(denominator, factor, factors)


def _shrink(dim: Dim, factor: int, factors: Monomial) -> Dim:
    coefficients: dict[Monomial, int] = {}
    for monomial, coefficient in _terms(dim):
        _accumulate(coefficients, _without(monomial, factors) or (), coefficient // factor)
    return _from_coefficients(coefficients)


def _floor_division_plus_constant(dim: Dim) -> tuple[FloorDiv, int] | None:
    (monomial, coefficient), *others = _terms(dim)
    if coefficient != 1 or len(monomial) != 1 or not isinstance(monomial[0], FloorDiv) or len(others) > 1:
        return None
    if others and others[0][0]:
        return None
    return monomial[0], others[0][1] if others else 0
