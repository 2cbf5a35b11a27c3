"""The model of Keras's description of one, without Keras: names are looked up in kir's own tables, never imported.

description ── survey ──> everything unsupported, at once
            ── Builder ──> layers made from their configs; then called, in the order of their inputs
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kir.errors import FormatError, InvalidArgumentError, KirError, TraceError, UnsupportedError
from kir.importers.keras_file.calls import find_output, has_graph, parse_calls
from kir.importers.keras_file.descriptions import (
    INNER_LAYERS,
    FileOrigin,
    custom_object,
    is_operation,
    is_recorded,
    lambda_arguments,
    layers_at,
    message_of,
    name_of,
    short,
)
from kir.importers.keras_file.document import Reference, as_reference, is_reference, revive
from kir.importers.keras_file.functions import resolve_functions, without_training
from kir.importers.keras_file.keras2 import MEANINGLESS, modern_arguments, with_old_functions
from kir.importers.keras_file.operations import make_operation
from kir.importers.keras_file.survey import require_none, survey
from kir.importers.keras_file.unused import FUNCTIONAL_NAMES
from kir.ir.dims import Sym
from kir.modeling.divisible_sizes import GIVEN_SIZES
from kir.modeling.functional import KerasTensor, record_call
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.operation import Operation
from kir.modeling.parameters import call_parameters, first_call_parameter
from kir.modeling.sequential import Sequential
from kir.support.limits import MAX_CALLS, MAX_ELEMENTS
from kir.support.naming import join_path
from kir.support.trees import flatten, map_structure

# Names of the first parameter of `call`, in Keras's layers, for calls that give it by name.
INPUT_NAMES = ("inputs", "x", "sequences", "sequence", "input", "query")


def build_model(description: object, origin: FileOrigin) -> Model:
    """Return the model that a description is of. Its weights are those that the initializers draw.

    Raises:
        UnsupportedError: it has layers, or uses of layers, that kir lacks; all are listed.
        FormatError: the description is not one that Keras writes.
    """
    survey(description, origin)
    assert isinstance(description, dict), "the survey refuses anything else"
    builder = Builder(origin)
    try:
        model = builder.make_layer(description, "")
    except RecursionError:
        raise FormatError(f"{origin.path}: its models are nested too deeply") from None
    except UnsupportedError as error:
        builder.problems.append(message_of(error))
    require_none(builder.problems, origin)
    if not isinstance(model, Model):
        raise FormatError(f"{origin.path} describes a {type(model).__name__}; expected a model")
    return model


class Builder:
    """The maker of the layers of a description. Uses that turn out to be unsupported are collected in `problems`."""

    def __init__(self, origin: FileOrigin) -> None:
        self.origin = origin
        self.problems: list[str] = []
        self._costs: dict[int, int] = {}

    def make_layer(self, description: Mapping[str, Any], path: str) -> Layer:
        """Return the layer, operation or model; without weights.

        Raises:
            FormatError: its config cannot be used.
            UnsupportedError: its config asks for something that kir cannot do.
        """
        name, config = description["class_name"], description["config"]
        custom = custom_object(description, self.origin)
        with self._described(path, name):
            if custom is not None:
                return self._make_custom(custom, description, path)
            if is_recorded(description, self.origin):
                from kir.importers.keras_file.recorded import make_recorded  # start-up time: few files have them

                return make_recorded(description, name_of(description))
            if is_operation(description):
                return make_operation(name, {**revive(config), "name": name_of(description)})
        if name == "Sequential":
            return self._make_sequential(config, path)
        if name in FUNCTIONAL_NAMES:
            return self._make_functional(config, path)
        inner: dict[str, Any] = {}
        for key in INNER_LAYERS:
            made = [self.make_layer(layer, join_path(path, name_of(layer))) for layer in layers_at(config, key)]
            if made:
                inner[key] = made if isinstance(config[key], list) else made[0]
        with self._described(path, name):
            cls = self.origin.layer(name)
            assert cls is not None, "the survey found it"
            return cls.from_config(self._arguments(description, path) | inner)

    def _make_custom(self, custom: object, description: Mapping[str, Any], path: str) -> Layer:
        if not isinstance(custom, type) or not issubclass(custom, Layer):
            raise InvalidArgumentError(
                f"the custom object {description['class_name']!r} is {custom!r}; "
                f"expected a subclass of kir.layers.Layer"
            )
        config = resolve_functions(description["config"], self.origin.custom_objects)
        layer = custom.from_config(with_old_functions(config) if self.origin.is_old else config)
        if not isinstance(layer, Layer):
            raise InvalidArgumentError(f"{custom.__name__}.from_config returned {layer!r}; expected a layer")
        build_config = description.get("build_config")
        # Other layers are built when the model calls them; the model itself by shapes that are given, if any are.
        is_given = not path and GIVEN_SIZES.get()
        if isinstance(layer, Model) and isinstance(build_config, dict) and not is_given:
            layer.build_from_config(build_config)
        return layer

    def _arguments(self, description: Mapping[str, Any], path: str) -> dict[str, Any]:
        name, config = description["class_name"], description["config"]
        arguments = {key: value for key, value in config.items() if key not in INNER_LAYERS}
        if name == "InputLayer":
            return _input_arguments(arguments, name_of(description))
        if name == "Lambda":
            return lambda_arguments(arguments, self.origin)
        resolved = without_training(resolve_functions(arguments, self.origin.custom_objects))
        return modern_arguments(name, resolved, self.origin.version) if self.origin.is_old else resolved

    def _make_sequential(self, config: list[Any] | Mapping[str, Any], path: str) -> Model:
        descriptions = config if isinstance(config, list) else config["layers"]
        with self._described(path, "Sequential"):
            model = Sequential(name=None if isinstance(config, list) else config.get("name"))
        self._costs[id(model)] = 0
        layers: dict[str, Layer] = {}
        for index, description in enumerate(descriptions):
            self._collect(layers, str(index), description, join_path(path, name_of(description)))
        if self.problems:
            return Sequential()
        for description, layer in zip(descriptions, layers.values(), strict=True):
            with self._described(join_path(path, layer.name), description["class_name"]):
                self._append(model, layer, path)
            self._count_call(model, layer)
        shape = config.get("build_input_shape") if isinstance(config, dict) else None
        if not model.built and isinstance(shape, list):
            with self._described(path, "Sequential"):
                model.build(tuple(shape))
        return model

    def _append(self, model: Sequential, layer: Layer, path: str) -> None:
        if not model.operations and layer.batch_input_shape is not None:
            shape, name = layer.batch_input_shape, f"{layer.name}_input"
            model.add(InputLayer(batch_shape=shape, dtype=layer.input_dtype, name=name))
        try:
            model.add(layer)
        except UnsupportedError as error:
            self.problems.append(f"{join_path(path, layer.name)}: {message_of(error)}")

    def _collect(self, layers: dict[str, Layer], name: str, description: Mapping[str, Any], path: str) -> None:
        """Make a layer, or note why that is not supported. The model can then not be made: nobody will see it."""
        try:
            layers[name] = self.make_layer(description, path)
        except UnsupportedError as error:
            self.problems.append(f"{path}: {message_of(error)}")

    def _make_functional(self, config: Mapping[str, Any], path: str) -> Model:
        """Make a functional model, or a stand-in where something is not supported: see `_collect`."""
        layers: dict[str, Layer] = {}
        calls: dict[str, list[tuple[Any, Any]]] = {}
        for description in config["layers"]:
            name = name_of(description)
            if name in layers:
                raise FormatError(f"{self.origin.path}: two layers of {path or 'the model'} are named {name!r}")
            self._collect(layers, name, description, join_path(path, name))
        if self.problems:
            return Sequential()
        for description in config["layers"]:
            name = name_of(description)
            with self._described(join_path(path, name), description["class_name"]):
                calls[name] = parse_calls(description.get("inbound_nodes"), layers[name], layers)
        results = self._call_all(layers, calls, path)
        if self.problems:
            return Sequential()
        with self._described(path, "Functional"):
            inputs, outputs = (
                self._map_tensors(config.get(key), layers, results) for key in ("input_layers", "output_layers")
            )
            trainable = config.get("trainable")
            model = Model(inputs, outputs, name=config.get("name"), trainable=trainable is None or trainable)
        self._costs[id(model)] = 0
        for call in model.recorded:
            self._count_call(model, call.layer)
        return model

    def _call_all(
        self, layers: Mapping[str, Layer], calls: Mapping[str, Sequence[tuple[Any, Any]]], path: str
    ) -> dict[tuple[str, int], list[KerasTensor]]:
        """Return the flat outputs of each call. What depends on a call that failed is left out, as that was."""
        results: dict[tuple[str, int], list[KerasTensor]] = {
            (name, 0): [layer.tensor] for name, layer in layers.items() if isinstance(layer, InputLayer)
        }
        for name, index in self._order(calls, results, path):
            args, kwargs = calls[name][index]
            references = [leaf for leaf in flatten((args, kwargs)) if isinstance(leaf, Reference)]
            if any((one.layer, one.call) not in results for one in references):
                continue
            with self._described(join_path(path, name), type(layers[name]).__name__):
                if not references:
                    raise FormatError("it is called without any tensor")
                given_args, given_kwargs = map_structure(lambda leaf: find_output(leaf, results), (args, kwargs))
                try:
                    results[name, index] = flatten(self._call(layers[name], given_args, given_kwargs))
                except UnsupportedError as error:
                    self.problems.append(f"{join_path(path, name)}: {message_of(error)}")
        return results

    def _call(self, layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        args, kwargs = tuple(args), dict(kwargs)
        if not isinstance(layer, Operation):
            kwargs = {key: value for key, value in kwargs.items() if value is not None}
            if not args:
                names = (first_call_parameter(type(layer)), *INPUT_NAMES)
                given = next((key for key in names if key in kwargs), None)
                args = () if given is None else (kwargs.pop(given),)
            unknown = sorted(set(kwargs) - call_parameters(type(layer)) - {"mask", "training"})
            if unknown or not args:
                raise UnsupportedError(f"{type(layer).__name__} is called with {', '.join(unknown) or 'no input'}")
        outputs = record_call(layer, args, kwargs)
        for tensor in flatten(outputs):
            elements = 1
            for size in tensor.type.shape:
                elements *= 1 if isinstance(size, Sym) else size
            if elements > MAX_ELEMENTS:
                raise FormatError(f"its output has {elements} elements; at most {MAX_ELEMENTS} are read")
        return outputs

    def _order(
        self, calls: Mapping[str, Sequence[Any]], results: Mapping[Any, Any], path: str
    ) -> Iterator[tuple[str, int]]:
        """Yield every call after those whose outputs it takes, and after the earlier calls of its layer. O(calls)."""
        done = set(results)
        under_way: set[tuple[str, int]] = set()
        for start in [(name, index) for name, made in calls.items() for index in range(len(made))]:
            stack = [start]
            while stack:
                call = stack[-1]
                if call in done:
                    stack.pop()
                    continue
                missing = [one for one in self._required(call, calls, path) if one not in done]
                if not missing:
                    done.add(call)
                    yield call
                    continue
                if call in under_way:
                    raise FormatError(
                        f"{self.origin.path}: layer {join_path(path, call[0])} depends on its own output; "
                        f"the file is damaged"
                    )
                under_way.add(call)
                stack.extend(reversed(missing))

    def _required(
        self, call: tuple[str, int], calls: Mapping[str, Sequence[Any]], path: str
    ) -> Iterator[tuple[str, int]]:
        name, index = call
        if name not in calls or not 0 <= index < len(calls[name]):
            raise FormatError(f"{self.origin.path}: there is no call {index} of a layer {join_path(path, name)!r}")
        if index:
            yield name, index - 1
        for leaf in flatten(calls[name][index]):
            if isinstance(leaf, Reference):
                yield leaf.layer, leaf.call

    def _map_tensors(
        self, structure: object, layers: Mapping[str, Layer], results: Mapping[tuple[str, int], Sequence[KerasTensor]]
    ) -> Any:
        """Return input or output tensors from `[layer, call, output]`, or lists and dicts of them.

        The calls of a functional model inside are counted from 1 here even in Keras 3; Keras 2 writes one tensor as a
        list of one.
        """
        if is_reference(structure):
            return self._find_tensor(as_reference(structure), layers, results)
        if self.origin.is_old and isinstance(structure, list) and len(structure) == 1:
            return self._map_tensors(structure[0], layers, results)
        if isinstance(structure, dict) and structure:
            return {key: self._map_tensors(item, layers, results) for key, item in structure.items()}
        if isinstance(structure, list) and structure:
            return [self._map_tensors(item, layers, results) for item in structure]
        raise FormatError(f"{short(structure)} refers to no tensor; expected [layer, call, output]")

    def _find_tensor(
        self, given: Reference, layers: Mapping[str, Layer], results: Mapping[tuple[str, int], Sequence[KerasTensor]]
    ) -> Any:
        layer = layers.get(given.layer)
        is_counted_from_1 = has_graph(layer) and (self.origin.is_old or not isinstance(layer, Sequential))
        found = Reference(given.layer, given.call - is_counted_from_1, given.output)
        if (found.layer, found.call) not in results:
            raise FormatError(f"there is no call {given.call} of a layer {given.layer!r}")
        return find_output(found, results)

    def _count_call(self, model: Model, layer: Layer) -> None:
        """Add what calling a layer costs to what calling the model does, and refuse what unrolls without end."""
        inner = sum(self._costs.get(id(one), 1) for one in (layer, *layer.sublayers()) if isinstance(one, Model))
        self._costs[id(model)] += max(1, inner)
        if self._costs[id(model)] > MAX_CALLS:
            raise FormatError(
                f"{self.origin.path}: model {model.name!r} unrolls to more than {MAX_CALLS} calls of layers; "
                f"its models are called too often inside each other"
            )

    @contextmanager
    def _described(self, path: str, class_name: str) -> Iterator[None]:
        """Say in every error which layer of which file it is about."""
        where = f"{self.origin.path}: layer {path or 'of the model'} ({class_name})"
        try:
            yield
        except UnsupportedError:
            raise
        except (FormatError, TraceError) as error:
            if str(error).startswith(str(self.origin.path)):
                raise
            raise type(error)(f"{where}: {message_of(error)}") from error
        except KirError as error:
            raise FormatError(f"{where}: {message_of(error)}") from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            raise FormatError(f"{where} cannot be used as it is described: {type(error).__name__}: {error}") from error


def _input_arguments(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    arguments = {key: value for key, value in config.items() if key not in MEANINGLESS}
    if "batch_input_shape" in arguments:
        arguments["batch_shape"] = arguments.pop("batch_input_shape")
    dtype = arguments.get("dtype")
    if isinstance(dtype, dict):
        arguments["dtype"] = dtype["config"]["name"]
    shape = arguments.get("batch_shape")
    if isinstance(shape, list) and any(isinstance(size, str) for size in shape):
        raise FormatError(f"batch_shape is {shape}; expected sizes and null")
    return arguments | {"name": name}
