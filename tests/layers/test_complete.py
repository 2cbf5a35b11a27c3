"""Every layer of the installed Keras, with its arguments and methods, is one of kir's, or its absence is explained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest

import kir
import kir.layers
from kir.layers.unsupported import UNSUPPORTED, UNSUPPORTED_ARGUMENTS, UNSUPPORTED_MEMBERS
from kir.modeling.functional import KerasTensor
from kir.modeling.parameters import constructor_parameters

# What keras.layers also holds: the base class, the shape of an input, and what Input makes.
NO_LAYERS = {"Layer", "InputSpec", "InputLayer"}
# Arguments that Keras gives some layers by position, and kir all of them by name.
BY_NAME = {"activity_regularizer", "dtype", "name", "trainable"}
# Arguments whose place kir's own arguments take: (class, argument).
OTHER_PLACES = {
    **dict.fromkeys(
        ("IntegerLookup", "StringLookup"), "the vocabulary's arguments come first; give the others by name"
    ),
}
# Arguments far behind, which a script gives by name, and kir takes by name alone in some classes.
NAMED = {"data_format", "encoding", "invert", "output_mode", "oov_method", "pad_to_max_tokens", "salt", "seed"}
NAMED |= {"sparse", "use_causal_mask"}
# Names of arguments that Keras itself is not at one about.
OTHER_NAMES = {
    "compute_mask": {"_", "previous_mask"},
    "SimpleRNNCell.call": {"sequence"},
    "from_config": {"safe_mode"},
    "quantized_build": {"config", "embeddings_shape", "kernel_shape"},
    "quantize": {"config", "filters"},
}
# Defaults that are something else here: (method or class, argument) and why.
OTHER_DEFAULTS = {
    ("Model.export", "format"): "ONNX is what kir exports",
    ("Sequential.export", "format"): "ONNX is what kir exports",
}
REQUIRED_ARGUMENTS: dict[str, Any] = {
    "activation": "relu",
    "axes": 1,
    "cropping": 1,
    "dims": (1,),
    "equation": "ab,bc->ac",
    "factor": 0.2,
    "filters": 2,
    "function": abs,
    "head_dim": 2,
    "height": 4,
    "height_factor": 0.2,
    "input_dim": 5,
    "kernel_size": 2,
    "key_dim": 3,
    "max_value": 1,
    "n": 2,
    "num_bins": 3,
    "num_heads": 2,
    "num_key_value_heads": 1,
    "num_query_heads": 2,
    "output_dim": 3,
    "output_shape": 3,
    "output_size": 2,
    "padding": 1,
    "pool_size": 2,
    "rate": 0.2,
    "scale": 2.0,
    "size": 2,
    "stddev": 0.1,
    "target_shape": (3,),
    "units": 2,
    "width": 4,
    "width_factor": 0.2,
}
OBJECTS: dict[str, Callable[[], Any]] = {
    "Bidirectional": lambda: kir.layers.Bidirectional(kir.layers.LSTM(2)),
    "CategoryEncoding": lambda: kir.layers.CategoryEncoding(num_tokens=2),
    "Discretization": lambda: kir.layers.Discretization([0.0, 1.0]),
    "InputLayer": lambda: kir.layers.InputLayer((2,)),
    "IntegerLookup": lambda: kir.layers.IntegerLookup(vocabulary=[1]),
    "Pipeline": lambda: kir.layers.Pipeline([kir.layers.RandomFlip()]),
    "RNN": lambda: kir.layers.RNN(kir.layers.LSTMCell(2)),
    "SpectralNormalization": lambda: kir.layers.SpectralNormalization(kir.layers.Dense(2)),
    "StackedRNNCells": lambda: kir.layers.StackedRNNCells([kir.layers.LSTMCell(2)]),
    "StringLookup": lambda: kir.layers.StringLookup(vocabulary=["a"]),
    "TimeDistributed": lambda: kir.layers.TimeDistributed(kir.layers.Dense(2)),
    "Wrapper": lambda: kir.layers.Wrapper(kir.layers.Dense(2)),
    "Layer": kir.layers.Layer,
    "Model": lambda: kir.Model(x := kir.Input((2,)), kir.layers.ReLU()(x)),
    "Sequential": lambda: kir.Sequential([kir.Input((2,)), kir.layers.ReLU()]),
    "KerasTensor": lambda: kir.Input((2,)),
}
NOT_FROM_CONFIG = {"HashedCrossing", "Hashing", "IntegerLookup", "Lambda", "RandomPosterization", "StringLookup"}
NOT_FROM_CONFIG |= {"TextVectorization"}
CLASSES: dict[str, tuple[Any, Any]] = {
    name: (value, getattr(kir.layers, name))
    for name, value in vars(keras.layers).items()
    if isinstance(value, type) and hasattr(kir.layers, name) and name not in ("InputSpec", "Layer")
} | {"Model": (keras.Model, kir.Model), "Sequential": (keras.Sequential, kir.Sequential)}


def test_every_layer_of_keras_is_here_or_its_absence_is_explained() -> None:
    """By all the names that Keras has for it. A layer that a new Keras brings shows up here."""
    names = {name for name, value in vars(keras.layers).items() if isinstance(value, type)}
    absent = names - NO_LAYERS - set(kir.layers.__all__)
    assert absent - set(UNSUPPORTED) == set(), "kir lacks these, and kir/layers/unsupported.py does not say why"
    assert set(UNSUPPORTED) - absent == set(), "kir has these, and kir/layers/unsupported.py says why it lacks them"


@pytest.mark.parametrize(("name", "said"), [("TFSMLayer", r"'TFSMLayer': it runs code"), ("Hash", r"'Hash'$")])
def test_asked_for_a_layer_that_it_lacks_kir_says_why(name: str, said: str) -> None:
    with pytest.raises(AttributeError, match=said):
        getattr(kir.layers, name)


def parameters(function: Any) -> list[inspect.Parameter]:
    return [one for one in inspect.signature(function).parameters.values() if one.name != "self"]


def is_named(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def plain(default: Any) -> Any:
    """Return a default in one form: (1, 1) for two axes is what 1 is, and an object may have a name."""
    if isinstance(default, tuple) and len(set(default)) == 1:
        return default[0]
    return kir.support.naming.snake_case(type(default).__name__) if hasattr(default, "get_config") else default


def differences(theirs: Any, ours: Any, accepted: dict[str, inspect.Parameter], place: str) -> Iterator[str]:
    """What a call of Keras's function could be given that a call of kir's could not, or would take for another."""
    given, own = parameters(theirs), parameters(ours)
    order = [one.name for one in own if one.kind == one.POSITIONAL_OR_KEYWORD]
    takes_more = any(one.kind == one.VAR_POSITIONAL for one in own)
    takes_any_name = any(one.kind == one.VAR_KEYWORD for one in own) and place != "__init__"
    method = place.rpartition(".")[2]
    ignored = OTHER_NAMES.get(method, set()) | OTHER_NAMES.get(place, set())
    for index, one in enumerate(given):
        # Every layer may be given `training` and `mask`, whether or not its `call` takes them.
        if not is_named(one) or one.name in ignored or (method == "call" and one.name in ("training", "mask")):
            continue
        found = accepted.get(one.name)
        if found is None:
            if not takes_any_name:
                yield one.name
            continue
        is_required = one.default is one.empty
        same = is_required or plain(one.default) == plain(found.default) or one.name in BY_NAME
        if not same and (place, one.name) not in OTHER_DEFAULTS:
            yield f"{one.name}={found.default!r}, which is {one.default!r} in Keras"
        is_placed = index < len(order) and order[index] == one.name
        is_placed = is_placed or (takes_more and index >= len(order))
        if one.kind == one.POSITIONAL_OR_KEYWORD and one.name not in BY_NAME | NAMED and not is_placed:
            yield f"{one.name} at place {index}"


@pytest.mark.quick
@pytest.mark.parametrize("name", CLASSES)
def test_constructors_take_the_arguments_of_keras(name: str) -> None:
    theirs, ours = CLASSES[name]
    found = set(differences(theirs.__init__, ours.__init__, constructor_parameters(ours), "__init__"))
    assert found <= set(UNSUPPORTED_ARGUMENTS)


def public(cls: Any) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def made(name: str) -> Any:
    if name in OBJECTS:
        return OBJECTS[name]()
    cls = CLASSES[name][1]
    required = [one.name for one in parameters(cls.__init__) if is_named(one) and one.default is one.empty]
    return cls(**{argument: REQUIRED_ARGUMENTS[argument] for argument in required})


@pytest.mark.parametrize("name", ["Layer", "KerasTensor", *CLASSES])
def test_objects_have_the_methods_and_properties_of_keras(name: str) -> None:
    theirs = CLASSES[name][0] if name in CLASSES else getattr(keras, name)
    layer = made(name)
    missing = {member for member in public(theirs) if not hasattr(type(layer), member) and not hasattr(layer, member)}
    # They need what does not exist yet: weights of a layer that is not built, an input of one that was not called.
    later = {"kernel", "embeddings", "input", "output", "key_dense", "query_dense", "value_dense", "output_dense"}
    assert missing - later <= set(UNSUPPORTED_MEMBERS)


def takes_masks(layer: Any) -> bool:
    return bool(layer.supports_masking) or "mask" in inspect.signature(layer.call).parameters


def test_masks_reach_the_layers_that_take_them_in_keras() -> None:
    """Keras makes lookups with TensorFlow only, and the others not from their configs."""
    pairs = {name: made(name) for name in CLASSES if name not in NOT_FROM_CONFIG}
    theirs = {name: CLASSES[name][0].from_config(layer.get_config()) for name, layer in pairs.items()}
    unlike = {name for name, layer in pairs.items() if takes_masks(layer) != takes_masks(theirs[name])}
    assert unlike == set(), "supports_masking, or a `mask` of call, as in Keras"


@pytest.mark.parametrize("name", ["Layer", *CLASSES])
def test_methods_take_the_arguments_of_keras(name: str) -> None:
    theirs, ours = CLASSES.get(name, (keras.Layer, kir.layers.Layer))
    found = []
    for method in public(theirs) & public(ours):
        if callable(getattr(theirs, method)) and callable(getattr(ours, method)):
            is_own = theirs is keras.Layer or any(method in vars(cls) for cls in before_layer(theirs))
            accepted = {one.name: one for one in parameters(getattr(ours, method))}
            if is_own:
                place = f"{name}.{method}"
                pairs = getattr(theirs, method), getattr(ours, method)
                found += [f"{method}: {one}" for one in differences(*pairs, accepted, place)]
    assert found == []


def before_layer(cls: Any) -> list[Any]:
    return list(cls.__mro__[: cls.__mro__.index(keras.Layer)])


def test_no_excuse_is_needed_no_more() -> None:
    """What is excused is missing somewhere."""
    missing_arguments = {
        one
        for theirs, ours in CLASSES.values()
        for one in differences(theirs.__init__, ours.__init__, constructor_parameters(ours), "__init__")
    }
    assert set(UNSUPPORTED_ARGUMENTS) <= missing_arguments
    classes = {**CLASSES, "KerasTensor": (keras.KerasTensor, KerasTensor)}
    missing_members = {
        member for name, (theirs, _) in classes.items() for member in public(theirs) if not hasattr(made(name), member)
    }
    assert set(UNSUPPORTED_MEMBERS) <= missing_members


def test_tensors_and_inputs_are_made_as_in_keras() -> None:
    assert not set(differences(keras.Input, kir.Input, {p.name: p for p in parameters(kir.Input)}, "Input"))
    assert public(keras.KerasTensor) - public(KerasTensor) <= set(UNSUPPORTED_MEMBERS)
