"""A convolutional network for small pictures: normalizations fold into convolutions, and the layout is turned once."""

from kir import Input, Sequential
from kir.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
)

model = Sequential(
    [
        Input(shape=(28, 28, 1), name="picture"),
        Conv2D(16, 3, padding="same", use_bias=False),
        BatchNormalization(),
        ReLU(),
        MaxPooling2D(),
        Conv2D(32, 3, padding="same", use_bias=False),
        BatchNormalization(),
        ReLU(),
        MaxPooling2D(),
        Flatten(),
        Dropout(0.5),
        Dense(10, activation="softmax", name="digit"),
    ]
)
