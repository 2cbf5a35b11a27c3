"""Embedding and ReversibleEmbedding against real Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir import Input, Model, Sequential, layers, passes
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.exporters.onnx_file import to_model_proto
from kir.exporters.onnx_file.verify.file import verify_file
from kir.layers import Embedding, ReversibleEmbedding
from kir.modeling.lower import lower
from tests.oracle import assert_matches_keras, build_both, check_layer, node_types, show_mask

CASES: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((7,), {}),
    ((None,), {}),
    ((2, None), {}),
    ((), {}),
    (
        (3,),
        {
            "embeddings_initializer": "glorot_normal",
            "embeddings_regularizer": "l2",
            "embeddings_constraint": "unit_norm",
            "activity_regularizer": "l2",
        },
    ),
]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "int16", "float32"])
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_embedding_like_keras(shape: tuple[Any, ...], options: dict[str, Any], dtype: str) -> None:
    check_layer("Embedding", (shape, dtype), input_dim=3, output_dim=4, **options)


@pytest.mark.parametrize("dtype", ["float16", "float64", "mixed_float16"])
def test_the_rows_are_in_the_compute_dtype(dtype: str) -> None:
    tolerance = 1e-3 if "16" in dtype else 1e-7
    check_layer("Embedding", ((5,), "int32"), input_dim=3, output_dim=4, dtype=dtype, atol=tolerance, rtol=tolerance)


def test_an_embedding_is_one_node() -> None:
    assert node_types(check_layer("Embedding", ((5,), "int32"), input_dim=3, output_dim=4)) == ["Gather"]
    assert node_types(check_layer("Embedding", ((5,), "float32"), input_dim=3, output_dim=4)) == ["Cast", "Gather"]


@pytest.mark.parametrize("dtype", ["int32", "float32"])
@pytest.mark.parametrize("name", ["Embedding", "ReversibleEmbedding"])
def test_zero_may_mask(name: str, dtype: str) -> None:
    def build(library: Any, x: Any) -> Any:
        return show_mask(library, getattr(library, name)(5, 3, mask_zero=True, name="checked")(x))

    given = np.array([[1, 0, 4, 0, 0], [0, 0, 0, 0, 0], [1, 2, 3, 4, 1]], dtype)
    assert_matches_keras(*build_both(build, ((None,), dtype)), [given], atol=1e-5)


def test_masks_reach_recurrent_layers() -> None:
    def build(library: Any, x: Any) -> Any:
        return library.LSTM(4)(library.Embedding(5, 3, mask_zero=True)(x))

    given = np.array([[1, 0, 4, 0, 0], [0, 0, 0, 0, 0], [1, 2, 3, 4, 1]], np.int32)
    assert_matches_keras(*build_both(build, ((None,), "int32")), [given])


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("mask_zero", [False, True])
def test_random_inputs_of_verification_fit_the_table(dtype: str, mask_zero: bool) -> None:
    x = Input((None,), dtype=dtype)
    graph = lower(Model(x, layers.GRU(2)(Embedding(3, 4, mask_zero=mask_zero)(x))))
    assert verify_file(graph, to_model_proto(graph).SerializeToString()).passed


def test_given_weights() -> None:
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    for weights in (table, [table], table.tolist()):
        layer = Embedding(3, 2, weights=weights)
        np.testing.assert_array_equal(layer(np.array([2, 0])), table[[2, 0]])
        assert "weights" not in layer.get_config()
    with pytest.raises(ShapeError, match=r"\(3, 3\).*\(3, 2\)"):
        Embedding(3, 2, weights=np.zeros((3, 3)))


def test_input_length_declares_the_shape_of_a_first_layer() -> None:
    assert Sequential([Embedding(3, 2, input_length=5)]).output_shape == (None, 5, 2)  # type: ignore[call-arg]
    assert Sequential([Embedding(3, 2, input_shape=(4,), input_length=5)]).output_shape == (None, 4, 2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"input_dim": 0, "output_dim": 2}, "input_dim=0"),
        ({"input_dim": 2.5, "output_dim": 2}, "input_dim=2.5"),
        ({"input_dim": 2, "output_dim": True}, "output_dim=True"),
        ({"input_dim": 2, "output_dim": 2, "mask_zero": "yes"}, "mask_zero='yes'"),
        ({"input_dim": 2, "output_dim": 2, "embeddings_initializer": "glorot"}, "glorot"),
    ],
)
@pytest.mark.parametrize("cls", [Embedding, ReversibleEmbedding])
def test_bad_arguments_are_repeated(cls: Any, options: dict[str, Any], value: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        cls(**options)
    assert value in str(error.value)


# ReversibleEmbedding

REVERSIBLE: list[dict[str, Any]] = [
    {},
    {"tie_weights": False},
    {"logit_soft_cap": 0.5},
    {"reverse_dtype": "float16"},
    {"dtype": "mixed_float16"},
    {"dtype": "float16", "reverse_dtype": "float32", "tie_weights": False},
    {"mask_zero": True, "embeddings_regularizer": "l2", "embeddings_constraint": "unit_norm"},
]


@pytest.mark.parametrize("options", REVERSIBLE)
def test_there_and_back_like_keras(options: dict[str, Any]) -> None:
    def build(library: Any, x: Any) -> Any:
        layer = library.ReversibleEmbedding(5, 3, name="checked", **options)
        rows = layer(x)
        return [rows, layer(rows * 2, reverse=True)]

    given = np.random.default_rng(0).integers(0, 5, (2, 4)).astype(np.int32)
    half = "16" in str(options)
    assert_matches_keras(*build_both(build, ((None,), "int32")), [given], *(2 * [4e-3] if half else []))


@pytest.mark.parametrize("options", REVERSIBLE)
def test_config_like_keras(options: dict[str, Any]) -> None:
    tolerance = 1e-3 if "16" in str(options) else 1e-7
    check_layer(
        "ReversibleEmbedding", ((4,), "int32"), input_dim=5, output_dim=3, atol=tolerance, rtol=tolerance, **options
    )


def test_a_tied_table_is_stored_once() -> None:
    x = Input((None,), dtype="int32")
    layer = ReversibleEmbedding(30_000, 4)
    graph = lower(Model(x, layer(layer(x), reverse=True)))
    passes.run(graph, passes.pipeline(2))
    assert to_model_proto(graph).ByteSize() < 1.1 * 30_000 * 4 * 4


def test_bad_arguments_of_the_way_back() -> None:
    with pytest.raises(InvalidArgumentError, match="logit_soft_cap='a'"):
        ReversibleEmbedding(5, 3, logit_soft_cap="a")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="tie_weights='a'"):
        ReversibleEmbedding(5, 3, tie_weights="a")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="features"):
        ReversibleEmbedding(5, 3)(Input((4,)), reverse=True)


def test_logits_carry_no_mask() -> None:
    x = Input((None,), dtype="int32")
    layer = ReversibleEmbedding(5, 3, mask_zero=True)
    assert layer(x).mask_type is not None
    assert layer(layer(x), reverse=True).mask_type is None
    assert K.shape(layer(layer(x), reverse=True))[-1] == 5
