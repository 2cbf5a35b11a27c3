"""Writing models as Keras does: the description of `to_json`, and `.keras` files.

Source: https://keras.io/api/models/model_saving_apis/
"""

from __future__ import annotations

import functools
import inspect
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kir import backend as K
from kir.activations import hard_sigmoid_of_keras_2
from kir.backend.keras_operations import OPERATIONS
from kir.errors import FormatError, UnsupportedError
from kir.exporters.weights import write_h5
from kir.ir.dims import Sym
from kir.ir.types import DType
from kir.layers.core import Lambda
from kir.layers.keras2 import OfKeras2
from kir.modeling.functional import KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer, to_config
from kir.modeling.model import Model
from kir.modeling.operation import Operation
from kir.modeling.registry import to_plain
from kir.modeling.sequential import Sequential
from kir.modeling.weight_names import CONFIG, METADATA, WEIGHTS, named_weights
from kir.modeling.weight_owner import walk_layers
from kir.support.files import replacing
from kir.support.mapped_files import require_unchanged
from kir.support.naming import snake_case

OLD_ACTIVATION = hard_sigmoid_of_keras_2.__name__
# Tensors, as the inputs and outputs of a model are given.
Structure: TypeAlias = "KerasTensor | Mapping[str, Structure] | Sequence[Structure]"

# The first whose configs have all that kir writes.
KERAS_VERSION = "3.10.0"
# Files with the same content are the same bytes: no date, as zip has it.
_NO_DATE = (1980, 1, 1, 0, 0, 0)

# Where Keras has the classes of operations: in keras.src.ops.numpy, but for these.
_MODULES = {
    "activations.activations": "Mish ReLU",
    "ops.core": "Cast ConvertToTensor Slice SliceUpdate StopGradient Unstack",
    "ops.image": "CropImages ExtractPatches PadImages Resize",
    "ops.linalg": "Norm",
    "ops.math": "Erf Logsumexp Rsqrt TopK",
    "ops.nn": """
        AdaptiveAveragePool AdaptiveMaxPool AveragePool Celu Conv ConvTranspose DepthwiseConv DotProductAttention Elu
        Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments
        Normalize OneHot Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign SparsePlus
        SparseSigmoid Sparsemax Squareplus TanhShrink Threshold
    """,
}
OPERATION_MODULES = {name: module for module, names in _MODULES.items() for name in names.split()}
# The names of arguments that are those of a call; all others are an operation's config.
_OF_CALLS = """
a atol bias choicelist condition condlist constant_values default depthwise_kernel fill_value gamma beta images indices
inputs kernel key mask operands pointwise_kernel query rtol scale start start_indices step stop updates value variable
weights x x1 x2 xs
"""
CALL_ARGUMENTS = frozenset(_OF_CALLS.split())
# Config arguments that are called like those of calls.
_CONFIG_ARGUMENTS = {"Resize": {"fill_value"}, "AllClose": {"rtol", "atol"}}
# What kir.backend calls the arguments of operations otherwise.
_RENAMED = {"Dot": {"x": "x1", "y": "x2"}}
_CLASSES = {id(function): name for name, function in OPERATIONS.items()} | {
    id(getattr(K, snake_case(name))): name for name in OPERATIONS if hasattr(K, snake_case(name))
}


