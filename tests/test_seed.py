"""The snippets of the document that kir began with: as written there, with the shapes that its comments name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from kir import Input, Model, Sequential, passes
from kir import backend as K
from kir.exporters.onnx_file import to_model_proto
from kir.layers import LSTM, Dense, Dropout, Flatten, Lambda, Masking, Permute, RepeatVector, Reshape
from kir.modeling.lower import lower
from tests.oracle import draw_feeds

# fmt: off


def run_exported(model: Model, *arrays: Any) -> list[Any]:
    """Return the outputs of the optimised file in onnxruntime, which the interpreter agrees with."""
    graph = lower(model)
    passes.run(graph, passes.pipeline(2), check=True)
    session = onnxruntime.InferenceSession(to_model_proto(graph).SerializeToString())
    outputs = session.run(model.output_names, dict(zip(model.input_names, arrays, strict=True)))
    predicted = model.predict(list(arrays))
    for output, ours in zip(outputs, predicted if isinstance(predicted, list) else [predicted], strict=True):
        np.testing.assert_allclose(output, ours, rtol=1e-5, atol=1e-6)
    return list(outputs)


def test_dense() -> None:
    # First layer in the sequential model:
    model = Sequential()
    model.add(Dense(32, input_shape=(16,)))
    # The model takes the input as arrays of shape (*, 16) and output arrays of shape (*, 32)
    assert model.input_shape == (None, 16)
    assert model.output_shape == (None, 32)
    # After the first layer, you don't need to specify the size of the input:
    model.add(Dense(32))
    assert model.output_shape == (None, 32)
    x = draw_feeds((16,))[0]
    first, first_bias, second, second_bias = model.get_weights()
    expected = (x @ first + first_bias) @ second + second_bias
    np.testing.assert_allclose(run_exported(model, x)[0], expected, rtol=1e-4, atol=1e-5)


def test_flatten() -> None:
    # What stands before the Flatten is a convolution, of which the document gives the output shape.
    model = Sequential()
    model.add(Lambda(lambda x: x, batch_input_shape=(None, 64, 32, 32)))
    # Now: model.output_shape == (None, 64, 32, 32)
    assert model.output_shape == (None, 64, 32, 32)

    model.add(Flatten())
    # Now: model.output_shape == (None, 65536)
    assert model.output_shape == (None, 65536)


def test_input() -> None:
    m, n = Input(shape=(8,), name="m"), Input(batch_shape=(None, 8), name="n")
    o = Dense(4)(Lambda(lambda both: both[0] + both[1])([m, n]))
    model = Model(input = [m, n], output = o)
    assert model.input_shape == [(None, 8), (None, 8)]
    assert model.output_shape == o._keras_shape == (None, 4)
    assert o._keras_history[0] is model.layers[-1]
    x, y = draw_feeds((8,), (8,))
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(run_exported(model, x, y)[0], (x + y) @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_logistic_regression() -> None:
    # Logistic regression in Keras
    x = Input(shape=(32,))
    y = Dense(16, activation='softmax')(x)
    model = Model(x, y)
    feed = draw_feeds((32,))[0]
    kernel, bias = model.get_weights()
    scores = np.exp(feed @ kernel + bias)
    expected = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run_exported(model, feed)[0], expected, rtol=1e-4, atol=1e-6)


def test_batch_shape() -> None:
    assert Input(batch_shape=(10, 32)).shape == (10, 32)
    assert Input(batch_shape=(None, 32)).shape == (None, 32)


def test_reshape() -> None:
    # First layer in a Sequential model
    model = Sequential()
    model.add(Reshape((3, 4), input_shape=(12,)))
    # Now: model.output_shape == (None, 3, 4)
    # Note: Here `None` represents the batch dimension
    assert model.output_shape == (None, 3, 4)

    # An intermediate layer in a Sequential model
    model.add(Reshape((6, 2)))
    # Now: model.output_shape == (None, 6, 2)
    assert model.output_shape == (None, 6, 2)

    # It also supports shape inference using `-1` as a dimension
    model.add(Reshape((-1, 2, 2)))
    # Now: model.output_shape == (None, 3, 2, 2)
    assert model.output_shape == (None, 3, 2, 2)
    x = draw_feeds((12,))[0]
    np.testing.assert_array_equal(run_exported(model, x)[0], x.reshape(-1, 3, 2, 2))


def test_permute() -> None:
    model = Sequential()
    model.add(Permute((2, 1), input_shape=(10, 64)))
    # now: model.output_shape == (None, 64, 10)
    # note: `None` is the batch dimension
    assert model.output_shape == (None, 64, 10)
    x = draw_feeds((10, 64))[0]
    np.testing.assert_array_equal(run_exported(model, x)[0], x.transpose(0, 2, 1))


def test_repeat_vector() -> None:
    model = Sequential()
    model.add(Dense(32, input_dim=32))
    # now: model.output_shape == (None, 32)
    # note: `None` is the batch dimension
    assert model.output_shape == (None, 32)

    model.add(RepeatVector(3))
    # now: model.output_shape == (None, 3, 32)
    assert model.output_shape == (None, 3, 32)
    output = run_exported(model, draw_feeds((32,))[0])[0]
    np.testing.assert_array_equal(output, np.repeat(output[:, :1], 3, axis=1))


def antirectifier(x):  # type: ignore[no-untyped-def]
    x -= K.mean(x, axis=1, keepdims=True)
    x = K.l2_normalize(x, axis=1)
    pos = K.relu(x)
    neg = K.relu(-x)
    return K.concatenate([pos, neg], axis=1)


def antirectifier_output_shape(input_shape):  # type: ignore[no-untyped-def]
    shape = list(input_shape)
    assert len(shape) == 2  # only valid for 2D tensors
    shape[-1] *= 2
    return tuple(shape)


def test_lambda() -> None:
    model = Sequential()
    model.add(Dense(8, input_shape=(8,)))
    # Adding a x -> x^2 layer
    model.add(Lambda(lambda x: x ** 2))
    # Now add a layer that will return the concatenation of the positive part of the input and the opposite of the
    # negative part
    model.add(Lambda(antirectifier,
                     output_shape=antirectifier_output_shape))
    assert model.output_shape == (None, 16)
    x = draw_feeds((8,))[0]
    kernel, bias = model.get_weights()
    squared = (x @ kernel + bias) ** 2
    centred = squared - squared.mean(axis=1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    expected = np.concatenate([np.maximum(unit, 0), np.maximum(-unit, 0)], axis=1)
    np.testing.assert_allclose(run_exported(model, x)[0], expected, rtol=1e-4, atol=1e-6)


def hadamard_product_sum(tensors):  # type: ignore[no-untyped-def]
    out1 = tensors[0] * tensors[1]
    out2 = K.sum(out1, axis=-1)
    return [out1, out2]


def hadamard_product_sum_output_shape(input_shapes):  # type: ignore[no-untyped-def]
    shape1 = list(input_shapes[0])
    shape2 = list(input_shapes[1])
    assert shape1 == shape2  # else hadamard product isn't possible
    return [tuple(shape1), tuple(shape2[:-1])]


def test_lambda_with_two_inputs_and_two_outputs() -> None:
    input_1, input_2 = Input((16,), name="input_1"), Input((24,), name="input_2")
    x1 = Dense(32)(input_1)
    x2 = Dense(32)(input_2)
    layer = Lambda(hadamard_product_sum, hadamard_product_sum_output_shape)
    x_hadamard, x_sum = layer([x1, x2])
    model = Model([input_1, input_2], [x_hadamard, x_sum])
    assert model.output_shape == [(None, 32), (None,)]
    first, second = draw_feeds((16,), (24,))
    kernel_1, bias_1, kernel_2, bias_2 = model.get_weights()
    product = (first @ kernel_1 + bias_1) * (second @ kernel_2 + bias_2)
    hadamard, total = run_exported(model, first, second)
    np.testing.assert_allclose(hadamard, product, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(total, product.sum(axis=-1), rtol=1e-4, atol=1e-5)


def test_masking() -> None:
    timesteps, features = 6, 4
    model = Sequential()
    model.add(Masking(mask_value=0., input_shape=(timesteps, features)))
    model.add(LSTM(32))
    assert model.output_shape == (None, 32)
    x = draw_feeds((timesteps, features))[0]
    x[0, 3, :] = 0
    x[2, 5, :] = 0
    masked = run_exported(model, x)[0]
    # A masked step is skipped: the sample without it ends in the same state.
    shorter = np.concatenate([x[:1, :3], x[:1, 4:]], axis=1)
    unmasked = Sequential([Input((timesteps - 1, features)), LSTM(32)])
    unmasked.set_weights(model.get_weights())
    np.testing.assert_allclose(masked[0], unmasked.predict(shorter)[0], rtol=1e-4, atol=1e-6)


def test_noise_shape() -> None:
    batch_size, timesteps, features = 3, 5, 4
    model = Sequential([Input((timesteps, features)), Dropout(0.5, noise_shape = (batch_size, 1, features))])
    x = draw_feeds((timesteps, features))[0]
    np.testing.assert_array_equal(run_exported(model, x)[0], x)
