"""Names of sizes, layers and weights."""

from __future__ import annotations

import pytest
from onnx import NodeProto, StringStringEntryProto

from kir.importers.onnx_file.names import SizeNames, label_of_weight, origin_of, origin_of_weight
from kir.ir.dims import Dim, symbol
from kir.ir.graph import Origin

BATCH, LENGTH = symbol("batch"), symbol("length")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch", BATCH),
        ("2*length + 1", 2 * LENGTH + 1),
        ("7", 7),
        ("-1", symbol("_1")),
        ("2*other", symbol("_2_other")),
        ("batch size", symbol("batch_size")),
        ("?", symbol("_")),
        ("n//0", symbol("n__0")),
    ],
)
def test_texts_of_sizes(text: str, expected: Dim) -> None:
    names = SizeNames(["batch", "length", text], any_composite=False)
    assert names.dim(text) == expected


def test_different_texts_are_different_sizes() -> None:
    names = SizeNames(["a b", "a_b", "a-b"], any_composite=False)
    assert len({names.dim(text) for text in ("a b", "a_b", "a-b")}) == 3


def test_the_exporters_composites_need_no_bare_name() -> None:
    assert SizeNames(["2*n"], any_composite=True).dim("2*n") == 2 * symbol("n")


def test_new_names_avoid_those_inside_composites() -> None:
    assert SizeNames(["2*n"], any_composite=True).new("n") == symbol("n_1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/encoder/dense/MatMul", Origin("encoder/dense", "MatMul")),
        ("MatMul_7", Origin("MatMul_7", "MatMul")),
        ("", None),
    ],
)
def test_layers_of_other_exporters_are_in_the_names_of_nodes(name: str, expected: Origin | None) -> None:
    assert origin_of(NodeProto(name=name, op_type="MatMul"), written_by_kir=False) == expected
    assert origin_of(NodeProto(name=name, op_type="MatMul"), written_by_kir=True) is None


def test_layers_of_this_exporter_are_in_the_metadata() -> None:
    entries = [StringStringEntryProto(key=k, value=v) for k, v in (("kir.layer", "a/b"), ("kir.class", "Dense"))]
    node = NodeProto(name="x/y", op_type="MatMul", metadata_props=entries)
    assert origin_of(node, written_by_kir=True) == Origin("a/b", "Dense")


def test_weights_belong_to_the_layer_that_their_name_begins_with() -> None:
    layers = {"a/b": "Dense"}
    assert origin_of_weight("a/b/kernel", layers) == Origin("a/b", "Dense")
    assert origin_of_weight("kernel", layers) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("constant", None), ("a/constant_3", None), ("a/constants", "a/constants"), ("kernel", "kernel")],
)
def test_labels_of_weights(name: str, expected: str | None) -> None:
    assert label_of_weight(name, written_by_kir=True) == expected
    assert label_of_weight(name, written_by_kir=False) == name
