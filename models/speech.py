"""A bidirectional GRU over frames of unknown number, with a classifier for every frame."""

from kir import Input, Model
from kir.layers import GRU, Bidirectional, Dense, Masking, TimeDistributed

frames = Input(shape=(None, 20), name="frames")
x = Masking(mask_value=-1.0)(frames)
x = Bidirectional(GRU(24, return_sequences=True))(x)
x = TimeDistributed(Dense(30, activation="relu"))(x)
model = Model(frames, Dense(11, activation="softmax", name="phones")(x), name="speech")