def save_model(model: Model, path: Path) -> None:
    """Write a model with its weights as a `.keras` file, as `keras.Model.save` does.

    Raises:
        FormatError: the name ends otherwise, the target cannot be written, or the file that the weights are read from
            changed.
        UnsupportedError: Keras could not read the file, or would compute something else: the model is a subclass, or
            has a function without a name, one that is no operation of Keras, or a layer of Keras 2.
    """
    if path.suffix != ".keras":
        raise FormatError(f"cannot save a model to {path}: expected a name ending in .keras")
    description = to_json(model)
    layers: list[Layer] = list(walk_layers(model))
    for layer in layers:
        if isinstance(layer, Model) and layer.is_subclassed:
            raise UnsupportedError(
                f"{layer.name!r} is a subclass of Model, whose files need its code; use save_weights, and the script"
            )
        if isinstance(layer, Lambda) and "<" in getattr(layer.function, "__qualname__", ""):
            raise UnsupportedError(
                f"layer {layer.name!r} has a function without a name of its own, which Keras's files hold as bytecode; "
                f"write it as a function at the top of the script"
            )
    with replacing(path) as written, zipfile.ZipFile(written, "w") as archive:
        _write_entry(archive, METADATA, json.dumps({"keras_version": KERAS_VERSION}).encode())
        _write_entry(archive, CONFIG, description.encode())
        weights = written.with_name("weights.h5")
        write_h5(model, weights)
        with archive.open(zipfile.ZipInfo(WEIGHTS, _NO_DATE), "w", force_zip64=True) as entry, weights.open("rb") as h5:
            while piece := h5.read(1 << 24):
                entry.write(piece)
        weights.unlink()
        require_unchanged(weight.array for weight in named_weights(model).values())


def to_json(model: Model, **options: Any) -> str:
    """Return a model's description as text; `options` are those of `json.dumps`.

    Raises:
        UnsupportedError: see `describe`, or the model has layers of Keras 2 that Keras 3 lacks or computes otherwise.
    """
    found: list[Layer] = list(walk_layers(model))
    has_masks = any(tensor.mask_type is not None for layer in found for call in layer.calls for tensor in call.inputs)
    for layer in found:
        dtypes = {tensor.type.dtype for call in layer.calls for tensor in call.inputs}
        if isinstance(layer, OfKeras2) and not layer.is_same_in_keras_3(dtypes, has_masks):
            raise UnsupportedError(
                f"layer {layer.name!r} is a {layer.keras_class_name} of Keras 2, which Keras 3 lacks or computes "
                f"otherwise; export the model to ONNX"
            )
    text = json.dumps(describe(model), **options)
    if f'"{OLD_ACTIVATION}"' in text:
        raise UnsupportedError("the model uses the hard_sigmoid of Keras 2, which Keras 3 lacks; export it to ONNX")
    return text


def _write_entry(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _NO_DATE), content)


def describe(layer: Layer) -> dict[str, Any]:
    """Return a layer, model or operation as Keras's files describe it, in values that JSON can hold.

    Raises:
        UnsupportedError: it is a recorded function that is no operation of Keras, or is called with something that
            Keras's files do not hold.
    """
    if not isinstance(layer, Operation):
        description = dict(_plain(to_config(layer)))
        if isinstance(layer, InputLayer):
            # Keras has no names for unknown sizes.
            sizes = description["config"]["batch_shape"]
            description["config"]["batch_shape"] = [None if isinstance(size, str) else size for size in sizes]
        return description
    name, config = _operation(layer)
    module = f"keras.src.{OPERATION_MODULES.get(name, 'ops.numpy')}"
    return dict(_plain({"module": module, "class_name": name, "config": config, "registered_name": name}))


def model_config(model: Model) -> dict[str, Any]:
    """Return the config of a functional or sequential model: its layers and, of a functional one, how they are called.

    Raises:
        UnsupportedError: see `describe`.
    """
    if isinstance(model, Sequential):
        config = {**model.shared_config(), "layers": [describe(layer) for layer in model.operations]}
        return config | ({"build_input_shape": _plain(list(model.input_shape))} if model.built else {})
    places = _places(model)
    inbound: dict[int, list[Any]] = {id(layer): [] for layer in model.operations}
    for call in model.recorded:
        args, kwargs = _call_arguments(call.layer, call.arguments)
        inbound[id(call.layer)].append(
            {"args": [_described(one, places) for one in args], "kwargs": _described(kwargs, places)}
        )
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": [
            {**describe(layer), "name": layer.name, "inbound_nodes": inbound[id(layer)]} for layer in model.operations
        ],
        "input_layers": _references(model.input_structure, places),
        "output_layers": _references(model.output_structure, places),
    }


