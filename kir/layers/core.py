"""Keras's core layers: Dense and those around it.

Source: https://keras.io/api/layers/core_layers/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Self

import numpy as np

from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.trace import SymbolicOperators, Tensor, TensorLike, emit
from kir.ir.types import Shape, format_shape, shape_with_none
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import ActivationFunction, Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.registry import from_plain, to_plain
from kir.modeling.user_functions import call_function, function_config, function_name, parameter_names
from kir.ops import linear
from kir.support.arguments import number
from kir.support.declarations import Argument, Boolean, Integer
from kir.support.trees import flatten, map_structure


class Dense(DeclaredLayer):
    """`activation(x · kernel + bias)` over the last axis: (batch, …, input_dim) → (batch, …, units).

    Source: https://keras.io/api/layers/core_layers/dense/
    """

    supports_masking = True
    takes_one_tensor = True
    ignored_config = frozenset({"quantization_config", "lora_rank", "lora_alpha"})

    units: Integer = Integer(1, doc="the size of the output's last axis")
    activation: ActivationFunction = ActivationFunction(default=None, doc="of the sums; none if None")
    use_bias: Boolean = Boolean(default=True, doc="whether there is a bias")
    kernel_initializer: Initializer = Initializer(default="glorot_uniform", doc="of the kernel")
    bias_initializer: Initializer = Initializer(default="zeros", doc="of the bias")
    kernel_regularizer: Regularizer = Regularizer(default=None, doc="count in `model.losses`")
    bias_regularizer: Regularizer = Regularizer(default=None, doc="count in `model.losses`")
    activity_regularizer: Regularizer = Regularizer(default=None, doc="count in `model.losses`")
    kernel_constraint: Constraint = Constraint(default=None, doc="kept for the config; export ignores them")
    bias_constraint: Constraint = Constraint(default=None, doc="kept for the config; export ignores them")

    def build(self, input_shape: Shape) -> None:
        """Make a kernel of (input_dim, units) and a bias of (units,)."""
        if len(input_shape) < 2:
            raise ShapeError(
                f"Dense needs an input of rank 2 or more, (batch, …, input_dim); received {format_shape(input_shape)}"
            )
        self.kernel = self.weight_of_role("kernel", (input_shape[-1], self.units))
        self.bias = self.weight_of_role("bias", (self.units,)) if self.use_bias else None

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        bias = None if self.bias is None else self.read(self.bias, inputs)
        return call_function(
            "activation", self.activation, emit(linear.Dense(), inputs, self.read(self.kernel, inputs), bias)
        )


def _threshold(owner: str, name: str, given: object) -> float | None:
    return None if given is None else number(owner, name, given, 0)


class TernaryDense(DeclaredLayer):
    """A Dense whose kernel is -1, 0 or 1: the sign of each weight, or 0 up to a threshold.

    Without a threshold of its own it is half the mean of the absolute weights, and that mean is a factor of the sums.

    Source: `keras/src/layers/core/ternary_dense.py`, since Keras 3.16; https://arxiv.org/abs/2402.17764
    """

    supports_masking = True
    takes_one_tensor = True

    units: Integer = Integer(1, doc="the size of the output's last axis")
    threshold: Argument[float | None, float | None] = Argument(
        _threshold, default=None, doc="up to which the absolute value of a weight counts as 0; at least 0"
    )
    activation: ActivationFunction = ActivationFunction(default=None)
    use_bias: Boolean = Boolean(default=True)
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    activity_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)

    def build(self, input_shape: Shape) -> None:
        """Make a kernel of (input_dim, units) and a bias of (units,)."""
        if len(input_shape) < 2:
            raise ShapeError(
                f"TernaryDense needs an input of rank 2 or more, (batch, …, input_dim); received "
                f"{format_shape(input_shape)}"
            )
        self.kernel = self.weight_of_role("kernel", (input_shape[-1], self.units))
        self.bias = self.weight_of_role("bias", (self.units,)) if self.use_bias else None

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        kernel = self.read(self.kernel, inputs)
        sizes = K.abs(kernel)
        mean = K.mean(sizes)
        is_counted = sizes > (0.5 * mean if self.threshold is None else self.threshold)
        sums = K.matmul(inputs, K.sign(kernel) * K.cast(is_counted, kernel.dtype))
        sums = sums * mean if self.threshold is None else sums
        return call_function(
            "activation", self.activation, sums if self.bias is None else sums + self.read(self.bias, inputs)
        )


class Identity(DeclaredLayer):
    """The input itself, with its mask.

    Source: https://keras.io/api/layers/core_layers/identity/
    """

    supports_masking = True

    def call(self, inputs: object) -> Any:
        return inputs


def _function(owner: str, name: str, function: object) -> Any:
    if not callable(function):
        raise InvalidArgumentError(
            f"{owner}: {name} must be a function of tensors; received {name}={function!r}. A config holds only its "
            f"name: Lambda.from_config(config, custom_objects={{name: function}}) puts it back"
        )
    return function


def _arguments(owner: str, name: str, given: object) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise InvalidArgumentError(f"{owner}: {name} must be a dict of keyword arguments; received {name}={given!r}")
    return dict(given or {})


def _mask_value(owner: str, name: str, given: object) -> Any:
    value: Any = from_plain(given)
    if value is None or isinstance(value, int | float):
        return value if value is None else _unchanged_number(owner, name, value)
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1:
        raise InvalidArgumentError(
            f"{owner}: mask_value must be a number, a number for each feature, or None; received mask_value={value!r}"
        )
    return array if array.ndim else array.item()


def _unchanged_number(owner: str, name: str, value: object) -> Any:
    number(owner, name, value)
    return value


def _output_shape(owner: str, name: str, declared: object) -> Any:
    if declared is None or callable(declared):
        return declared
    if isinstance(declared, list | tuple) and _is_shape(declared):
        return tuple(declared)
    if isinstance(declared, list | tuple) and all(_is_shape(one) for one in declared):
        return [tuple(one) for one in declared]
    raise InvalidArgumentError(
        f"{owner}: output_shape must be a tuple of sizes without the batch, a list of such tuples, or a function of "
        f"the input shape; received output_shape={declared!r}"
    )


def _mask(owner: str, name: str, mask: object) -> Any:
    if mask is None or callable(mask):
        return mask
    array = None if isinstance(mask, SymbolicOperators) else np.asarray(mask)
    if array is None or array.dtype.kind not in "bi":
        raise InvalidArgumentError(
            f"{owner}: mask must be None, an array of booleans, or a function of the input and its mask; received "
            f"mask={mask!r}"
        )
    return array.astype(np.bool_)


def _is_shape(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        size is None or (isinstance(size, int | np.integer) and not isinstance(size, bool)) for size in value
    )


class Masking(DeclaredLayer):
    """A mask over the steps of which every feature equals `mask_value`; they become 0: (batch, time, features).

    The mask made here replaces one that comes in.

    Raises:
        InvalidArgumentError: mask_value is none of these.

    Source: https://keras.io/api/layers/core_layers/masking/
    """

    supports_masking = True
    takes_one_tensor = True

    mask_value: Argument[Any, Any] = Argument(
        _mask_value,
        default=0.0,
        doc="a number, or one for each feature. None masks nothing: input and mask pass unchanged",
    )

    def call(self, inputs: Tensor) -> Any:
        if self.mask_value is None:
            return inputs
        valid = K.any(K.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return K.where(valid, inputs, 0).with_mask(K.squeeze(valid, -1))

    def compute_mask(self, inputs: TensorLike, mask: TensorLike | None = None) -> Any:
        """Return True for the steps of which some feature differs from `mask_value`."""
        if self.mask_value is None:
            return mask
        return K.any(K.not_equal(inputs, self.mask_value), axis=-1)

    def mask_outputs(self, inputs: object, outputs: object, masks: object) -> Any:
        """Return the output with the mask that `call` computed on the way."""
        return outputs


class Lambda(DeclaredLayer):
    """A function of symbolic tensors as a layer: it is traced, and what it did to them becomes the layer's nodes.

    The function may use Python's operators and indexing, NumPy's functions, and those of `kir.backend`; it may take
    and return lists, and return arrays and numbers. In-place operators (`x -= 1`) bind a new tensor to the name.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        TraceError: the function cannot be traced.
        ShapeError: output_shape contradicts the trace.

    Source: https://keras.io/api/layers/core_layers/lambda/
    """

    limits = "functions that can be traced; in a file they are bytecode, and --custom-objects gives them"

    function: Argument[Callable[..., Any], Callable[..., Any]] = Argument(
        _function,
        doc="of the input, or of the list of inputs. If it has parameters named `mask` or `training`, it gets "
        "those as well",
    )
    declared_shape: Argument[Any, Any] = Argument(
        _output_shape,
        alias="output_shape",
        default=None,
        doc="sizes without the batch, a list of such for several outputs, or a function that gives the full shape"
        " from the full input shape (or a list of them from a list), in which None are unknown sizes. It is "
        "compared with the shape that the trace found",
    )
    mask: Argument[Any, Any] = Argument(
        _mask,
        default=None,
        doc="the output's mask: a function of the input and its mask, or an array. None ends an incoming mask",
    )
    arguments: Argument[Mapping[str, Any] | None, dict[str, Any]] = Argument(
        _arguments, default=None, doc="further keyword arguments of the function"
    )

    def finish_init(self) -> None:
        self.supports_masking = self.mask is not None

    @property
    def uses_mask(self) -> bool:
        """Return whether the function has a parameter `mask`."""
        return "mask" in parameter_names(self.function)

    def call(self, inputs: object, mask: object = None, training: TrainingMode = None) -> Any:
        kwargs = dict(self.arguments)
        if self.uses_mask:
            kwargs["mask"] = mask
        if "training" in parameter_names(self.function):
            kwargs["training"] = training
        outputs = call_function("function", self.function, inputs, **kwargs)
        if not flatten(outputs):
            raise InvalidArgumentError(
                f"function {function_name(self.function)} returned {outputs!r}; expected a tensor, or a list of them"
            )
        outputs = map_structure(lambda x: _as_tensor(inputs, x), outputs)
        self._check_output_shape(inputs, outputs)
        return outputs

    def compute_mask(self, inputs: TensorLike, mask: TensorLike | None = None) -> Any:
        """Return what `mask` says."""
        if self.mask is None:
            return None
        if callable(self.mask):
            return call_function("mask function", self.mask, inputs, mask)
        return _as_tensor(inputs, self.mask)

    def _check_output_shape(self, inputs: object, outputs: object) -> None:
        if self.declared_shape is None:
            return
        declared = self._declared_shapes(inputs)
        traced = [shape_with_none(x.shape) for x in flatten(outputs)]
        if any(a is None or b is None or not _may_be_equal(a, b) for a, b in zip_longest(declared, traced)):
            raise ShapeError(
                f"output_shape says {_list_shapes(declared)}, but the function "
                f"{function_name(self.function)} returns {_list_shapes(traced)}; correct one of them, or leave "
                f"output_shape out, for it is not needed"
            )

    def _declared_shapes(self, inputs: object) -> list[Any]:
        """Return the declared full shapes, with None for sizes that are not known."""
        shapes = map_structure(lambda x: shape_with_none(x.shape), inputs)
        if callable(self.declared_shape):
            declared = call_function("output_shape function", self.declared_shape, shapes)
            return [tuple(declared)] if _is_shape(declared) else list(declared)
        batch = shape_with_none(flatten(inputs)[0].shape[:1])
        full = [self.declared_shape] if _is_shape(self.declared_shape) else self.declared_shape
        return [(*batch, *shape) for shape in full]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; functions by name alone. Keras stores a lambda's bytecode, kir never."""
        result = self.shared_config() | {"function": function_config(self.function)}
        if self.declared_shape is not None:
            result["output_shape"] = _described(self.declared_shape)
        if self.mask is not None:
            result["mask"] = _described(self.mask)
        return result | {"arguments": to_plain(self.arguments)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return a Lambda from what `get_config`, or Keras, gave; `custom_objects` has the functions by their names.

        Raises:
            InvalidArgumentError: a function is not among them, or was stored as bytecode, which is never run.
        """
        known = custom_objects or {}
        return cls(**{key: _function_found(key, value, known) for key, value in config.items()})


def _as_tensor(inputs: object, value: TensorLike) -> Tensor:
    """Return a Tensor of the trace that the inputs belong to; arrays and numbers in Keras's dtype for them."""
    tensor = K.convert_to_tensor(value)
    if isinstance(tensor, Tensor):
        return tensor
    tracer = next(x.tracer for x in flatten(inputs) if isinstance(x, Tensor))
    return tracer.constant(tensor)


def _described(value: object) -> Any:
    return function_config(value) if callable(value) else to_plain(value)


def _function_found(key: str, value: object, known: Mapping[str, Any]) -> Any:
    """Return the value of a config key, or the function that it names."""
    kind = value.get("class_name") if isinstance(value, Mapping) else None
    if key in ("function", "output_shape", "mask") and kind in ("function", "__lambda__"):
        name = (
            value["config"]
            if isinstance(value, Mapping) and kind == "function"
            else "a lambda, of which the file holds Python bytecode"
        )
        if name not in known:
            raise InvalidArgumentError(
                f"the {key} of a Lambda is {name!r}: only the name of a function is ever read from a config; write it "
                f"as a function with a name, and pass custom_objects={{name: function}}"
            )
        return known[name]
    return from_plain(value)


def _may_be_equal(declared: Sequence[int | None], traced: tuple[int | None, ...]) -> bool:
    """Return whether two shapes agree where both are known."""
    return len(declared) == len(traced) and all(
        a is None or b is None or a == b for a, b in zip(declared, traced, strict=True)
    )


def _list_shapes(shapes: list[Any]) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes)
