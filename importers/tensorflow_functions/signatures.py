"""How a function of TensorFlow is declared, and how its operands meet."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kir import backend as K
from kir.backend.dispatch import convert, dtype_of, operand, shape_of
from kir.errors import InvalidArgumentError, LimitError, TraceError, UnsupportedError
from kir.ir.dims import Dim, Sym
from kir.ir.trace import SymbolicOperators, Tensor, Variable
from kir.ir.types import DType, as_dtype
from kir.support.trees import flatten, map_structure

Function = Callable[..., Any]

# By TensorFlow's path: "math.reduce_mean".
FUNCTIONS: dict[str, Function] = {}

# The names of arguments in TensorFlow 1.
_FORMER_NAMES = {
    "dim": "axis",
    "dimension": "axis",
    "keep_dims": "keepdims",
    "reduction_indices": "axis",
    "squeeze_dims": "axis",
}
# What says how TensorFlow computes, and nothing of what.
_MEANINGLESS = frozenset({"name", "layout", "use_cudnn_on_gpu", "validate_indices", "bad_indices_policy"})


def tensorflow(paths: str) -> Callable[[Function], Function]:
    """Enter a function that has TensorFlow's arguments, under its paths there."""

    def enter(function: Function) -> Function:
        first = paths.split()[0]
        called = _as_in_tensorflow(first, function)
        for path in paths.split():
            FUNCTIONS[path] = called
        return called

    return enter


def same(paths: str, parameters: str, function: Function) -> None:
    """Enter a function of kir.backend whose first parameters have these names in TensorFlow, and are as meant there."""
    theirs = parameters.split()
    ours = dict(zip(theirs, inspect.signature(function).parameters, strict=False))
    required = [name for name in theirs if inspect.signature(function).parameters[ours[name]].default is _EMPTY]

    def call(**given: Any) -> Any:
        return function(*[given.pop(name) for name in required], **{ours[key]: value for key, value in given.items()})

    call.__name__ = function.__name__
    defaults = [_EMPTY if name in required else None for name in theirs]
    parameters_of_call = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in zip(theirs, defaults, strict=True)
    ]
    call.__signature__ = inspect.Signature(parameters_of_call)  # type: ignore[attr-defined]
    tensorflow(paths)(call)


_EMPTY = inspect.Parameter.empty


def _as_in_tensorflow(path: str, function: Function) -> Function:
    signature = inspect.signature(function)
    by_name = all(one.kind is not one.VAR_POSITIONAL for one in signature.parameters.values())

    def compute(*args: Any, **kwargs: Any) -> Any:
        return _one_tensor(apply(*args, **kwargs))

    compute.__name__ = path.rpartition(".")[2]

    @functools.wraps(function)
    def apply(*args: Any, **kwargs: Any) -> Any:
        bound = _bind(path, signature, args, kwargs)
        functional = next((leaf for leaf in flatten((bound.args, bound.kwargs)) if _is_functional(leaf)), None)
        if functional is not None:
            return functional.record(compute, bound.args, bound.kwargs)
        return function(**bound.arguments) if by_name else function(*bound.args, **bound.kwargs)

    apply.__name__ = path.rpartition(".")[2]
    return apply


def _is_functional(leaf: object) -> bool:
    return isinstance(leaf, SymbolicOperators) and not isinstance(leaf, Tensor)


