"""Constructor arguments that are declared once, each with its name, type, default, check and documentation.

    class Noise(Declaring):
        \"\"\"Numbers drawn at random.\"\"\"

        stddev: Number = Number(0, 1, doc="the standard deviation, from 0 to 1")
        seed: OptionalInteger = OptionalInteger(default=None)

is `Noise(0.5, seed=3)`, whose attributes are what the checks returned, and whose docstring lists the arguments. A type
checker reads the same of the class as of a dataclass: the constructor takes what `__set__` takes, and an attribute is
what `__get__` returns. What a class declares

    with an annotation          is a positional argument, in that order, unless it is `kw_only`
    without an annotation       is shared with the subclasses, which give it a place by declaring it again

and what it inherits is given by name, unless it declares nothing itself: then its constructor is the inherited one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from inspect import Parameter
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypedDict, TypeVar, Unpack

from kir.support import arguments

# What is accepted, and what is kept of it as an attribute.
Given = TypeVar("Given")
Kept = TypeVar("Kept")

REQUIRED: Any = Parameter.empty
# The parts of a docstring that come after the arguments.
AFTER_ARGUMENTS = ("Raises:", "Source:", "The other")


def optional(check: Callable[[str, str, Any], Kept]) -> Callable[[str, str, Any], Kept | None]:
    """Return a check of what may be None, too."""
    return lambda owner, name, value: None if value is None else check(owner, name, value)


class Options(TypedDict, total=False):
    """The arguments of all kinds of declarations: see `Argument`."""

    default: object
    doc: str
    kw_only: bool
    alias: str


def _keep(owner: str, name: str, value: Any) -> Any:
    return value


class Argument(Generic[Given, Kept]):
    """The declaration of one argument.

    Args:
        check: from the owner's name in messages, the argument's name and a value to what is kept; by default that of
            the class.
        default: what stands in for a value; the argument is required without one.
        doc: what the class's docstring says about it, without a period.
        kw_only: the argument is given by name alone.
        alias: its name, where it is kept in an attribute of another name.
    """

    # The annotation in signatures, and what docstrings say about arguments without a `doc` of their own.
    accepts: ClassVar[str] = "Any"
    standard_doc: ClassVar[str] = ""

    check: Callable[[str, str, Any], Any] = staticmethod(_keep)

    name: str
    attribute: str

    def __init__(
        self,
        check: Callable[[str, str, Any], Kept] | None = None,
        *,
        default: object = REQUIRED,
        doc: str = "",
        kw_only: bool = False,
        alias: str = "",
    ) -> None:
        if check is not None:
            self.check = check
        self.default = default
        self.doc = doc or self.standard_doc
        self.kw_only = kw_only
        self.alias = alias

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name
        self.name = self.alias or name

    def read(self, made: Declaring, value: object) -> Kept:
        """Return what the object that is being made keeps of a value.

        Raises:
            InvalidArgumentError: the argument cannot be this.
        """
        kept: Kept = self.check(made.name_in_messages, self.name, value)
        return kept

    if TYPE_CHECKING:
        # Declarations leave the class, and attributes are plain ones.
        def __get__(self, instance: object, owner: type) -> Kept: ...

        def __set__(self, instance: object, value: Given) -> None: ...


class Unchecked(Argument[Any, Any]):
    """Anything at all, kept as it is."""


class Integer(Argument[int, int]):
    """An integer of at least `minimum`."""

    accepts = "int"

    def __init__(self, minimum: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(partial(arguments.integer, minimum=minimum), **options)


class OptionalInteger(Argument[int | None, int | None]):
    """An integer of at least `minimum`, or None."""

    accepts = "int | None"

    def __init__(self, minimum: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(partial(arguments.optional_integer, minimum=minimum), **options)


class Integers(Argument[int | Sequence[int], tuple[int, ...]]):
    """Integers of at least `minimum`; a single one counts as a list of one."""

    def __init__(self, minimum: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(partial(arguments.integers, minimum=minimum), **options)


class OptionalIntegers(Argument[int | Sequence[int] | None, tuple[int, ...] | None]):
    """Integers of at least `minimum`, of which a single one counts as a list of one, or None."""

    def __init__(self, minimum: int | None = None, **options: Unpack[Options]) -> None:
        super().__init__(optional(partial(arguments.integers, minimum=minimum)), **options)


class Boolean(Argument[bool, bool]):
    """True or False."""

    accepts = "bool"
    check = staticmethod(arguments.boolean)


class Number(Argument[float, float]):
    """A finite number within bounds, which belong to the range."""

    accepts = "float"

    def __init__(self, minimum: float | None = None, maximum: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(partial(arguments.number, minimum=minimum, maximum=maximum), **options)


class OptionalNumber(Argument[float | None, float | None]):
    """A finite number of at least `minimum`, or None."""

    accepts = "float | None"

    def __init__(self, minimum: float | None = None, **options: Unpack[Options]) -> None:
        super().__init__(optional(partial(arguments.number, minimum=minimum)), **options)


class Text(Argument[str, str]):
    """Text."""

    accepts = "str"
    check = staticmethod(arguments.text)


class OptionalText(Argument[str | None, str | None]):
    """Text, or None."""

    accepts = "str | None"
    check = staticmethod(optional(arguments.text))


class Choice(Argument[str, str]):
    """One of several words."""

    accepts = "str"

    def __init__(self, *allowed: str, **options: Unpack[Options]) -> None:
        super().__init__(partial(arguments.choice, allowed=allowed), **options)


class OptionalChoice(Argument[str | None, str | None]):
    """One of several words, or None."""

    accepts = "str | None"

    def __init__(self, *allowed: str, **options: Unpack[Options]) -> None:
        super().__init__(partial(arguments.choice, allowed=(*allowed, None)), **options)


class Constructor:
    """The `__init__` of a class with declared arguments. Its signature is made when somebody asks for it."""

    __name__ = "__init__"

    def __init__(self, cls: type[Declaring], own: Mapping[str, Argument[Any, Any]], positional: Sequence[str]) -> None:
        self.__qualname__ = f"{cls.__qualname__}.__init__"
        self.__module__ = cls.__module__
        self.__doc__ = None  # that of the class says what the arguments are
        self.__annotations__ = {}  # for typing.get_type_hints; the kinds of arguments say what they take
        self.arguments = cls.declared_arguments
        self.own = own
        self.positional = positional
        self.required = [name for name, one in {**own, **self.arguments}.items() if one.default is REQUIRED]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if not isinstance(instance, Declaring):
            return self
        # Of a class with several bases, the first one's constructor takes the arguments of all.
        arguments = instance.declared_arguments
        found = self if arguments is self.arguments else Constructor(type(instance), arguments, self.positional)
        return MethodType(found, instance)

    def __call__(self, made: Declaring, /, *given: object, **named: object) -> None:
        placed = dict(zip(self.positional, given, strict=False))
        if len(placed) < len(given) or not placed.keys().isdisjoint(named):
            self._refuse(made, given, named)
        named |= placed
        made.read_old_names(named)
        if not all(name in named for name in self.required):
            self._refuse(made, (), named)
        made.begin_init({name: value for name, value in named.items() if name not in self.arguments})
        for name, argument in self.arguments.items():
            setattr(made, argument.attribute, argument.read(made, named.get(name, argument.default)))
        made.finish_init()

    def _refuse(self, made: Declaring, given: Sequence[object], named: Mapping[str, object]) -> None:
        """Raise the TypeError of a call that the signature does not allow, in Python's words."""
        required = [name for name in self.required if name not in named]
        if len(given) > len(self.positional):
            least = len(self.positional) - sum(self.arguments[name].default is not REQUIRED for name in self.positional)
            most = len(self.positional) + 1
            count = f"from {least + 1} to {most}" if least + 1 < most else f"{most}"
            takes = f"takes {count} positional argument{'s' if most > 1 else ''} but {len(given) + 1} were given"
        elif given:
            twice = next(name for name in self.positional[: len(given)] if name in named)
            takes = f"got multiple values for argument {twice!r}"
        else:
            *first, last = map(repr, required)
            plural, comma = ("s" if first else ""), ("," if len(first) > 1 else "")
            listed = f"{', '.join(first)}{comma} and {last}" if first else last
            takes = f"missing {len(required)} required positional argument{plural}: {listed}"
        # Of a base that has no other constructor, the class that was called is the one that the user knows.
        called: object = type(made).__init__
        name = f"{type(made).__qualname__}.__init__" if called is self else self.__qualname__
        raise TypeError(f"{name}() {takes}")

    @cached_property
    def __signature__(self) -> inspect.Signature:
        parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
        parameters += [self._parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in self.positional]
        others = [name for name in self.own if name not in self.positional]
        parameters += [self._parameter(name, Parameter.KEYWORD_ONLY) for name in others]
        parameters.append(Parameter("kwargs", Parameter.VAR_KEYWORD, annotation="Any"))
        return inspect.Signature(parameters, return_annotation="None")

    def _parameter(self, name: str, kind: inspect._ParameterKind) -> Parameter:
        argument = self.arguments[name]
        return Parameter(name, kind, default=argument.default, annotation=argument.accepts)


