"""A sparse input: rows of ratings, of which most are absent, exported in coordinate form."""

from kir import Input, Model
from kir.layers import Dense

ratings = Input(shape=(50,), sparse=True, name="ratings")
x = Dense(8, activation="relu", use_bias=False)(ratings)
model = Model(ratings, Dense(50, name="predicted")(x), name="sparse_ratings")
