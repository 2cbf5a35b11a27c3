"""Classes whose constructor's arguments are declared."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any, dataclass_transform

import pytest

from kir.errors import InvalidArgumentError
from kir.support.declarations import Argument, Boolean, Choice, Declaring, Integer, Number, OptionalInteger


@dataclass_transform(field_specifiers=(Argument, Boolean, Choice, Integer, Number, OptionalInteger))
class Declared(Declaring):
    pass


class Base(Declared):
    rate = Number(0, 1, doc="how much")
    seed: OptionalInteger = OptionalInteger(default=None, kw_only=True)


class Noise(Base):
    """Noise.

    Raises:
        InvalidArgumentError: one is wrong.
    """

    size: Integer = Integer(1, doc="how many")
    rate: Number = Number(0, 1, default=0.5)
    kept_mode: Choice = Choice("a", "b", default="a", alias="mode", doc="one of two")

    def finish_init(self) -> None:
        self.total = self.size * self.rate


class Named(Noise):
    """Says itself what its arguments are."""

    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__(3, **kwargs)
        self.label = label


def test_arguments_become_attributes() -> None:
    noise = Noise(4, mode="b", seed=7)
    assert vars(noise) == {"seed": 7, "size": 4, "rate": 0.5, "kept_mode": "b", "total": 2.0}
    noise.size = 9
    assert noise.size == 9
    for made in (copy.deepcopy(noise), pickle.loads(pickle.dumps(noise))):
        assert vars(made) == vars(noise)
    assert not hasattr(Noise, "size")


def test_the_signature_is_that_of_a_constructor_written_by_hand() -> None:
    def written(self, size: int, rate: float = 0.5, mode: str = "a", **kwargs: Any) -> None: ...  # type: ignore[no-untyped-def]

    wanted = inspect.signature(written)
    assert inspect.signature(Noise.__init__).parameters == wanted.parameters
    assert list(inspect.signature(Noise).parameters) == ["size", "rate", "mode", "kwargs"]
    assert (
        str(inspect.signature(Base.__init__))
        == "(self, *, rate: 'float', seed: 'int | None' = None, **kwargs: 'Any') -> 'None'"
    )


def test_the_docstring_lists_what_is_documented_before_the_errors() -> None:
    assert inspect.getdoc(Noise) == (
        "Noise.\n\nArgs:\n    size: how many.\n    rate: how much.\n    mode: one of two.\n\n"
        "Raises:\n    InvalidArgumentError: one is wrong."
    )
    assert Named.__doc__ == "Says itself what its arguments are."


def test_a_constructor_of_a_subclass_goes_on_with_that_of_its_base() -> None:
    named = Named("x", rate=1)
    assert (named.label, named.size, named.total) == ("x", 3, 3.0)


@pytest.mark.parametrize(
    ("given", "named", "message"),
    [
        ((), {}, "Noise.__init__() missing 1 required positional argument: 'size'"),
        ((1, 0.5, "a", 7), {}, "Noise.__init__() takes from 2 to 4 positional arguments but 5 were given"),
        ((1,), {"size": 2}, "Noise.__init__() got multiple values for argument 'size'"),
        ((1,), {"sizes": 2}, "Noise.__init__() got an unexpected keyword argument 'sizes'"),
    ],
)
def test_calls_that_the_signature_does_not_allow(given: Any, named: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Noise(*given, **named)
    assert str(caught.value) == message


def test_mistakes_are_those_of_the_class_that_was_called() -> None:
    class Louder(Noise):
        pass

    with pytest.raises(TypeError, match=r"Louder.__init__\(\) missing 1 required positional argument: 'size'"):
        Louder()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Noise.__init__\(\) got multiple values for argument 'size'"):
        Named("x", size=3)


def test_missing_arguments_are_listed_as_python_lists_them() -> None:
    class Three(Declared):
        a: Integer = Integer()
        b: Boolean = Boolean()
        c: Argument[int, str] = Argument(lambda owner, name, value: f"{owner} {name} {value}")

    with pytest.raises(TypeError, match=r"missing 3 required positional arguments: 'a', 'b', and 'c'"):
        Three()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"takes 4 positional arguments but 5 were given"):
        Three(1, True, 3, 4)  # type: ignore[call-arg]
    assert Three(1, True, 3).c == "Three c 3"


def test_what_a_base_declares_is_checked_first_and_missing_in_the_order_of_the_call() -> None:
    class Window(Declared):
        size = Integer(1)
        step = Integer(1, default=1)

    class Conv(Window):
        filters: Integer = Integer(1)
        size: Integer = Integer(1)

    assert list(Conv.declared_arguments) == ["size", "step", "filters"]
    with pytest.raises(InvalidArgumentError, match="size must be"):
        Conv(0, 0)
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'filters' and 'size'"):
        Conv()  # type: ignore[call-arg]


def test_a_wrong_value_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="Noise: mode must be one of 'a', 'b'; received mode='c'"):
        Noise(1, mode="c")
