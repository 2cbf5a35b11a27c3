"""An autoencoder: two models inside a third, and a regularized code."""

from kir import Input, Model, Sequential
from kir.layers import ActivityRegularization, Dense, RepeatVector, Reshape

pixels = Input(shape=(12, 12), name="pixels")
x = Reshape((144,))(pixels)
x = Dense(32, activation="elu")(x)
code = ActivityRegularization(l1=1e-3)(Dense(4, name="code")(x))
encoder = Model(pixels, code, name="encoder")

decoder = Sequential(
    [Input(shape=(4,)), Dense(32, activation="elu"), Dense(12, activation="sigmoid"), RepeatVector(12)], name="decoder"
)

image = Input(shape=(12, 12), name="image")
model = Model(image, {"code": encoder(image), "picture": decoder(encoder(image))}, name="autoencoder")
