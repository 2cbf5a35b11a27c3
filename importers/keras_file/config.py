"""From Keras's description of a model to the model, without Keras: names are looked up in kir's own tables, never
imported.

    description ── survey ──> everything unsupported, at once
                ── Builder ──> layers made from their configs; then called, in the order of their inputs

Two forms are read. Keras 3 writes calls as `{"args": …, "kwargs": …}` with tensors inside; Keras 2 as lists of
`[layer, call, output, kwargs]`, and counts the calls of a model inside a model from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import kir.layers
from kir.backend.keras_operations import OPERATIONS
from kir.errors import FormatError, InvalidArgumentError, KirError, TraceError, UnsupportedError
from kir.importers.keras_file.document import Reference, as_reference, is_reference, revive
from kir.importers.keras_file.functions import (
    function_of_keras,
    known_name,
    resolve_function,
    resolve_functions,
)
from kir.importers.keras_file.keras2 import MEANINGLESS, modern_arguments, old_function, with_old_functions
from kir.importers.keras_file.operations import make_operation
from kir.importers.keras_file.unused import FUNCTIONAL_NAMES, MODEL_NAMES
from kir.ir.dims import Sym
from kir.layers.unsupported import UNSUPPORTED
from kir.modeling.functional import KerasTensor, record_call
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.operation import Operation
from kir.modeling.parameters import call_parameters
from kir.modeling.registry import KERAS_PACKAGES
from kir.modeling.sequential import Sequential
from kir.support.limits import MAX_CALLS, MAX_ELEMENTS
from kir.support.trees import flatten, map_structure

OTHER_NAMES = {
    # The name of its class in Keras's code, which .h5 files have.
    "GroupedQueryAttention": "GroupQueryAttention",
    # As Keras 2 registers it.
    "Custom>CustomScaleLayer": "CustomScaleLayer",
}
# Where the configs of wrappers keep a layer inside, or a list of them.
INNER_LAYERS = ("layer", "forward_layer", "backward_layer", "cell", "cells", "layers")

# Names of the first parameter of `call`, in Keras's layers, for calls that give it by name.
INPUT_NAMES = ("inputs", "x", "sequences", "sequence", "input", "query")


@dataclass(frozen=True)
class FileOrigin:
    """Where a description comes from, and the version of the Keras that wrote it."""

    path: Path
    version: str = "3"
    custom_objects: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_old(self) -> bool:
        """Return whether Keras 2 or 1 wrote the file."""
        return self.version[:1] in ("1", "2")

    def layer(self, name: str) -> type[Layer] | None:
        """Return the class of layers that a file has this name for; None if kir has none."""
        if self.is_old:
            from kir.importers.keras_file.keras2_layers import OLD_LAYERS  # start-up time: few files are so old

            return OLD_LAYERS.get(name) or layer_of_keras_3(name)
        return layer_of_keras_3(name)


def layer_of_keras_3(name: object) -> type[Layer] | None:
    """Return the class of layers of this name, of which only the module is imported; None if kir has none."""
    found = getattr(kir.layers, OTHER_NAMES.get(name, name), None) if isinstance(name, str) else None
    return found if isinstance(found, type) and issubclass(found, Layer) and found is not Layer else None


def build_model(description: object, origin: FileOrigin) -> Model:
    """Return the model that a description is of. Its weights are those that the initializers draw.

    Raises:
        UnsupportedError: it has layers, or uses of layers, that kir lacks; all are listed.
        FormatError: the description is not one that Keras writes.
    """
    if origin.version.startswith("1"):
        raise UnsupportedError(
            f"{origin.path} was written by Keras {origin.version}, whose configs and weights are laid out otherwise; "
            f"load it with Keras 2.2 and save it again"
        )
    survey(description, origin)
    assert isinstance(description, dict), "the survey refuses anything else"
    builder = Builder(origin)
    try:
        model = builder.make_layer(description, "")
    except RecursionError:
        raise FormatError(f"{origin.path}: its models are nested too deeply") from None
    except UnsupportedError as error:
        builder.problems.append(_message(error))
    builder.require_supported()
    if not isinstance(model, Model):
        raise FormatError(f"{origin.path} describes a {type(model).__name__}; expected a model")
    return model


# Looking before anything is made


def survey(description: object, origin: FileOrigin) -> None:
    """Look at every layer of every model inside.

    Raises:
        UnsupportedError: lists all that kir lacks.
        FormatError: something is not described as Keras describes it.
    """
    problems: list[str] = []
    pending: list[tuple[str, Any]] = [("", description)]
    while pending:
        path, layer = pending.pop()
        _require_layer(layer, path, origin)
        reason = _reason_against(layer, origin)
        if reason is not None:
            problems.append(f"{path or layer.get('name') or 'the model'}: {reason}")
            continue
        pending.extend(reversed(_inner_descriptions(layer, path, origin)))
    require_none(problems, origin)


def require_none(problems: Sequence[str], origin: FileOrigin) -> None:
    """Raise one UnsupportedError that lists the problems, if there are any."""
    if not problems:
        return
    count = f"{len(problems)} of its layers are" if len(problems) > 1 else "one of its layers is"
    raise UnsupportedError(f"{origin.path}: {count} not supported:\n" + "\n".join(f"  {one}" for one in problems))


def _require_layer(description: object, path: str, origin: FileOrigin) -> None:
    if not isinstance(description, dict) or not isinstance(description.get("class_name"), str):
        raise FormatError(
            f"{origin.path}: {path or 'the model'} is no layer with a class_name; received {_short(description)}"
        )
    config = description.get("config")
    if not isinstance(config, dict | list) or (isinstance(config, list) and description["class_name"] != "Sequential"):
        raise FormatError(f"{origin.path}: the config of {path or 'the model'} is {_short(config)}; expected an object")


def _inner_descriptions(description: Mapping[str, Any], path: str, origin: FileOrigin) -> list[tuple[str, Any]]:
    """Return the layers inside a model or a wrapper, with their paths."""
    config = description["config"]
    if description["class_name"] in MODEL_NAMES and not _is_operation(description):
        inner = config if isinstance(config, list) else config.get("layers")
        if not isinstance(inner, list):
            raise FormatError(f"{origin.path}: the config of {path or 'the model'} has no list of layers")
        return [(_join(path, _name(layer)), layer) for layer in inner]
    return [(_join(path, _name(layer)), layer) for key in INNER_LAYERS for layer in _layers_at(config, key)]


def _reason_against(description: Mapping[str, Any], origin: FileOrigin) -> str | None:
    """Return why kir cannot make a layer; None if it can, as far as can be told from outside."""
    name, config = description["class_name"], description["config"]
    if _custom_object(description, origin) is not None:
        return None
    if _is_operation(description):
        return None if name in OPERATIONS else f"the operation {name} is not supported"
    if not _is_of_keras(description):
        what = f"{name} of module {description.get('module')!r} is not a class of Keras"
        if origin.path.suffix == ".py":
            return f"{what}; define it at the top of the script, outside of functions, where it is found by its name"
        return (
            f"{what}; give a kir layer of that name with --custom-objects file.py "
            f"(custom_objects={{{name!r}: the class}})"
        )
    if origin.layer(name) is None and name not in MODEL_NAMES:
        from kir.importers.keras_file.keras2_layers import OLD_UNSUPPORTED  # start-up time: only errors need it

        reason = (UNSUPPORTED | OLD_UNSUPPORTED).get(name)
        return f"there is no layer {name}" if reason is None else f"{name} {reason}"
    return _reason_against_config(name, config, origin) if isinstance(config, dict) else None


def _reason_against_config(name: str, config: Mapping[str, Any], origin: FileOrigin) -> str | None:
    if name == "Lambda":
        try:
            _lambda_arguments(config, origin)
        except UnsupportedError as error:
            return _message(error)
    policy = config.get("dtype")
    policy_class = policy.get("class_name") if isinstance(policy, dict) else None
    policy_config = policy.get("config") if isinstance(policy, dict) else None
    policy_name = policy_config.get("name") if isinstance(policy_config, dict) else policy
    if config.get("quantization_config") or str(policy_class).startswith("Quantized") or "_from_" in str(policy_name):
        return f"{name} is quantized ({policy_name}); save the model before model.quantize()"
    if policy_class not in (None, "DTypePolicy", "Policy"):
        return f"{name} has a dtype policy of class {policy_class}; expected a DTypePolicy"
    if config.get("lora_rank"):
        return f"{name} has LoRA weights (lora_rank={config['lora_rank']}); save a model whose weights are merged"
    if config.get("ragged"):
        return f"{name} takes ragged tensors, which ONNX lacks"
    return None


def _is_operation(description: Mapping[str, Any]) -> bool:
    """Return whether this is a function between layers; where no module says so, layers have `trainable` or a dtype."""
    module, name, config = description.get("module"), description["class_name"], description["config"]
    if isinstance(module, str):
        return module.startswith(("keras.src.ops", "keras.ops", "keras.src.activations"))
    if name not in OPERATIONS or "trainable" in config:
        return False
    return layer_of_keras_3(name) is None or "dtype" not in config


def _is_of_keras(description: Mapping[str, Any]) -> bool:
    """Return whether the class is Keras's own; another's may have the same name."""
    if "module" not in description:
        return True
    module, registered = description["module"], description.get("registered_name")
    return (
        isinstance(module, str)
        and module.split(".")[0] in KERAS_PACKAGES
        and (registered in (None, description["class_name"]) or layer_of_keras_3(registered) is not None)
    )


def _custom_object(description: Mapping[str, Any], origin: FileOrigin) -> Any:
    """Return the user's own class for a description, by its registered name or its class name."""
    name = known_name((description.get("registered_name"), description.get("class_name")), origin.custom_objects)
    return None if name is None else origin.custom_objects[name]