def _places(model: Model) -> dict[int, tuple[str, int]]:
    """Return for each call, by its id, the name of its layer and which of that layer's calls in the model it is."""
    counts: dict[int, int] = {}
    places = {id(x.call): (x.call.layer.name, 0) for x in model.inputs}
    for call in model.recorded:
        index = counts.get(id(call.layer), 0)
        counts[id(call.layer)] = index + 1
        places[id(call)] = (call.layer.name, index)
    return places


def _references(structure: Structure, places: Mapping[int, tuple[str, int]]) -> Any:
    """Return inputs or outputs as `[layer, call, output]`; Keras counts the calls of a functional model from 1 here."""
    if isinstance(structure, KerasTensor):
        name, index = places[id(structure.call)]
        is_functional = isinstance(structure.call.layer, Model) and not isinstance(structure.call.layer, Sequential)
        return [name, index + is_functional, structure.index]
    if isinstance(structure, Mapping):
        return {key: _references(one, places) for key, one in structure.items()}
    return [_references(one, places) for one in structure]


def _described(value: object, places: Mapping[int, tuple[str, int]]) -> Any:
    if isinstance(value, KerasTensor):
        history = [*places[id(value.call)], value.index]
        config = {"shape": list(value.shape), "dtype": value.dtype, "keras_history": history}
        return {"class_name": "__keras_tensor__", "config": config}
    if isinstance(value, Mapping):
        return {key: _described(one, places) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_described(one, places) for one in value]
    return _plain(value)


def _plain(value: object) -> Any:
    """Return a value of a config as JSON can hold it.

    Raises:
        UnsupportedError: Keras's files hold nothing of the kind.
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, slice):
        bounds = {name: _plain(getattr(value, name)) for name in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": bounds}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(value, DType):
        return value.keras_name
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, Sym):
        raise UnsupportedError(f"Keras's files hold no unknown size such as {value}; write -1 or None for it")
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value)
    raise UnsupportedError(f"Keras's files hold nothing like {value!r}; give it as a number, a text or an array")


def _operation(layer: Operation) -> tuple[str, dict[str, Any]]:
    """Return Keras's class for a recorded function, and its config: the arguments that are no part of a call."""
    name, given = _arguments(layer, layer.calls[0].arguments if layer.calls else ((), {}))
    kept = {key: value for key, value in given.items() if not _is_of_call(name, key)}
    return name, {"name": layer.name, **kept}


def _call_arguments(
    layer: Layer, arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a recorded call as Keras writes them; of an operation, those outside its config.

    They are given by position as long as none is left out.
    """
    if not isinstance(layer, Operation):
        return list(arguments[0]), arguments[1]
    name, given = _arguments(layer, arguments)
    if "operands" in given:
        return list(given["operands"]), {}
    names = [key for key in inspect.signature(_function(layer)).parameters if _is_of_call(name, key)]
    count = next((index for index, key in enumerate(names) if key not in given), len(names))
    rest = {_renamed(name, key): given[key] for key in names[count:] if key in given}
    return [given[key] for key in names[:count]], rest


def _arguments(layer: Operation, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return Keras's class for a recorded function, and all arguments of a call by kir's names, bound ones among them.

    Raises:
        UnsupportedError: it is no operation of Keras.
    """
    function, (args, kwargs) = _function(layer), arguments
    if id(function) not in _CLASSES:
        raise UnsupportedError(
            f"{getattr(function, '__name__', function)} ({layer.name!r}) is no operation that Keras's files hold; put "
            f"it into a Lambda, with a function at the top of the script"
        )
    if isinstance(layer.function, functools.partial):
        args, kwargs = (*layer.function.args, *args), {**layer.function.keywords, **kwargs}
    return _CLASSES[id(function)], dict(inspect.signature(function).bind_partial(*args, **kwargs).arguments)


def _function(layer: Operation) -> Any:
    return layer.function.func if isinstance(layer.function, functools.partial) else layer.function


def _renamed(class_name: str, argument: str) -> str:
    return _RENAMED.get(class_name, {}).get(argument, argument)


def _is_of_call(class_name: str, argument: str) -> bool:
    name = _renamed(class_name, argument)
    return name in CALL_ARGUMENTS and name not in _CONFIG_ARGUMENTS.get(class_name, ())
