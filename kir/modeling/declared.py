"""The base of kir's layers, whose constructor's arguments are declared, and the kinds of arguments that layers have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, dataclass_transform

from kir import activations, config, constraints, initializers, regularizers
from kir.ir.dims import Dim
from kir.modeling.layer import Layer
from kir.modeling.registry import Described, to_plain
from kir.modeling.weight import Weight
from kir.support import arguments
from kir.support.declarations import (
    Argument,
    Boolean,
    Choice,
    Declaring,
    Integer,
    Integers,
    Number,
    OptionalChoice,
    OptionalInteger,
    OptionalIntegers,
    OptionalNumber,
    OptionalText,
    Options,
    Text,
    Unchecked,
)


class ActivationFunction(Argument[Described | None, Callable[..., Any]]):
    """An activation; None is the identity."""

    @staticmethod
    def check(owner: str, name: str, value: Any) -> Callable[..., Any]:
        return activations.get(value)


class Initializer(Argument[Described | None, Any]):
    """The initializer of a weight."""

    @staticmethod
    def check(owner: str, name: str, value: Any) -> Any:
        return initializers.get(value)


class Regularizer(Argument[Described | None, Callable[..., Any] | None]):
    """The regularizer of a weight or an output, whose terms are added to the losses."""

    @staticmethod
    def check(owner: str, name: str, value: Any) -> Callable[..., Any] | None:
        return regularizers.get(value)


class Constraint(Argument[Described | None, Callable[..., Any] | None]):
    """The constraint of a weight in training; kept for the config, and without meaning for an export."""

    @staticmethod
    def check(owner: str, name: str, value: Any) -> Callable[..., Any] | None:
        return constraints.get(value)


class DataFormat(Argument[str | None, str]):
    """Where the channels are."""

    accepts = "str | None"
    standard_doc = '"channels_last" or "channels_first"; `kir.config.image_data_format()` if None'

    @staticmethod
    def check(owner: str, name: str, value: Any) -> str:
        return config.standardize_data_format(value, owner)


class PerAxis(Argument[int | Sequence[int], tuple[int, ...]]):
    """A number of at least 1 for each of the `rank` axes of a layer; a single one counts for all of them."""

    accepts = "int | Sequence[int]"

    def read(self, made: Any, value: object) -> tuple[int, ...]:
        return arguments.per_axis(made.name_in_messages, self.name, value, made.rank)


class OptionalPerAxis(Argument[int | Sequence[int] | None, tuple[int, ...] | None]):
    """A number of at least `minimum` for each of the `rank` axes of a layer, or None."""

    accepts = "int | Sequence[int] | None"

    def __init__(self, minimum: int = 1, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.minimum = minimum

    def read(self, made: Any, value: object) -> tuple[int, ...] | None:
        if value is None:
            return None
        return arguments.per_axis(made.name_in_messages, self.name, value, made.rank, self.minimum)


class Axes(Argument[int | Sequence[int], int | list[int]]):
    """One axis, or a list of them; they may count from the end."""

    accepts = "int | Sequence[int]"

    @staticmethod
    def check(owner: str, name: str, value: object) -> int | list[int]:
        is_list = isinstance(value, list | tuple)
        return list(arguments.integers(owner, name, value)) if is_list else arguments.integer(owner, name, value)


class Padding(Argument[str, str]):
    """How windows reach over the ends: one of the layer's `allowed_paddings`, in small or capital letters."""

    accepts = "str"

    def read(self, made: Any, value: object) -> str:
        lowered = value.lower() if isinstance(value, str) else value
        return str(arguments.choice(made.name_in_messages, self.name, lowered, made.allowed_paddings))


@dataclass_transform(
    field_specifiers=(
        Argument,
        Unchecked,
        Integer,
        OptionalInteger,
        Integers,
        OptionalIntegers,
        Boolean,
        Number,
        OptionalNumber,
        Text,
        OptionalText,
        Choice,
        OptionalChoice,
        ActivationFunction,
        Initializer,
        Regularizer,
        Constraint,
        DataFormat,
        PerAxis,
        OptionalPerAxis,
        Axes,
        Padding,
    )
)
class KindsOfArguments(Declaring):
    """Tells type checkers which calls declare an argument of a layer."""


class DeclaredLayer(KindsOfArguments, Layer):
    """A layer whose constructor's arguments are declared; those of `Layer` are given by name."""

    # How windows may reach over the ends, for layers that have any.
    allowed_paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    # Arguments that Keras does not save, and whether it saves that there is no activity regularizer.
    unsaved: ClassVar[frozenset[str]] = frozenset()
    names_absent_regularizer: ClassVar[bool] = False

    if TYPE_CHECKING:
        # The arguments of `Layer`, as type checkers read them. Some of its properties have these names.
        name_: Argument[str | None, str] = Argument(default=None, kw_only=True, alias="name")
        dtype_: Unchecked = Unchecked(default=None, kw_only=True, alias="dtype")
        trainable_: Boolean = Boolean(default=True, kw_only=True, alias="trainable")
        activity_: Regularizer = Regularizer(default=None, kw_only=True, alias="activity_regularizer")
        autocast_: Boolean = Boolean(default=True, kw_only=True, alias="autocast")
        input_shape_: Unchecked = Unchecked(default=None, kw_only=True, alias="input_shape")
        batch_input_shape_: Unchecked = Unchecked(default=None, kw_only=True, alias="batch_input_shape")
        batch_shape_: Unchecked = Unchecked(default=None, kw_only=True, alias="batch_shape")
        input_dim_: OptionalInteger = OptionalInteger(default=None, kw_only=True, alias="input_dim")
        batch_size_: OptionalInteger = OptionalInteger(default=None, kw_only=True, alias="batch_size")

    @property
    def name_in_messages(self) -> str:
        """How messages call the layer."""
        return f"{type(self).__name__} {self.name!r}"

    def begin_init(self, others: Mapping[str, Any]) -> None:
        """Set what all layers have, and what a class that a user's own mixes in does."""
        super(Declaring, self).__init__(**others)

    def argument(self, name: str) -> Any:
        """Return what a constructor argument is."""
        declared = self.declared_arguments.get(name)
        return getattr(self, declared.attribute if declared else name)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments that Keras saves, in a form that JSON can hold."""
        config = {name: to_plain(value) for name, value in super().get_config().items() if name not in self.unsaved}
        return {"activity_regularizer": None} | config if self.names_absent_regularizer else config

    def weight_of_role(self, name: str, shape: Sequence[Dim], role: str = "") -> Weight:
        """Return a new weight as the layer's initializer, regularizer and constraint for a role say.

        The arguments of the role "kernel", for example, are `kernel_initializer`, `kernel_regularizer` and
        `kernel_constraint`. By default the role is the weight's name.
        """
        kinds = ("initializer", "regularizer", "constraint")
        return self.new_weight(name, shape, *(getattr(self, f"{role or name}_{kind}") for kind in kinds))
