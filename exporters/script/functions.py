"""Functions of a script: nodes of a graph as statements over `kir.backend`, one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from kir.exporters.script.calls import FunctionCall, Literal, Ref, fitting_call
from kir.exporters.script.script import Script, reserved_names
from kir.exporters.script.text import INDENT, WIDTH, Group, Identifiers, Piece, call, flat, quote, statement
from kir.exporters.script.values import Values, refuse
from kir.ir.dims import Atom, Dim, FloorDiv, Min, Sym, symbol
from kir.ir.graph import Node, Origin, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant
from kir.ops import group_by_op
from kir.support.naming import snake_case
from kir.support.trees import Tree

# Lists of more values are indexed and not unpacked.
MAX_UNPACKED = 4


class FunctionWriter:
    """Writes one function: first its parameters, then `add` for each node, then `finish`.

    Args:
        script: where the function and its arrays go.
        reads: how often each value is read in the whole graph. A larger constant that is read often is one in the
            script, too.
        bound: constants that come from another layer than a function that reads them.
        keeps_labels: whether constants keep the names that they have as weights.
    """

    def __init__(
        self,
        script: Script,
        reads: Mapping[Value, int],
        bound: Set[Value] = frozenset(),
        *,
        keeps_labels: bool = True,
    ) -> None:
        self.script = script
        self.reads = reads
        self.bound = bound
        self.keeps_labels = keeps_labels
        self.names = Identifiers(reserved_names())
        self.lines: list[str] = []
        self.texts: dict[Value, str] = {}
        self.sizes: dict[Dim, tuple[str, int]] = {}  # the first value in scope that has a size, and its axis
        self.header: list[Piece] = []
        self._last: tuple[Value, list[str], Piece] | None = None
        self._values = Values(script, self._special)

    # Parameters

    def parameter(self, structure: Tree[Value], wanted: str) -> None:
        """Add a parameter that takes a value or a structure of values."""
        name = self.names.new(wanted)
        self.header.append(name)
        self._unpack(structure, name)

    def optional(self, value: Value | None, name: str) -> None:
        """Add a parameter that is passed by this name, if it has a value."""
        self.header.append(f"{name}=None")
        self._unpack(value, name)

    def _name(self, value: Value, text: str) -> None:
        """Bring a value into scope under an expression; "_" is none."""
        self.texts[value] = text
        if text != "_":
            for axis, size in enumerate(value.type.shape):
                self.sizes.setdefault(size, (text, axis))

    def _unpack(self, structure: Tree[Value], text: str) -> None:
        """Name the values of a structure that a parameter holds. Structures are as deep as a user wrote them."""
        if isinstance(structure, Value):
            if structure not in self.texts:
                self._name(structure, text)
        elif isinstance(structure, Mapping):
            for key, item in structure.items():
                self._unpack(item, f"{text}[{flat(self._values.piece(key, 'key'))}]")
        elif structure is not None:
            if all(isinstance(item, Value) for item in structure) and 1 < len(structure) <= MAX_UNPACKED:
                names = [self.names.new("x") for _ in structure]
                self.lines += statement(f"{', '.join(names)} = ", text, INDENT)
            else:
                names = [f"{text}[{index}]" for index in range(len(structure))]
            for item, name in zip(structure, names, strict=True):
                self._unpack(item, name)

    # Nodes

    def add(self, node: Node) -> None:
        """Write a statement for a node. Constants get one only where they are one node for several readers."""
        self._flush()
        if isinstance(node.op, Constant):
            return
        literals = [self._literal(value) for value in node.inputs]
        found = fitting_call(node, literals)
        if found is not None:
            inputs = [
                self._text(value) if literal is None else self._values.piece(literal, "array")
                for value, literal in zip(node.inputs, literals, strict=True)
            ]
            self._assign(node, snake_case(found.function), self._call(found, inputs))
        else:
            self._assign(node, snake_case(node.op.name), self._emit(node))

    def _assign(self, node: Node, wanted: str, piece: Piece) -> None:
        outputs = node.outputs
        if len(outputs) > MAX_UNPACKED:
            name = self.names.new(wanted)
            for value in outputs:
                self._name(value, f"{name}[{value.index}]")
            self.lines += statement(f"{name} = ", piece, INDENT)
            return
        names = [self.names.new(wanted) if self.reads.get(value, 0) else "_" for value in outputs]
        for value, text in zip(outputs, names, strict=True):
            self._name(value, text)
        self._last = (outputs[0], names, piece)

    def _flush(self) -> None:
        """Write the statement that was held back, since it may have been the last one."""
        if self._last is not None:
            _, names, piece = self._last
            self.lines += statement(f"{', '.join(names)} = ", piece, INDENT)
            self._last = None

    # Operands

    def _literal(self, value: Value | None) -> Literal | None:
        """Return the number or array that a constant may be written as; None for any other value, and for a weight."""
        if value is None or value in self.texts or value in self.bound:
            return None
        op = value.node.op
        if not isinstance(op, Constant) or self._label(op) is not None or op.value.array.dtype == object:
            return None
        array = op.value.array
        if array.ndim == 0:
            return _shortest(array)
        return array if self.reads.get(value, 0) <= 1 else None

    def _text(self, value: Value | None) -> str:
        """Return the expression for a value in scope; a constant is brought there first."""
        if value is None:
            return "None"
        if value not in self.texts:
            self._bring(value)
        return self.texts[value]

    def _bring(self, value: Value, *, always: bool = False) -> None:
        """Name a constant of the graph; an array that is read once stands for itself, unless it has to be one."""
        piece = self._constant(value, always)
        if isinstance(piece, str):
            self._name(value, piece)
            return
        assert isinstance(value.node.op, Constant)
        label = value.node.op.label
        name = self.names.new(label.rpartition("/")[2] if label else "array")
        self._name(value, name)
        self.lines += statement(f"{name} = ", piece, INDENT)

    def _label(self, op: Constant) -> str | None:
        return op.label if self.keeps_labels else None

    def _constant(self, value: Value, always: bool) -> Piece:
        op = value.node.op
        assert isinstance(op, Constant)
        array, label, origin = op.value.array, self._label(op), value.node.origin
        is_text = array.dtype == object
        stored = self._values.piece(array.tolist() if is_text else array, label or "array")
        is_read_once = value not in self.bound and self.reads.get(value, 0) <= 1
        if not is_text and label is None and is_read_once and not always:
            return stored
        keywords: list[tuple[str, Piece]] = [] if label is None else [("label", quote(label))]
        if value in self.bound and origin is not None:
            keywords.append(("origin", origin_piece(self.script, origin)))
        return call(self.script.helper("constant"), [stored], keywords)

    # Calls

    def _call(self, found: FunctionCall, inputs: Sequence[Piece]) -> Piece:
        if found.symbol and all(_is_plain_operand(piece) for piece in inputs):
            texts = [flat(piece) for piece in inputs]
            if len(texts) == 1:
                return f"{found.symbol}{texts[0]}"
            return f"{texts[0]} {found.symbol} {texts[1]}"
        if found.function == "get_item":
            key = found.args[1]
            assert isinstance(key, tuple)
            return f"{flat(inputs[0])}[{', '.join(map(self._slice, key))}]"

        def special(value: object) -> Piece | None:
            return inputs[value.index] if isinstance(value, Ref) else self._special(value)

        values = Values(self.script, special)
        arguments = [values.piece(argument, "constant") for argument in found.args]
        keywords = [(name, values.piece(argument, "constant")) for name, argument in found.kwargs.items()]
        return call(self.script.backend(found.function), arguments, keywords)

    def _special(self, value: object) -> Piece | None:
        match value:
            case Value():
                return self._text(value)
            case Op():
                return self._op(value)
            case Sym():
                return self._size(value)
        return None

    def _slice(self, one: slice) -> str:
        bounds = (one.start, one.stop)
        start, stop = ("" if bound is None else flat(self._values.piece(bound, "constant")) for bound in bounds)
        spaced = any(not text.lstrip("-").isalnum() for text in (start, stop) if text)
        colon = " : " if spaced and start and stop else " :" if spaced and start else ": " if spaced and stop else ":"
        return f"{start}{colon}{stop}" + ("" if one.step is None else f":{one.step}")

    def _emit(self, node: Node) -> Piece:
        """Return the operator itself, applied by `emit`.

        That computes at once what depends on arrays alone: here these are constants of the trace.
        """
        given = [value for value in node.inputs if value is not None]
        if not given:
            return call(self.script.helper("emit_source"), [self._op(node.op)])
        if all(isinstance(value.node.op, Constant) for value in given):
            self._bring(given[0], always=True)
        return call(self.script.helper("emit"), [self._op(node.op), *[self._text(value) for value in node.inputs]])

    def _op(self, op: Op) -> Piece:
        module = group_by_op()[type(op)]
        self.script.use("kir.ops", module)
        if op.bodies():
            refuse(f"{op.name} holds a graph, which a script cannot say; write ONNX, or keep the script it came from")
        keywords = [(name, self._values.piece(value, "attribute")) for name, value in op.attributes().items()]
        return call(f"{module}.{op.name}", keywords=keywords)

    # Sizes

    def _size(self, dim: Sym) -> Piece:
        """Return a size, read from the shapes of values in scope if they have it."""
        try:
            return self._size_text(dim)
        except LookupError:
            return call(self.script.helper("parse_dim"), [quote(str(dim))])

    def _size_text(self, dim: Dim) -> str:
        """Return a size as an expression of shapes in scope.

        Raises:
            LookupError: no value has it, or what it is computed from.
        """
        if isinstance(dim, int):
            return str(dim)
        if dim in self.sizes or dim.name is not None:
            text, axis = self.sizes[dim]
            return f"{text}.shape[{axis}]"
        first, *others = [self._term(monomial, factor) for monomial, factor in dim.terms]
        return first + "".join(f" - {term[1:]}" if term[0] == "-" else f" + {term}" for term in others)

    def _term(self, monomial: Sequence[Atom], factor: int) -> str:
        factors = [str(factor)] if factor != 1 or not monomial else []
        return " * ".join([*factors, *map(self._atom, monomial)])

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, str):
            return self._size_text(symbol(atom))
        a, b = (self._size_text(operand) for operand in atom.operands)
        if isinstance(atom, Min):
            return f"{self.script.helper('minimum')}({a}, {b})"
        assert isinstance(atom, FloorDiv), "an operation on sizes must be handled"
        bracketed = [f"({text})" if " " in text else text for text in (a, b)]
        return f"({bracketed[0]} // {bracketed[1]})"

    # The end

    def finish(self, name: str, result: Tree[Value]) -> None:
        """Write the return statement; then the function stands in the script under this name."""
        if self._last is not None and isinstance(result, Value) and result is self._last[0] and len(self._last[1]) == 1:
            piece: Piece = self._last[2]
        else:
            self._flush()
            if isinstance(result, Value) and result not in self.texts:
                piece = self._constant(result, False)
            else:
                piece = self._values.piece(result, "result")
        if isinstance(piece, Group) and piece.is_tuple and len(piece.items) > 1:
            bare = piece.flat[1:-1]
            piece = bare if len(bare) < WIDTH - len("return ") - len(INDENT) else piece
        body = [*self.lines, *statement("return ", piece, INDENT)]
        self.script.add_function([*_signature(name, self.header), *body])


def origin_piece(script: Script, origin: Origin) -> Piece:
    """Return the constructor call of an origin."""
    return call(script.helper("Origin"), [quote(origin.path), quote(origin.layer)])


def _signature(name: str, parameters: Sequence[Piece]) -> list[str]:
    line = f"def {name}({', '.join(map(flat, parameters))}):"
    if len(line) <= WIDTH:
        return [line]
    return [f"def {name}(", *[f"{INDENT}{flat(parameter)}," for parameter in parameters], "):"]


def _is_plain_operand(piece: Piece) -> bool:
    """Return whether a piece needs no brackets beside an operator, and no linter objects to it there."""
    text = flat(piece)
    return isinstance(piece, str) and text not in ("None", "True", "False") and not text.startswith(("-", "float("))


def _shortest(array: Array) -> float:
    """Return the Python number of a scalar, with no more digits than its dtype needs to tell it from its neighbours."""
    item: float = array.item()
    return float(str(array.astype(array.dtype)[()])) if isinstance(item, float) else item
