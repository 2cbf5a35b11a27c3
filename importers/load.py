"""One way in for everything that a model can be read from; `kir.load` is in `kir.api`.

    script, .keras, .h5, .hdf5, .json, live model of Keras ──> Model
    .onnx                                                  ──> Graph

What reads one kind of source is imported for that kind alone, inside functions: start-up time.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeGuard

from kir import config
from kir.errors import FormatError, InvalidArgumentError, KirError, UsageError
from kir.support.limits import MAX_INT64
from kir.support.naming import decoded

if TYPE_CHECKING:
    from kir.importers.onnx_file.build import ObserveFile
    from kir.importers.rebinding import KerasLayer
    from kir.ir.dims import Dim
    from kir.ir.graph import Graph, Value
    from kir.modeling.model import Model

PathLike: TypeAlias = str | os.PathLike[str]
LostMask: TypeAlias = Literal["error", "warn"]
CustomObjects: TypeAlias = Mapping[str, object] | PathLike
# The shape of each input by its name, such as {"image": (1, 224, 224, 3), "text": ("n", 80)}: names are unknown sizes.
InputShapes: TypeAlias = Mapping[str, "Sequence[Dim | str]"]


class KerasModel(Protocol):
    """A model of the real Keras, told by what every one can do."""

    @property
    def name(self) -> str: ...

    def to_json(self) -> str: ...

    def count_params(self) -> int: ...


Source: TypeAlias = "Model | Graph | KerasModel | PathLike"

# What the command line calls options that have other names in Python.
FLAGS = {"level": "-O", "after_pass": "--print-after"}

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5", ".json")
EXPECTED = "expected a script model.py[:name], an .onnx file, or a .keras, .h5, .hdf5 or .json file that Keras wrote"


def split_shapes(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return the shapes that texts such as "image:1,3,224" give: the sizes as texts, by the names of inputs.

    Raises:
        InvalidArgumentError: a text has no name, or two have the same one.
    """
    shapes: dict[str, list[str]] = {}
    for text in texts:
        name, colon, sizes = text.rpartition(":")
        if not colon:
            raise InvalidArgumentError(f"--input-shapes expects NAME:1,3,224; received {text!r}")
        name = decoded(name)
        if name in shapes:
            raise InvalidArgumentError(f"--input-shapes gives the shape of {name!r} twice, the second time as {text!r}")
        shapes[name] = [size.strip() for size in sizes.split(",") if size.strip()]
    return shapes


def parse_shapes(input_shapes: InputShapes | None) -> dict[str, list[Dim]]:
    """Return shapes with symbols for the names of unknown sizes.

    Raises:
        InvalidArgumentError: a size is negative, beyond 64 bits, or computed: no input has such a one.
    """
    from kir.ir.dim_parser import parse_dim
    from kir.ir.dims import Sym

    shapes: dict[str, list[Dim]] = {}
    for name, sizes in _mapping_of_shapes(input_shapes or {}).items():
        shapes[name] = [parse_dim(size) if isinstance(size, str) else size for size in sizes]
        for parsed, size in zip(shapes[name], sizes, strict=True):
            if parsed.name is None if isinstance(parsed, Sym) else not _is_size(parsed):
                raise InvalidArgumentError(
                    f"--input-shapes expects sizes from 0 to {MAX_INT64}, or names for unknown ones; received "
                    f"{str(size)!r} in {f'{name}:' + ','.join(map(str, sizes))!r}"
                )
    return shapes


def _mapping_of_shapes(given: object) -> InputShapes:
    if not isinstance(given, Mapping) or not all(_is_listing(sizes) for sizes in given.values()):
        raise InvalidArgumentError(f"input_shapes must map names of inputs to lists of sizes; received {given!r}")
    return given


def _is_listing(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)


def _is_size(value: object) -> bool:
    return isinstance(value, Integral) and 0 <= int(value) <= MAX_INT64


def is_onnx_file(source: object) -> TypeGuard[PathLike]:
    """Return whether a source is the path of an ONNX file, by its name."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix == ".onnx"


def takes_custom_objects(source: object) -> bool:
    """Return whether a source is the path of a file that Keras writes, by its name, or no path at all."""
    return not isinstance(source, str | os.PathLike) or Path(source).suffix in KERAS_SUFFIXES


def refuse_options(reason: str, **options: object) -> None:
    """Refuse the options that are given, with one reason for all.

    Raises:
        UsageError: one of them is given.
    """
    given = [FLAGS.get(name) or f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise UsageError(f"{', '.join(given)} {reason}")


def split_name(source: str) -> tuple[Path, str | None]:
    """Return the file and the name of "model.py:name". A colon in a folder's name is left alone."""
    head, colon, tail = source.rpartition(":")
    if colon and head.endswith(".py") and tail.isidentifier():
        return Path(head), tail
    return Path(source), None


