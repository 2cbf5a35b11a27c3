"""`Sequential`: a chain of layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from kir.errors import InvalidArgumentError
from kir.ir.types import shape_with_none
from kir.modeling.deferred import FailedTensor
from kir.modeling.functional import Call, KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer, NoSuchTensorError
from kir.modeling.model import Arrays, Model

if TYPE_CHECKING:
    pass


class Sequential(Model):
    """A chain of layers.

    Without an input shape (an `Input` first, or `input_shape=` on the first layer) the chain is built when the
    model is first called.

    Source: https://keras.io/api/models/sequential/
    """

    takes_calls = False

    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None, trainable: bool = True) -> None:
        Layer.__init__(self, name=name or self._automatic_name(), trainable=trainable, autocast=False)
        self._chain: list[Layer] = []
        self._by_name: dict[str, Layer] = {}
        self._uses: Counter[int] = Counter()
        self._added_names: dict[int, str] = {}
        self._first: KerasTensor | None = None
        self._last: KerasTensor | None = None
        self.recorded: list[Call] = []
        if not isinstance(layers, Iterable | None):
            raise InvalidArgumentError(
                f"Sequential {self.name!r}: layers must be a list of layers; received {layers!r}"
            )
        for layer in layers or ():
            self.add(layer)

    @property
    def keras_module(self) -> str:
        """Where Keras's files say that the class is."""
        return "keras" if type(self) is Sequential else super().keras_module

    def add(self, layer: object, rebuild: bool = True) -> None:
        """Put a layer (or `Input(...)`) at the end of the chain, where it may be already: it runs twice then. O(1).

        `rebuild` is accepted; a chain is always built as far as its input shape is known.

        Raises:
            InvalidArgumentError: not a layer, its name is taken, or it has several outputs.
        """
        if isinstance(layer, KerasTensor) and isinstance(layer.call.layer, InputLayer):
            layer = layer.call.layer
        if not isinstance(layer, Layer):
            raise InvalidArgumentError(f"Sequential.add expects a layer; received {layer!r}")
        if self._by_name.get(layer.name, layer) is not layer:
            raise InvalidArgumentError(
                f"layer names must be unique in a model; {self.name!r} has a layer named {layer.name!r} already"
            )
        if isinstance(layer, InputLayer):
            self._add_input(layer)
        else:
            self._add_layer(layer)
        self._by_name[layer.name] = layer
        self._uses[id(layer)] += 1
        self._added_names[id(layer)] = layer.name
        self._plan = None

    def _add_input(self, layer: InputLayer) -> None:
        if self._chain or self._first is not None:
            raise InvalidArgumentError(f"an Input must come first in a Sequential; {self.name!r} has layers already")
        self._first = self._last = layer.tensor

    def _add_layer(self, layer: Layer) -> None:
        if self._last is None and not self._chain:
            self._first = self._last = _first_tensor(layer)
        if self._last is not None:
            self._last = self._extend(layer, self._last)
        self._chain.append(layer)

    def _extend(self, layer: Layer, last: KerasTensor) -> KerasTensor:
        output: Any = layer.record((last,), {})
        if isinstance(output, FailedTensor):
            self.failure = output.error
            return output  # type: ignore[return-value]
        if not isinstance(output, KerasTensor):
            raise InvalidArgumentError(
                f"layer {layer.name!r} returns several tensors; a Sequential needs one: use Model(inputs, outputs)"
            )
        self.recorded.append(output.call)
        return output

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer off the chain. `rebuild` is accepted, as in `add`.

        Raises:
            InvalidArgumentError: there is none.
        """
        if not self._chain:
            raise InvalidArgumentError(f"{self.name!r} has no layers to remove")
        if self.failure is not None:
            raise self.failure
        layer = self._chain.pop()
        self._uses[id(layer)] -= 1
        if not self._uses[id(layer)]:
            # The name that it was added under: it may have another by now.
            del self._by_name[self._added_names[id(layer)]]
        if self.recorded:
            self._last = self.recorded.pop().inputs[0]
        self._plan = None
        return layer

    def build(self, input_shape: Any = None) -> None:
        """Build a chain that had no input shape yet, from a full shape (None or names for unknown sizes)."""
        if self._last is not None:
            return
        if input_shape is None:
            self._require_built(None)
        self._first = self._last = InputLayer(batch_shape=tuple(input_shape), dtype=self.dtype).tensor
        for layer in self._chain:
            self._last = self._extend(layer, self._last)

    def ensure_built(self, input_shape: Any) -> None:
        """Build for inputs of this shape, but of any batch: that of the first arrays is no part of the model."""
        sizes = input_shape[0] if input_shape and isinstance(input_shape[0], list | tuple) else input_shape
        self.build((None, *[size if isinstance(size, int) else None for size in sizes[1:]]))

    def predict(self, x: Arrays, *args: Any, **kwargs: Any) -> Any:
        """See `Model.predict`; builds a chain that had no input shape yet."""
        self.ensure_built(np.shape(cast("npt.ArrayLike", x)))
        return super().predict(x, *args, **kwargs)

    @property
    def built(self) -> bool:
        """Whether the input shape is known."""
        return self._last is not None

    @built.setter
    def built(self, value: bool) -> None:
        """Ignored: it follows from the input shape."""

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input, as in Keras."""
        return list(self._chain)

    @property
    def operations(self) -> list[Layer]:
        """The input layer and the layers."""
        first = [] if self._first is None else [self._first.call.layer]
        return first + self._chain

    @property
    def input_structure(self) -> Any:
        """The input tensor."""
        return self._require_built(self._first)

    @property
    def output_structure(self) -> Any:
        """The output tensor."""
        return self._require_built(self._last)

    def _require_built(self, tensor: KerasTensor | None) -> KerasTensor:
        if tensor is None:
            raise NoSuchTensorError(
                f"the input shape of {self.name!r} is not known; begin with Input(shape=…), give the first layer "
                f"input_shape=…, or call build((None, …))"
            )
        return tensor


def _first_tensor(layer: Layer) -> KerasTensor | None:
    """Return the input tensor that a first layer declares, by its own shape or, for a model, by its input's type."""
    if isinstance(layer, Model) and layer.built:
        if len(layer.inputs) != 1:
            raise InvalidArgumentError(f"{layer.name!r} has several inputs; a Sequential feeds one")
        first = layer.inputs[0]
        return InputLayer(batch_shape=shape_with_none(first.type.shape), dtype=first.dtype).tensor
    if layer.batch_input_shape is None:
        return None
    return InputLayer(batch_shape=layer.batch_input_shape, dtype=layer.input_dtype).tensor
