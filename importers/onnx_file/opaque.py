"""Nodes that kir has no operator for, carried through a graph as they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onnx import AttributeProto, NodeProto

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.numbers import intended
from kir.importers.onnx_file.reading import domain_of, read_tensor
from kir.ir.op import Array
from kir.ir.structural import Data
from kir.ir.types import TensorType
from kir.ops.opaque import Opaque, Setting
from kir.support.onnx_files import defined_names, outer_names, rename_values, walk_subgraphs


def read_opaque(
    node: NodeProto, versions: Mapping[str, int], types: tuple[TensorType, ...], folder: Path | None
) -> Opaque:
    """Return the node as an operator; see `Opaque` for its subgraphs, whose own values are called inner_0, inner_1, ….

    Args:
        node: what to carry.
        versions: of the domains that the model imports.
        types: of its outputs.
        folder: the one that external data may lie in.

    Raises:
        FormatError: a subgraph has operators of a domain that the model does not import.
    """
    settings, encoded, captured = _read_attributes(node, folder)
    left_out = tuple(place for place, name in enumerate(node.output) if not name)
    imports = tuple(_imports_of(node, versions))
    domain = domain_of(node)
    return Opaque(domain, node.op_type, versions[domain], settings, types, left_out, encoded, len(captured), imports)


def with_exact_types(op: Opaque, inputs: Sequence[Array | None]) -> Opaque:
    """Return an operator on constants, with the sizes of what it computes from them."""
    result = op.eval(*inputs)
    results = result if isinstance(result, tuple) else (result,)
    return replace(op, types=tuple(type.with_shape(y.shape) for type, y in zip(op.types, results, strict=True)))


def _read_attributes(node: NodeProto, folder: Path | None) -> tuple[tuple[tuple[str, Setting], ...], str, list[str]]:
    """Return the attributes of a node that kir can read, the others encoded, and the names that subgraphs read."""
    settings: dict[str, Setting] = {}
    kept = NodeProto()
    for attribute in node.attribute:
        setting = None if attribute.ref_attr_name else _read_setting(attribute, folder)
        if setting is None:
            kept.attribute.append(attribute)
        elif attribute.name in settings:
            raise FormatError(f"node {node.name!r} ({node.op_type}) has the attribute {attribute.name!r} twice")
        else:
            settings[attribute.name] = setting
    captured = outer_names(kept)
    names = {name: f"inner_{number}" for number, name in enumerate(defined_names(kept))}
    names |= {name: f"outer_{number}" for number, name in enumerate(captured)}
    for graph in walk_subgraphs(kept):
        known = [value for value in graph.value_info if value.name in names]
        del graph.value_info[:]
        graph.value_info.extend(known)
    rename_values(kept, lambda name: names[name])
    encoded = base64.b64encode(kept.SerializeToString(deterministic=True)).decode()
    return tuple(sorted(settings.items())), encoded, captured


def _read_setting(attribute: AttributeProto, folder: Path | None) -> Setting | None:
    """Return the value of an attribute; None if it is of a kind, or of an element type, that kir has not."""
    try:
        match attribute.type:
            case AttributeProto.INT:
                return int(attribute.i)
            case AttributeProto.FLOAT:
                return intended(attribute.f)
            case AttributeProto.STRING:
                return str(attribute.s.decode())
            case AttributeProto.TENSOR:
                return Data(read_tensor(attribute.t, folder))
            case AttributeProto.INTS:
                return tuple(attribute.ints)
            case AttributeProto.FLOATS:
                return tuple(map(intended, attribute.floats)) or None
            case AttributeProto.STRINGS:
                return tuple([text.decode() for text in attribute.strings]) or None
    except (UnicodeDecodeError, UnsupportedError):
        pass
    return None


def _imports_of(node: NodeProto, versions: Mapping[str, int]) -> list[tuple[str, int]]:
    domains = sorted({domain_of(inner) for graph in walk_subgraphs(node) for inner in graph.node})
    for domain in domains:
        if domain not in versions:
            raise FormatError(f"the model does not import the domain {domain or 'ai.onnx'} in any version")
    return [(domain, versions[domain]) for domain in domains]