# Making layers and calling them


class Builder:
    """Makes the layers of a description. Uses that turn out to be unsupported are collected in `problems`."""

    def __init__(self, origin: FileOrigin) -> None:
        self.origin = origin
        self.problems: list[str] = []
        self._costs: dict[int, int] = {}

    def require_supported(self) -> None:
        """Raise one UnsupportedError that lists the problems, if there are any."""
        require_none(self.problems, self.origin)

    def make_layer(self, description: Mapping[str, Any], path: str) -> Layer:
        """Return the layer, operation or model; without weights.

        Raises:
            FormatError: its config cannot be used.
            UnsupportedError: its config asks for something that kir cannot do.
        """
        name, config = description["class_name"], description["config"]
        custom = _custom_object(description, self.origin)
        with self._described(path, name):
            if custom is not None:
                return self._make_custom(custom, description)
            if _is_operation(description):
                return make_operation(name, {**revive(config), "name": _name(description)})
        if name == "Sequential":
            return self._make_sequential(config, path)
        if name in FUNCTIONAL_NAMES:
            return self._make_functional(config, path)
        inner: dict[str, Any] = {}
        for key in INNER_LAYERS:
            made = [self.make_layer(layer, _join(path, _name(layer))) for layer in _layers_at(config, key)]
            if made:
                inner[key] = made if isinstance(config[key], list) else made[0]
        with self._described(path, name):
            cls = self.origin.layer(name)
            assert cls is not None, "the survey found it"
            return cls.from_config(self._arguments(description, path) | inner)

    def _make_custom(self, custom: object, description: Mapping[str, Any]) -> Layer:
        if not isinstance(custom, type) or not issubclass(custom, Layer):
            raise InvalidArgumentError(
                f"the custom object {description['class_name']!r} is {custom!r}; "
                f"expected a subclass of kir.layers.Layer"
            )
        config = resolve_functions(description["config"], self.origin.custom_objects)
        return custom.from_config(with_old_functions(config) if self.origin.is_old else config)

    def _arguments(self, description: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Return the constructor arguments of one of kir's layers, whatever version of Keras wrote them."""
        name, config = description["class_name"], description["config"]
        arguments = {key: value for key, value in config.items() if key not in INNER_LAYERS}
        if name == "InputLayer":
            return _input_arguments(arguments, _name(description))
        if name == "Lambda":
            return _lambda_arguments(arguments, self.origin)
        resolved = resolve_functions(arguments, self.origin.custom_objects)
        return modern_arguments(name, resolved, self.origin.version) if self.origin.is_old else resolved

    def _make_sequential(self, config: list[Any] | Mapping[str, Any], path: str) -> Model:
        descriptions = config if isinstance(config, list) else config["layers"]
        with self._described(path, "Sequential"):
            model = Sequential(name=None if isinstance(config, list) else config.get("name"))
        self._costs[id(model)] = 0
        layers: dict[str, Layer] = {}
        for index, description in enumerate(descriptions):
            self._collect(layers, str(index), description, _join(path, _name(description)))
        if self.problems:
            return Sequential()
        for description, layer in zip(descriptions, layers.values(), strict=True):
            with self._described(_join(path, layer.name), description["class_name"]):
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
            self.problems.append(f"{_join(path, layer.name)}: {_message(error)}")

    def _collect(self, layers: dict[str, Layer], name: str, description: Mapping[str, Any], path: str) -> None:
        """Make a layer, or note why that is not supported. The model can then not be made: nobody will see it."""
        try:
            layers[name] = self.make_layer(description, path)
        except UnsupportedError as error:
            self.problems.append(f"{path}: {_message(error)}")

    def _make_functional(self, config: Mapping[str, Any], path: str) -> Model:
        """Make a functional model, or a stand-in where something is not supported: see `_collect`."""
        layers: dict[str, Layer] = {}
        calls: dict[str, list[tuple[Any, Any]]] = {}
        for description in config["layers"]:
            name = _name(description)
            if name in layers:
                raise FormatError(f"{self.origin.path}: two layers of {path or 'the model'} are named {name!r}")
            self._collect(layers, name, description, _join(path, name))
        if self.problems:
            return Sequential()
        for description in config["layers"]:
            name = _name(description)
            with self._described(_join(path, name), description["class_name"]):
                calls[name] = _parse_calls(description.get("inbound_nodes"), layers[name], layers)
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
            with self._described(_join(path, name), type(layers[name]).__name__):
                if not references:
                    raise FormatError("it is called without any tensor")
                given_args, given_kwargs = map_structure(lambda leaf: _tensor(leaf, results), (args, kwargs))
                try:
                    results[name, index] = flatten(self._call(layers[name], given_args, given_kwargs))
                except UnsupportedError as error:
                    self.problems.append(f"{_join(path, name)}: {_message(error)}")
        return results

    def _call(self, layer: Layer, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        args, kwargs = tuple(args), dict(kwargs)
        if not isinstance(layer, Operation):
            kwargs = {key: value for key, value in kwargs.items() if value is not None}
            if not args:
                given = next((key for key in INPUT_NAMES if key in kwargs), None)
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
                        f"{self.origin.path}: layer {_join(path, call[0])} depends on its own output; "
                        f"the file is damaged"
                    )
                under_way.add(call)
                stack.extend(reversed(missing))

    def _required(
        self, call: tuple[str, int], calls: Mapping[str, Sequence[Any]], path: str
    ) -> Iterator[tuple[str, int]]:
        name, index = call
        if name not in calls or index >= len(calls[name]):
            raise FormatError(f"{self.origin.path}: there is no call {index} of a layer {_join(path, name)!r}")
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
        raise FormatError(f"{_short(structure)} refers to no tensor; expected [layer, call, output]")

    def _find_tensor(
        self, given: Reference, layers: Mapping[str, Layer], results: Mapping[tuple[str, int], Sequence[KerasTensor]]
    ) -> Any:
        layer = layers.get(given.layer)
        is_counted_from_1 = isinstance(layer, Model) and (self.origin.is_old or not isinstance(layer, Sequential))
        found = Reference(given.layer, given.call - is_counted_from_1, given.output)
        if (found.layer, found.call) not in results:
            raise FormatError(f"there is no call {given.call} of a layer {given.layer!r}")
        return _tensor(found, results)

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
            raise type(error)(f"{where}: {_message(error)}") from error
        except KirError as error:
            raise FormatError(f"{where}: {_message(error)}") from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            raise FormatError(f"{where} cannot be used as it is described: {type(error).__name__}: {error}") from error


def _message(error: KirError) -> str:
    """Return the message without the layer's path, which is said already."""
    return str(error.args[0]) if error.args else str(error)


# Reading descriptions


def _parse_calls(nodes: object, layer: Layer, layers: Mapping[str, Layer]) -> list[tuple[Any, Any]]:
    """Return the arguments of each call of a layer, tensors as references."""
    if not isinstance(nodes, list):
        raise FormatError(f"inbound_nodes is {_short(nodes)}; expected a list of calls")
    calls = [_parse_call(node) if isinstance(node, dict) else _parse_old_call(node, layer) for node in nodes]
    if all(isinstance(node, dict) for node in nodes):
        return calls
    return map_structure(lambda leaf: _counted_from_0(leaf, layers), calls)  # type: ignore[no-any-return]


def _counted_from_0(leaf: object, layers: Mapping[str, Layer]) -> Any:
    """Return a reference of Keras 2, which counts the calls of a model from 1: its own graph was the first."""
    if isinstance(leaf, Reference) and isinstance(layers.get(leaf.layer), Model):
        return Reference(leaf.layer, leaf.call - 1, leaf.output)
    return leaf


def _parse_call(node: Mapping[str, Any]) -> tuple[Any, Any]:
    args, kwargs = revive(node.get("args")), revive(node.get("kwargs"))
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict):
        raise FormatError(
            f"a call has the arguments {_short(args)} and {_short(kwargs)}; expected a list and an object"
        )
    return tuple(args), kwargs


