"""Models whose layers only their own `call` knows: subclasses of `keras.Model` made without inputs and outputs.

Such a model is a layer of the user's own until its inputs are known: by the first call, by `fit` or `predict`, or by
`build`. Then it becomes a functional model of inputs like those, and of one layer that runs the `call`.

Source: https://keras.io/guides/making_new_layers_and_models_via_subclassing/
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kir.errors import InvalidArgumentError, KirError
from kir.ir.dims import Sym
from kir.ir.trace import SymbolicOperators
from kir.ir.types import DType, as_dtype
from kir.modeling.deferred import is_script_running
from kir.modeling.divisible_sizes import GIVEN_SIZES
from kir.modeling.functional import KerasTensor, record_call
from kir.modeling.index_inputs import index_inputs
from kir.modeling.input import Input
from kir.modeling.layer import Layer, NoSuchTensorError
from kir.modeling.parameters import NamedShapes, call_parameters, first_call_parameter, positional_parameters
from kir.modeling.weight import Weight
from kir.support.trees import flatten, map_structure


class Body(Layer):
    """What a subclassed model does with its inputs. Its classes have the names of the models'."""

    model: Any
    keeps_inner_masks = True
    stands_for_model = True

    def owned_layers(self) -> dict[str, Layer]:
        """Return the layers of the model."""
        return dict(self.model.owned_layers())

    @property
    def own_weights(self) -> list[Weight]:
        """The weights that the model has itself."""
        return list(self.model.own_weights)

    def shapes_for_build(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what the `build` of the model is given."""
        return self.model.shapes_for_build(args, kwargs)

    def ensure_built(self, input_shape: object) -> None:
        """Build the model, which may have a `build` of its own."""
        self.model.ensure_built(input_shape)

    def compute_mask(self, inputs: object, mask: object = None) -> Any:
        """Return what the model says."""
        return self.model.compute_mask(inputs, mask)


def body_of(model: Layer) -> Body:
    """Return a layer that does what the model does."""
    cls = type(model)

    @functools.wraps(cls.call)
    def call(self: Body, *args: object, **kwargs: object) -> Any:
        return cls.call(self.model, *args, **kwargs)

    body: Body = type(cls.__name__, (Body,), {"call": call, "__module__": __name__})(
        name=model.name, dtype=model.dtype_policy, autocast=model.autocast
    )
    body.model = model
    body.supports_masking = model.supports_masking
    return body


def connect(body: Layer, args: Sequence[Any], kwargs: Mapping[str, Any], finds_indices: bool) -> tuple[Any, Any]:
    """Return inputs like the tensors or arrays that a layer is called with, of any batch, and what it makes of them.

    Of several arguments that hold tensors the inputs are a list. The mode and a mask are no inputs.

    Args:
        body: does what the model does.
        args, kwargs: of its `call`.
        finds_indices: whether inputs that are only read as integers are made int32; see `kir.modeling.index_inputs`.

    Raises:
        KirError: its `call` cannot be traced.
    """
    given = _by_parameter(type(body), args, kwargs)
    arguments = {name: _inputs_like(value, name, not index, body) for index, (name, value) in enumerate(given.items())}
    names = list(given)[: len(args)]
    by_name = list(given)[len(args) :]
    if finds_indices:
        arguments = _with_indices(body, arguments, len(args))
    outputs = record_call(body, tuple(arguments[name] for name in names), {name: arguments[name] for name in by_name})
    inputs = [leaves for one in arguments.values() if (leaves := _tensors_in(one))]
    if len(inputs) == 1:
        return next(one for one in arguments.values() if _tensors_in(one)), outputs
    return flatten(inputs), outputs


def _tensors_in(argument: object) -> list[KerasTensor]:
    return [leaf for leaf in flatten(argument) if isinstance(leaf, KerasTensor)]


def _with_indices(body: Layer, arguments: Mapping[str, Any], positional: int) -> dict[str, Any]:
    """Return the arguments with integers for inputs that are only read as such."""
    names = list(arguments)
    indices = index_inputs(
        body, [arguments[name] for name in names[:positional]], {name: arguments[name] for name in names[positional:]}
    )

    def as_indices(leaf: object) -> object:
        if id(leaf) not in indices or not isinstance(leaf, KerasTensor):
            return leaf
        return Input(batch_shape=leaf.shape, dtype="int32", name=leaf.name)

    return {name: map_structure(as_indices, value) for name, value in arguments.items()}


def _by_parameter(cls: type[Layer], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of the parameters, without the mode and the mask."""
    names = positional_parameters(cls)
    given = {names[index] if index < len(names) else f"input_{index}": value for index, value in enumerate(args)}
    return {name: None if name in ("mask", "training") else value for name, value in {**given, **kwargs}.items()}


def _input_dtype(leaf: Any, model: Layer) -> DType:
    """Return the dtype of an input; NumPy's float64 is what arrays have whose dtype nobody chose, as Keras has it."""
    dtype = as_dtype(leaf.dtype)
    is_unchosen = isinstance(leaf, np.ndarray | np.generic) and dtype is DType.FLOAT64 and model.autocast
    return model.dtype_policy.variable if is_unchosen else dtype


def _inputs_like(value: object, name: str, is_first: bool, model: Layer) -> Any:
    """Return an argument with an input in the place of every tensor; of the first argument, of every number."""

    def is_tensor(leaf: object) -> bool:
        return is_first or (hasattr(leaf, "shape") and hasattr(leaf, "dtype"))

    count = sum(map(is_tensor, flatten(value)))
    names = iter([name] if count == 1 else [f"{name}_{index}" for index in range(count)])

    def placeholder(leaf: npt.ArrayLike | SymbolicOperators) -> Any:
        if not is_tensor(leaf):
            return leaf
        array: Any = leaf if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else np.asarray(leaf)
        sizes = [size if isinstance(size, int) else None for size in array.shape[1:]]
        batch = () if not len(array.shape) else (None,)
        return Input(batch_shape=(*batch, *sizes), dtype=_input_dtype(array, model), name=next(names))

    return map_structure(placeholder, value)


def placeholders(input_shape: Any) -> Any:
    """Return inputs of the default dtype, from what `build` is given: a shape, or lists and dicts of shapes."""
    if isinstance(input_shape, Mapping):
        return {name: placeholders(shape) for name, shape in input_shape.items()}
    if all(size is None or isinstance(size, int | str | Sym) for size in input_shape):
        return Input(batch_shape=tuple(input_shape), name="shape")
    return [placeholders(shape) for shape in input_shape]


def arguments_of_shapes(cls: type[Any], shapes: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments for `call`, from shapes by the names of its parameters, or of its inputs.

    | names                                      | arguments                                      |
    |--------------------------------------------|------------------------------------------------|
    | of parameters                              | each of that shape                             |
    | "x_0", "x_1", … of the first parameter "x" | a list for the first parameter                 |
    | others                                     | a dict with these keys for the first parameter |
    """
    if shapes.keys() <= call_parameters(cls):
        return {name: placeholders(shape) for name, shape in shapes.items()}
    first = first_call_parameter(cls)
    if shapes.keys() == {f"{first}_{index}" for index in range(len(shapes))}:
        return {first: [placeholders(shapes[f"{first}_{index}"]) for index in range(len(shapes))]}
    return {first: placeholders(shapes)}


class Subclassing(Layer):
    """What a model does to learn its inputs when only its `call` knows the layers."""

    # Whether only `call` knows the layers.
    is_subclassed = False
    # Why the model could not be given its inputs, if that was tried.
    failure: KirError | None = None
    # Whether it was given shapes alone, so that the dtypes of its inputs are found out.
    _builds_by_shapes = False

    @property
    def has_own_call(self) -> bool:
        """Whether a subclass says what the model does."""
        raise NotImplementedError

    def _connect(self, inputs: Any, outputs: Any) -> None:
        """Make this a functional model; see `kir.modeling.model.Model`."""
        raise NotImplementedError

    def connect_to(self, *args: object, **kwargs: object) -> None:
        """Make a subclassed model one of inputs like these arguments of its `call`, if it has none yet.

        Raises:
            InvalidArgumentError: the model's class has no `call`.
            KirError: the model's `call` cannot be traced.
        """
        if not self._awaits_inputs or not flatten([args, list(kwargs.values())]):
            return
        try:
            self._require_call()
            self._connect(*connect(body_of(self), args, kwargs, self._builds_by_shapes))
            self.failure = None
        except KirError as error:
            if not is_script_running():
                raise
            # Raised when somebody needs the model; see `kir.modeling.deferred`.
            self.failure = error

    def _connect_to_shapes(self, arguments: Mapping[str, Any]) -> None:
        """Make a subclassed model one of inputs for arguments that stand for shapes."""
        args, kwargs = self._input_first((), dict(arguments))
        self._builds_by_shapes = True
        self.connect_to(*args, **kwargs)

    def _arguments_of(self, shapes: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments of `call` of the shapes that `build` was given."""
        if len(shapes) == 1:
            return {first_call_parameter(type(self)): placeholders(next(iter(shapes.values())))}
        return {name.removesuffix("_shape"): placeholders(shape) for name, shape in shapes.items()}

    def build_from_config(self, config: Mapping[str, Any] | None) -> None:
        """Make a subclassed model one of inputs of the shapes that a file says it was built with, of any batch."""
        shapes = (config or {}).get("shapes_dict")
        if not self.is_subclassed:
            return
        if shapes is not None:
            self._connect_to_shapes(self._arguments_of(shapes))
        elif config and config.get("input_shape") is not None:
            self._connect_to_shapes({first_call_parameter(type(self)): placeholders(config["input_shape"])})

    def require_inputs(self) -> None:
        """Make a subclassed model without inputs one of inputs of the shapes that `--input-shapes` gives, if any.

        Raises:
            NoSuchTensorError: none are given.
            KirError: the model's `call` cannot be traced.
        """
        shapes = GIVEN_SIZES.get()
        if self._awaits_inputs and shapes:
            self._connect_to_shapes(arguments_of_shapes(type(self), shapes))
        if self._awaits_inputs and self.build_shapes:
            # By a `build` of its own.
            self._connect_to_shapes(self._arguments_of(self.build_shapes))
        self._require_connected()

    def build(self, input_shape: object = None) -> None:
        """Make a subclassed model one of inputs of this shape, or of these shapes, and of the default dtype."""
        is_first, self.built = not self.built, True
        # Not from a `build` of the subclass's own that runs while its call is traced.
        if self.is_subclassed and is_first and input_shape is not None:
            self._connect_to_shapes({first_call_parameter(type(self)): placeholders(input_shape)})

    def ensure_built(self, input_shape: object) -> None:
        """Run the `build` of a subclassed model's own, once."""
        if not self.built:
            self.built = True
            if type(self).build is not Subclassing.build:
                self.build(**input_shape) if isinstance(input_shape, NamedShapes) else self.build(input_shape)

    @property
    def _awaits_inputs(self) -> bool:
        """Whether this is a subclassed model whose inputs are not known yet."""
        return self.is_subclassed and not hasattr(self, "recorded")

    def _require_call(self) -> None:
        if not self.has_own_call:
            raise InvalidArgumentError(
                f"{type(self).__name__} {self.name!r} needs a call, or inputs and outputs; define call in the "
                f"subclass, or give both to super().__init__(inputs, outputs)"
            )

    def _require_connected(self) -> None:
        if self.failure is not None and not self.is_subclassed:
            raise self.failure
        if self._awaits_inputs:
            self._require_call()
            if self.failure is not None:
                raise self.failure
            raise NoSuchTensorError(
                f"{type(self).__name__} {self.name!r} is a subclass of Model that has no inputs yet; give their shapes "
                f"with --input-shapes {first_call_parameter(type(self))}:batch,…, or call it in the script, on "
                f"keras.Input(shape) or an array, or call its build((None, …))"
            )
