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
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from kir import activations, constraints, initializers, regularizers
from kir import backend as K
from kir.config import PolicyLike
from kir.config import as_dtype_policy as dtype_policy
from kir.errors import InvalidArgumentError, KirError, ShapeError
from kir.ir.dims import Sym
from kir.ir.op import Array
from kir.ir.trace import AnyTensor, SymbolicOperators, Tensor, Tracer, Variable, current_tracer, emit
from kir.ir.types import DType
from kir.modeling.attribute_paths import is_placing, paths_inside, places_in
from kir.modeling.deferred import FailedTensor, is_script_running
from kir.modeling.eager import infer_output_shape, run_eagerly
from kir.modeling.functional import record_call
from kir.modeling.given_shapes import GivenShape, first_layer_shape, shapes_with_none
from kir.modeling.keras_methods import KerasMethods
from kir.modeling.parameters import (
    NamedShapes,
    call_parameters,
    constructor_arguments,
    constructor_parameters,
    first_call_parameter,
    positional_parameters,
    shapes_for_build,
)
from kir.modeling.registry import Configurable
from kir.modeling.user_functions import function_config
from kir.modeling.weight import Weight
from kir.modeling.weight_owner import WeightOwner, is_of_kir, walk_layers
from kir.ops.elementwise import Cast
from kir.ops.shape import Size
from kir.support.arguments import boolean
from kir.support.caching import cached
from kir.support.naming import automatic_name, snake_case
from kir.support.trees import flatten, map_structure


class NoSuchTensorError(InvalidArgumentError, AttributeError):
    """A layer or model has no input or output yet, or several. An AttributeError, as in Keras, for `hasattr`."""