def _parse_old_call(node: object, layer: Layer) -> tuple[Any, Any]:
    """Parse `[[layer, call, output, kwargs], …]`; further inputs of a recurrent layer are its initial state."""
    entries: list[Any] = node if isinstance(node, list) else [node]
    if (
        not all(isinstance(one, list) and len(one) in (3, 4) and is_reference(one[:3]) for one in entries)
        or not entries
    ):
        raise FormatError(f"a call has the inputs {_short(node)}; expected a list of [layer, call, output, kwargs]")
    kwargs: dict[str, Any] = {}
    for one in entries:
        if len(one) == 4 and isinstance(one[3], dict):
            kwargs |= one[3]
    given = [as_reference(one[:3]) for one in entries]
    old_kwargs = {key: _old_references(value) for key, value in kwargs.items()}
    if len(given) > 1 and "initial_state" in call_parameters(type(layer)):
        return (given[0],), old_kwargs | {"initial_state": given[1:]}
    return (given[0] if len(given) == 1 else given,), old_kwargs


def _old_references(value: object) -> Any:
    if is_reference(value):
        return as_reference(value)
    return [_old_references(item) for item in value] if isinstance(value, list) else revive(value)


def _tensor(leaf: object, results: Mapping[tuple[str, int], Sequence[KerasTensor]]) -> Any:
    if not isinstance(leaf, Reference):
        return leaf
    outputs = results[leaf.layer, leaf.call]
    if leaf.output >= len(outputs):
        raise FormatError(f"layer {leaf.layer!r} has {len(outputs)} outputs; output {leaf.output} is asked for")
    return outputs[leaf.output]


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


def _lambda_arguments(config: Mapping[str, Any], origin: FileOrigin) -> dict[str, Any]:
    find = partial(old_function, module=config.get("module")) if origin.is_old else function_of_keras
    dropped = {"module", "function_type", "output_shape_type", "output_shape_module", *MEANINGLESS}
    arguments = {key: value for key, value in config.items() if key not in dropped}
    for key in ("function", "output_shape", "mask"):
        if key in arguments:
            arguments[key] = resolve_function(key, arguments[key], str(config.get("name")), origin.custom_objects, find)
    if "arguments" in arguments:
        arguments["arguments"] = revive(arguments["arguments"])
    return arguments


def _layers_at(config: object, key: str) -> list[Any]:
    found = config.get(key) if isinstance(config, dict) else None
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _name(description: object) -> str:
    """Return a layer's name: Keras writes it twice, inside the config and beside it."""
    if not isinstance(description, dict):
        return "?"
    config = description.get("config")
    name = description.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return name if isinstance(name, str) else str(description.get("class_name", "?")).lower()


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
