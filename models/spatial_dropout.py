"""Spatial dropout on a volume, a sequence of its slices, and a classifier."""

from kir import Input, Sequential
from kir.layers import Dense, Flatten, Permute, Reshape, SpatialDropout1D, SpatialDropout3D

model = Sequential(
    [
        Input(shape=(4, 8, 8, 3), name="volume"),
        SpatialDropout3D(0.25),
        Reshape((4, 192)),
        Permute((2, 1)),
        SpatialDropout1D(0.1),
        Dense(6, activation="gelu"),
        Flatten(),
        Dense(5, activation="log_softmax", name="scores"),
    ],
    name="spatial_dropout",
)
