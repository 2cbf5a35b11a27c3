"""What layers do with the weights that they own, and the dtypes that they keep and read them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from kir import constraints, initializers, regularizers
from kir.config import DTypePolicy
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim
from kir.ir.op import Array
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, DTypeLike, as_dtype, format_shape
from kir.modeling.registry import Described
from kir.modeling.weight import Weight, stand_in
from kir.ops.elementwise import Cast

# The arguments of `add_weight` by position; what else there is means nothing for an export.
WEIGHT_ARGUMENTS = ("shape", "initializer", "dtype", "trainable")
OLD_WEIGHT_ARGUMENTS = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")
# The shape of a weight, or the only size.
WeightShape: TypeAlias = Dim | Sequence[Dim]


class WeightOwner:
    """The part of a layer that makes and reads weights, lists those inside as well, and sets them.

    Source: https://keras.io/api/layers/base_layer/
    """

    name: str
    path: Any
    dtype_policy: DTypePolicy
    autocast: bool
    _trainable: bool
    _own_weights: list[Weight]

    def sublayers(self) -> Sequence[WeightOwner]:
        """Return the layers that this one owns: each kind of layer says which (see `kir.modeling.layer.Layer`)."""
        raise NotImplementedError

    @property
    def own_weights(self) -> list[Weight]:
        """The weights of this layer alone, in Keras's order: trainable ones first.

        Those of the user's own classes may also be attributes, such as a `keras.Variable`.
        """
        own = self._own_weights
        if not is_of_kir(type(self)):
            known = {id(weight) for weight in own}
            own = own + [one for one in vars(self).values() if isinstance(one, Weight) and id(one) not in known]
        return sorted(own, key=lambda weight: not weight.made_trainable)

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it sets that of all layers inside, too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in walk_layers(self):
            layer._trainable = bool(value)
            for weight in layer.own_weights:
                weight.trainable = bool(value) and weight.made_trainable

    @property
    def compute_type(self) -> DType:
        """The dtype that the layer computes in."""
        return self.dtype_policy.compute

    @property
    def compute_dtype(self) -> str:
        """Keras's name of `compute_type`."""
        return self.dtype_policy.compute.keras_name

    @property
    def variable_dtype(self) -> str:
        """Keras's name of the dtype that the weights are kept in."""
        return self.dtype_policy.variable.keras_name

    @property
    def dtype(self) -> str:
        """The same as `variable_dtype`."""
        return self.variable_dtype

    def add_weight(
        self,
        *args: object,
        shape: WeightShape | None = None,
        initializer: Described | None = None,
        dtype: DTypeLike | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Described | None = None,
        constraint: Described | None = None,
        aggregation: object = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
        **ignored: object,
    ) -> Weight:
        """Return a new weight, by the arguments of Keras 3, or of Keras 2, which began with the name.

        Without an initializer it is drawn by "glorot_uniform", or zeros if it is no float. How training aggregates it
        means nothing here, nor does anything else that is ignored.

        Raises:
            InvalidArgumentError: there are more arguments than Keras has.
            ShapeError: a size is not known.
        """
        names = OLD_WEIGHT_ARGUMENTS if args and isinstance(args[0], str | None) else WEIGHT_ARGUMENTS
        if len(args) > len(names):
            raise InvalidArgumentError(
                f"add_weight takes at most {len(names)} positional arguments; received {len(args)}"
            )
        given: dict[str, Any] = {
            "shape": shape,
            "initializer": initializer,
            "dtype": dtype,
            "trainable": trainable,
            "name": name,
        }
        given |= {"regularizer": regularizer, "constraint": constraint} | dict(zip(names, args, strict=False))
        type = self.dtype_policy.variable if given["dtype"] is None else as_dtype(given["dtype"])
        sizes = () if given["shape"] is None else given["shape"]
        weight = self.new_weight(
            given["name"] or f"variable_{len(self.own_weights)}",
            tuple(sizes) if isinstance(sizes, list | tuple) else (sizes,),
            given["initializer"] or ("glorot_uniform" if type.is_float else "zeros"),
            given["regularizer"],
            given["constraint"],
            given["trainable"] is None or given["trainable"],
            type,
        )
        if self.autocast and autocast and type.is_float:
            weight.compute_dtype = self.dtype_policy.compute
        return weight

    def add_variable(
        self,
        shape: WeightShape,
        initializer: Described | None,
        dtype: DTypeLike | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Described | None = None,
        constraint: Described | None = None,
        name: str | None = None,
    ) -> Weight:
        """See `add_weight`."""
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype=dtype,
            trainable=trainable,
            autocast=autocast,
            regularizer=regularizer,
            constraint=constraint,
            name=name,
        )

    def new_weight(
        self,
        name: str,
        shape: Sequence[Dim],
        initializer: Described | None = "glorot_uniform",
        regularizer: Described | None = None,
        constraint: Described | None = None,
        trainable: bool = True,
        dtype: DType | None = None,
    ) -> Weight:
        """Return a new weight of this layer, for the layers of kir.

        Raises:
            ShapeError: a size is symbolic.
        """
        sizes = tuple(int(dim) for dim in shape if isinstance(dim, int | np.integer))
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
        weight.trainable = trainable and self.trainable
        weight.path = f"{self.path}/{name}"
        self._own_weights.append(weight)
        return weight

    def read(self, weight: Weight, like: Tensor, dtype: DType | None = None) -> Tensor:
        """Return the weight as a constant of the trace that `like` belongs to, by default in the compute dtype."""
        dtype = dtype or (self.compute_type if weight.dtype.is_float else weight.dtype)
        array = weight.array if like.tracer.graph is not None else stand_in(weight.shape, dtype)
        return like.tracer.weight(weight.name, array, dtype)

    def promote(self, x: Tensor) -> Tensor:
        """Return x in the compute dtype, for a product with weights: integers too, which autocasting leaves."""
        return x if x.type.dtype is self.compute_type else emit(Cast(self.compute_type), x).with_mask(x.mask)

    @property
    def weights(self) -> list[Weight]:
        """All weights, each once, in Keras's order: the own ones, trainable first, then those of the owned layers."""
        found = {id(weight): weight for weight in self.own_weights}
        for layer in self.sublayers():
            found.update((id(weight), weight) for weight in layer.weights)
        return list(found.values())

    @property
    def variables(self) -> list[Weight]:
        """All weights; kir has no other variables, such as Keras's states of random generators."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Weight]:
        """See `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Weight]:
        """See `non_trainable_weights`."""
        return self.non_trainable_weights

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
        """Return the arrays of `weights`."""
        return [weight.array for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights, in the order of `weights`.

        Raises:
            ShapeError: the number or a shape differs; then nothing was set.
        """
        own = self.weights
        expected = ", ".join(f"{w.name} {format_shape(w.shape)}" for w in own) or "none"
        if len(weights) != len(own):
            raise ShapeError(f"{self.name!r} has {len(own)} weights ({expected}); received {len(weights)} arrays")
        for weight, array in zip(own, weights, strict=True):
            if np.shape(array) != weight.shape:
                raise ShapeError(
                    f"weight {weight.name!r} of {self.name!r}: received shape {np.shape(array)}; expected {expected}"
                )
        for weight, array in zip(own, weights, strict=True):
            weight.assign(array)

    def save_own_variables(self, store: MutableMapping[str, Array]) -> None:
        """Put the arrays of `own_weights` into a dict under "0", "1", …, as Keras's files have them."""
        for index, weight in enumerate(self.own_weights):
            store[str(index)] = weight.array

    def load_own_variables(self, store: Mapping[str, Array]) -> None:
        """Set `own_weights` to what `save_own_variables` stored.

        Raises:
            ShapeError: the number or a shape differs.
        """
        if len(store) != len(self.own_weights):
            raise ShapeError(f"{self.name!r} has {len(self.own_weights)} weights of its own; received {len(store)}")
        for index, weight in enumerate(self.own_weights):
            weight.assign(store[str(index)])

    def count_params(self) -> int:
        """Return how many numbers the weights hold."""
        return sum(weight.size for weight in self.weights)


Owner = TypeVar("Owner", bound=WeightOwner)


def walk_layers(first: Owner) -> Iterator[Owner]:
    """Yield a layer and all layers inside it, each once, and each before those that it owns. O(layers)."""
    seen: set[int] = set()
    pending: list[Any] = [first]
    while pending:
        layer = pending.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            pending.extend(reversed(layer.sublayers()))


def is_of_kir(definition: object) -> bool:
    """Return whether a class or function is one of kir, and not of the user's."""
    return str(definition.__module__).startswith("kir.")