def _bind(
    path: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Return the arguments by TensorFlow's names.

    Raises:
        UnsupportedError: kir's function does not have one of them.
    """
    known = signature.parameters
    given: dict[str, Any] = {}
    for name, value in kwargs.items():
        former = _FORMER_NAMES.get(name, name)
        if name in known or (name not in _MEANINGLESS and former in known and value is not None):
            given[name if name in known else former] = value
        elif name not in _MEANINGLESS and value is not None and name not in _FORMER_NAMES:
            raise UnsupportedError(f"tf.{path} with {name}={value!r} is not supported; it has {', '.join(known)}")
    try:
        return signature.bind(*args, **given)
    except TypeError as error:
        raise UnsupportedError(f"tf.{path} cannot be called so: {error}; it has {', '.join(known)}") from None


class Sizes(Variable, Sequence[Any]):
    """The result of tf.shape: sizes in a row, with which functions and operators compute as with a tensor of int32."""

    def __init__(self, sizes: Sequence[Dim]) -> None:
        self._sizes = tuple(sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, key: Any) -> Any:
        """Return one size, as a tensor if it is not known, or several."""
        found: Any = self._sizes[key]
        if isinstance(key, slice):
            return Sizes(found)
        return convert(found, DType.INT32) if isinstance(found, Sym) else found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._sizes)

    def traced(self) -> Any:
        """Return the sizes as a tensor of int32."""
        return convert(operand(list(self._sizes)), DType.INT32) if self._sizes else np.zeros(0, np.int32)


def _on_sizes(name: str, reflected: bool = False) -> Callable[[Sizes, Any], Any]:
    def apply(self: Sizes, other: Any) -> Any:
        values = (self.traced(), other)
        return getattr(K, name)(*(values[::-1] if reflected else values))

    return apply


for _operator, _name in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "mod",
}.items():
    setattr(Sizes, f"__{_operator}__", _on_sizes(_name))
    setattr(Sizes, f"__r{_operator}__", _on_sizes(_name, reflected=True))


def _one_tensor(result: Any) -> Any:
    """Return the result of a recorded call, in which the sizes of a shape are one tensor."""
    return map_structure(lambda leaf: leaf.traced() if isinstance(leaf, Sizes) else leaf, result)


def alike(*values: Any) -> list[Any]:
    """Return operands as tensors or arrays of one dtype: that of the first tensor, which TensorFlow gives the others.

    Numbers and lists without a tensor beside them are float32, int32 or bool.
    """
    operands = [operand(value) for value in values]
    typed = next((one for one in operands if isinstance(one, Tensor)), None)
    if typed is None:
        given = [value for value in values if isinstance(value, np.ndarray | np.generic | Variable)]
        dtype = as_dtype(operand(given[0]).dtype) if given else _default_dtype(operands)  # type: ignore[union-attr]
    else:
        dtype = dtype_of(typed)
    return [convert(one, dtype, typed) for one in operands]


def single(value: Any) -> Any:
    """Return one operand as a tensor or an array."""
    return alike(value)[0]


def _default_dtype(operands: list[Any]) -> DType:
    arrays = [np.asarray(one) for one in operands if not isinstance(one, Sym)]
    found = np.result_type(*arrays) if arrays else np.dtype(np.int32)
    if found.kind == "f":
        return DType.FLOAT32
    return DType.INT32 if found.kind in "iu" and found.itemsize > 4 else as_dtype(found)


def sizes_of(x: Any) -> tuple[Any, ...]:
    """Return the shape of a tensor or an array, of ints and symbolic sizes."""
    return tuple(shape_of(x))


def whole(value: Any) -> Any:
    """Return a Python number, or a list of them, from an array of known numbers; anything else as it is."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def require_few(path: str, count: Any, limit: int) -> None:
    """Raise LimitError for a number that would become as many nodes or elements: only broken files ask for that."""
    if isinstance(count, int) and count > limit:
        raise LimitError(f"tf.{path} of {count} is out of all proportion; at most {limit} are made")


def refuse(path: str, what: str, instead: str = "") -> UnsupportedError:
    """Return the error for a use of a function that kir does not have."""
    return UnsupportedError(f"tf.{path} {what} is not supported" + (f"; {instead}" if instead else ""))


def require_operand(path: str, operand: object) -> None:
    """Raise UnsupportedError for an operand that is not in the file: Keras 2 loses those of a few functions."""
    if operand is None or operand == ():
        raise UnsupportedError(
            f"the file does not hold all operands of tf.{path}: Keras 2 does not write them, and cannot read the file "
            f"either; call it in a layer of your own, and save the model again"
        )


def supported_by(path: str, function: Function) -> Function:
    """Return the function for a recorded call, whose refusals are those of an operation that kir lacks."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return _one_tensor(function(*args, **kwargs))
        except (TraceError, InvalidArgumentError) as error:
            raise UnsupportedError(f"tf.{path}: {error.args[0]}") from error

    return call
