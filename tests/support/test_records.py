"""`dataclass` of kir: what it makes is what the standard library makes."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from kir.support import records

Decorate = Callable[..., Any]


def classes(decorate: Decorate) -> dict[str, Any]:
    """Return a class of each kind that kir has, made by a decorator."""

    class Plain:
        """Not frozen."""

        a: int
        b: list[int] = field(default_factory=list)

    class Frozen:
        """Frozen, with a field that is not compared and one that is not shown."""

        a: int
        b: str = "x"
        c: object = field(default=None, compare=False)
        d: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

        def __post_init__(self) -> None:
            if self.b == "no":
                raise ValueError(self.b)

    class Slots:
        """Frozen, with slots."""

        a: int
        b: tuple[int, ...] = ()

    class Own:
        """With methods of its own."""

        a: int

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self)) and self.a % 2 == other.a % 2

        def __hash__(self) -> int:
            return 7

    class Later:
        """With a field that is set later, and one that only keywords give."""

        a: int = field(init=False)
        b: int = field(kw_only=True)
        c: list[int] = field(init=False, default_factory=list)

    class Empty:
        """Without fields."""

    made = {
        "Plain": decorate(Plain),
        "Frozen": decorate(frozen=True)(Frozen),
        "Slots": decorate(frozen=True, slots=True)(Slots),
        "Own": decorate(frozen=True)(Own),
        "Later": decorate(slots=True, eq=False)(Later),
        "Empty": decorate(frozen=True)(Empty),
    }

    base: Any = made["Frozen"]

    class Derived(base):
        """Of another class, with a new default and a new field."""

        b: str = "y"
        e: float = 0.5

    return {**made, "Derived": decorate(frozen=True)(Derived)}


OURS, THEIRS = classes(records.dataclass), classes(dataclasses.dataclass)
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Plain", (1,), {}),
    ("Plain", (1, [2]), {}),
    ("Frozen", (1,), {}),
    ("Frozen", (1, "z", 3), {"d": {"k": 1}}),
    ("Frozen", (1,), {"b": "no"}),
    ("Frozen", (), {}),
    ("Slots", (float("nan"),), {"b": (1, 2)}),
    ("Own", (3,), {}),
    ("Later", (), {"b": 2}),
    ("Later", (2,), {}),
    ("Empty", (), {}),
    ("Derived", (1,), {"e": 2.0}),
    ("Derived", (1,), {"f": 2.0}),
]


def outcome(action: Callable[[], object]) -> object:
    try:
        return action()
    except Exception as error:
        return type(error), str(error)


def facts(made: dict[str, Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[object]:
    """Return what can be told of an object of a class, and of what is done to it."""
    cls = made[name]
    try:
        one = cls(*args, **kwargs)
    except Exception as error:
        return [type(error), str(error)]
    same = cls(*args, **kwargs)
    others = [kind(1) for kind in (made["Frozen"], made["Slots"], made["Own"])]
    return [
        outcome(lambda: repr(one)),
        outcome(lambda: [one == other for other in (one, same, *others)]),
        outcome(lambda: name in ("Later", "Plain") or hash(one)),
        outcome(lambda: name != "Plain" or hash(one)),
        outcome(lambda: setattr(one, "a", 5)),
        outcome(lambda: repr(one)),
        outcome(lambda: delattr(one, "a")),
        outcome(lambda: repr(replace(one, a=7))),
        outcome(lambda: repr(dataclasses.asdict(one))),
        outcome(lambda: repr(copy.copy(one))),
        cls.__match_args__,
        [(f.name, f.type, f.init, f.compare) for f in fields(cls)],
        cls.__init__.__annotations__,
        cls.__init__.__qualname__.rpartition(".<locals>.")[2],
    ]


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS, ids=str)
def test_classes_are_those_of_the_standard_library(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert facts(OURS, name, args, kwargs) == facts(THEIRS, name, args, kwargs)


@records.dataclass(frozen=True, slots=True)
class Point:
    """At the top of a module, so that it can be pickled."""

    x: int
    rest: tuple[Point, ...] = ()


def test_frozen_classes_with_slots_are_pickled() -> None:
    point = Point(1, (Point(2),))
    assert pickle.loads(pickle.dumps(point)) == point
    assert not hasattr(point, "__dict__")


def test_mutable_defaults_are_refused() -> None:
    with pytest.raises(ValueError, match="mutable default"):
        records.dataclass(type("Wrong", (), {"__annotations__": {"a": "list"}, "a": []}))


def test_fields_are_shared_by_no_two_objects() -> None:
    first, second = OURS["Plain"](1), OURS["Plain"](1)
    first.b.append(3)
    assert second.b == []


def test_nothing_is_added_to_a_frozen_object() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'new'"):
        OURS["Frozen"](1).new = 2


def test_all_of_kir_makes_its_dataclasses_here() -> None:
    """A class that the standard library makes cannot extend one of these if it is frozen, and takes longer."""
    root = Path(__file__).parents[2]
    sources = [path for folder in ("kir", "exporters", "importers") for path in (root / folder).rglob("*.py")]
    others = re.compile(r"^\s*from dataclasses import .*\bdataclass\b|^@dataclasses\.dataclass", re.MULTILINE)
    found = {path.name for path in sources if others.search(path.read_text(encoding="utf-8"))}
    assert found == {"records.py"}