@dataclass(frozen=True)
class Reading:
    """How to read a model, and the sizes that its inputs are to have; see `kir.load`.

    `observe` is for ONNX files, see `import_graph`.
    """

    weights: PathLike | None = None
    custom_objects: CustomObjects | None = None
    on_lost_mask: LostMask | None = None
    outputs: Sequence[str] = ()
    batch: int | None = None
    input_shapes: InputShapes | None = None
    strict: bool = False
    observe: ObserveFile | None = None

    def __post_init__(self) -> None:
        if isinstance(self.outputs, str):
            raise InvalidArgumentError(f"outputs must be a list of names of layers; received {self.outputs!r}")
        if self.batch is not None and (not isinstance(self.batch, Integral) or self.batch < 1):
            raise InvalidArgumentError(f"batch must be an integer of at least 1; received {self.batch!r}")

    @property
    def sets_sizes(self) -> bool:
        """Whether inputs are to have other sizes than the source gives them."""
        return bool(self.batch or self.input_shapes)

    @property
    def is_whole(self) -> bool:
        """Whether all of the source is read, with its own weights."""
        return self.weights is None and not self.outputs

    def sizes_of(self, model: Model) -> dict[str, Dim]:
        """Return the values of the unknown sizes of a model's inputs, by the sizes' names; see `bind_sizes`."""
        from kir.modeling.lower import bind_sizes

        return bind_sizes(model, self.batch, parse_shapes(self.input_shapes))

    def refuse_for_onnx(self, source: object, **others: object) -> None:
        """Refuse options, and others with them, that say something about layers.

        Raises:
            UsageError: one of them is given.
        """
        refuse_options(f"is for models of layers; {source} is an ONNX file", **others, **self._of_layers())

    def _of_layers(self) -> dict[str, object]:
        return {name: vars(self)[name] for name in ("weights", "custom_objects", "on_lost_mask", "outputs")}

    def load_named(self, source: Source) -> tuple[Model | Graph, Mapping[Value, str]]:
        """Return what `kir.load` does, and of an ONNX file what it calls the values of the graph."""
        if not is_onnx_file(source):
            return self.load(source), {}
        self.refuse_for_onnx(source)
        from kir.importers.onnx_file import import_named

        shapes = parse_shapes(self.input_shapes)
        return import_named(Path(source), strict=self.strict, observe=self.observe, shapes=shapes, batch=self.batch)

    def load(self, source: Source) -> Model | Graph:
        """See `kir.load`."""
        if is_onnx_file(source):
            return self.load_named(source)[0]
        shapes = parse_shapes(self.input_shapes)
        from kir.modeling.divisible_sizes import given_sizes

        try:
            return self._of_any(source)
        except KirError:
            if not shapes:
                raise
        with given_sizes(shapes):
            return self._of_any(source)

    def _of_any(self, source: Source) -> Model | Graph:
        return self._of_file(os.fspath(source)) if isinstance(source, str | os.PathLike) else self._of_object(source)

    def _of_file(self, source: str) -> Model:
        path, name = split_name(source)
        if not path.exists():
            raise FormatError(f"there is no file {path}; {EXPECTED}")
        if path.suffix == ".py":
            return self._of_script(path, name)
        if path.suffix in KERAS_SUFFIXES and path.is_file():
            return self._of_keras_file(path)
        from kir.importers.other_formats import what_else

        raise FormatError(what_else(path) or f"cannot read {path}; {EXPECTED}")

    def _of_keras_file(self, path: Path) -> Model:
        from kir.importers.keras_file import load_keras_model
        from kir.importers.keras_packages import holds_live_layers, load_with_keras

        objects = self._objects()
        if path.suffix != ".json" and holds_live_layers(objects):
            return self._of_live_model(load_with_keras(path, objects))
        return load_keras_model(
            path,
            custom_objects=objects,
            weights=self._weights_path,
            on_lost_mask=self.on_lost_mask or "warn",
            outputs=self.outputs,
        )

    def _of_script(self, path: Path, name: str | None) -> Model:
        from kir.importers.script import load_script

        if self.custom_objects is not None:
            raise InvalidArgumentError(
                f"--custom-objects is for Keras files; {path} is a script, which can import {self.custom_objects}"
            )
        return self._cut(load_script(path, name, self.on_lost_mask, self._weights_path))

    def _of_object(self, source: Model | Graph | KerasModel) -> Model | Graph:
        from kir.importers.keras_live import is_keras_model
        from kir.ir.graph import Graph
        from kir.modeling.model import Model

        if isinstance(source, Model | Graph):
            sizes = {"batch": self.batch, "input_shapes": self.input_shapes} if isinstance(source, Graph) else {}
            refuse_options(f"is for what is read from a file; received {source!r}", **self._of_layers(), **sizes)
            return source
        if not is_keras_model(source):
            raise InvalidArgumentError(
                f"cannot load {reprlib.repr(source)}; {EXPECTED}, or a model of Keras or of kir, or a graph of kir"
            )
        return self._of_live_model(source)

    def _of_live_model(self, source: KerasLayer) -> Model:
        from kir.importers.keras_live import model_from_keras
        from kir.modeling.divisible_sizes import build_fitting

        with config.lost_masks(self.on_lost_mask or "warn"):
            return self._cut(
                build_fitting(lambda: model_from_keras(source, definitions=self._objects, weights=self._weights_path))
            )

    def _objects(self) -> Mapping[str, object]:
        """Return the custom objects by name, for which a script is run, or a module imported."""
        if isinstance(self.custom_objects, str | os.PathLike):
            from kir.importers.keras_packages import is_module_name, module_objects
            from kir.importers.script import run_script

            given = os.fspath(self.custom_objects)
            return module_objects(given) if is_module_name(given) else run_script(Path(given))
        return self.custom_objects or {}

    @property
    def _weights_path(self) -> Path | None:
        return None if self.weights is None else Path(self.weights)

    def _cut(self, model: Model) -> Model:
        """Leave off the end of a model that does not come from a file."""
        if not self.outputs:
            return model
        from kir.importers.cutting import cut_model

        return cut_model(model, self.outputs)


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else reprlib.repr(source)
