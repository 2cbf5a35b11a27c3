"""A Lambda that keeps the positive and the negative part of its input apart, as in the Keras documentation."""

from kir import Sequential
from kir import backend as K
from kir.layers import Dense, Lambda


def antirectifier(x):
    x -= K.mean(x, axis=1, keepdims=True)
    x = K.l2_normalize(x, axis=1)
    pos = K.relu(x)
    neg = K.relu(-x)
    return K.concatenate([pos, neg], axis=1)


def antirectifier_output_shape(input_shape):
    shape = list(input_shape)
    assert len(shape) == 2  # only valid for 2D tensors
    shape[-1] *= 2
    return tuple(shape)


model = Sequential(name="antirectifier")
model.add(Dense(32, input_shape=(64,)))
model.add(Lambda(antirectifier, output_shape=antirectifier_output_shape))
model.add(Dense(10, activation="softmax"))
