"""Functions of a script: nodes of a graph as statements over `kir.backend`, one for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from kir.exporters.script.calls import FunctionCall, Ref, fitting_call
from kir.exporters.script.script import Script, reserved_names
from kir.exporters.script.text import INDENT, WIDTH, Identifiers, Piece, call, flat, mapping, quote, sequence, statement
from kir.exporters.script.values import Values
from kir.ir.dims import Atom, Dim, FloorDiv, Min, Sym, symbol
from kir.ir.graph import Node, Origin, Value
from kir.ir.op import Op
from kir.ir.structural import Constant
from kir.ops import group_by_op
from kir.support.naming import snake_case

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
        self.header: list[Piece] = []
        self._last: tuple[Value, list[str], Piece] | None = None
        self._values = Values(script, _no_layer)

    # Parameters

    def parameter(self, structure: Any, wanted: str) -> None:
        """A parameter that takes a value or a structure of values."""
        is_value = isinstance(structure, Value)
        name = self.names.new(wanted)
        self.header.append(name)
        if is_value:
            self.texts[structure] = name
        else:
            self._unpack(structure, name)

    def optional(self, value: Value | None, name: str) -> None:
        """A parameter that is passed by this name, if it has a value."""
        self.header.append(f"{name}=None")
        if value is not None:
            self.texts[value] = name

    def _unpack(self, structure: Any, text: str) -> None:
        """Names for the values of a structure that a parameter holds. Structures are as deep as a user wrote them."""
        if isinstance(structure, Value):
            self.texts.setdefault(structure, text)
        elif isinstance(structure, Mapping):
            for key, item in structure.items():
                self._unpack(item, f"{text}[{quote(key) if isinstance(key, str) else repr(key)}]")
        elif isinstance(structure, list | tuple):
            is_flat = all(isinstance(item, Value) for item in structure)
            if is_flat and 1 < len(structure) <= MAX_UNPACKED:
                names = [self.names.new("x") for _ in structure]
                self.lines += statement(f"{', '.join(names)} = ", text, INDENT)
                for item, name in zip(structure, names, strict=True):
                    self.texts.setdefault(item, name)
            else:
                for index, item in enumerate(structure):
                    self._unpack(item, f"{text}[{index}]")

    # Nodes

    def add(self, node: Node) -> None:
        """A statement for a node. Constants get one only where they are one node for several readers."""
        self._flush()
        if isinstance(node.op, Constant):
            return
        literals = [self._literal(value) for value in node.inputs]
        found = fitting_call(node, literals)
        if found is not None:
            inputs = [self._operand(value, literal) for value, literal in zip(node.inputs, literals, strict=True)]
            self._assign(node, snake_case(found.function), self._call(found, inputs))
        else:
            self._assign(node, snake_case(node.op.name), self._emit(node))

    def _assign(self, node: Node, wanted: str, piece: Piece) -> None:
        outputs = node.outputs
        if len(outputs) > MAX_UNPACKED:
            name = self.names.new(wanted)
            self.texts.update({value: f"{name}[{value.index}]" for value in outputs})
            self.lines += statement(f"{name} = ", piece, INDENT)
            return
        names = [self.names.new(wanted) if self.reads.get(value, 0) else "_" for value in outputs]
        self.texts.update(zip(outputs, names, strict=True))
        self._last = (outputs[0], names, piece)

    def _flush(self) -> None:
        """Writes the statement that was held back, since it may have been the last one."""
        if self._last is not None:
            _, names, piece = self._last
            self.lines += statement(f"{', '.join(names)} = ", piece, INDENT)
            self._last = None

    # Operands

    def _literal(self, value: Value | None) -> Any:
        """The number or array that a constant may be written as; None for any other value, and for a weight."""
        op = None if value is None else value.node.op
        if not isinstance(op, Constant) or value in self.texts or value in self.bound or self._label(op) is not None:
            return None
        array = op.value.array
        if array.dtype == object:
            return None
        if array.ndim == 0:
            return _shortest(array)
        return array if self.reads.get(value, 0) <= 1 else None  # type: ignore[arg-type]

    def _operand(self, value: Value | None, literal: Any) -> Piece:
        """What stands for an input in a call of K."""
        return self._text(value) if literal is None else self._values.piece(literal, "array")

    def _text(self, value: Value | None) -> str:
        """The expression for a value in scope; a constant is brought there first."""
        if value is None:
            return "None"
        if value not in self.texts:
            self._bring(value)
        return self.texts[value]

    def _bring(self, value: Value, *, always: bool = False) -> None:
        """Names a constant of the graph; an array that is read once stands for itself, unless it has to be one."""
        piece = self._constant(value, always)
        label = getattr(value.node.op, "label", None)
        if isinstance(piece, str):
            self.texts[value] = piece
            return
        name = self.names.new(label.rpartition("/")[2] if label else "array")
        self.texts[value] = name
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
            return f"{flat(inputs[0])}[{self._index(found.args[1])}]"
        arguments = [self._argument(argument, inputs) for argument in found.args]
        keywords = [(name, self._argument(argument, inputs)) for name, argument in found.kwargs.items()]
        return call(self.script.backend(found.function), arguments, keywords)

    def _argument(self, argument: Any, inputs: Sequence[Piece]) -> Piece:
        match argument:
            case Ref():
                return inputs[argument.index]
            case Sym():
                return self._size(argument)
            case list():
                return sequence([self._argument(item, inputs) for item in argument])
            case tuple():
                return sequence([self._argument(item, inputs) for item in argument], "()")
        return self._values.piece(argument, "constant")

    def _index(self, key: tuple[slice, ...]) -> str:
        return ", ".join(self._slice(one) for one in key)

    def _slice(self, one: slice) -> str:
        start, stop = ("" if bound is None else flat(self._argument(bound, ())) for bound in (one.start, one.stop))
        spaced = any(not text.lstrip("-").isalnum() for text in (start, stop) if text)
        colon = " : " if spaced and start and stop else " :" if spaced and start else ": " if spaced and stop else ":"
        return f"{start}{colon}{stop}" + ("" if one.step is None else f":{one.step}")

    def _emit(self, node: Node) -> Piece:
        """The operator itself, applied by `emit`.

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
        keywords = [(name, self._attribute(value)) for name, value in op.attributes().items()]
        return call(f"{module}.{op.name}", keywords=keywords)

    def _attribute(self, value: Any) -> Piece:
        match value:
            case Op():
                return self._op(value)
            case Sym():
                return self._size(value)
            case tuple():
                return sequence([self._attribute(item) for item in value], "()")
        return self._values.piece(value, "attribute")

    # Sizes

    def _size(self, dim: Dim) -> Piece:
        """A size, read from the shape of a value in scope if one has it."""
        if isinstance(dim, int):
            return str(dim)
        text = self._size_text(dim)
        if text is not None:
            return text
        return call(self.script.helper("parse_dim"), [quote(str(dim))])

    def _size_text(self, dim: Dim) -> str | None:
        if isinstance(dim, int):
            return str(dim)
        for value, text in self.texts.items():
            for axis, size in enumerate(value.type.shape):
                if size == dim and text != "_":
                    return f"{text}.shape[{axis}]"
        if dim.name is not None:
            return None
        terms = [self._term(monomial, factor) for monomial, factor in dim.terms]
        if any(term is None for term in terms):
            return None
        first, *others = [term or "" for term in terms]
        return first + "".join(f" - {term[1:]}" if term[0] == "-" else f" + {term}" for term in others)

    def _term(self, monomial: Iterable[Atom], factor: int) -> str | None:
        parts: list[str] = []
        for atom in monomial:
            text = self._atom(atom)
            if text is None:
                return None
            parts.append(text)
        if factor != 1 or not parts:
            parts.insert(0, str(factor))
        return " * ".join(parts)

    def _atom(self, atom: Atom) -> str | None:
        if isinstance(atom, str):
            return self._size_text(symbol(atom))
        a, b = (self._size_text(operand) for operand in atom.operands)
        if a is None or b is None:
            return None
        if isinstance(atom, Min):
            return f"{self.script.helper('minimum')}({a}, {b})"
        assert isinstance(atom, FloorDiv), "an operation on sizes must be handled"
        bracketed = [f"({text})" if " " in text else text for text in (a, b)]
        return f"({bracketed[0]} // {bracketed[1]})"

    # The end

    def finish(self, name: str, result: Any) -> None:
        """The return statement; then the function stands in the script under this name."""
        if self._last is not None and isinstance(result, Value) and result is self._last[0] and len(self._last[1]) == 1:
            piece: Piece = self._last[2]
        else:
            self._flush()
            is_constant = isinstance(result, Value) and result not in self.texts
            piece = self._constant(result, False) if is_constant else self._result(result)
        bare = ", ".join(map(self._text, result)) if isinstance(result, tuple) and len(result) > 1 else ""
        if bare and len(bare) < WIDTH - len("return ") - len(INDENT):
            piece = bare
        body = [*self.lines, *statement("return ", piece, INDENT)]
        self.script.add_function([*_signature(name, self.header), *body])

    def _result(self, result: Any) -> Piece:
        if isinstance(result, Value):
            return self._text(result)
        if isinstance(result, Mapping):
            return mapping([(quote(str(key)), self._result(item)) for key, item in result.items()])
        brackets = "()" if isinstance(result, tuple) else "[]"
        return sequence([self._result(item) for item in result], brackets)


def origin_piece(script: Script, origin: Origin) -> Piece:
    """The constructor call of an origin."""
    return call(script.helper("Origin"), [quote(origin.path), quote(origin.layer)])


def _signature(name: str, parameters: Sequence[Piece]) -> list[str]:
    line = f"def {name}({', '.join(map(flat, parameters))}):"
    if len(line) <= WIDTH:
        return [line]
    return [f"def {name}(", *[f"{INDENT}{flat(parameter)}," for parameter in parameters], "):"]


def _is_plain_operand(piece: Piece) -> bool:
    """Whether a piece needs no brackets beside an operator, and linters have nothing against it there."""
    text = flat(piece)
    return isinstance(piece, str) and text not in ("None", "True", "False") and not text.startswith(("-", "float("))


def _shortest(array: Any) -> Any:
    """The Python number of a scalar array, with no more digits than its dtype needs to tell it from its neighbours."""
    item = array.item()
    return float(str(array.astype(array.dtype)[()])) if isinstance(item, float) else item


def _no_layer(layer: Any) -> Piece:
    raise AssertionError("a function holds no layers")
