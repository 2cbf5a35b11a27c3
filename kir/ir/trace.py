"""Recording: symbolic tensors, and `emit`, which applies an operator to them.

Everything that computes (`Layer.call`, the functions of `kir.backend`, a Lambda's function) is written once, in
terms of `emit`. What `emit` does depends on its inputs:

    inputs                     emit(op, *inputs) gives
    at least one Tensor        a Tensor: a new node in the tensor's tracer
    arrays and numbers only    an array: the operator is evaluated at once, unless it depends on an unknown size

A `Tracer` over a graph adds nodes to it; one without a graph only infers types (that is how a layer's output
shape is found when it is called).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, NoReturn, Protocol, Self, SupportsIndex, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from kir.errors import TraceError
from kir.ir.dims import Dim, Sym, symbol
from kir.ir.graph import Graph, Node, Origin, Value
from kir.ir.op import Array, Op
from kir.ir.structural import Constant, Data, Input
from kir.ir.structural import constant as constant_op
from kir.ir.types import Axis, DType, DTypeLike, TensorType, as_dtype, type_of
from kir.support.naming import is_automatic_name, snake_case, symbol_name, unique

# What `emit` takes and gives, and the functions of `kir.backend` compute with.
AnyTensor: TypeAlias = "Tensor | npt.NDArray[Any]"
# What the functions of `kir.backend` accept: tensors of a trace and of a functional model, variables, sizes, and what
# NumPy makes arrays of; also lists of all these.
TensorLike: TypeAlias = "SymbolicOperators | Variable | Sym | npt.ArrayLike | Sequence[TensorLike]"

# What `x[…]` takes: what NumPy takes, and symbolic values in the places of arrays and integers.
Index: TypeAlias = "SymbolicOperators | Dim | slice | EllipsisType | Array | Sequence[Index] | None"
Operator: TypeAlias = "Callable[[SymbolicOperators, TensorLike], Any]"
Function: TypeAlias = Callable[..., Any]
T = TypeVar("T")

# The tracer whose layer is open: where a value that depends on no tensor, such as K.arange(x.shape[0]), is added.
_current: ContextVar[Tracer | None] = ContextVar("current_tracer", default=None)

# How often a size was named between layers, where each call is a trace of its own; see `Tracer.new_size`.
_SIZES_BETWEEN_LAYERS: Counter[tuple[str, ...]] = Counter()

# See `register_functions`: this module stands below the backend and does not import it.
_BACKEND: dict[str, Function] = {}
_NUMPY: dict[str, Function] = {}


def call_backend(name: str, *args: object, **kwargs: object) -> Any:
    return _BACKEND[name](*args, **kwargs)


def _binary(name: str) -> tuple[Operator, Operator]:
    """Return the methods for a binary operator of Python and for its reflection, by a function of `kir.backend`."""

    def apply(self: SymbolicOperators, other: TensorLike) -> Any:
        return call_backend(name, self, other)

    def apply_reflected(self: SymbolicOperators, other: TensorLike) -> Any:
        return call_backend(name, other, self)

    return apply, apply_reflected


def _unary(name: str) -> Callable[[SymbolicOperators], Any]:
    return lambda self: call_backend(name, self)


class SymbolicOperators:
    """Python's operators and NumPy's protocols, each handed to the function of `kir.backend` of that name.

    Shared by `Tensor` (inside a traced function) and `KerasTensor` (between layers).
    """

    __slots__ = ()
    __hash__ = object.__hash__
    __array_priority__ = 1000

    shape: Any
    dtype: Any

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("true_divide")
    __floordiv__, __rfloordiv__ = _binary("floor_divide")
    __mod__, __rmod__ = _binary("mod")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")
    __and__, __rand__ = _binary("logical_and")
    __or__, __ror__ = _binary("logical_or")
    __xor__, __rxor__ = _binary("logical_xor")
    __lt__ = _binary("less")[0]
    __le__ = _binary("less_equal")[0]
    __gt__ = _binary("greater")[0]
    __ge__ = _binary("greater_equal")[0]

    def __eq__(self, other: object) -> Any:
        return call_backend("equal", self, other)

    def __ne__(self, other: object) -> Any:
        return call_backend("not_equal", self, other)

    __invert__ = _unary("logical_not")
    __neg__ = _unary("negative")
    __abs__ = _unary("absolute")

    def __pos__(self) -> Self:
        return self

    def __round__(self, digits: int = 0) -> Any:
        return call_backend("round", self, digits)

    def __getitem__(self, index: Index) -> Any:
        return call_backend("get_item", self, index)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **kwargs: object) -> Any:
        if method != "__call__":
            raise TraceError(f"np.{ufunc.__name__}.{method} cannot be traced; use the matching function of kir.backend")
        return _numpy_function(ufunc.__name__, inputs, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: object, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> Any:
        return _numpy_function(function.__name__, args, kwargs)

    # Operations that need the numbers, which do not exist while a function is traced.

    def __bool__(self) -> bool:
        _refuse("a branch on a symbolic value (if, while, and, or, not)", "K.where, K.switch, & | ~ or K.maximum")

    def __float__(self) -> float:
        _refuse("float() of a symbolic value", "K.cast(x, 'float32')")

    def __int__(self) -> int:
        _refuse("int() of a symbolic value", "K.cast(x, 'int32')")

    def __index__(self) -> int:
        _refuse("a symbolic value as an index or a size", "K.take for an index, x.shape for a size")

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        _refuse("turning a symbolic value into a NumPy array", "functions of kir.backend, or np functions of it")

    def numpy(self) -> NoReturn:
        """Refuse: a symbolic value has no numbers."""
        _refuse(".numpy() of a symbolic value", "functions of kir.backend; the numbers exist only when the model runs")

    def item(self) -> NoReturn:
        """Refuse: a symbolic value has no numbers."""
        _refuse(".item() of a symbolic value", "functions of kir.backend; the numbers exist only when the model runs")

    def __setitem__(self, index: Index, value: TensorLike) -> None:
        _refuse("assignment into a symbolic value (x[…] = …)", "K.where, K.concatenate or K.slice_update")

    def __len__(self) -> int:
        size = self.shape[0] if len(self.shape) else None
        if not isinstance(size, int):
            _refuse(f"len() of a value whose first size is {size}", "x.shape[0], which may be symbolic")
        return size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def T(self) -> Any:
        return call_backend("transpose", self)

    def astype(self, dtype: DTypeLike) -> Any:
        return call_backend("cast", self, dtype)

    def reshape(self, *shape: Dim | Sequence[Dim]) -> Any:
        return call_backend("reshape", self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return call_backend("sum", self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return call_backend("mean", self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return call_backend("max", self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Any:
        return call_backend("min", self, axis=axis, keepdims=keepdims)


class TracedShape(tuple[Dim, ...]):
    """A shape with what functions written for TensorFlow ask it for.

    Source: https://www.tensorflow.org/api_docs/python/tf/TensorShape
    """

    __slots__ = ()

    def as_list(self) -> list[Dim]:
        """Return the sizes. Unknown ones are symbolic, where TensorFlow has None."""
        return list(self)

    @property
    def rank(self) -> int:
        return len(self)

    ndims = rank

    @overload
    def __getitem__(self, key: SupportsIndex) -> Dim: ...
    @overload
    def __getitem__(self, key: slice) -> TracedShape: ...
    def __getitem__(self, key: SupportsIndex | slice) -> Dim | TracedShape:
        found = super().__getitem__(key)
        return TracedShape(found) if isinstance(found, tuple) else found


class Tensor(SymbolicOperators):
    """A symbolic tensor while a function is traced: a value of the graph being written, and its mask.

    `shape` holds ints and symbolic sizes, which compute (`x.shape[0] * 2`); `dtype` is Keras's name.
    """

    __slots__ = ("mask", "tracer", "value")

    def __init__(self, value: Value, tracer: Tracer, mask: Tensor | None = None) -> None:
        self.value = value
        self.tracer = tracer
        self.mask = mask

    @property
    def type(self) -> TensorType:
        return self.value.type

    @property
    def shape(self) -> TracedShape:
        return TracedShape(self.value.type.shape)

    def get_shape(self) -> TracedShape:
        """Return the shape, as TensorFlow's tensors do."""
        return self.shape

    @property
    def dtype(self) -> str:
        return self.value.type.dtype.keras_name

    def with_mask(self, mask: Tensor | None) -> Tensor:
        """Return the same value with another mask."""
        return Tensor(self.value, self.tracer, mask)

    def __repr__(self) -> str:
        return f"<symbolic {self.value.type}>"


