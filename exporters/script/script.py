"""A script being written: its imports, functions and statements, and the arrays that go into the file beside it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from pathlib import Path

import kir.ops
from kir import scripting
from kir.exporters.script.text import Group, Identifiers, Piece, call, import_lines, quote, statement
from kir.ir.op import Array
from kir.support.files import Companion
from kir.support.naming import Names

# model.py has its weights in model.0123456789abcdef.safetensors
WEIGHTS_FILE = Companion(
    name=lambda script, digest: f"{Path(script).stem}.{digest}.safetensors",
    reference=lambda name: _beside_script(name).encode(),
)

# What the scripts import under names in lower case, and their own variables: no layer's variable is called so.
IMPORTED = (
    "config",
    "constraints",
    "constant",
    "emit",
    "emit_source",
    "initializers",
    "load_arrays",
    "parse_dim",
    "parse_type",
    "regularizers",
    "symbol",
)
MAX_KEY = 40  # characters of a name in the weights file; a formatter would break a longer one
MAX_APPLIED = 50  # characters of the arguments that a call of what a call gives may have
ARRAYS, MODEL = "arrays", "model"

DOCSTRING = '"""A model, written by kir. Its weights lie beside it, in a .safetensors file."""'


def reserved_names() -> list[str]:
    """Return what no variable of a layer, and none in a function, may be called."""
    groups = [info.name for info in pkgutil.iter_modules(kir.ops.__path__)]
    return [*IMPORTED, *groups, ARRAYS, MODEL]


class Script:
    """Collects the parts of a script, and puts them together in `text`.

    Nothing reaches the text but identifiers of `names`, literals, and what is spelled out in this folder: names that
    come from files are attacker-controlled, and a script is code.
    """

    def __init__(self) -> None:
        self.names = Identifiers(reserved_names())
        self.arrays: dict[str, Array] = {}
        self.has_weights = False
        self.needs_passes = False  # before what its layers give is what they were recognised by
        self._imports: set[tuple[str, str]] = set()
        self._functions: list[list[str]] = []
        self._lines: list[str] = []
        self._keys: dict[int, str] = {}
        self._array_names = Names()

    def use(self, module: str, name: str) -> str:
        """Import a name from a module of kir, and give it back."""
        self._imports.add((module, name))
        return name

    def helper(self, name: str) -> str:
        """Import a name from `kir.scripting`, and give it back."""
        assert name in scripting.__all__
        return self.use("kir.scripting", name)

    def backend(self, name: str) -> str:
        """Return a function of `kir.backend`, which scripts call K."""
        self.use("kir", "backend as K")
        return f"K.{name}"

    def add(self, lead: str, piece: Piece) -> None:
        """Add a statement of the module."""
        self._lines += statement(lead, piece)

    def apply(
        self,
        variables: dict[int, str],
        key: object,
        name: str,
        make: Callable[[], Piece],
        arguments: Group,
        *,
        is_shared: bool = False,
    ) -> Group:
        """Return ``Dense(64)(x)``, a call of what a call gives, if that is short and the only call of the layer.

        Otherwise the layer gets a statement and a variable, once.

        Args:
            variables: those of layers, by id.
            key: the layer.
            name: what the variable is named after.
            make: gives the call of the layer's constructor.
            arguments: those of the call of the layer; they stand on one line.
            is_shared: whether the layer is called again.
        """
        if id(key) not in variables:
            made = make()
            if isinstance(made, Group) and not is_shared and len(arguments.flat) <= MAX_APPLIED:
                return Group(made.head, made.items, f"){arguments.flat}")
            variables[id(key)] = self.names.new(f"{name}_layer")
            self.add(f"{variables[id(key)]} = ", made)
        return Group(f"{variables[id(key)]}(", arguments.items, ")")

    def add_function(self, lines: list[str]) -> None:
        """Add a function; it stands before all statements."""
        self._functions.append(lines)

    def array(self, array: Array, name: str) -> str:
        """Return what stands for an array that is kept in the weights file; one array has one place there."""
        if id(array) not in self._keys:
            key = self._array_names.unique(f"constants/{name[-MAX_KEY:]}")
            self._keys[id(array)] = key
            self.arrays[key] = array
        return f"{ARRAYS}[{quote(self._keys[id(array)])}]"

    def text(self, weights: str = "") -> str:
        """Return the whole script. `weights` is the name of the file beside it that holds its arrays."""
        needs_file = self.has_weights or bool(self.arrays)
        here = f"Path(__file__).resolve().{_beside_script(weights)}"
        if needs_file:
            self._imports.add(("pathlib", "Path"))
        loading: list[str] = []
        if self.arrays:
            loading = [*statement(f"{ARRAYS} = ", call(self.helper("load_arrays"), [here])), ""]
        lines = [DOCSTRING, "", *import_lines(self._imports), "", *loading]
        for function in self._functions:
            lines += ["", *function, ""]
        lines += [""] * bool(self._functions)
        lines += self._lines
        if self.has_weights:
            lines += statement("", call(f"{MODEL}.load_weights", [here]))
        return "\n".join(lines) + "\n"


def _beside_script(weights: str) -> str:
    """Return how a script names its weights file: by what follows its own name, which stays out of the text."""
    return f'with_suffix("{"".join(Path(weights).suffixes[-2:])}")'
