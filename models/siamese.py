"""Two inputs through the same layers, and two outputs: how alike they are, and how far apart."""

from kir import Input, Model
from kir.layers import Concatenate, Dense, Dot, Subtract

left = Input(shape=(20,), name="left")
right = Input(shape=(20,), name="right")
shared = Dense(16, activation="tanh", name="shared")
embed = Dense(8, name="embed")
a, b = embed(shared(left)), embed(shared(right))
alike = Dot(axes=1, normalize=True, name="alike")([a, b])
apart = Dense(1, activation="softplus", name="apart")(Concatenate()([Subtract()([a, b]), a, b]))
model = Model(inputs=[left, right], outputs=[alike, apart], name="siamese")