class Variable:
    """What a function of the backend takes for the tensor that `traced` returns."""

    def traced(self) -> AnyTensor:
        """Return a Tensor of the trace that is open, or an array where none is."""
        raise TypeError(f"{type(self).__name__} must define traced")


class StatefulLayer(Protocol):
    """A layer that keeps states between runs; None stands for zeros."""

    states: list[Array] | None


@dataclass(slots=True, eq=False)
class CarriedState:
    """A state that a stateful layer carries from one run of a graph to the next.

    It is the input `label` of the graph, unless the layer was given a state to begin with, and the output `new_label`.
    """

    owner: StatefulLayer
    index: int
    label: str
    is_read: bool
    value: Tensor = field(init=False)

    @property
    def new_label(self) -> str:
        """The name of the output."""
        return self.label.replace(".state_", ".new_state_")


def feed_states(states: Iterable[CarriedState]) -> dict[str, Array]:
    """Return the states that the last run left in the layers, by input of the graph; the other inputs have defaults."""
    return {state.label: state.owner.states[state.index] for state in states if state.is_read and state.owner.states}


def store_states(states: Iterable[CarriedState], results: Mapping[str, Array]) -> None:
    """Put the states at the end of a run into the layers."""
    found: dict[int, list[Array]] = {}
    for state in states:
        found.setdefault(id(state.owner), []).append(results[state.new_label])
        state.owner.states = found[id(state.owner)]