class Documentation:
    """The `__doc__` of a class with declared arguments: what it says itself, and the list of them."""

    def __init__(self, text: str, arguments: Mapping[str, Argument[Any, Any]]) -> None:
        self.text = text
        self.arguments = arguments

    def __get__(self, instance: object, owner: type) -> str:
        listed = self._listed_arguments()
        if not listed:
            return self.text
        lines = self.text.rstrip().split("\n")
        after = [index for index, line in enumerate(lines) if line.strip().startswith(AFTER_ARGUMENTS)]
        place = after[0] if after else len(lines)
        before = lines[:place] if after else [*lines, ""]
        return "\n".join([*before, "    Args:", *listed, "", *lines[place:]])

    def _listed_arguments(self) -> list[str]:
        """Return a line for each documented argument; neighbours that mean the same share one."""
        import textwrap

        names: dict[str, list[str]] = {}
        for name, argument in self.arguments.items():
            if argument.doc:
                names.setdefault(argument.doc, []).append(name)
        lines = (f"{', '.join(shared)}: {doc}." for doc, shared in names.items())
        return [textwrap.fill(line, 120, initial_indent=" " * 8, subsequent_indent=" " * 12) for line in lines]


class Declaring:
    """A class whose constructor's arguments are declared in its body: see the head of this module.

    Type checkers understand the subclasses of a class that is marked by `typing.dataclass_transform`.
    """

    # By their names, in the order in which they are checked: what a base declares first, in its order.
    declared_arguments: ClassVar[Mapping[str, Argument[Any, Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take the declarations out of the class, and make its constructor and its docstring from them."""
        super().__init_subclass__(**kwargs)
        own = {value.name: value for value in vars(cls).values() if isinstance(value, Argument)}
        inherited: dict[str, Argument[Any, Any]] = {}
        for base in reversed(cls.__bases__):
            inherited |= getattr(base, "declared_arguments", {})
        if own:
            for name, argument in own.items():
                delattr(cls, argument.attribute)
                if not argument.doc and name in inherited:
                    argument.doc = inherited[name].doc
            cls.declared_arguments = inherited | own
            placed = cls.__annotations__
            positional = [name for name, one in own.items() if one.attribute in placed and not one.kw_only]
            cls.__init__ = Constructor(cls, own, positional)  # type: ignore[method-assign, assignment]
        elif len(inherited) > len(cls.declared_arguments):
            cls.declared_arguments = inherited
        # A user's own class says itself what its arguments are.
        constructor: object = cls.__init__
        if cls.__doc__ and isinstance(constructor, Constructor) and (own or cls.__module__.startswith("kir.")):
            listed = {**constructor.own, **cls.declared_arguments}
            cls.__doc__ = Documentation(cls.__doc__, listed)  # type: ignore[assignment]

    @property
    def name_in_messages(self) -> str:
        """How messages call the object."""
        return type(self).__name__

    def read_old_names(self, given: dict[str, object]) -> None:
        """Put arguments under their names that older configs and scripts have under others."""

    def begin_init(self, others: Mapping[str, Any]) -> None:
        """Set what does not depend on declared arguments; `others` are those that are not declared.

        Raises:
            TypeError: there are any.
        """
        for name in others:
            raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")

    def finish_init(self) -> None:
        """Check the arguments together, and set what follows from them. They are all set."""
