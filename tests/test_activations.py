"""`kir.activations` against `keras.activations`: every name, its numbers, how it is found and saved."""

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from kir import activations
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.graph import Graph
from kir.ir.interpreter import run
from kir.ir.structural import Input, Output
from kir.ir.trace import Tensor, Tracer
from kir.ir.types import TensorType, as_dtype, parse_type

VALUES = np.array(
    [[-8.0, -3.0, -1.0, -0.5, 0.25, 1.0], [0.0, 0.5, 1.0, 2.9999, 6.5, 20.0], [0.3, -0.2, 0.1, 0.05, 0.4, -4.0]],
    "float32",
)
CASES: list[tuple[str, dict[str, Any]]] = [
    *[(name, {}) for name in activations.ACTIVATIONS if name != "threshold"],
    ("threshold", {"threshold": 0.5, "default_value": 0}),
    ("threshold", {"threshold": -0.3, "default_value": 2.5}),
    ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 6}),
    ("relu", {"max_value": 2.5}),
    ("relu", {"threshold": 0.75}),
    ("relu", {"threshold": -1.5}),
    ("relu", {"threshold": -1.5, "max_value": 2.0}),
    ("relu", {"threshold": 0.75, "negative_slope": 0.1}),
    ("relu", {"threshold": 0.75, "negative_slope": 0.1, "max_value": 2.0}),
    ("relu", {"negative_slope": 0.1, "max_value": 6}),
    ("leaky_relu", {"negative_slope": 0.05}),
    ("elu", {"alpha": 0.5}),
    ("celu", {"alpha": 2.0}),
    ("gelu", {"approximate": True}),
    ("soft_shrink", {"threshold": 0.2}),
    ("hard_shrink", {"threshold": 0.2}),
    ("squareplus", {"b": 1}),
    ("softmax", {"axis": 0}),
    ("softmax", {"axis": (0, 1)}),
    ("log_softmax", {"axis": 0}),
    ("sparsemax", {"axis": 0}),
    ("glu", {"axis": 1}),
]


def traced(function: Any, x: np.ndarray) -> tuple[Graph, np.ndarray]:
    graph = Graph()
    tracer = Tracer(graph)
    node = graph.add(Input("x", TensorType(as_dtype(x.dtype), parse_type("f32[batch, 6]").shape)))
    with tracer.layer("activation", "Activation"):
        graph.add(Output("y"), function(Tensor(node.output, tracer)).value)
    graph.check()
    return graph, run(graph, {"x": x})["y"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("name", "arguments"), CASES, ids=lambda value: str(value))
def test_numbers_are_keras_numbers(name: str, arguments: dict[str, Any], dtype: str) -> None:
    ours = activations.ACTIVATIONS[name]
    # exp(20) is beyond a half.
    values = np.minimum(VALUES, 10) if name == "exponential" else VALUES
    x = values.astype(dtype)
    expected = np.asarray(getattr(keras.activations, name)(values, **arguments))
    results = [ours(x, **arguments), traced(lambda t: ours(t, **arguments), x)[1]]
    for result in results:
        assert result.dtype == x.dtype
        # The inputs of a half are themselves rounded.
        tolerance = 2e-6 if dtype == "float32" else 1e-2
        np.testing.assert_allclose(result.astype("float32"), expected, rtol=tolerance, atol=tolerance)


def test_every_name_of_keras_is_here_with_its_arguments() -> None:
    public = {name for name in dir(keras.activations) if not name.startswith("_")} - {"get", "serialize", "deserialize"}
    assert public == set(activations.ACTIVATIONS)
    for name in public:
        theirs = inspect.signature(getattr(keras.activations, name)).parameters
        ours = inspect.signature(activations.ACTIVATIONS[name]).parameters
        for parameter in theirs.values():
            assert ours[parameter.name].default == parameter.default


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("relu", ["Relu"]),
        ("relu6", ["Clip"]),
        ("sigmoid", ["Sigmoid"]),
        ("tanh", ["Tanh"]),
        ("hard_sigmoid", ["HardSigmoid"]),
        ("sparse_sigmoid", ["HardSigmoid"]),
        ("hard_silu", ["HardSwish"]),
        ("gelu", ["Gelu"]),
        ("mish", ["Mish"]),
        ("silu", ["Sigmoid", "Mul"]),
        ("softmax", ["Softmax"]),
        ("soft_shrink", ["Shrink"]),
        ("hard_shrink", ["Shrink"]),
        ("exponential", ["Exp"]),
        ("log_sigmoid", ["Neg", "Softplus", "Neg"]),
    ],
)
def test_operators(name: str, operators: list[str]) -> None:
    graph, _ = traced(activations.get(name), VALUES)
    names = [node.op.name for node in graph.order()]
    assert [name for name in names if name not in ("Input", "Output", "Constant")] == operators


def test_activations_are_the_functions_of_the_backend() -> None:
    assert activations.relu is K.relu
    assert activations.exponential is K.exp


def test_integers() -> None:
    numbers = np.array([-2, 0, 9], "int32")
    assert np.asarray(K.relu(numbers)).dtype == np.int32
    np.testing.assert_array_equal(K.relu6(numbers), [0, 0, 6])
    np.testing.assert_array_equal(K.relu(numbers, threshold=3), [0, 0, 9])
    assert np.asarray(K.sigmoid(numbers)).dtype == np.float32


def test_get() -> None:
    def own(x: Any) -> Any:
        return x

    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    assert activations.get("ReLU") is activations.relu
    assert activations.get(own) is own
    assert activations.get(keras.saving.serialize_keras_object(keras.activations.gelu)) is activations.gelu


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_serialized_forms(name: str) -> None:
    function = activations.get(name)
    saved = activations.serialize(function)
    assert saved == keras.activations.serialize(getattr(keras.activations, name)) or name == "exponential"
    assert activations.get(saved) is function


def top_level(x: Any) -> Any:
    return x


def test_own_functions_are_saved_by_name() -> None:
    saved = activations.serialize(top_level)
    assert saved["config"] == "top_level"
    assert activations.deserialize(saved, {"top_level": top_level}) is top_level
    with pytest.raises(InvalidArgumentError, match="top_level"):
        activations.deserialize(saved)
    with pytest.raises(InvalidArgumentError, match="cannot be saved"):
        activations.serialize(lambda x: x)


@pytest.mark.parametrize("identifier", ["rleu", 3, {"class_name": "Dense", "config": {}}, int])
def test_what_is_no_activation(identifier: Any) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        activations.get(identifier)
    assert repr(identifier) in str(raised.value)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(InvalidArgumentError, match=r"did you mean 'relu'\? There are celu"):
        activations.get("rleu")


def test_glu_of_an_odd_size() -> None:
    with pytest.raises(ShapeError, match="2 equal parts"):
        activations.glu(VALUES[:, :5])
