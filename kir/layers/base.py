"""The base class of layers: configuration, weights, masks, and the three ways in which a layer is called.

A layer says what Keras means. Its constructor's arguments are the config keys, its `call` is written once with
operators on symbolic tensors:

    called with        happens
    KerasTensor        the call is recorded (a functional model is being built); shapes come from a trace
    Tensor             `call` runs, adding nodes to the trace that is under way
    arrays             `call` is traced into a graph of its own, which the interpreter runs

Masks are boolean tensors carried by tensors. A layer class says what it does with one: `supports_masking` passes
it on, a `mask` parameter of `call` uses it, `compute_mask` makes the mask of the outputs. A mask that reaches a
layer which says nothing is lost: an error, or a warning (`kir.config.set_on_lost_mask`).
"""

from __future__ import annotations

import difflib
import functools
import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from kir import config, constraints, initializers, regularizers
from kir.arguments import boolean, integers, optional_integer
from kir.caching import cached
from kir.dims import Dim, Sym
from kir.errors import InvalidArgumentError, KirError, ShapeError
from kir.layers.functions import function_config
from kir.naming import automatic_name, snake_case
from kir.op import Array
from kir.ops.elementwise import Cast
from kir.registry import Configurable
from kir.structure import flatten, map_structure
from kir.trace import SymbolicOperators, Tensor, Tracer, Variable, current_tracer, emit
from kir.types import DType, as_dtype, format_shape


@dataclass(frozen=True, slots=True)
class DTypePolicy:
    """The dtype that a layer computes in, and the one that its weights are kept in.

    Source: https://keras.io/api/mixed_precision/policy/
    """

    name: str
    compute: DType
    variable: DType

    def get_config(self) -> dict[str, Any]:
        return {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": self.name},
            "registered_name": None,
        }


def dtype_policy(given: Any) -> DTypePolicy:
    """The policy for a name ("float32", "mixed_float16"), a config dict, a dtype or a policy; None is the default.

    Raises:
        InvalidArgumentError: there is no such policy.
    """
    if isinstance(given, DTypePolicy):
        return given
    if isinstance(given, Mapping):
        given = given.get("config", {}).get("name")
    if given is None:
        given = config.dtype_policy()
    if isinstance(given, str) and given.startswith("mixed_"):
        compute = as_dtype(given.removeprefix("mixed_"))
        if not compute.is_float:
            raise InvalidArgumentError(f"there is no dtype policy {given!r}; expected mixed_float16 or mixed_bfloat16")
        return DTypePolicy(given, compute, DType.FLOAT32)
    dtype = as_dtype(given)
    return DTypePolicy(dtype.keras_name, dtype, dtype)


class Weight(Variable, NDArrayOperatorsMixin):
    """A layer's variable: drawn by its initializer when somebody first reads it, or set.

    Initializers are seeded when they are made, so the order of reading changes nothing.

    A `call` may compute with it as with a tensor: Python's operators, NumPy's functions and those of `kir.backend` take
    it in `compute_dtype`, by default its own.
    """

    # Weights are told apart by what they are, not by their numbers.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DType,
        initializer: Callable[..., Array],
        regularizer: Callable[..., Any] | None = None,
        constraint: Callable[..., Any] | None = None,
        trainable: bool = True,
    ) -> None:
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.initializer = initializer
        self.regularizer = regularizer
        self.constraint = constraint
        self.trainable = trainable
        self.compute_dtype = dtype
        self._array: Array | None = None

    @property
    def array(self) -> Array:
        """The numbers, of `shape` and `dtype`."""
        if self._array is None:
            drawn = np.asarray(self.initializer(self.shape, dtype=self.dtype.numpy))
            self._array = np.broadcast_to(drawn, self.shape).astype(self.dtype.numpy, copy=False)
        return self._array

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def assign(self, array: Any) -> None:
        """Sets the numbers, by reference where the dtype agrees.

        Raises:
            ShapeError: the array has another shape.
        """
        array = np.asarray(array)
        if array.shape != self.shape:
            raise ShapeError(
                f"weight {self.name!r} has shape {format_shape(self.shape)}; received {format_shape(array.shape)}"
            )
        self._array = array.astype(self.dtype.numpy, copy=False)

    def numpy(self) -> Array:
        return self.array

    def traced(self) -> Any:
        """A constant of the trace that is open; where none is, the numbers."""
        tracer = current_tracer()
        if tracer is None:
            return self.array
        dtype = self.compute_dtype
        return tracer.weight(self.name, stand_in(self.shape, dtype) if tracer.graph is None else self.array, dtype)

    value = property(traced)

    def __getitem__(self, index: Any) -> Any:
        return self.traced()[index]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*[x.traced() if isinstance(x, Weight) else x for x in inputs], **kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.array, dtype, copy=copy)

    def __repr__(self) -> str:
        return f"<Weight {self.name} {self.dtype}{format_shape(self.shape)}>"


