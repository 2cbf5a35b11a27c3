"""Names from a file: symbolic sizes, layers, and labels of constants."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from onnx import NodeProto, ValueInfoProto

from kir.errors import ShapeError
from kir.importers.onnx_file.reading import NodeTexts
from kir.ir.dim_parser import parse_dim
from kir.ir.dims import Dim, Sym, symbol
from kir.ir.graph import Origin
from kir.support.naming import Names, symbol_name
from kir.support.onnx_files import outer_names

# What the exporter calls a constant without a label: the path of its layer, then this.
_UNLABELLED = re.compile(r"(?:(?P<path>.+)/)?constant(?:_\d+)?")


class SizeNames:
    """The size that each `dim_param` of a file stands for; equal texts are equal sizes.

    1. A name that kir can print: that symbol.
    2. A composite text such as ``2*length + 1``, of names that are sizes of their own in the file: that size. With
       `any_composite`, of any names.
    3. Anything else: a symbol of its own, called like the text as far as names allow.
    """

    def __init__(self, texts: Iterable[str], any_composite: bool) -> None:
        self._dims: dict[str, Dim] = {}
        unclear: list[str] = []
        for text in dict.fromkeys(map(str, texts)):
            try:
                self._dims[text] = symbol(text)
            except ShapeError:
                unclear.append(text)
        plain = frozenset(self._dims)
        parsed = {text: _parse(text) for text in unclear}
        used = {name for dim in parsed.values() if any_composite and isinstance(dim, Sym) for name in dim.names()}
        self._names = Names(plain | used)
        for text, dim in parsed.items():
            is_clear = any_composite or not isinstance(dim, Sym) or dim.names() <= plain
            self._dims[text] = dim if dim is not None and is_clear else self.new(text)

    def dim(self, text: str) -> Dim:
        """Return the size of a `dim_param`; one that is not UTF-8, and so bytes, is named like its text."""
        text = str(text)
        if text not in self._dims:
            self._dims[text] = self.new(text)
        return self._dims[text]

    def find(self, text: str) -> Dim | None:
        """Return the size that a text stands for, None if it stands for none so far."""
        return self._dims.get(str(text))

    def new(self, wanted: str) -> Sym:
        """Return a symbol that nothing else is called."""
        return symbol(self._names.unique(symbol_name(wanted)))


def _parse(text: str) -> Dim | None:
    try:
        dim = parse_dim(text)
    except ShapeError:
        return None
    return None if isinstance(dim, int) and dim < 0 else dim


def origin_of(node: NodeProto, written_by_kir: bool) -> Origin | None:
    """Return the layer that kir's metadata names; in others' files, what is before the last slash of its name."""
    entries = node.metadata_props
    if entries:
        metadata = {entry.key: entry.value for entry in entries}
        if "kir.layer" in metadata:
            return Origin(metadata["kir.layer"], metadata.get("kir.class", node.op_type))
    if written_by_kir:
        return None
    name = node.name.strip("/")
    path = name.rpartition("/")[0] or name
    return Origin(path, node.op_type) if path else None


def origin_of_weight(name: str, layers: Mapping[str, str]) -> Origin | None:
    """Return the layer whose path the name of an initializer begins with; `layers` gives the classes by path."""
    path = name.rpartition("/")[0]
    return Origin(path, layers[path]) if path in layers else None


def label_of_weight(name: str, written_by_kir: bool) -> str | None:
    """Return the label that the exporter gave this name to, None if it named a constant without one."""
    return None if written_by_kir and _UNLABELLED.fullmatch(name) else name


def size_texts(value: ValueInfoProto) -> Iterator[str]:
    """Return the `dim_param` of each size that has one."""
    return (dim.dim_param for dim in value.type.tensor_type.shape.dim if dim.dim_param)


def layer_classes(nodes: Sequence[NodeProto]) -> dict[str, str]:
    """Return the class of each layer that kir's metadata names."""
    found: dict[str, str] = {}
    for node in nodes:
        entries = {entry.key: entry.value for entry in node.metadata_props}
        if "kir.layer" in entries:
            found[entries["kir.layer"]] = entries.get("kir.class", "")
    return found


def count_reads(nodes: Sequence[NodeTexts], outputs: Sequence[str]) -> Counter[str]:
    """Return how often each name is read. What an Identity reads counts twice: it has two names then."""
    counts = Counter(outputs)
    for node in nodes:
        outer = outer_names(node.node) if node.attributes else []
        for name in (*node.inputs, *outer):
            counts[name] += 2 if node.op_type == "Identity" else 1
    return counts
