"""A Lambda with two inputs and two outputs: the Hadamard product and its sum."""

from kir import Input, Model
from kir import backend as K
from kir.layers import Dense, Lambda


def hadamard_product_sum(tensors):
    out1 = tensors[0] * tensors[1]
    out2 = K.sum(out1, axis=-1)
    return [out1, out2]


def hadamard_product_sum_output_shape(input_shapes):
    shape1 = list(input_shapes[0])
    shape2 = list(input_shapes[1])
    assert shape1 == shape2  # else hadamard product isn't possible
    return [tuple(shape1), tuple(shape2[:-1])]


input_1 = Input(shape=(16,), name="left")
input_2 = Input(shape=(24,), name="right")
x1 = Dense(32)(input_1)
x2 = Dense(32)(input_2)
layer = Lambda(hadamard_product_sum, hadamard_product_sum_output_shape, name="hadamard")
x_hadamard, x_sum = layer([x1, x2])
model = Model([input_1, input_2], [x_hadamard, x_sum], name="hadamard_model")
