"""How other versions of a layer laid out its weights in `.h5` files: CuDNN's layers, and those of Keras 1.

Source: `preprocess_weights_for_loading` in https://github.com/keras-team/tf-keras and in Keras 2.2.4, and the layers of
Keras 1.0 to 1.2.2
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.errors import UnsupportedError
from kir.ir.op import Array
from kir.ir.types import Shape
from kir.layers.convolutional import Convolutional
from kir.layers.normalization import BatchNormalization
from kir.modeling.layer import Layer
from kir.modeling.weight import Weight
from kir.modeling.weight_owner import walk_layers

Conversion = Callable[[Array], Array]

# In which order Keras 1 kept the gates, by their places in the weights of today: input, cell, forget, output.
GATES_OF_KERAS_1 = {"LSTM": (0, 2, 1, 3), "ConvLSTM2D": (0, 2, 1, 3), "GRU": (0, 1, 2)}
# Up to this version the statistics of a BatchNormalization are deviations, and not variances.
DEVIATIONS_UNTIL = (1, 0, 5)


@dataclass(frozen=True)
class SavedArray:
    """One array of a layer in a file: its name, its shape, and the dataset, which is None if it is missing."""

    name: str
    shape: Shape
    dataset: Any


def pair_up(
    layer: Layer, weights: Sequence[Weight], saved: Sequence[SavedArray], version: tuple[int, ...]
) -> list[tuple[Weight, SavedArray]] | None:
    """Return each weight of a layer with the array that a file has for it; None if their numbers differ.

    Weights whose array has another layout are told how to read it (see `Weight.convert_saved`). A weight that lies in
    several arrays, one for each gate, is paired in parts.

    Args:
        layer: the layer, with all layers inside.
        weights: those that it has today, in Keras's order.
        saved: the arrays of the file, in its order.
        version: of the Keras that wrote the weights.
    """
    owners = {id(weight): owner for owner in walk_layers(layer) for weight in owner.own_weights}
    is_of_keras_1 = version[:1] == (1,)
    pairs: list[tuple[Weight, SavedArray]] = []
    left = list(weights)
    while left and len(pairs) < len(saved):
        owner, array = owners.get(id(left[0])), saved[len(pairs)]
        parts = _gates(owner, left, array) if is_of_keras_1 and owner is not None else []
        if parts:
            pairs += zip(parts, saved[len(pairs) : len(pairs) + len(parts)], strict=False)
            del left[:3]
        else:
            pairs.append((left.pop(0), array))
    if left or len(pairs) != len(saved):
        return None
    for weight, array in pairs:
        owner = owners.get(id(weight))
        if owner is not None and is_of_keras_1:
            _read_keras_1(owner, weight, array.shape, version)
        if owner is not None and is_a(owner, "LSTM", "GRU") and weight.name == "bias":
            _read_gates(owner, array.shape)
    return pairs


# CuDNN's layers


def _read_gates(layer: Any, shape: Shape) -> None:
    """Read the weights of a cell as CuDNN wants them, or as Keras does, by the shape of the bias in the file."""
    bias = layer.cell.bias
    if shape == (2 * bias.shape[-1],):
        use_cudnn_layout(layer)
    elif shape == bias.shape:
        for weight in layer.cell.own_weights:
            weight.saved_shape, weight.convert_saved = weight.shape, None


def use_cudnn_layout(layer: Any) -> None:
    """Set how CuDNN's layers keep the weights of a cell: kernels by rows of each gate, and two biases for each unit.

    A GRU that resets before its product has no such layout: it is left alone.
    """
    cell = layer.cell
    if is_a(cell, "GRUCell") and not cell.reset_after:
        return
    gates = len(cell.gate_order)

    def convert(transform: Conversion) -> Conversion:
        return lambda kernel: np.hstack([transform(gate) for gate in np.hsplit(kernel, gates)])

    cell.kernel.convert_saved = convert(lambda gate: gate.T.reshape(gate.shape, order="F"))
    cell.recurrent_kernel.convert_saved = convert(lambda gate: gate.T)
    cell.bias.saved_shape = (2 * gates * cell.units,)
    # Of an LSTM's two biases only the sum matters.
    is_summed = cell.bias.ndim == 1
    cell.bias.convert_saved = lambda bias: bias.reshape(2, -1).sum(0) if is_summed else bias.reshape(2, -1)


# Keras 1


class GateWeight(Weight):
    """The share that one gate has in a weight, which is set once all of them are there."""

    def __init__(self, whole: Weight, count: int, place: int, found: dict[int, Array]) -> None:
        shape = (*whole.shape[:-1], whole.shape[-1] // count)
        super().__init__(whole.name, shape, whole.dtype, whole.initializer)
        self.whole, self.count, self.place, self.found = whole, count, place, found

    def load(self, array: Array) -> None:
        """Keep the numbers, and set the weight if they are the last that it lacks."""
        self.found[self.place] = array if self.convert_saved is None else self.convert_saved(array)
        if len(self.found) == self.count:
            self.whole.load(np.concatenate([self.found[place] for place in range(self.count)], -1))


def _gates(owner: Layer, weights: Sequence[Weight], first: SavedArray) -> list[Weight]:
    """Return the parts of the three weights of a cell that Keras 1 kept one by one; none if it kept them whole."""
    order = next((order for name, order in GATES_OF_KERAS_1.items() if is_a(owner, name)), None)
    if order is None or len(weights) < 3 or len(first.shape) != weights[0].ndim:
        return []
    is_first = is_a(owner, "ConvLSTM2D") and _is_channels_first(owner)
    outputs = first.shape[0 if is_first else -1]
    if outputs * len(order) != weights[0].shape[-1]:
        return []
    parts: list[Weight] = []
    found: list[dict[int, Array]] = [{}, {}, {}]
    for place in order:
        for weight, gates in zip(weights[:3], found, strict=True):
            part = GateWeight(weight, len(order), place, gates)
            if is_first and part.ndim == 4:
                _read_transposed(part, (2, 3, 1, 0))
            parts.append(part)
    return parts


def _read_keras_1(owner: Layer, weight: Weight, shape: Shape, version: tuple[int, ...]) -> None:
    """Set how Keras 1 kept a weight of a layer, of which a file has an array of this shape."""
    if isinstance(owner, BatchNormalization):
        if weight is owner.moving_variance and len(version) == 3 and version <= DEVIATIONS_UNTIL:
            epsilon = owner.epsilon
            weight.convert_saved = lambda deviation: (deviation + epsilon) ** 2 - epsilon
    elif is_a(owner, "LocallyConnected2D"):
        if weight.name == "bias" and _is_channels_first(owner):
            # The same numbers in another shape, as Keras 2 reads them.
            weight.saved_shape = (weight.shape[2], *weight.shape[:2])
            weight.convert_saved = lambda bias: bias.reshape(weight.shape)
    elif isinstance(owner, Convolutional) and weight.ndim == owner.rank + 2:
        _read_kernel_of_keras_1(owner, weight, shape)


def _read_kernel_of_keras_1(owner: Convolutional, weight: Weight, shape: Shape) -> None:
    if is_a(owner, "Conv1D") and len(shape) == 4:
        steps, inputs, outputs = weight.shape
        # Before Keras 1.1 it was laid out as Theano has it.
        if shape == (outputs, inputs, steps, 1) and shape[:2] != (steps, 1):
            weight.saved_shape = shape
            weight.convert_saved = lambda kernel: kernel[..., 0].transpose(2, 1, 0)
        else:
            weight.saved_shape = (steps, 1, inputs, outputs)
            weight.convert_saved = lambda kernel: kernel[:, 0]
    elif is_a(owner, "Conv2DTranspose"):
        _read_transposed(weight, (2, 3, 0, 1) if _is_channels_first(owner) else (0, 1, 3, 2))
    elif _is_channels_first(owner):
        _read_transposed(weight, (*range(2, weight.ndim), 1, 0))


def _is_channels_first(layer: Any) -> bool:
    """Return whether a layer of images has the channels first."""
    return bool(layer.data_format == "channels_first")


def _read_transposed(weight: Weight, axes: Sequence[int]) -> None:
    """Read a weight from an array that has to be transposed."""
    saved = [0] * len(axes)
    for axis, size in zip(axes, weight.shape, strict=True):
        saved[axis] = size
    weight.saved_shape = tuple(saved)
    weight.convert_saved = lambda array: array.transpose(axes)


# Theano


def turn_kernels(layer: Layer) -> None:
    """Turn the kernels of convolutions around when they are loaded: Theano's convolution reads them from their end.

    Raises:
        UnsupportedError: it has a convolution whose kernel Keras does not turn around either.
    """
    for inner in walk_layers(layer):
        if is_a(inner, "Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose"):
            _turn(inner.own_weights[0])
        elif is_a(inner, "ConvLSTM2D"):
            for kernel in inner.own_weights[:2]:
                _turn(kernel)
        elif isinstance(inner, Convolutional) and not is_a(inner, "LocallyConnected1D", "LocallyConnected2D"):
            raise UnsupportedError(
                f"layer {inner.name} ({type(inner).__name__}) was trained with Theano, whose convolutions are others; "
                f"load the model with Keras on TensorFlow, and save it again"
            )


def warn_of_theano(model: Layer, label: str) -> None:
    """Warn that Theano may have trained a model of Keras 1 whose convolutions have the channels first, as Theano's."""
    if any(isinstance(layer, Convolutional) and _is_channels_first(layer) for layer in walk_layers(model)):
        warnings.warn(
            f"{label} does not say whether Theano trained it, whose convolutions read kernels from their end; it is "
            f"taken for TensorFlow's, as in Keras 2. If it is Theano's: h5py.File(path, 'r+').attrs['backend'] = "
            f"'theano'",
            stacklevel=2,
        )


def _turn(kernel: Weight) -> None:
    """Turn the window of a kernel [*window, in, out] around, after what else is done to it."""
    convert, axes = kernel.convert_saved, tuple(range(kernel.ndim - 2))
    kernel.convert_saved = lambda saved: np.flip(saved if convert is None else convert(saved), axes)


def is_a(layer: Layer, *names: str) -> bool:
    """Return whether a layer is one of these of kir, or derived from it; none of them is imported for that."""
    return any(cls.__name__ in names for cls in type(layer).__mro__)
