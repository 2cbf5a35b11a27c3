"""A multilayer perceptron for 28 × 28 images: seven ONNX nodes."""

from kir import Input, Sequential
from kir.layers import Activation, Dense, Dropout, Flatten

model = Sequential(
    [
        Input(shape=(28, 28), name="pixels"),
        Flatten(),
        Dense(128, activation="relu"),
        Dropout(0.2),
        Dense(64),
        Activation("relu"),
        Dropout(0.2),
        Dense(10, activation="softmax", name="digits"),
    ],
    name="mnist_mlp",
)
