"""RNN, GRU and LSTM against onnxruntime's, and what they refuse."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from kir.errors import ShapeError
from kir.ir.types import TensorType, parse_type, type_of
from kir.ops.recurrent import FUNCTIONS, GRU, LSTM, RNN, SIGMOID, TANH

Array = np.ndarray[Any, Any]

TIME, BATCH, FEATURES, UNITS = 6, 5, 3, 4
LENGTHS = np.array([6, 0, 3, 1, 5], np.int32)
DIRECTIONS = ("forward", "reverse", "bidirectional")


@dataclass(frozen=True)
class Kind:
    """One of the operators: its class, activations per direction and further attributes."""

    cls: Any
    activations: tuple[Any, ...]
    attributes: tuple[tuple[str, Any], ...] = ()

    def make(self, direction: str, activations: tuple[Any, ...] = ()) -> Any:
        chosen = (activations or self.activations) * (2 if direction == "bidirectional" else 1)
        return self.cls(units=UNITS, direction=direction, activations=chosen, **dict(self.attributes))


KINDS = {
    "rnn": Kind(RNN, (TANH,)),
    "gru": Kind(GRU, (SIGMOID, TANH), (("linear_before_reset", False),)),
    "gru_after": Kind(GRU, (SIGMOID, TANH), (("linear_before_reset", True),)),
    "lstm": Kind(LSTM, (SIGMOID, TANH, TANH)),
}

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
each_direction = pytest.mark.parametrize("direction", DIRECTIONS)


def make_inputs(op: Any, dtype: Any = np.float32, lengths: bool = False, initial: bool = False) -> list[Array | None]:
    """Arrays for all inputs of the operator, None where an optional one is not asked for."""
    random = np.random.default_rng(1)
    count, rows = op.direction_count, op.gates * UNITS
    shapes = [(TIME, BATCH, FEATURES), (count, rows, FEATURES), (count, rows, UNITS), (count, 2 * rows)]
    states = [(count, BATCH, UNITS)] * op.states

    def draw(shape: tuple[int, ...]) -> Array:
        return np.asarray(random.uniform(-1, 1, shape)).astype(dtype)

    return [
        *map(draw, shapes),
        LENGTHS if lengths else None,
        *(draw(shape) if initial else None for shape in states),
    ]


def run_in_onnxruntime(op: Any, inputs: list[Array | None]) -> list[Array]:
    names = ["X", "W", "R", "B", "lens", "initial_h", "initial_c"][: len(inputs)]
    used = ["" if array is None else name for name, array in zip(names, inputs, strict=True)]
    outputs = ["Y", "Y_h", "Y_c"][: 1 + op.states]
    attributes: dict[str, Any] = {
        "hidden_size": op.units,
        "direction": op.direction,
        "activations": [name for name, _, _ in op.activations],
        "activation_alpha": [alpha for name, alpha, _ in op.activations if name in PARAMETERS] or None,
        "activation_beta": [beta for name, _, beta in op.activations if PARAMETERS.get(name, (0, 0))[1]] or None,
    }
    if isinstance(op, GRU):
        attributes["linear_before_reset"] = int(op.linear_before_reset)
    node = helper.make_node(op.name, used, outputs, **attributes)
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if array is not None}
    graph = helper.make_graph(
        [node],
        "recurrent",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(outputs, feeds))


def assert_equal_to_onnxruntime(op: Any, inputs: list[Array | None]) -> None:
    lengths, *initial = inputs[4:]
    y, *finals = run_in_onnxruntime(op, inputs)
    if lengths is not None:
        # onnxruntime says 0 here, whatever the state was before; ONNX says nothing.
        empty = lengths == 0
        for final, state in zip(finals, initial, strict=True):
            assert not final[:, empty].any()
            final[:, empty] = 0 if state is None else state[:, empty]
    for given, expected in zip(op.eval(*inputs), (y, *finals), strict=True):
        np.testing.assert_allclose(given, expected, rtol=0, atol=2e-6)


@each_kind
@each_direction
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("initial", [False, True], ids=["zero", "initial"])
def test_equal_to_onnxruntime(kind: Kind, direction: str, lengths: bool, initial: bool) -> None:
    op = kind.make(direction)
    assert_equal_to_onnxruntime(op, make_inputs(op, lengths=lengths, initial=initial))


# ONNX lists alpha and beta of those activations only that take one.
PARAMETERS = {"Affine": (0.5, 0.25), "ScaledTanh": (0.8, 0.6), "HardSigmoid": (0.3, 0.4), "Elu": (0.7, 0.0)}
PARAMETERS |= {"LeakyRelu": (0.2, 0.0), "ThresholdedRelu": (0.1, 0.0)}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", [KINDS["rnn"], KINDS["gru_after"]], ids=["rnn", "gru_after"])
def test_activation_is_onnxruntimes(kind: Kind, name: str) -> None:
    activation = (name, *PARAMETERS.get(name, (0.0, 0.0)))
    op = kind.make("forward", (*kind.activations[:-1], activation))
    assert_equal_to_onnxruntime(op, make_inputs(op, initial=True))


def test_each_direction_has_its_own_activations() -> None:
    op = RNN(UNITS, "bidirectional", (TANH, ("Relu", 0.0, 0.0)))
    inputs: list[Any] = make_inputs(op)
    forward = RNN(UNITS, "forward", (TANH,)).eval(inputs[0], *(array[:1] for array in inputs[1:4] if array is not None))
    backward = RNN(UNITS, "reverse", (("Relu", 0.0, 0.0),)).eval(
        inputs[0], *(array[1:] for array in inputs[1:4] if array is not None)
    )
    for both, first, second in zip(op.eval(*inputs), forward, backward, strict=True):
        np.testing.assert_array_equal(both, np.concatenate([first, second], axis=both.ndim - 3))


@each_kind
@each_direction
def test_a_sequence_of_no_steps_keeps_the_state(kind: Kind, direction: str) -> None:
    op = kind.make(direction)
    inputs = make_inputs(op, lengths=True, initial=True)
    y, *finals = op.eval(*inputs)
    assert not y[:, :, LENGTHS == 0].any()
    for final, initial in zip(finals, inputs[5:], strict=True):
        np.testing.assert_array_equal(final[:, LENGTHS == 0], initial[:, LENGTHS == 0])  # type: ignore[index]


@each_kind
@each_direction
def test_steps_past_the_length_are_not_read(kind: Kind, direction: str) -> None:
    op = kind.make(direction)
    inputs = make_inputs(op, lengths=True, initial=True)
    x, *others = inputs
    assert x is not None
    spoiled = np.where((np.arange(TIME)[:, None] < LENGTHS)[..., None], x, np.float32(1e30))
    for given, expected in zip(op.eval(spoiled, *others), op.eval(*inputs), strict=True):
        np.testing.assert_array_equal(given, expected)


@each_kind
@pytest.mark.parametrize(("time", "batch"), [(0, 2), (3, 0)], ids=["no steps", "no sequences"])
def test_empty_axes_work(kind: Kind, time: int, batch: int) -> None:
    op = kind.make("bidirectional")
    _, *weights = make_inputs(op)[:4]
    y, *finals = op.eval(np.zeros((time, batch, FEATURES), np.float32), *weights)
    assert y.shape == (time, 2, batch, UNITS)
    assert all(final.shape == (2, batch, UNITS) and not final.any() for final in finals)


@each_kind
def test_float64_is_computed_in_float64(kind: Kind) -> None:
    op = kind.make("bidirectional")
    inputs = make_inputs(op, np.float64, lengths=True, initial=True)
    narrow = [array.astype(np.float32) if array is not None and array.dtype == float else array for array in inputs]
    for wide, single in zip(op.eval(*inputs), op.eval(*narrow), strict=True):
        assert wide.dtype == np.float64
        np.testing.assert_allclose(wide, single, rtol=0, atol=1e-5)
    assert np.abs(op.eval(*inputs)[0] - op.eval(*narrow)[0]).max() > 1e-12


@each_kind
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_floats_of_16_bits_are_rounded_once(kind: Kind, dtype: Any) -> None:
    op = kind.make("reverse")
    inputs = make_inputs(op, dtype, lengths=True, initial=True)
    single = [array.astype(np.float32) if array is not None and array.dtype == dtype else array for array in inputs]
    for given, expected in zip(op.eval(*inputs), op.eval(*single), strict=True):
        assert given.dtype == dtype
        np.testing.assert_array_equal(given, expected.astype(dtype))


def make_types(op: Any) -> dict[str, TensorType]:
    names = ("x", "kernel", "recurrent_kernel", "bias", "sequence_lens", "initial_h", "initial_c")
    arrays = make_inputs(op, lengths=True, initial=True)
    return {name: type_of(array) for name, array in zip(names, arrays, strict=False) if array is not None}


@each_kind
@each_direction
def test_infer_agrees_with_eval(kind: Kind, direction: str) -> None:
    op = kind.make(direction)
    assert op.infer(**make_types(op)) == tuple(map(type_of, op.eval(*make_inputs(op, lengths=True, initial=True))))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("x", "f32[6, 5]", r"expected the shape \[time, batch, in\]"),
        ("x", "i32[6, 5, 3]", "received x of type i32"),
        ("kernel", "f32[1, 16, 4]", r"received kernel f32\[1, 16, 4\] where f32\[1, 16, 3\] is expected, axis 2"),
        ("kernel", "f64[1, 16, 3]", r"received kernel f64\[1, 16, 3\]; expected f32\[1, 16, 3\]"),
        ("recurrent_kernel", "f32[2, 16, 4]", "received recurrent_kernel"),
        ("bias", "f32[1, 16]", r"received bias f32\[1, 16\] where f32\[1, 32\]"),
        ("sequence_lens", "i64[5]", r"received sequence_lens i64\[5\]; expected i32\[5\]"),
        ("sequence_lens", "i32[4]", "received sequence_lens"),
        ("initial_h", "f32[5, 4]", "received initial_h"),
        ("initial_c", "f32[1, 5, 3]", "received initial_c"),
    ],
)
def test_an_input_that_does_not_fit_is_named(name: str, given: str, message: str) -> None:
    op = KINDS["lstm"].make("forward")
    with pytest.raises(ShapeError, match=message):
        op.infer(**(make_types(op) | {name: parse_type(given)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": 0}, "units=0; expected 1 or more"),
        ({"direction": "backward"}, "direction='backward'; expected one of forward, reverse, bidirectional"),
        ({"activations": (TANH, TANH)}, "has 2 activations; expected 1"),
        ({"activations": (("Gelu", 0.0, 0.0),)}, "activation 'Gelu'; expected one of Tanh, Sigmoid"),
    ],
)
def test_an_attribute_that_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    op: Any = RNN(UNITS, "forward", (TANH,))
    with pytest.raises(ShapeError, match=message):
        dataclasses.replace(op, **change).infer(**make_types(op))


@pytest.mark.parametrize("length", [-1, TIME + 1])
def test_a_length_outside_the_sequence_is_refused(length: int) -> None:
    op = RNN(UNITS, "forward", (TANH,))
    inputs: list[Any] = make_inputs(op)
    inputs[4] = np.full(BATCH, length, np.int32)
    with pytest.raises(ShapeError, match=f"sequence length {length}; expected 0 to {TIME}"):
        op.eval(*inputs)