class Layer:
    """What all layers share. Subclasses define `__init__`, `build` if they have weights, and `call`.

    Args:
        name: unique in its model; counted from the class name when absent.
        dtype: a dtype or policy name; see `dtype_policy`.
        trainable: whether training changes the weights, and their regularizers count in `model.losses`.
        activity_regularizer: of the output; counts in `model.losses`.
        autocast: whether float inputs are cast to the compute dtype.
        input_shape: sizes without the batch, for the first layer of a Sequential.
        batch_input_shape: sizes with the batch.
        input_dim: short for `input_shape=(input_dim,)`.
        batch_size: the batch of `input_shape`.

    Source: https://keras.io/api/layers/base_layer/
    """

    supports_masking: bool = False
    # What of Keras's layer this one does not do, for the table of layers.
    limits: ClassVar[str] = ""
    # Config keys of Keras that mean nothing for inference and are accepted unread.
    ignored_config: ClassVar[frozenset[str]] = frozenset()
    # Where Keras keeps the layer's own weights in a `.weights.h5` file, inside the layer's group.
    saved_group: ClassVar[str] = ""
    # Whether a list or dict of inputs is a mistake, and not something that `call` handles.
    takes_one_tensor: ClassVar[bool] = False
    # What a stateful layer ended its last run with; None for zeros.
    states: list[Array] | None = None
    # False for what a functional model records without being a layer, such as `x + 1`.
    is_layer: ClassVar[bool] = True

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        activity_regularizer: Any = None,
        autocast: bool = True,
        input_shape: Any = None,
        batch_input_shape: Any = None,
        batch_shape: Any = None,
        input_dim: int | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        owner = type(self).__name__
        if unknown:
            known = constructor_arguments(type(self))
            close = [match for name in sorted(unknown) for match in difflib.get_close_matches(name, known, n=1)]
            question = f"did you mean {', '.join(close)}? It" if close else "it"
            raise InvalidArgumentError(
                f"{owner} has no argument {', '.join(sorted(unknown))}; {question} has {', '.join(known)}"
            )
        if name is not None and (not isinstance(name, str) or not name):
            raise InvalidArgumentError(f"{owner}: name must be a non-empty string; received name={name!r}")
        self.name = name if name is not None else automatic_name(self.keras_class_name)
        self.dtype_policy = dtype_policy(dtype)
        self.trainable = boolean(owner, "trainable", trainable)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.autocast = boolean(owner, "autocast", autocast)
        self.batch_input_shape = first_layer_shape(
            owner,
            input_shape,
            batch_input_shape if batch_input_shape is not None else batch_shape,
            input_dim,
            batch_size,
        )
        self.built = False
        self.calls: list[Any] = []
        self._own_weights: list[Weight] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Makes a layer that is built by hand one that is built: the first call does not make its weights again."""
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _marking_as_built(cls.build)  # type: ignore[method-assign]

    # To be defined by subclasses

    def build(self, input_shape: Any) -> None:
        """Creates the weights. `input_shape` has the structure of the first argument of `call`."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs from the inputs, written with operators on symbolic tensors."""
        raise TypeError(f"{type(self).__name__} must define call")

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The mask of the outputs (with their structure, or None) from the inputs and their masks."""
        return mask if self.supports_masking else None

    @property
    def uses_mask(self) -> bool:
        """Whether `call` is given the mask of the inputs."""
        return "mask" in call_parameters(type(self))

    def owned_layers(self) -> dict[str, Layer]:
        """The layers that a wrapper owns, by the attribute's name."""
        return {}

    def sublayers(self) -> list[Layer]:
        """The layers that this one owns; a model's or a wrapper's."""
        return list(self.owned_layers().values())

    # Calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Records, traces or runs the layer, by what it is given; see the head of this module."""
        self._check_arguments(args)
        leaves = flatten((args, list(kwargs.values())))
        if not leaves:
            raise InvalidArgumentError(
                f"{type(self).__name__} {self.name!r} was called with {args[0]!r}, which holds no tensor; give it the "
                f"output of an Input or of another layer, or an array"
            )
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            return self.trace(*args, **kwargs)
        from kir import functional

        if any(isinstance(leaf, SymbolicOperators) for leaf in leaves):
            return functional.record_call(self, args, kwargs)
        return functional.run_eagerly(self, args, kwargs)

    def trace(self, *args: Any, training: Any = None, **kwargs: Any) -> Any:
        """Runs `call` in the tracer of its inputs; the outputs carry their masks.

        Raises:
            KirError: the layer cannot work on these inputs; the message opens with the layer's path.
        """
        tracer = next(leaf.tracer for leaf in flatten((args, list(kwargs.values()))) if isinstance(leaf, Tensor))
        with tracer.layer(self.name, type(self).__name__, training):
            origin = tracer.origin
            try:
                return self._trace(tracer, args, kwargs)
            except KirError as error:
                if error.layer is None:
                    error.layer = str(origin)
                raise

    def _trace(self, tracer: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # 1. Inputs in the dtype that the layer computes in.
        if self.autocast:
            args, kwargs = map_structure(self._autocast, args), map_structure(self._autocast, kwargs)
        # 2. Weights, made for the shapes of the first call.
        self.ensure_built(map_structure(lambda x: tuple(getattr(x, "shape", ())), args[0]))
        # 3. Masks: used, passed on, or lost.
        parameters = call_parameters(type(self))
        masks = map_structure(lambda x: getattr(x, "mask", None), args[0])
        if kwargs.get("mask") is not None:
            masks = kwargs["mask"]
        if self.uses_mask:
            kwargs["mask"] = masks if flatten(masks) else None
        else:
            # A recorded function may have an argument of that name.
            if self.is_layer:
                kwargs.pop("mask", None)
            if flatten(masks) and not self.supports_masking:
                self._lose_mask(tracer)
        # 4. The call itself, and the masks of its outputs.
        if "training" in parameters:
            kwargs["training"] = tracer.training
        outputs = self._call(args, kwargs)
        outputs = map_structure(lambda x: x if isinstance(x, Tensor) else tracer.constant(x), outputs)
        if tracer.collects_losses and self.activity_regularizer is not None:
            self._add_activity_losses(tracer, outputs)
        return self.mask_outputs(args[0], outputs, masks if flatten(masks) else None)

    def _check_arguments(self, args: tuple[Any, ...]) -> None:
        """Raises InvalidArgumentError unless there is an input, of a kind that the layer takes."""
        what = f"{type(self).__name__} {self.name!r}"
        if not args:
            raise InvalidArgumentError(f"{what} was called without an input; give it as the first, positional argument")
        if self.takes_one_tensor and isinstance(args[0], list | tuple | dict):
            raise InvalidArgumentError(
                f"{what} takes one tensor; received a {type(args[0]).__name__} of {len(args[0])}: call it once for "
                f"each, or merge them first"
            )

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs `call`; arguments that it does not have are the caller's mistake, and named."""
        try:
            return self.call(*args, **kwargs)
        except TypeError as error:
            try:
                inspect.signature(self.call).bind(*args, **kwargs)
            except TypeError as mistake:
                raise InvalidArgumentError(
                    f"{type(self).__name__} {self.name!r} cannot be called with these arguments: {mistake}"
                ) from error
            raise

    def mask_outputs(self, inputs: Any, outputs: Any, masks: Any) -> Any:
        """The outputs, each carrying the mask that `compute_mask` gives it."""
        computed = self.compute_mask(inputs, masks)
        if isinstance(outputs, list | tuple):
            # As in Keras, a single mask belongs to the first output.
            computed = list(computed) if isinstance(computed, list | tuple) else [computed]
            computed += [None] * (len(outputs) - len(computed))
            return type(outputs)(_with_mask(x, mask) for x, mask in zip(outputs, computed, strict=True))
        if isinstance(computed, list | tuple):
            # A layer that passes on the masks of several inputs, and has one output: it carries the first.
            computed = computed[0] if computed else None
        return _with_mask(outputs, computed if isinstance(outputs, Tensor) else None)

    def reset_states(self) -> None:
        """Lets the stateful layers, this one and those inside it, begin with zeros again."""
        pending: list[Layer] = [self]
        while pending:
            layer = pending.pop()
            layer.states = None
            pending.extend(layer.sublayers())

    reset_state = reset_states

    def ensure_built(self, input_shape: Any) -> None:
        """Builds on the first call only."""
        if not self.built:
            self.build(input_shape)
            self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output shape, with None for unknown sizes, from an input shape written so. Builds the layer."""
        from kir.functional import output_shape

        return output_shape(self, input_shape)

    def _autocast(self, x: Any) -> Any:
        return self.promote(x) if isinstance(x, Tensor) and x.type.dtype.is_float else x

    def _lose_mask(self, tracer: Tracer) -> None:
        message = (
            f"{type(self).__name__} {self.name!r} was given an input with a mask, which it cannot carry: the layers "
            f"behind it would compute with masked steps as if they were data"
        )
        if tracer.on_lost_mask == "error":
            raise InvalidArgumentError(
                f"{message}; move the layer before the mask is made, or accept Keras 3's behaviour, where the mask "
                f"ends here, with --on-lost-mask warn (kir.config.set_on_lost_mask('warn'))"
            )
        if tracer.on_lost_mask == "warn":
            warnings.warn(f"{message}; the mask ends here", stacklevel=2)

    def _add_activity_losses(self, tracer: Tracer, outputs: Any) -> None:
        from kir import backend as K

        assert self.activity_regularizer is not None
        for output in flatten(outputs):
            loss = K.convert_to_tensor(self.activity_regularizer(output), dtype=output.dtype)
            tracer.losses.append(K.divide_no_nan(loss, K.cast(output.shape[0], output.dtype)) if output.shape else loss)

    # Weights

    @property
    def keras_class_name(self) -> str:
        """The name of the class in Keras's files."""
        return type(self).__name__

    @property
    def own_weights(self) -> list[Weight]:
        """The weights of this layer alone, in Keras's order: trainable ones first."""
        return sorted(self._own_weights, key=lambda weight: not weight.trainable)

    @property
    def compute_dtype(self) -> DType:
        return self.dtype_policy.compute

    @property
    def dtype(self) -> str:
        """Keras's name of the dtype that the weights are kept in."""
        return self.dtype_policy.variable.keras_name

    @property
    def input_dtype(self) -> str:
        """The dtype of the input that a Sequential makes for this layer when it comes first."""
        return self.dtype_policy.compute.keras_name

    def add_weight(
        self,
        name: str,
        shape: tuple[Dim, ...],
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        constraint: Any = None,
        trainable: bool = True,
        dtype: DType | None = None,
    ) -> Weight:
        """A new weight of this layer.

        Raises:
            ShapeError: a size is symbolic.
        """
        sizes = tuple(dim for dim in shape if isinstance(dim, int))
        if len(sizes) != len(shape):
            raise ShapeError(
                f"weight {name!r} would have shape {format_shape(shape)}; every size of a weight must be known: "
                f"give the input a concrete size on that axis"
            )
        weight = Weight(
            name,
            sizes,
            dtype or self.dtype_policy.variable,
            initializers.get(initializer) or initializers.Zeros(),
            regularizers.get(regularizer),
            constraints.get(constraint),
            trainable,
        )
        self._own_weights.append(weight)
        return weight

    def read(self, weight: Weight, like: Tensor, dtype: DType | None = None) -> Tensor:
        """The weight as a constant of the trace that `like` belongs to, in the compute dtype unless one is given."""
        dtype = dtype or (self.compute_dtype if weight.dtype.is_float else weight.dtype)
        array = weight.array if like.tracer.graph is not None else stand_in(weight.shape, dtype)
        return like.tracer.weight(weight.name, array, dtype)

    def promote(self, x: Tensor) -> Tensor:
        """x in the compute dtype, for a product with weights: that promotes the integers which autocasting leaves."""
        return x if x.type.dtype is self.compute_dtype else emit(Cast(self.compute_dtype), x).with_mask(x.mask)

    @property
    def weights(self) -> list[Weight]:
        """All weights, each once, in Keras's order: the own ones, trainable first, then those of the owned layers."""
        found = {id(weight): weight for weight in self.own_weights}
        for layer in self.sublayers():
            found.update((id(weight), weight) for weight in layer.weights)
        return list(found.values())

    @property
    def trainable_weights(self) -> list[Weight]:
        """What training changes: nothing of a layer with `trainable=False`, nor of the layers that it owns."""
        if not self.trainable:
            return []
        found = {id(weight): weight for weight in self.own_weights if weight.trainable}
        for layer in self.sublayers():
            found.update((id(weight), weight) for weight in layer.trainable_weights)
        return list(found.values())

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The other `weights`."""
        trainable = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in trainable]

    def get_weights(self) -> list[Array]:
        """The arrays of `weights`."""
        return [weight.array for weight in self.weights]

    def set_weights(self, arrays: list[Any]) -> None:
        """Sets all weights, in the order of `weights`.

        Raises:
            ShapeError: the number or a shape differs; then nothing was set.
        """
        weights = self.weights
        expected = ", ".join(f"{w.name} {format_shape(w.shape)}" for w in weights) or "none"
        if len(arrays) != len(weights):
            raise ShapeError(f"{self.name!r} has {len(weights)} weights ({expected}); received {len(arrays)} arrays")
        for weight, array in zip(weights, arrays, strict=True):
            if np.shape(array) != weight.shape:
                raise ShapeError(
                    f"weight {weight.name!r} of {self.name!r}: received shape {np.shape(array)}; expected {expected}"
                )
        for weight, array in zip(weights, arrays, strict=True):
            weight.assign(array)

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        return sum(weight.size for weight in self.weights)

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments under Keras's keys, in a form that JSON can hold."""
        result = self.shared_config()
        for name in own_arguments(type(self)):
            result[name] = to_config(self.argument(name))
        if self.activity_regularizer is not None:
            result["activity_regularizer"] = to_config(self.activity_regularizer)
        return result

    def argument(self, name: str) -> Any:
        """What a constructor argument is: the attribute of that name, unless a layer keeps it under another."""
        return getattr(self, name)

    def shared_config(self) -> dict[str, Any]:
        """The part of the config that all layers have."""
        return {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy.get_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new layer from what `get_config` gave.

        Raises:
            InvalidArgumentError: a key is unknown.
        """
        return cls(**{key: value for key, value in config.items() if key not in cls.ignored_config})

    # What a recorded call left behind

    @property
    def input(self) -> Any:
        """The KerasTensors of the only call."""
        return self._only_call().arguments[0][0]

    @property
    def output(self) -> Any:
        """What the only call returned."""
        return self._only_call().outputs

    @property
    def input_shape(self) -> Any:
        """The shape of `input`, with None for unknown sizes."""
        return map_structure(lambda x: x.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """The shape of `output`, with None for unknown sizes."""
        return map_structure(lambda x: x.shape, self.output)

    def _only_call(self) -> Any:
        if len(self.calls) != 1:
            raise InvalidArgumentError(
                f"layer {self.name!r} was called {len(self.calls)} times, so it has no single input or output"
            )
        return self.calls[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _marking_as_built(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def build_and_mark(layer: Layer, *shapes: Any, **named_shapes: Any) -> None:
        build(layer, *shapes, **named_shapes)
        layer.built = True

    return build_and_mark


def _with_mask(outputs: Any, mask: Tensor | None) -> Any:
    return map_structure(lambda x: x.with_mask(mask), outputs)


def stand_in(shape: tuple[int, ...], dtype: DType) -> Array:
    """An array that takes no memory, for a trace that only asks for types: no weight is drawn or read for that."""
    return np.broadcast_to(np.zeros((), dtype.numpy), shape)


def first_layer_shape(
    owner: str, input_shape: Any, batch_input_shape: Any, input_dim: int | None, batch_size: int | None
) -> tuple[Any, ...] | None:
    """The full input shape that a first layer of a Sequential declares, with None for unknown sizes, or None."""
    batch_size = optional_integer(owner, "batch_size", batch_size, 1)
    if batch_input_shape is not None:
        return check_shape(owner, "batch_input_shape", batch_input_shape)
    if input_shape is not None:
        return (batch_size, *check_shape(owner, "input_shape", input_shape))
    if input_dim is not None:
        return (batch_size, *integers(owner, "input_dim", input_dim, 1))
    return None


def check_shape(owner: str, name: str, shape: Any) -> tuple[Any, ...]:
    """A shape as given by a user: sizes, None for unknown ones, text (or a symbolic size) for those with a name.

    Raises:
        InvalidArgumentError: it is not a tuple or list of those.
    """
    items = (shape,) if isinstance(shape, int) else shape
    if not isinstance(items, list | tuple) or not all(
        size is None or isinstance(size, str | Sym) or (isinstance(size, int | np.integer) and size >= 0)
        for size in items
    ):
        raise InvalidArgumentError(
            f"{owner}: {name} must be a tuple of sizes, with None for an unknown one; received {name}={shape!r}"
        )
    return tuple(int(size) if isinstance(size, np.integer) else size for size in items)


def to_config(value: Any) -> Any:
    """An argument as Keras writes it into a config: objects as dicts or names, everything else as it is."""
    if isinstance(value, Layer):
        return {
            "module": "keras.layers",
            "class_name": type(value).__name__,
            "config": value.get_config(),
            "registered_name": None,
        }
    if isinstance(value, initializers.Initializer):
        return initializers.serialize(value)
    if isinstance(value, regularizers.Regularizer):
        return regularizers.serialize(value)
    if isinstance(value, constraints.Constraint):
        return constraints.serialize(value)
    if isinstance(value, Configurable):
        return value.get_config()
    if inspect.isfunction(value):
        from kir import activations

        # A lambda has no name to be found by, but it can be shown.
        return function_config(value) if "<" in value.__qualname__ else activations.serialize(value)
    return value


def layer_from_config(given: Any) -> Any:
    """A layer from a saved config; a layer, or None, as it is.

    Raises:
        InvalidArgumentError: kir has no layer of that class.
    """
    if not isinstance(given, Mapping):
        return given
    from kir import layers, model

    name = given.get("class_name")
    found = getattr(layers, str(name), None) or getattr(model, str(name), None)
    if not (isinstance(found, type) and issubclass(found, Layer)):
        raise InvalidArgumentError(
            f"kir.layers has no class {name!r}; give the inner layer itself instead of its config"
        )
    return found.from_config(given.get("config", {}))


def numbered(layers: Iterable[Layer]) -> list[tuple[str, Layer]]:
    """Layers with the names that Keras's files give them in a list: the class, and which one of that class it is."""
    counts: Counter[str] = Counter()
    found: list[tuple[str, Layer]] = []
    for layer in layers:
        name = snake_case(layer.keras_class_name)
        found.append((f"{name}_{counts[name]}" if counts[name] else name, layer))
        counts[name] += 1
    return found


@cached
def call_parameters(cls: Any) -> frozenset[str]:
    """The names of the parameters of a layer class's `call`."""
    return frozenset(inspect.signature(cls.call).parameters)


@cached
def own_arguments(cls: Any) -> tuple[str, ...]:
    """The constructor arguments of a layer class, without those that all layers share.

    None of those is required: a required `input_dim` is an Embedding's own.
    """
    shared = set(inspect.signature(Layer.__init__).parameters)
    parameters = constructor_parameters(cls).items()
    return tuple(name for name, parameter in parameters if name not in shared or parameter.default is parameter.empty)


def constructor_arguments(cls: Any) -> tuple[str, ...]:
    """The names of `constructor_parameters`."""
    return tuple(constructor_parameters(cls))


@cached
def constructor_parameters(cls: Any) -> dict[str, inspect.Parameter]:
    """All named constructor arguments of a layer class and of those it passes further ones on to."""
    found: dict[str, inspect.Parameter] = {}
    for ancestor in cls.__mro__:
        if "__init__" not in vars(ancestor) or ancestor is object:
            continue
        parameters = list(inspect.signature(ancestor.__init__).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found