class Layer(KerasMethods, WeightOwner):
    """The base of all layers. Subclasses define `__init__`, `build` if they have weights, and `call`.

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
    # True for what is made of recorded calls, which it was built of.
    is_model: ClassVar[bool] = False
    # True for what does with its inputs what `model` does.
    stands_for_model: ClassVar[bool] = False

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: PolicyLike = None,
        trainable: bool = True,
        activity_regularizer: object = None,
        autocast: bool = True,
        input_shape: GivenShape | None = None,
        batch_input_shape: GivenShape | None = None,
        batch_shape: GivenShape | None = None,
        input_dim: int | None = None,
        batch_size: int | None = None,
        **unknown: object,
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
        self._trainable = boolean(owner, "trainable", trainable)
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
        # What `build` was given, for `get_build_config`; and what restricts the inputs, for the user's own classes.
        self.build_shapes: dict[str, Any] = {}
        self.input_spec: Any = None
        self.calls: list[Any] = []
        self._own_weights: list[Weight] = []

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Make a layer that is built by hand one that is built: the first call does not make its weights again."""
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _marking_as_built(cls.build)  # type: ignore[method-assign]

    # To be defined by subclasses

    def build(self, input_shape: Any) -> None:
        """Create the weights. `input_shape` has the structure of the first argument of `call`."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs from the inputs, written with operators on symbolic tensors."""
        raise TypeError(f"{type(self).__name__} must define call")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the outputs (with their structure, or None) from the inputs and their masks.

        It is asked of layers that support masks, and of those that define it.
        """
        return mask

    @property
    def uses_mask(self) -> bool:
        """Whether `call` is given the mask of the inputs."""
        return "mask" in call_parameters(type(self))

    def owned_layers(self) -> dict[str, Layer]:
        """Return the layers that this one owns, by where Keras's files have them; those of kir say which.

        Of the user's own, the layers that are attributes, or in lists, tuples and dicts that are.
        """
        if is_of_kir(type(self)):
            return {}
        return {place: layer for name, value in vars(self).items() for place, layer in _layers_at(name, value)}

    def sublayers(self) -> list[Layer]:
        """Return the layers that this one owns; a model's or a wrapper's."""
        return list(self.owned_layers().values())

    # Calling

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Record, trace or run the layer, by what it is given; see the head of this module."""
        args, kwargs = self._input_first(args, kwargs)
        self._check_arguments(args)
        leaves = flatten((args, list(kwargs.values())))
        if not leaves:
            raise InvalidArgumentError(
                f"{type(self).__name__} {self.name!r} was called with {args[0]!r}, which holds no tensor; give it the "
                f"output of an Input or of another layer, or an array"
            )
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            return self.trace(*args, **kwargs)
        if any(isinstance(leaf, SymbolicOperators) for leaf in leaves):
            return self.record(args, kwargs)
        return run_eagerly(self, args, kwargs)

    def record(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a call; while a script runs, an error is raised only for the model that is exported."""
        failed = next((leaf for leaf in flatten((args, list(kwargs.values()))) if isinstance(leaf, FailedTensor)), None)
        if failed is not None:
            return failed
        try:
            return record_call(self, args, kwargs)
        except KirError as error:
            if not is_script_running():
                raise
            return FailedTensor(error)

    def trace(self, *args: object, **kwargs: Any) -> Any:
        """Run `call` in the tracer of its inputs; the outputs carry their masks.

        Raises:
            KirError: the layer cannot work on these inputs; the message opens with the layer's path.
        """
        args, kwargs = self._with_names(args, kwargs)
        training = kwargs.pop("training", None)
        tracer = next(leaf.tracer for leaf in flatten((args, list(kwargs.values()))) if isinstance(leaf, Tensor))
        with tracer.layer(self.name, type(self).__name__, training, self):
            origin = tracer.origin
            try:
                return tracer.watch(self, self._trace(tracer, args, kwargs))
            except KirError as error:
                if error.layer is None:
                    error.layer = str(origin)
                raise

    def _trace(self, tracer: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # 1. Inputs in the dtype that the layer computes in.
        if self.autocast:
            args, kwargs = map_structure(self._autocast, args), map_structure(self._autocast, kwargs)
        if self.input_spec is not None:
            self._check_input_spec(args[0])
        # 2. Weights, made for the shapes of the first call.
        self.ensure_built(self.shapes_for_build(args, kwargs))
        if is_placing(self):
            # Of one that has a place, `build` may have made more, but what is deeper inside comes later.
            depth = 1 if id(self) in tracer.placed else None
            tracer.place(paths_inside(self, tracer.path, places_in, depth))
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
        outputs = map_structure(functools.partial(_as_tensor, tracer), outputs)
        if tracer.collects_losses and self.activity_regularizer is not None:
            self._add_activity_losses(tracer, outputs)
        return self.mask_outputs(args[0], outputs, masks if flatten(masks) else None)

    def _input_first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with the first one by position, that may be given by its name."""
        first = first_call_parameter(type(self))
        if args or first not in kwargs:
            return args, kwargs
        return (kwargs[first],), {name: value for name, value in kwargs.items() if name != first}

    def _with_names(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call; those after the first get their names if a mask or the mode is among them."""
        named = dict(zip(positional_parameters(type(self))[1:], args[1:], strict=False))
        if named.keys().isdisjoint(("mask", "training")) or named.keys() & kwargs.keys() or len(named) < len(args) - 1:
            return args, kwargs
        return args[:1], named | kwargs

    def _check_arguments(self, args: tuple[Any, ...]) -> None:
        """Raise InvalidArgumentError unless there is an input, of a kind that the layer takes."""
        what = f"{type(self).__name__} {self.name!r}"
        if not args:
            raise InvalidArgumentError(f"{what} was called without an input; give it as the first, positional argument")
        if self.takes_one_tensor and isinstance(args[0], list | tuple | dict):
            raise InvalidArgumentError(
                f"{what} takes one tensor; received a {type(args[0]).__name__} of {len(args[0])}: call it once for "
                f"each, or merge them first"
            )

    def _check_input_spec(self, inputs: object) -> None:
        """Raise ShapeError unless the inputs are what a layer of the user's own says that it expects."""
        specs, given = flatten(self.input_spec), flatten(inputs)
        if len(specs) > 1 and len(specs) != len(given):
            raise ShapeError(f"{self.name!r} expects {len(specs)} inputs; received {len(given)}")
        for spec, x in zip(specs * len(given) if len(specs) == 1 else specs, given, strict=False):
            spec.check(getattr(x, "shape", ()), repr(self.name))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `call`; arguments that it does not have are the caller's mistake, and named."""
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

    def mask_outputs(self, inputs: object, outputs: object, masks: object) -> Any:
        """Return the outputs, each carrying the mask that `compute_mask` gives it.

        An output of a layer of the user's own keeps the mask that a layer inside has put on it.
        """
        makes_masks = self.supports_masking or type(self).compute_mask is not Layer.compute_mask
        computed = self.compute_mask(inputs, masks) if makes_masks else None
        if isinstance(outputs, list | tuple):
            # As in Keras, a single mask belongs to the first output.
            computed = list(computed) if isinstance(computed, list | tuple) else [computed]
            computed += [None] * (len(outputs) - len(computed))
            masked = [self._with_mask(x, mask) for x, mask in zip(outputs, computed, strict=True)]
            return type(outputs)(*masked) if hasattr(outputs, "_fields") else type(outputs)(masked)
        if isinstance(computed, list | tuple):
            # A layer that passes on the masks of several inputs, and has one output: it carries the first.
            computed = computed[0] if computed else None
        return self._with_mask(outputs, computed if isinstance(outputs, Tensor) else None)

    def _with_mask(self, outputs: object, mask: Tensor | None) -> Any:
        keeps = self.keeps_inner_masks
        return map_structure(lambda x: x if keeps and x.mask is not None else x.with_mask(mask), outputs)

    @property
    def keeps_inner_masks(self) -> bool:
        """Whether the masks that layers inside have put on outputs stay, as in all of Keras's layers.

        Those of kir may return a tensor that Keras's layer computes anew.
        """
        return not is_of_kir(type(self))

    def reset_states(self) -> None:
        """Let the stateful layers, this one and those inside it, begin with zeros again."""
        for layer in walk_layers(self):
            layer.states = None

    reset_state = reset_states

    def shapes_for_build(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what `build` is given in a call."""
        return shapes_for_build(type(self), args, kwargs)

    def ensure_built(self, input_shape: object) -> None:
        """Build on the first call only."""
        if not self.built:
            self.build(**input_shape) if isinstance(input_shape, NamedShapes) else self.build(input_shape)
            self.build_shapes = self.build_shapes or {"input_shape": input_shape}
            self.built = True

    def compute_output_shape(self, *shapes: object, **named_shapes: object) -> Any:
        """Return the output shape, with None for unknown sizes, from input shapes written so.

        Args:
            *shapes: of the arguments of `call`; the first is a shape, or a list or dict of them.
            **named_shapes: likewise, by their names in Keras: `value_shape` is that of the argument `value`.
        """
        return infer_output_shape(self, shapes, named_shapes)

    def _autocast(self, x: object) -> object:
        return self.promote(x) if isinstance(x, Tensor) and x.type.dtype.is_float else x

    def _lose_mask(self, tracer: Tracer) -> None:
        message = (
            f"{type(self).__name__} {self.name!r} was given an input with a mask, which it cannot carry: the layers "
            f"after it would compute with masked steps as if they were data"
        )
        tracer.lost_masks[tracer.origin] = None
        if tracer.on_lost_mask == "error":
            raise InvalidArgumentError(
                f"{message}; move the layer before the mask is made, or accept Keras 3's behaviour, where the mask "
                f"ends here, with --on-lost-mask warn (kir.config.set_on_lost_mask('warn'))"
            )
        if tracer.on_lost_mask == "warn":
            warnings.warn(f"{message}; the mask ends here", stacklevel=2)

    def _add_activity_losses(self, tracer: Tracer, outputs: object) -> None:
        assert self.activity_regularizer is not None
        for output in flatten(outputs):
            loss = K.convert_to_tensor(self.activity_regularizer(output), dtype=output.dtype)
            tracer.losses.append(K.divide_no_nan(loss, K.cast(output.shape[0], output.dtype)) if output.shape else loss)

    # Names and dtypes

    @property
    def keras_class_name(self) -> str:
        """The name of the class in Keras's files."""
        return type(self).__name__

    @property
    def keras_module(self) -> str:
        """Where Keras's files say that the class is; a class of the user's own is where it is written."""
        cls = type(self)
        return "keras.layers" if is_of_kir(cls) else cls.__module__

    @property
    def described_name(self) -> str:
        """The name of the class in descriptions, which for a layer is the one that scripts use."""
        return type(self).__name__

    @property
    def registered_name(self) -> str | None:
        """The name by which Keras finds a class of the user's own."""
        cls = type(self)
        return None if is_of_kir(cls) else vars(cls).get("_keras_registered_name", cls.__name__)

    @property
    def path(self) -> str:
        """Where the layer is in its model, which is all that a layer knows: its name."""
        return self.name

    @property
    def input_dtype(self) -> str:
        """The dtype of the input that a Sequential makes for this layer when it comes first."""
        return self.compute_dtype

    # Losses and metrics, which training adds up

    @property
    def losses(self) -> Any:
        """The regularization terms of the weights, as numbers; `Model.losses` can be called for those of activities."""
        return [np.asarray(w.regularizer(w.array)) for w in self.trainable_weights if w.regularizer is not None]

    def add_loss(self, loss: object) -> None:
        """Add terms to the losses of the model, where those are computed (`--losses`); inside `call`."""
        tracer = current_tracer()
        if tracer is not None and tracer.collects_losses:
            tracer.losses.extend(K.sum(K.cast(one, "float32")) for one in flatten(loss))

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments under Keras's keys, in a form that JSON can hold."""
        result = self.shared_config()
        for name in own_arguments(type(self)):
            # The user's own class may keep an argument as it likes, and add it in a `get_config` of its own.
            if is_of_kir(type(self)) or hasattr(self, name):
                result[name] = to_config(self.argument(name))
        if self.activity_regularizer is not None:
            result["activity_regularizer"] = to_config(self.activity_regularizer)
        return result

    def argument(self, name: str) -> Any:
        """Return what a constructor argument is: the attribute of that name, unless a layer keeps it under another."""
        return getattr(self, name)

    def shared_config(self) -> dict[str, Any]:
        """Return the part of the config that all layers have."""
        return {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy.get_config()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return a new layer from what `get_config` gave; `custom_objects` are for layers that say so.

        Raises:
            InvalidArgumentError: a key is unknown.
        """
        return cls(**{key: value for key, value in config.items() if key not in cls.ignored_config})

    # What the recorded calls say

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
            raise NoSuchTensorError(
                f"layer {self.name!r} was called {len(self.calls)} times, so it has no single input or output"
            )
        return self.calls[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _marking_as_built(build: Callable[..., None]) -> Callable[..., None]:
    """Return a `build` that also sets `built`; one of the user's own is given None for unknown sizes, as in Keras."""

    @functools.wraps(build)
    def build_and_mark(layer: Layer, *shapes: object, **named_shapes: object) -> None:
        if not is_of_kir(build):
            shapes, named_shapes = shapes_with_none((shapes, named_shapes))
        build(layer, *shapes, **named_shapes)
        names = list(inspect.signature(build).parameters)[1:]
        layer.build_shapes = dict(zip(names, shapes, strict=False)) | named_shapes
        layer.built = True

    return build_and_mark


def _layers_at(place: str, value: object) -> Iterator[tuple[str, Layer]]:
    """Return the layers that an attribute holds, each once and with its place in a file.

    A container's layers are numbered by class: "blocks/dense", "blocks/dense_1", "blocks/container/dense".

    Source: `_save_container_state` in keras/src/saving/saving_lib.py
    """
    pending = [(place, value)]
    seen: set[int] = set()
    while pending:
        place, value = pending.pop()
        if not isinstance(value, Layer | list | tuple | dict) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Layer):
            yield place, value
            continue
        counts: Counter[str] = Counter()
        inner: list[tuple[str, Any]] = []
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, Layer | list | tuple | dict):
                name = snake_case(item.keras_class_name) if isinstance(item, Layer) else "container"
                inner.append((f"{place}/{name}_{counts[name]}" if counts[name] else f"{place}/{name}", item))
                counts[name] += 1
        pending.extend(reversed(inner))


def _as_tensor(tracer: Tracer, x: AnyTensor | Variable | Sym | float) -> Tensor:
    """Return a result of `call` as a tensor: numbers and arrays as constants, sizes such as `x.shape[0]` as int32."""
    if isinstance(x, Sym):
        x = emit(Cast(DType.INT32), *tracer.add(Size(x)))
    if isinstance(x, Variable):
        x = x.traced()
    return x if isinstance(x, Tensor) else tracer.constant(x)


def to_config(value: object) -> Any:
    """Return an argument as Keras writes it into a config: objects as dicts or names, everything else as it is."""
    if isinstance(value, Layer):
        return {
            "module": value.keras_module,
            "class_name": value.described_name,
            "config": value.get_config(),
            "registered_name": value.registered_name,
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
        # A lambda has no name to be found by, but it can be shown.
        return function_config(value) if "<" in value.__qualname__ else activations.serialize(value)
    return value


def numbered(layers: Iterable[Layer]) -> list[tuple[str, Layer]]:
    """Return layers with the names that Keras's files give them in a list: the class, and which one of the class."""
    counts: Counter[str] = Counter()
    found: list[tuple[str, Layer]] = []
    for layer in layers:
        name = snake_case(layer.keras_class_name)
        found.append((f"{name}_{counts[name]}" if counts[name] else name, layer))
        counts[name] += 1
    return found


@cached
def own_arguments(cls: type) -> tuple[str, ...]:
    """Return the constructor arguments of a layer class, without those that all layers share.

    None of those is required: a required `input_dim` is an Embedding's own.
    """
    shared = set(inspect.signature(Layer.__init__).parameters)
    parameters = constructor_parameters(cls).items()
    return tuple(name for name, parameter in parameters if name not in shared or parameter.default is parameter.empty)
