"""The attention layers against real Keras."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from kir import Model, compare, initializers, layers
from kir.errors import InvalidArgumentError, ShapeError
from kir.exporters.pipeline import ExportOptions, export_model
from kir.importers.onnx_file import import_graph
from kir.ir import interpreter
from kir.layers import AdditiveAttention, Attention, Embedding, GroupQueryAttention, Input, MultiHeadAttention
from kir.modeling.lower import lower
from kir.support.naming import reset_names
from tests.oracle import assert_matches_keras, assert_same_config, build_both, draw_feeds, node_types, show_mask

Q, V = (None, 4), (None, 4)
TOLERANCE = {"float16": 8e-3, "float32": 1e-5, "float64": 1e-6}


def feeds_of(queries: int = 4, values: int = 6, sizes: tuple[int, ...] = (4, 4)) -> list[Any]:
    """Return a query and a value, and perhaps a key, of 3 samples; some steps are 0, which `Masking` masks."""
    random = np.random.default_rng(1)
    shapes = [(3, queries, sizes[0]), *[(3, values, size) for size in sizes[1:]]]
    found = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    for x in found:
        x[0, 1] = x[1, 2:] = 0
    return found


# Attention and AdditiveAttention

OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Attention", {}, {}),
    ("Attention", {"use_scale": True}, {}),
    ("Attention", {"score_mode": "concat"}, {}),
    ("Attention", {"score_mode": "concat", "use_scale": True}, {}),
    ("Attention", {"dropout": 0.5, "seed": 3}, {}),
    ("Attention", {}, {"use_causal_mask": True}),
    ("Attention", {"use_scale": True}, {"return_attention_scores": True}),
    ("AdditiveAttention", {}, {}),
    ("AdditiveAttention", {"use_scale": False, "dropout": 0.2}, {}),
    ("AdditiveAttention", {}, {"use_causal_mask": True, "return_attention_scores": True}),
]


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize(("name", "options", "call"), OPTIONS)
def test_attention_like_keras(
    name: str, options: dict[str, Any], call: dict[str, Any], has_key: bool, is_masked: bool
) -> None:
    def build(library: Any, *inputs: Any) -> Any:
        given = [library.Masking()(x) if is_masked else x for x in inputs]
        outputs = getattr(library, name)(name="checked", **options)(given, **call)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        return [show_mask(library, outputs[0]), *outputs[1:]]

    count = 3 if has_key else 2
    model, reference = build_both(build, *[(None, 4)] * count)
    assert_same_config(model.get_layer("checked"), reference.get_layer("checked"))
    assert_matches_keras(model, reference, feeds_of(sizes=(4,) * count), atol=1e-5)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_attention_of_other_dtypes_and_ranks(name: str, dtype: str) -> None:
    specs = [((2, 4, 3), dtype), ((2, 5, 3), dtype)]
    both = build_both(lambda library, q, v: getattr(library, name)(dtype=dtype)([q, v]), *specs)
    assert_matches_keras(*both, draw_feeds(*specs), TOLERANCE[dtype], TOLERANCE[dtype])


def test_attention_with_explicit_masks() -> None:
    def build(library: Any, q: Any, v: Any, q_mask: Any, v_mask: Any) -> Any:
        return library.Attention()([q, v], mask=[q_mask, v_mask])

    specs = [Q, V, ((None,), "bool"), ((None,), "bool")]
    q, v = feeds_of()
    q_mask, v_mask = np.random.default_rng(0).random((3, 4)) < 0.5, np.random.default_rng(1).random((3, 6)) < 0.7
    assert_matches_keras(*build_both(build, *specs), [q, v, q_mask, v_mask], atol=1e-5)


# MultiHeadAttention

HEADS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"value_dim": 5}, {}),
    ({"use_bias": False}, {}),
    ({"output_shape": 6}, {}),
    ({"output_shape": (2, 3)}, {}),
    ({"dropout": 0.5, "seed": 1}, {}),
    ({"flash_attention": False}, {}),
    ({"sliding_window": 2}, {}),
    ({"use_gate": True, "value_dim": 5}, {}),
    ({"kernel_initializer": "he_normal", "bias_initializer": "ones", "kernel_regularizer": "l2"}, {}),
    ({"bias_regularizer": "l2", "kernel_constraint": "non_neg", "bias_constraint": "max_norm"}, {}),
    ({"attention_axes": (1,)}, {"return_attention_scores": True}),
    ({}, {"use_causal_mask": True}),
    ({"sliding_window": 2}, {"use_causal_mask": True, "return_attention_scores": True}),
]


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize(("options", "call"), HEADS)
def test_heads_like_keras(options: dict[str, Any], call: dict[str, Any], has_key: bool, is_masked: bool) -> None:
    def build(library: Any, *inputs: Any) -> Any:
        query, value, *key = (library.Masking()(x) if is_masked else x for x in inputs)
        layer = library.MultiHeadAttention(2, 3, name="checked", **options)
        outputs = layer(query, value, **({"key": key[0]} if key else {}), **call)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        is_sequence = len(outputs[0].shape) == 3
        return [show_mask(library, outputs[0]) if is_sequence else outputs[0], *outputs[1:]]

    count = 3 if has_key else 2
    sizes = (4, 5, 7)[:count]
    model, reference = build_both(build, *[(None, size) for size in sizes])
    assert_same_config(model.get_layer("checked"), reference.get_layer("checked"))
    assert_matches_keras(model, reference, feeds_of(sizes=sizes), atol=2e-5)


@pytest.mark.parametrize("axes", [None, 1, (2,), (1, 2), (-2,)])
@pytest.mark.parametrize("is_masked", [False, True])
def test_several_axes_like_keras(axes: Any, is_masked: bool) -> None:
    def build(library: Any, x: Any, mask: Any) -> Any:
        layer = library.MultiHeadAttention(2, 3, attention_axes=axes)
        return layer(x, x, attention_mask=mask if is_masked else None)

    both_axes = axes in (None, (1, 2))
    shape = (3, 5, 3, 5) if both_axes else (3, 3) if axes == 1 else (5, 5)
    specs = [(3, 5, 4), (shape, "bool")]
    feeds = draw_feeds(*specs)
    if is_masked and not both_axes:
        # (batch, heads) and the steps: the other axis counts as part of the batch.
        specs[1] = ((5 if axes == 1 else 3, 1, *shape), "bool")
        feeds = draw_feeds(*specs)
    assert_matches_keras(*build_both(build, *specs), feeds, atol=2e-5)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_heads_of_other_dtypes(dtype: str) -> None:
    specs = [((4, 4), dtype), ((5, 4), dtype), ((4, 5), "int32")]

    def build(library: Any, q: Any, v: Any, mask: Any) -> Any:
        return library.MultiHeadAttention(2, 3, dtype=dtype)(q, v, attention_mask=mask)

    assert_matches_keras(*build_both(build, *specs), draw_feeds(*specs), TOLERANCE[dtype], TOLERANCE[dtype])


# GroupQueryAttention

GROUPS: list[tuple[tuple[int, int], dict[str, Any], dict[str, Any]]] = [
    ((4, 2), {}, {}),
    ((6, 2), {}, {}),
    ((3, 1), {}, {}),
    ((2, 2), {}, {}),
    ((4, 2), {"use_bias": False}, {}),
    ((4, 2), {"dropout": 0.5, "seed": 1}, {}),
    ((4, 2), {"flash_attention": False}, {}),
    ((4, 2), {"sliding_window": 2}, {}),
    ((4, 2), {"use_gate": True}, {}),
    ((4, 1), {"kernel_initializer": "he_normal", "bias_initializer": "ones", "kernel_regularizer": "l2"}, {}),
    ((4, 2), {"bias_regularizer": "l2", "kernel_constraint": "non_neg", "bias_constraint": "max_norm"}, {}),
    ((4, 2), {}, {"return_attention_scores": True}),
    ((4, 2), {}, {"use_causal_mask": True}),
    ((6, 3), {"sliding_window": 2}, {"use_causal_mask": True, "return_attention_scores": True}),
]


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize(("heads", "options", "call"), GROUPS)
def test_groups_like_keras(
    heads: tuple[int, int], options: dict[str, Any], call: dict[str, Any], has_key: bool, is_masked: bool
) -> None:
    def build(library: Any, *inputs: Any) -> Any:
        query, value, *key = (library.Masking()(x) if is_masked else x for x in inputs)
        layer = library.GroupQueryAttention(3, *heads, name="checked", **options)
        outputs = layer(query, value, **({"key": key[0]} if key else {}), **call)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        return [show_mask(library, outputs[0]), *outputs[1:]]

    # Keras wants as many features of the values as of the queries.
    sizes = (4, 4, 7)[: 3 if has_key else 2]
    model, reference = build_both(build, *[(None, size) for size in sizes])
    assert_same_config(model.get_layer("checked"), reference.get_layer("checked"))
    assert_matches_keras(model, reference, feeds_of(sizes=sizes), atol=2e-5)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_groups_of_other_dtypes_with_a_mask(dtype: str) -> None:
    specs = [((4, 4), dtype), ((5, 4), dtype), ((4, 5), "int32")]

    def build(library: Any, q: Any, v: Any, mask: Any) -> Any:
        return library.GroupQueryAttention(3, 4, 2, dtype=dtype)(q, v, attention_mask=mask)

    assert_matches_keras(*build_both(build, *specs), draw_feeds(*specs), TOLERANCE[dtype], TOLERANCE[dtype])


def test_shared_heads_are_not_repeated() -> None:
    both = build_both(lambda library, x: library.GroupQueryAttention(3, 4, 2)(x, x), (None, 4))
    counts = Counter(node_types(assert_matches_keras(*both, draw_feeds((None, 4)), atol=1e-5)))
    assert counts["MatMul"] + counts["Conv"] == 6
    assert counts["Expand"] == counts["Gather"] == counts["Tile"] == counts["Concat"] == 0


def test_groups_are_named_as_in_keras() -> None:
    reset_names()
    assert [GroupQueryAttention(3, 4, 2).name for _ in range(2)] == [
        "grouped_query_attention", "grouped_query_attention_1",
    ]  # fmt: skip


# All


@pytest.mark.parametrize("layer", [MultiHeadAttention(2, 3), GroupQueryAttention(3, 2, 2)])
def test_projections_start_with_weights_of_their_own(layer: Any) -> None:
    x = Input((5, 4))
    layer(x, x)
    query, _, key, _, value, *_ = layer.get_weights()
    assert not np.array_equal(query, key)
    assert not np.array_equal(key, value)


def test_projections_of_one_seed_start_alike() -> None:
    x = Input((5, 4))
    layer = MultiHeadAttention(2, 3, kernel_initializer=initializers.GlorotUniform(seed=1))
    layer(x, x)
    np.testing.assert_array_equal(layer.get_weights()[0], layer.get_weights()[2])


def test_a_query_may_be_given_by_name() -> None:
    both = build_both(lambda library, x: library.MultiHeadAttention(2, 3)(query=x, value=x, key=x), (None, 4))
    assert_matches_keras(*both, draw_feeds((None, 4)), atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda library: library.MultiHeadAttention(2, 3), lambda library: library.GroupQueryAttention(3, 2, 2)]
)
def test_the_nodes_are_few(make: Any) -> None:
    both = build_both(lambda library, x: make(library)(x, x), (5, 4))
    counts = Counter(node_types(assert_matches_keras(*both, draw_feeds((5, 4)), atol=1e-5)))
    assert counts["MatMul"] == 6
    assert counts["Einsum"] + counts["Conv"] == 0
    assert counts["Mul"] == 0  # the scale is in the weights
    assert counts["Softmax"] == 1
    assert counts.total() <= 20


@pytest.mark.parametrize(
    "make", [lambda library: library.MultiHeadAttention(2, 3), lambda library: library.GroupQueryAttention(3, 2, 2)]
)
def test_it_is_one_operator_at_opset_23(make: Any, tmp_path: Path) -> None:
    """With padding and causal masks, verified: some steps of the random sequences are 0."""
    indices = Input((None,), dtype="int32")
    x = Embedding(9, 4, mask_zero=True)(indices)
    model = Model(indices, make(layers)(x, x, use_causal_mask=True))
    path = tmp_path / "model.onnx"
    result = export_model(model, path, ExportOptions(opset=23))
    assert result.verification is not None
    assert result.verification.passed
    proto = onnx.load(path)
    counts = Counter(node_types(proto))
    assert counts["Attention"] == 1
    assert counts["Softmax"] == 0
    assert compare(model, import_graph(proto)).same


@pytest.mark.parametrize(
    "make",
    [
        lambda x: Attention(dropout=0.5)([x, x]),
        lambda x: MultiHeadAttention(2, 3, dropout=0.5)(x, x),
        lambda x: GroupQueryAttention(3, 2, 1, dropout=0.5)(x, x),
    ],
)
def test_dropout_acts_in_training(make: Any) -> None:
    x = Input((5, 4), name="x")
    model = Model(x, make(x))
    feeds = {"x": draw_feeds((5, 4))[0]}
    first, second = (next(iter(interpreter.run(lower(model, training=True), feeds).values())) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(model.predict(feeds["x"]), model.predict(feeds["x"]))


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: Attention(score_mode="add"), "'add'"),
        (lambda: Attention(dropout=2), "dropout=2"),
        (lambda: AdditiveAttention(use_scale="yes"), "'yes'"),  # type: ignore[arg-type]
        (lambda: AdditiveAttention(score_mode="concat", use_scale=3), "use_scale=3"),  # type: ignore[arg-type]
        (lambda: MultiHeadAttention(0, 3), "num_heads=0"),
        (lambda: MultiHeadAttention(2, 3.5), "key_dim=3.5"),  # type: ignore[arg-type]
        (lambda: MultiHeadAttention(2, 3, value_dim=-1), "value_dim=-1"),
        (lambda: MultiHeadAttention(2, 3, attention_axes="a"), "attention_axes='a'"),  # type: ignore[arg-type]
        (lambda: MultiHeadAttention(2, 3, sliding_window=0), "sliding_window=0"),
        (lambda: MultiHeadAttention(2, 3, output_shape=0), "output_shape=0"),
        (lambda: GroupQueryAttention(0, 2, 1), "head_dim=0"),
        (lambda: GroupQueryAttention(3, 2.0, 1), "num_query_heads=2.0"),  # type: ignore[arg-type]
        (lambda: GroupQueryAttention(3, 2, 0), "num_key_value_heads=0"),
        (lambda: GroupQueryAttention(3, 4, 3), "num_query_heads=4 and num_key_value_heads=3"),
        (lambda: Attention()(Input((4, 3))), "[query, value]"),
        (lambda: Attention()([Input((4, 3))]), "[query, value]"),
    ],
)
def test_bad_arguments_are_repeated(make: Any, value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        make()
    assert value in str(error.value)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"batch, …, features.*\(batch, 3\)"):
        MultiHeadAttention(2, 3)(Input((3,)), Input((3,)))
    with pytest.raises(ShapeError, match=r"attention_axes=\(2,\).*1 to 1"):
        MultiHeadAttention(2, 3, attention_axes=2)(Input((4, 3)), Input((4, 3)))
    with pytest.raises(ShapeError, match=r"batch, steps, features.*\(batch, 2, 4, 3\)"):
        GroupQueryAttention(2, 3, 1)(Input((2, 4, 3)), Input((2, 4, 3)))
