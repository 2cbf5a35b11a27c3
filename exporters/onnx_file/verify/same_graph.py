"""A graph in a file compared with what it should be: its nodes, their attributes and subgraphs, and its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import onnx
from onnx import AttributeProto, NodeProto, OperatorSetIdProto, helper

from kir.exporters.onnx_file.content import StoredTensor
from kir.exporters.onnx_file.probe import layer_of
from kir.exporters.onnx_file.verify.graph_content import GraphContent, dense
from kir.exporters.onnx_file.verify.same_tensor import Expected, shortened, tensor_problem
from kir.exporters.onnx_file.verify.same_type import TypeComparison
from kir.numerics.report import Finding


class GraphComparison:
    """Compares a graph of a file with what it should be; `expected` and `found`.

    Args:
        expected: the graph that was to be written.
        found: the graph in the file.
        imports: the versions of the operators' domains.
    """

    def __init__(self, expected: GraphContent, found: GraphContent, imports: Sequence[OperatorSetIdProto]) -> None:
        self.expected, self.found = expected, found
        self._imports = imports
        self._inputs = {value.name for value in found.inputs}
        self._same: dict[tuple[str, str], bool] = {}  # whether tensors of other names have the same content

    def problems(self) -> Iterator[Finding]:
        """Yield what differs."""
        for name in sorted(self.found.twice, key=str):
            yield self._at_tensor(name, "is given twice in the file")
        yield from self._node_problems()
        yield from self._tensor_problems()
        yield from TypeComparison(self.expected, self.found).problems()

    # Nodes

    def _node_problems(self) -> Iterator[Finding]:
        makers = {name: node for node in self.found.nodes for name in node.output if name}
        matched: set[str] = set()
        for node in self.expected.nodes:
            other = makers.get(node.output[0])
            if other is None:
                yield _at_node(node, "is missing in the file")
                continue
            matched.add(other.output[0])
            if node.SerializeToString() != other.SerializeToString():
                yield from (_at_node(node, text) for text in self._differences(node, other))
        for node in self.found.nodes:
            if not node.output or node.output[0] not in matched:
                yield _at_node(node, "stands in the file and not in the model")

    def _differences(self, node: NodeProto, other: NodeProto) -> Iterator[str]:
        operators = [f"{domain_of(one)}.{one.op_type}".lstrip(".") + one.overload for one in (other, node)]
        if operators[0] != operators[1]:
            yield f"is {operators[0]} in the file"
            return
        for role in ("input", "output"):
            found, expected = (_stripped(getattr(one, role)) for one in (other, node))
            if len(found) != len(expected):
                yield f"has {len(found)} {role}s in the file, {len(expected)} in the model"
            for index, pair in enumerate(zip(found, expected, strict=False)):
                if not self._is_same_value(*pair):
                    yield f"{role} {index} is {pair[0]!r} in the file, {pair[1]!r} in the model"
        yield from self._attribute_problems(node, other)

    def _is_same_value(self, found: str, expected: str) -> bool:
        """Return whether names stand for one value: they are one name, or of constants that are equal."""
        if found == expected:
            return True
        tensor, wanted = self.found.tensors.get(found), self.expected.tensors.get(expected)
        if tensor is None or wanted is None or found in self._inputs or not isinstance(tensor, StoredTensor):
            return False
        if (found, expected) not in self._same:
            self._same[found, expected] = not tensor_problem(wanted, tensor)
        return self._same[found, expected]

    # Attributes

    def _attribute_problems(self, node: NodeProto, other: NodeProto) -> Iterator[str]:
        wanted, given = ({str(one.name): one for one in side.attribute} for side in (node, other))
        if len(given) != len(other.attribute):
            yield "has an attribute twice in the file"
        for name in dict.fromkeys((*wanted, *given)):
            a, b = (side.get(name) or self._default(node, name) for side in (given, wanted))
            if a is None:
                yield f"attribute {name} is missing in the file, {_attribute_text(b)} in the model"
            elif b is None:
                yield f"attribute {name} is {_attribute_text(a)} in the file; the model has none"
            elif _plain(a) != _plain(b):
                yield from self._value_problems(name, a, b)

    def _default(self, node: NodeProto, name: str) -> AttributeProto | None:
        """Return what an attribute is where a node does not say it."""
        version = next((entry.version for entry in self._imports if domain_of(entry) == domain_of(node)), 0)
        try:
            known = onnx.defs.get_schema(node.op_type, version, domain_of(node)).attributes
        except onnx.defs.SchemaError:
            return None
        default = known[name].default_value if name in known else None
        return default if default is not None and default.name else None

    def _value_problems(self, name: str, found: AttributeProto, expected: AttributeProto) -> Iterator[str]:
        if found.type == expected.type == AttributeProto.TENSOR:
            problem = tensor_problem(StoredTensor(expected.t), StoredTensor(found.t))
            if problem:
                yield f"attribute {name} {problem}"
        elif found.type == expected.type == AttributeProto.GRAPH:
            wanted, given = (GraphContent.of_graph(one.g, None) for one in (expected, found))
            for finding in GraphComparison(wanted, given, self._imports).problems():
                yield f"attribute {name}: {finding}"
        else:
            yield f"attribute {name} is {_attribute_text(found)} in the file, {_attribute_text(expected)} in the model"

    # Tensors

    def _tensor_problems(self) -> Iterator[Finding]:
        for name, wanted in self.expected.tensors.items():
            problem = self._tensor_problem(name, wanted)
            if problem:
                yield self._at_tensor(name, problem)
        read = {name for name, _ in self._same}
        for name in (*self.found.tensors, *self.found.sparse):
            if name not in self.expected.tensors and name not in read:
                what = "has a default" if name in self._inputs else "stands"
                yield self._at_tensor(name, f"{what} in the file and not in the model")

    def _tensor_problem(self, name: str, wanted: Expected) -> str:
        tensor = self.found.tensors.get(name)
        if tensor is None and name in self.found.sparse:
            tensor = dense(self.found.sparse[name], wanted.shape, self.found.folder)
        if isinstance(tensor, StoredTensor):
            return tensor_problem(wanted, tensor)
        if name in self._inputs:
            return "has no default in the file"
        return "is missing in the file" if name in self._names_read else ""

    @cached_property
    def _names_read(self) -> set[str]:
        return {name for node in self.found.nodes for name in node.input}

    @cached_property
    def _readers(self) -> Mapping[str, NodeProto]:
        return {name: node for node in reversed(self.expected.nodes) for name in node.input}

    def _at_tensor(self, name: str, text: str) -> Finding:
        reader = self._readers.get(name)
        return Finding(text, "" if reader is None else layer_of(reader), tensor=name)


def domain_of(entry: NodeProto | OperatorSetIdProto) -> str:
    return "" if entry.domain == "ai.onnx" else str(entry.domain)


def _at_node(node: NodeProto, text: str) -> Finding:
    return Finding(text, layer_of(node), node.op_type, next(iter(node.output), ""))


def _stripped(names: Iterable[str]) -> list[str]:
    """Return names without the absent ones at the end."""
    found = list(names)
    while found and not found[-1]:
        found.pop()
    return found


def _plain(attribute: AttributeProto) -> bytes:
    """Return the bytes of an attribute without what it says to people."""
    if not attribute.doc_string:
        return bytes(attribute.SerializeToString(deterministic=True))
    copy = AttributeProto()
    copy.CopyFrom(attribute)
    copy.ClearField("doc_string")
    return bytes(copy.SerializeToString(deterministic=True))


def _attribute_text(attribute: AttributeProto | None) -> str:
    if attribute is None:
        return "absent"
    kind = AttributeProto.AttributeType.Name(attribute.type).lower()
    if attribute.ref_attr_name:
        return f"the attribute {attribute.ref_attr_name} of a function"
    if kind not in ("int", "ints", "float", "floats", "string", "strings"):
        return f"of type {kind}"
    value = helper.get_attribute_value(attribute)
    return f"{shortened(str(value))} ({kind})"
