"""Layers of the real Keras that kir has no class for, traced as they are.

A layer of a package, or one that owns layers, is called as in Keras, with kir's tensors and with kir in the place of
Keras's backend (see `kir.importers.keras_backend`):

    layer(x) ──> its own `call` ──┬─ keras.ops.…            ──> nodes
                                  ├─ a layer of Keras       ──> kir's layer of that class, with its weights
                                  └─ another such layer     ──> its own `call`
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Container, Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import numpy as np

from kir import backend as K
from kir.errors import FormatError
from kir.importers.keras_backend import computing_with_kir, to_kir
from kir.importers.keras_file.document import is_reference
from kir.importers.rebinding import KerasLayer, as_array, keras_classes
from kir.initializers import Zeros
from kir.ir.structural import Input
from kir.ir.trace import Tensor, Tracer, current_tracer
from kir.ir.types import as_dtype
from kir.modeling.attribute_paths import Places, attributes, counted_by_class, paths_inside, places_in
from kir.modeling.layer import Layer
from kir.modeling.user_functions import call_function
from kir.modeling.weight import Weight, stand_in
from kir.support.caching import cached
from kir.support.regular_files import require_regular
from kir.support.trees import flatten, map_structure

# Makes kir's layer of a layer of Keras's own; None if kir has no such layer.
Convert = Callable[[KerasLayer], Layer | None]


# What recurrent layers ask of a cell.
OF_CELLS = ("state_size", "output_size")


class NotBuiltError(FormatError):
    """A layer of Keras has no weights yet."""


class LiveLayer(Layer):
    """A layer of the real Keras under kir's name for it.

    Args:
        live: the layer.
        owned: the layers inside it, at any depth.
        convert: see `Convert`.
    """

    supports_masking = True

    def __init__(self, live: KerasLayer, owned: Sequence[KerasLayer], convert: Convert, **config: Any) -> None:
        super().__init__(autocast=False, **config)
        self.live = live
        self._convert = convert
        self._weights_of = {id(variable): _weight(variable, live) for variable in live.weights}
        # The variables, with what they held when their numbers were taken.
        self._taken = [(variable, variable._value, self._weights_of[id(variable)]) for variable in live.weights]
        self._arrays = [weight.array for _, _, weight in self._taken]
        self._converted: dict[int, tuple[KerasLayer, Layer | None]] = {}
        self._namespaces = [
            type(one).call.__globals__ for one in (live, *owned) if isinstance(type(one).call, FunctionType)
        ]
        self._own_weights = list(self._weights_of.values())
        vars(self).update({name: getattr(live, name) for name in OF_CELLS if hasattr(live, name)})
        self.built = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> LiveLayer:
        """Return a layer of a class that has the parameters of the live layer's `call`."""
        return _class_for(cls, type(config["live"]))(**config)

    def get_config(self) -> dict[str, Any]:
        """Return what all layers have: the live layer is no argument that can be shown or written."""
        return self.shared_config()

    def mark_as_random(self, drawn: Container[int]) -> None:
        """Take those of the weights for random whose variables' ids are given."""
        for variable, weight in self._weights_of.items():
            if variable in drawn:
                weight.mark_as_random()

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the live layer makes of symbolic tensors."""
        tracer = current_tracer()
        assert tracer is not None, "layers are called inside a trace"
        if "training" in kwargs:
            # kir's layers inside ask the trace.
            kwargs["training"] = False
        tracer.place(paths_inside(self.live, tracer.path, keras_places_in))
        with self._variables_restored(), computing_with_kir(self, self._namespaces):
            return to_kir(call_function("layer", cast(Callable[..., Any], self.live), *args, **kwargs))

    @contextlib.contextmanager
    def _variables_restored(self) -> Iterator[None]:
        """Let the variables hold the numbers of kir's weights, while open: Keras's `call` reads them itself."""
        changed = [
            (variable, variable._value, weight)
            for (variable, value, weight), array in zip(self._taken, self._arrays, strict=True)
            if variable._value is not value or weight.array is not array
        ]
        try:
            for variable, _, weight in changed:
                variable.assign(weight.array)
            yield
        finally:
            for variable, value, _ in changed:
                variable.assign(value)

    def mask_outputs(self, inputs: object, outputs: object, masks: object) -> Any:
        """Return the outputs: Keras has given them their masks."""
        return outputs

    # What Keras's functions ask, see `kir.importers.keras_backend.Caller`

    def read_variable(self, variable: Any) -> Any:
        """Return the tensor of a variable, in the dtype in which Keras reads it."""
        tracer = current_tracer()
        assert tracer is not None, "layers are called inside a trace"
        weight = self._weights_of.get(id(variable))
        if weight is None:
            return K.convert_to_tensor(as_array(variable))
        array = stand_in(weight.shape, weight.dtype) if tracer.graph is None else weight.array
        label = "/".join((*tracer.path, variable.name))
        return K.cast(tracer.shared_constant(array, label, tracer.origin), str(variable.dtype))

    def add_loss(self, loss: Any) -> None:
        super().add_loss(loss)

    def call_inside(self, original: Callable[..., Any], layer: KerasLayer, *args: Any, **kwargs: Any) -> Any:
        """Call a layer that the live one calls, or the live one itself: as kir's layer where there is one."""
        tracer = next((leaf.tracer for leaf in flatten((args, kwargs)) if isinstance(leaf, Tensor)), None)
        if tracer is None or layer is self.live:
            return original(layer, *args, **kwargs)
        if id(layer) not in self._converted:
            self._converted[id(layer)] = layer, self._convert(layer)
        converted = self._converted[id(layer)][1]
        if converted is None:
            with tracer.layer(layer.name, type(layer).__name__, layer=layer):
                return tracer.watch(layer, original(layer, *args, **kwargs))
        if kwargs.get("training") in (None, False):
            kwargs.pop("training", None)
        args, kwargs = to_kir((args, {key: value for key, value in kwargs.items() if value is not None}))
        self._put_weights(layer, converted, args, kwargs)
        path = tracer.path_of(layer, layer.name, type(layer).__name__)
        tracer.place(paths_inside(converted, path, places_in))
        return tracer.watch(layer, converted(*args, **kwargs))

    def _put_weights(self, layer: KerasLayer, converted: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Give kir's layer the weights that the live one has under kir's names."""
        if not converted.built:
            # A trace that nobody reads: only the shapes of the inputs say those of the weights.
            unread = Tracer(on_lost_mask="ignore")
            converted(*_copied_to(unread, args), **_copied_to(unread, kwargs))
        if not layer.built and len(layer.weights) != len(converted.weights):
            raise NotBuiltError(f"layer {layer.name!r} has no weights yet; call the model on an array first")
        for variable, weight in zip(layer.weights, converted.weights, strict=True):
            known = self._weights_of.get(id(variable))
            weight.assign(as_array(variable) if known is None else known.array)


def _copied_to(tracer: Tracer, arguments: Any) -> Any:
    return map_structure(
        lambda leaf: tracer.add(Input("input", leaf.type))[0] if isinstance(leaf, Tensor) else leaf, arguments
    )


@cached
def _class_for(base: type[LiveLayer], live: type) -> type[LiveLayer]:
    """Return a class of that name whose `call` has the parameters of a live layer's."""

    def call(self: LiveLayer, *args: Any, **kwargs: Any) -> Any:
        return self.run(args, kwargs)

    call.__signature__ = inspect.signature(live.call)  # type: ignore[attr-defined]
    return type(live.__name__, (base,), {"call": call, "__module__": base.__module__, "__doc__": live.__doc__})


def _weight(variable: Any, layer: KerasLayer) -> Weight:
    """Return kir's weight of the same numbers, named by its path inside the layer."""
    array = as_array(variable)
    name = variable.path.partition(f"{layer.name}/")[2] or variable.name
    weight = Weight(name, array.shape, as_dtype(array.dtype), Zeros(), trainable=variable.trainable)
    weight.assign(array)
    return weight


def keras_places_in(owner: KerasLayer) -> Places:
    """Return the layers that a layer of Keras owns, with their places; see `kir.modeling.attribute_paths`."""
    classes = keras_classes(owner)
    if "Functional" in classes or "Sequential" in classes:
        operations = getattr(owner, "operations", owner.layers)
        return counted_by_class([(one.name, type(one).__name__, one) for one in operations])
    return attributes(owner, lambda value: "Layer" in keras_classes(value))


@contextlib.contextmanager
def weights_loaded(model: KerasLayer, weights: Path) -> Iterator[None]:
    """Let a model have the weights of a file, while open.

    Raises:
        FormatError: Keras cannot load them.
    """
    require_regular(weights, "a .weights.h5 file")
    before = [np.array(array) for array in model.get_weights()]
    try:
        try:
            model.load_weights(str(weights))
        except Exception as error:
            raise FormatError(f"the weights of {weights} do not fit the model: {error}") from error
        yield
    finally:
        model.set_weights(before)


def call_on_zeros(model: KerasLayer, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Call a model on arrays of zeros, so that Keras makes its weights."""

    def zeros(leaf: Any) -> Any:
        return np.zeros([size or 1 for size in leaf.shape], leaf.type.dtype.numpy)

    model(*map_structure(zeros, args), **map_structure(zeros, kwargs))  # type: ignore[operator]


def count_from_0(outputs: Any, names: Set[str]) -> Any:
    """Return the outputs of a model, in which Keras counts the calls of functional models from 1, without that."""
    if isinstance(outputs, dict):
        return {key: count_from_0(one, names) for key, one in outputs.items()}
    if is_reference(outputs):
        name, call, index = outputs
        return [name, call - (name in names), index]
    return [count_from_0(one, names) for one in outputs] if isinstance(outputs, list) else outputs