class Tracer:
    """Collects the nodes of a trace, with the layer they come from and the inference or training mode.

    `training` is the mode of layers that behave differently in training, unless a call names another one: False, True,
    or a symbolic boolean. `lost_masks` are the layers at which a mask ended that they cannot carry.
    """

    def __init__(self, graph: Graph | None = None, on_lost_mask: str = "error") -> None:
        self.graph = graph
        self.on_lost_mask = on_lost_mask
        self.lost_masks: dict[Origin | None, None] = {}
        self.training: bool | Tensor = False
        self.path: tuple[str, ...] = ()
        # The paths of layers inside the open one that are not called by their names, by the layers' ids.
        self.placed: dict[int, tuple[str, ...]] = {}
        # Layers without a place that were called where others have one, so that their ids stay theirs.
        self._made_in_calls: list[object] = []
        self._counts: Counter[tuple[str, ...]] = Counter()
        self.origin: Origin | None = None
        self.losses: list[Any] = []
        self.collects_losses = False
        self.states: dict[tuple[int, int], CarriedState] = {}
        # The outputs of each call of the layers that are watched, by the layers' ids.
        self.watched: dict[int, list[Any]] = {}
        self._weights: dict[tuple[int, DType], Tensor] = {}

    def add(self, op: Op, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        """Add a node and return its outputs."""
        values = [None if tensor is None else tensor.value for tensor in inputs]
        graph, origin = self.graph, self.origin
        node = Node(op, values, origin) if graph is None else graph.add(op, *values, origin=origin)
        return tuple(Tensor(value, self) for value in node.outputs)

    def new_size(self, wanted: str) -> Sym:
        """Return a size of the open layer that nothing before the run says; no other value has it."""
        name = symbol_name("_".join((*self.path, wanted)))
        counts = _SIZES_BETWEEN_LAYERS if self.graph is None else self._counts
        counts[name,] += 1
        return symbol(name if counts[name,] == 1 else f"{name}_{counts[name,]}")

    def watch(self, layer: object, outputs: T) -> T:
        """Return the outputs of a call; of a layer that is watched, they are noted."""
        if id(layer) in self.watched:
            self.watched[id(layer)].append(outputs)
        return outputs

    def constant(self, array: npt.ArrayLike, label: str | None = None) -> Tensor:
        """Add a constant of NumPy's dtype for the array."""
        return self.add(constant_op(array, label))[0]

    def shared_constant(self, array: Array, label: str | None = None, origin: Origin | None = None) -> Tensor:
        """Return a constant of the array, the same one however often it is asked for; see `constant`."""
        key = (id(array), as_dtype(array.dtype))
        if key not in self._weights:
            op = constant_op(array, label)
            value = Node(op, [], origin) if self.graph is None else self.graph.add(op, origin=origin)
            self._weights[key] = Tensor(value.output, self)
        return self._weights[key]

    def weight(self, name: str, array: Array, dtype: DType) -> Tensor:
        """Return a layer's weight in the dtype that it computes in: one constant, however often the layer is called."""
        key = (id(array), dtype)
        if key not in self._weights:
            cast = array if array.dtype == dtype.numpy else array.astype(dtype.numpy)
            label = "/".join((*self.path, name))
            self._weights[key] = self.add(Constant(Data(cast), label))[0]
        return self._weights[key]

    def read_states(self, owner: StatefulLayer, defaults: Sequence[Array]) -> list[Tensor]:
        """Return the states that a stateful layer begins with: those of its last call, or inputs with defaults."""
        for index, default in enumerate(defaults):
            if (id(owner), index) not in self.states:
                state = self._carried(owner, index, is_read=True)
                state.value = self.add(Input(state.label, type_of(default), Data(default)))[0]
        return [self.states[id(owner), index].value for index in range(len(defaults))]

    def keep_states(self, owner: StatefulLayer, states: Sequence[Tensor]) -> None:
        """Note the states that a stateful layer ended with."""
        for index, state in enumerate(states):
            found = self.states.get((id(owner), index)) or self._carried(owner, index, is_read=False)
            found.value = state

    def _carried(self, owner: StatefulLayer, index: int, is_read: bool) -> CarriedState:
        label = unique(f"{'/'.join(self.path)}.state_{index}", {state.label for state in self.states.values()})
        state = CarriedState(owner, index, label, is_read)
        self.states[id(owner), index] = state
        return state

    @contextmanager
    def layer(
        self, name: str, class_name: str, training: bool | Tensor | None = None, layer: object = None
    ) -> Iterator[None]:
        """Let new nodes belong to a layer, inside the one that is open already, while the context is open.

        `training` overrides the mode for everything inside. Where the `layer` has a place, its name is not asked.
        """
        saved = self.path, self.placed, self.origin, self.training
        token = _current.set(self)
        self.path = self.path_of(layer, name, class_name)
        self.origin = Origin("/".join(self.path), class_name)
        if training is not None:
            self.training = training
        try:
            yield
        finally:
            self.path, self.placed, self.origin, self.training = saved
            _current.reset(token)

    def path_of(self, layer: object, name: str, class_name: str) -> tuple[str, ...]:
        """Return the path of a layer that is called in the open one.

        Of one that a `call` makes, the name counts anew in its layer.
        """
        if id(layer) not in self.placed and self.placed and layer is not None and is_automatic_name(name, class_name):
            prefix = (*self.path, snake_case(class_name))
            count = self._counts[prefix]
            self._counts[prefix] += 1
            self._made_in_calls.append(layer)
            self.placed[id(layer)] = (*prefix[:-1], f"{prefix[-1]}_{count}" if count else prefix[-1])
        return self.placed.get(id(layer)) or (*self.path, name)

    def place(self, paths: Mapping[int, tuple[str, ...]]) -> None:
        """Let layers inside the open one have these paths, by their ids, unless they have others already."""
        if not self.placed:
            self.placed = {}
        for key, path in paths.items():
            self.placed.setdefault(key, path)

    @contextmanager
    def from_origin(self, origin: Origin | None) -> Iterator[None]:
        """Let new nodes come from `origin`, inside the model that is open, while the context is open."""
        saved = self.origin
        outer = self.path[:-1]
        self.origin = origin and Origin("/".join((*outer, origin.path)), origin.layer)
        try:
            yield
        finally:
            self.origin = saved


def current_tracer() -> Tracer | None:
    """Return the tracer whose layer is open, if any."""
    return _current.get()


def constant(array: npt.ArrayLike, label: str | None = None, origin: Origin | None = None) -> Tensor:
    """Return an array as a constant of the trace that is open: one, however many functions use it.

    Args:
        array: keeps its own dtype.
        label: the name, if it is a weight.
        origin: the layer that it comes from; by default the one that is open.

    Raises:
        TraceError: no trace is open.
    """
    tracer = current_tracer()
    if tracer is None:
        raise TraceError("constant(…) belongs to a trace; use it inside a Lambda, or use the array itself")
    return tracer.shared_constant(np.asarray(array), label, origin or tracer.origin)


@overload
def emit(op: Op, first: Tensor, /, *others: AnyTensor | None) -> Tensor: ...
@overload
def emit(op: Op, *inputs: AnyTensor | None) -> AnyTensor: ...
def emit(op: Op, *inputs: AnyTensor | None) -> Any:
    """Apply an operator: return a Tensor if any input is one, else an array, computed at once.

    An operator with several outputs gives a tuple. Arrays among symbolic inputs become constants of their own dtype;
    None stands for an absent optional input.

    Raises:
        KirError: the operator refuses the input types.
    """
    tracer = next((x.tracer for x in inputs if isinstance(x, Tensor)), None)
    if tracer is None and op.symbols():
        tracer = current_tracer()
    if tracer is None:
        return _evaluate(op, inputs)
    outputs = tracer.add(op, *[x if x is None or isinstance(x, Tensor) else tracer.constant(x) for x in inputs])
    return outputs[0] if len(outputs) == 1 else outputs


def _evaluate(op: Op, inputs: tuple[AnyTensor | None, ...]) -> Any:
    arrays = [None if x is None else np.asarray(x) for x in inputs]
    op.infer(*[None if a is None else TensorType(as_dtype(a.dtype), a.shape) for a in arrays])
    return op.eval(*arrays)


def register_functions(backend: Mapping[str, Function], numpy: Mapping[str, Function]) -> None:
    """Enter the functions for Python's operators and NumPy's functions of symbolic tensors, once, from `kir.backend`.

    Args:
        backend: the functions of `kir.backend` by name.
        numpy: those that stand for functions of NumPy, by NumPy's name.
    """
    _BACKEND.update(backend)
    _NUMPY.update(numpy)


def _numpy_function(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Any:
    function = _NUMPY.get(name)
    if function is None:
        raise TraceError(f"np.{name} cannot be traced; kir.backend has: {', '.join(sorted(_NUMPY))}")
    return function(*args, **kwargs)


def _refuse(what: str, instead: str) -> NoReturn:
    raise TraceError(f"{what} cannot be traced: there are no numbers yet; use {instead} instead")
