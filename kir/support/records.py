"""`dataclass`, which makes the same classes as that of the standard library, in a quarter of the time.

An export loads 150 dataclasses. The standard library compiles six functions for each frozen one, and takes an eighth of
the time of a small export for it. Here `__init__` alone is compiled; the others are closures over the fields. What
reads classes (`fields`, `replace`, `asdict`, `match`, type checkers) sees no difference.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True, repr=True):
        """Return a class with the methods that its fields call for, or a decorator; see `dataclasses.dataclass`.

        Where the standard library lets attributes that are no fields be set on subclasses of frozen classes, this does
        not. A class extends only classes that are made here, or that are no dataclasses.
        """

        def make(plain):
            made = dataclasses.dataclass(plain, init=False, repr=False, eq=False, slots=slots)
            methods = {"__init__": _initializer(made, frozen)}
            if repr:
                methods["__repr__"] = _repr
            if eq:
                methods |= _comparisons(made, frozen)
            if frozen:
                methods |= {"__setattr__": _refuse_set, "__delattr__": _refuse_delete}
            if frozen and slots:
                methods |= {"__getstate__": _get_state, "__setstate__": _set_state}
            for name, method in methods.items():
                if name not in vars(plain) or (name == "__hash__" and vars(plain)[name] is None):
                    setattr(made, name, method)
            return made

        return make if cls is None else make(cls)


_absent = object()


def _initializer(cls: type, frozen: bool) -> Callable[..., None]:
    """Compile `__init__`, which sets the fields one by one, so that it is as fast as one that somebody wrote."""
    known: dict[str, Any] = {"set_": object.__setattr__, "absent_": _absent}
    positional: list[str] = []
    keywords: list[str] = []
    lines: list[str] = []
    for field in fields(cls):
        value = field.name
        if field.default_factory is not MISSING:
            known[f"make_{value}"] = field.default_factory
            value = f"make_{value}() if {value} is absent_ else {value}" if field.init else f"make_{value}()"
        if field.init:
            parameter = field.name
            if field.default_factory is not MISSING:
                parameter += "=absent_"
            elif field.default is not MISSING:
                known[f"default_{field.name}"] = field.default
                parameter += f"=default_{field.name}"
            (keywords if field.kw_only else positional).append(parameter)
        elif field.default_factory is MISSING:
            continue  # the class has the default, or somebody sets the field later
        lines.append(f"set_(self, {field.name!r}, {value})" if frozen else f"self.{field.name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    parameters = ", ".join(["self", *positional, *(["*", *keywords] if keywords else [])])
    exec(f"def __init__({parameters}):\n " + "\n ".join(lines or ["pass"]), known)
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__annotations__ = {field.name: field.type for field in fields(cls) if field.init} | {"return": None}
    return made


def _comparisons(cls: type, frozen: bool) -> dict[str, Any]:
    """Return `__eq__` and `__hash__`, of the tuple of the fields."""
    values = _values_of([field.name for field in fields(cls) if field.compare])

    def __eq__(self: object, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    def __hash__(self: object) -> int:
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}


def _values_of(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """Return what gives the values of some fields as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    if names:
        get = attrgetter(*names)
        return lambda one: (get(one),)
    return lambda one: ()


@reprlib.recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _refuse_set(self: object, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _get_state(self: Any) -> list[object]:
    return [getattr(self, field.name) for field in fields(self)]


def _set_state(self: Any, state: Sequence[object]) -> None:
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
