"""The cases are complete: of every layer that kir has, every argument is away from its default in one of them, some
size is unknown and a mask comes in.

What a case has is read from what Keras writes, as test_models.py has it written, read, exported and compared. An
argument is away from its default if Keras would write another config were it given the default. What a file does not
keep (`use_cudnn`, the `weights` of an Embedding) is nothing that it could have. The `attention_axes` of a
MultiHeadAttention alone are not told apart: Keras writes those that it found when it built the layer.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import keras
from keras.src import backend
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

import kir.layers
from tests.importers.keras_file.cases import CASES

# What the cases must have of a layer, beside its arguments and those of its calls.
A_CASE = "a case"
UNKNOWN_SIZES = "unknown sizes"
MASK = "a mask"

# By every name that a file may have for them.
LAYERS: dict[str, Any] = {
    name: cls
    for name, cls in vars(keras.layers).items()
    if isinstance(cls, type) and hasattr(kir.layers, name) and name not in ("InputLayer", "Layer")
} | {cls.__name__: cls for cls in (CustomScaleLayer, LayerScale, StochasticDepth)}

# Arguments that mean nothing for the numbers at inference, and those that end like these.
MEANINGLESS = {
    "name": "a word",
    "trainable": "what training changes",
    "seed": "what training draws",
    "training": "of a call, which is one at inference",
    "dtype": "of every layer alike: float16, float64, mixed_float16 and policy_bfloat16 of cases.py",
    "quantization_config": "how to quantize; a layer of floats has nothing of it",
}
OF_TRAINING = ("_initializer", "_regularizer", "_constraint")

NEEDS_TENSORFLOW = "Keras makes it with TensorFlow only: tests/layers/test_categorical.py, test_text.py, test_assets.py"
ONE_STEP = "its input is one step, (batch, features)"
STEPS = "kir needs to know the number of steps, Keras all other sizes"
EXCUSED: dict[tuple[str, str], str] = {
    ("HashedCrossing", A_CASE): NEEDS_TENSORFLOW,
    ("Hashing", A_CASE): NEEDS_TENSORFLOW,
    ("IntegerLookup", A_CASE): NEEDS_TENSORFLOW,
    ("StringLookup", A_CASE): NEEDS_TENSORFLOW,
    ("TextVectorization", A_CASE): NEEDS_TENSORFLOW,
    ("Lambda", A_CASE): "bytecode in a file: tests/layers/test_core.py, test_loading.py",
    ("Wrapper", A_CASE): "only a base of others",
    ("Equalization", A_CASE): "Keras cannot call it on a symbolic tensor: tests/layers/test_augmentation.py",
    ("BatchNormalization", "synchronized"): "Keras allows it with TensorFlow only; it means nothing at inference",
    ("Discretization", "sparse"): "Keras allows it with TensorFlow only; kir refuses it",
    ("Resizing", "fill_mode"): "Keras has but one",
    ("RandomCrop", "data_format"): "Keras contradicts itself about it: tests/layers/test_augmentation.py",
    ("RandomCrop", UNKNOWN_SIZES): "Keras contradicts itself about them: tests/layers/test_augmentation.py",
    **{(f"{name}Cell", UNKNOWN_SIZES): ONE_STEP for name in ("GRU", "LSTM", "SimpleRNN")},
    ("StackedRNNCells", UNKNOWN_SIZES): ONE_STEP,
    **{(f"ConvLSTM{rank}D", UNKNOWN_SIZES): STEPS for rank in (1, 2, 3)},
}


def test_every_argument_of_every_layer_has_a_case() -> None:
    needed, seen = collect()
    missing = {(cls.__name__, what) for cls in needed for what in needed[cls] - seen[cls]}
    assert missing - set(EXCUSED) == set()
    assert set(EXCUSED) - missing == set(), "these excuses are no longer needed"


def written(layer: Any, argument: str) -> Any:
    """An argument as a file has it. A single axis is the same in a list: Keras puts it into one when it builds."""
    value = json.loads(json.dumps(layer.get_config().get(argument), default=repr))
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def layers_described(config: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the class and the config of every layer in a model's config, at any depth."""
    pending = [config]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            if found.get("class_name") in LAYERS and str(found.get("module")).startswith("keras"):
                yield LAYERS[found["class_name"]], found["config"]
            pending.extend(found.values())
        elif isinstance(found, list):
            pending.extend(found)


def made(cls: Any, config: dict[str, Any]) -> Any:
    return cls.from_config(copy.deepcopy(config))


def is_away(cls: Any, config: dict[str, Any], argument: str) -> bool:
    """Return whether a layer has another value of the argument than its default, or cannot do without."""
    parameters = [inspect.signature(base.__init__).parameters.get(argument) for base in cls.__mro__]
    defaults = [found.default for found in parameters if found is not None]
    if defaults and defaults[0] is inspect.Parameter.empty:
        return True
    # One that no constructor names is among its keywords.
    others = {key: value for key, value in config.items() if key != argument}
    layer = made(cls, config)
    try:
        other = made(cls, others | ({argument: defaults[0]} if defaults else {}))
    except (TypeError, ValueError):
        return True
    return bool(written(other, argument) != written(layer, argument))


def matters(argument: str) -> bool:
    return argument not in MEANINGLESS and not argument.endswith(OF_TRAINING)


def requirements(layer: Any) -> set[str]:
    """What the cases must have of a layer: arguments that a file keeps, those of calls, unknown sizes, a mask."""
    called = list(inspect.signature(layer.call).parameters.values())[1:]
    names = [one.name for one in called if one.kind is not one.VAR_KEYWORD]
    takes_masks = layer.supports_masking or "mask" in names
    return {
        *(argument for argument in layer.get_config() if matters(argument)),
        *(of_a_call(name) for name in names if matters(name) and name != "mask"),
        UNKNOWN_SIZES,
        *([MASK] if takes_masks else []),
    }


def of_a_call(argument: str) -> str:
    return MASK if argument == "mask" else f"{argument} of a call"


def seen_in_calls(layer: Any) -> Iterator[str]:
    """What the calls of a layer in a model have."""
    signature = inspect.signature(layer.call)
    for node in layer._inbound_nodes:
        given = signature.bind(*node.arguments.args, **node.arguments.kwargs).arguments
        for name, value in given.items():
            is_given = any(leaf is not None for leaf in keras.tree.flatten(value))
            if is_given and value is not signature.parameters[name].default:
                yield of_a_call(name)
        if any(None in tensor.shape[1:] for tensor in node.input_tensors):
            yield UNKNOWN_SIZES
        if any(backend.get_keras_mask(tensor) is not None for tensor in node.input_tensors):
            yield MASK


def collect() -> tuple[dict[Any, set[str]], dict[Any, set[str]]]:
    """For each class of layers what the cases must have of it, and what they have."""
    needed: dict[Any, set[str]] = {cls: {A_CASE} for cls in LAYERS.values()}
    seen: dict[Any, set[str]] = defaultdict(set)
    for build in CASES.values():
        model = build(None)
        described = list(layers_described(json.loads(model.to_json())))
        for cls, config in described:
            if A_CASE not in seen[cls]:
                needed[cls] |= requirements(made(cls, config))
                seen[cls].add(A_CASE)
            arguments = needed[cls].intersection(config) - seen[cls]
            seen[cls].update(argument for argument in arguments if is_away(cls, config, argument))
        # A layer that another one makes for itself is in the model, but not in the file.
        names = {(cls, config["name"]) for cls, config in described}
        for layer in model._flatten_layers():
            if (type(layer), layer.name) in names:
                seen[type(layer)].update(seen_in_calls(layer))
    return needed, seen
