"""A regressor for Monte-Carlo dropout: run it often with Dropout on, and the spread is its uncertainty.

Export it with `--training`: Dropout then stays, switched by the boolean input `training_mode`.
"""

from kir import Input, Model
from kir.layers import Dense, Dropout

features = Input(shape=(13,), name="features")
x = Dense(64, activation="relu")(features)
x = Dropout(0.3)(x)
x = Dense(64, activation="relu")(x)
x = Dropout(0.3)(x)
model = Model(features, Dense(1, name="price")(x), name="monte_carlo_dropout")
