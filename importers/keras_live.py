"""Models of the real Keras, built by a script where Keras is installed.

    keras.Model ── to_json ──> description, with the live functions ── build_model ──> kir.Model ── weights copied

Keras is asked for all it knows through the model's own methods; it is never imported here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, TypeVar

import numpy as np

from kir.errors import FormatError, KirError, UnsupportedError
from kir.importers.bounded_json import parse
from kir.importers.keras_backend import is_of_keras_3
from kir.importers.keras_file.config import Builder, build_model
from kir.importers.keras_file.descriptions import INNER_LAYERS, FileOrigin, layer_of_keras_3
from kir.importers.keras_layers import LiveLayer, NotBuiltError, call_on_zeros, count_from_0, weights_loaded
from kir.importers.keras_stand_in import PACKAGES
from kir.importers.rebinding import KerasLayer, Rebinder, as_array, is_of_keras, is_variable, keras_classes
from kir.ir.graph import Provenance
from kir.layers.unsupported import UNSUPPORTED
from kir.modeling.divisible_sizes import GIVEN_SIZES
from kir.modeling.input import Input
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.parameters import first_call_parameter
from kir.modeling.subclassing import arguments_of_shapes, connect, placeholders
from kir.support.trees import map_structure

T = TypeVar("T")
# What Keras says of a layer in its files: a JSON object, in which live functions stand in place of their names.
Description: TypeAlias = dict[str, Any]

LIVE_LAYERS = {LiveLayer.__name__: LiveLayer}
LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None}
# Variables of up to so many elements are drawn again, to see whether somebody has set them: about 10 ms.
MAX_DRAWN_AGAIN = 1 << 20
# What errors say in place of a script's name.
LIVE = Path("the model of Keras")
# A Lambda's functions: the key in the config, and the attribute.
LAMBDA_FUNCTIONS = {"function": "function", "output_shape": "_output_shape", "mask": "mask"}


def is_keras_model(value: object) -> TypeGuard[KerasLayer]:
    """Return whether this is a model of the real Keras."""
    return "Model" in keras_classes(value)


def is_keras_layer(value: object) -> TypeGuard[KerasLayer]:
    """Return whether this is a layer of the real Keras."""
    return "Layer" in keras_classes(value)


def layers_inside(model: KerasLayer) -> list[KerasLayer]:
    """Return all layers that a model of Keras owns, at any depth."""
    found: list[KerasLayer] = []
    pending = [model]
    while pending:
        owned = owned_layers(pending.pop())
        found.extend(owned)
        pending.extend(owned)
    return found


def model_from_keras(
    model: KerasLayer,
    path: Path | None = None,
    definitions: Callable[[], Mapping[str, object]] = dict,
    weights: Path | None = None,
) -> Model:
    """Return the same model, with its weights, built with kir.

    Args:
        model: a model of Keras that is built.
        path: the script that built it. The functions in its folder that Lambdas call are traced; for this they are
            copied, with kir's functions in place of Keras's. Without a script, all functions are copied that are not
            installed with a package.
        definitions: gives what the script defines where `keras` is kir: for models of Keras 2, the classes of layers
            that own layers, and subclassed models.
        weights: a file of weights to use instead of the model's, which stay what they are. Keras reads one that it
            wrote, for only Keras knows where the weights of layers are that kir traces.

    Raises:
        UnsupportedError: it is a subclass that the script does not keep, or has layers that kir has not, all listed.
        FormatError: it has no input shape, or the weights do not fit.
    """
    rebinder = Rebinder(path and path.parent)
    is_of_keras = weights is not None and weights.name.endswith((".h5", ".hdf5"))
    with weights_loaded(model, weights) if is_of_keras and weights is not None else contextlib.nullcontext():
        converted = _converted(model, path or LIVE, rebinder, definitions)
    if weights is not None and not is_of_keras:
        converted.load_weights(weights)
    converted.of_keras = model
    converted.loaded_from = Provenance("keras model", f"Keras {_keras_version(model)}".strip(), path)
    return converted


def _converted(
    model: KerasLayer, where: Path, rebinder: Rebinder, definitions: Callable[[], Mapping[str, object]]
) -> Model:
    if _is_of_user(model):
        return _traced_model(model, where, rebinder)
    if _kind_of_model(model) is None:
        return _redefined_model(model, where, definitions())
    return _described_model(model, where, rebinder, definitions)


def _described_model(
    model: KerasLayer, path: Path, rebinder: Rebinder, definitions: Callable[[], Mapping[str, object]]
) -> Model:
    """Return what Keras describes, built with kir."""
    _require_input_shape(model, path)
    description = _describe(model, path)
    _put_live_objects(description, model, rebinder)
    owns_layers = not is_of_keras_3(model) and any(
        _is_of_user(layer) and owned_layers(layer) for layer in layers_inside(model)
    )
    known = {**(definitions() if owns_layers else {}), **LIVE_LAYERS}
    converted = build_model(description, FileOrigin(path, _keras_version(model), known))
    if owns_layers:
        _save_and_load_weights(model, converted)
    else:
        _copy_weights(model, converted, path)
    return converted


def _traced_model(model: KerasLayer, path: Path, rebinder: Rebinder) -> Model:
    """Return a subclassed model as inputs of the shapes that it was built with, and one layer that runs its `call`."""
    arguments = _arguments_of(model, path)
    try:
        inputs, outputs = connect(live_layer(model, rebinder), *arguments, finds_indices=True)
    except KirError as error:
        # `build` of a model without one of its own only notes the shapes.
        if not isinstance(error, NotBuiltError) and not isinstance(error.__cause__, NotBuiltError):
            raise
        call_on_zeros(model, *arguments)
        inputs, outputs = connect(live_layer(model, rebinder), *arguments, finds_indices=True)
    converted = Model(inputs, outputs, name=model.name)
    _copy_weights(model, converted, path)
    return converted


def live_layer(layer: KerasLayer, rebinder: Rebinder) -> Layer:
    """Return kir's layer that calls one of the user's own as it is, with its weights."""
    converted = LiveLayer.from_config(_live_config(layer, rebinder))
    _copy_layer_weights(layer, converted, LIVE)
    return converted


def _arguments_of(model: KerasLayer, path: Path) -> tuple[list[Any], dict[str, Any]]:
    """Return inputs of the shapes that a model was built with, as arguments of its `call`."""
    if _kind_of_model(model) is not None:
        _require_input_shape(model, path)
        given = model.inputs[0] if _kind_of_model(model) == "Sequential" else model.input
        return [map_structure(lambda x: Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), given)], {}
    first = first_call_parameter(type(model))
    if given := GIVEN_SIZES.get():
        named = arguments_of_shapes(type(model), given)
        return ([named.pop(first)], named) if first in named else ([], named)
    shapes = dict(model._build_shapes_dict or {})
    if not shapes:
        raise FormatError(
            f"{path}: the model {model.name!r} has no input shape yet; give it with --input-shapes {first}:batch,…, or "
            f"call the model on an array, or call model.build(shape), before it is exported"
        )
    if len(shapes) == 1:
        return [placeholders(next(iter(shapes.values())))], {}
    named = {name.removesuffix("_shape"): placeholders(shape) for name, shape in shapes.items()}
    return ([named.pop(first)], named) if first in named else ([], named)


def _redefined_model(model: KerasLayer, path: Path, definitions: Mapping[str, object]) -> Model:
    """Return what the script makes of the same name where `keras` is kir, with the weights of a model of Keras 2.

    Only the model's `call` knows its layers, and it computes with TensorFlow's functions.
    """
    for found in definitions.values():
        if isinstance(found, Model) and found.name == model.name and type(found).__name__ == type(model).__name__:
            if len(model.weights) != len(found.weights):
                raise FormatError(
                    f"{path}: not all layers of {model.name!r} are built; call the model in the script, on an array"
                )
            _save_and_load_weights(model, found)
            return found
    raise UnsupportedError(
        f"{path}: {type(model).__name__} {model.name!r} is a subclass of keras.Model, and only its call knows the "
        f"layers; keep it in a global variable of the script, or make it functional: inputs = keras.Input(shape); "
        f"model = keras.Model(inputs, model.call(inputs))"
    )


def _require_input_shape(model: KerasLayer, path: Path) -> None:
    if not model.built or not model.inputs:
        raise FormatError(
            f"{path}: the model {model.name!r} has no input shape yet; begin it with keras.Input(shape), or call "
            f"model.build(shape) in the script"
        )


def _kind_of_model(layer: KerasLayer) -> str | None:
    """Return "Sequential" or "Functional", also for classes of the user's own; None for everything else."""
    classes = keras_classes(layer)
    return next((kind for kind in ("Sequential", "Functional") if kind in classes), None)


def _describe(model: KerasLayer, path: Path) -> Description:
    """Return Keras's own description, as in its files."""
    try:
        with warnings.catch_warnings(), _short_configs([model, *layers_inside(model)]):
            # About functions that only the description lacks; they are put in from the model.
            warnings.simplefilter("ignore")
            text = model.to_json()
    except Exception as error:
        raise UnsupportedError(
            f"{path}: Keras cannot describe the model {model.name!r}: {type(error).__name__}: {error}"
        ) from error
    description: Description = parse(text, f"the description of {model.name!r}")
    return description


@contextlib.contextmanager
def _short_configs(layers: Sequence[KerasLayer]) -> Iterator[None]:
    """Spare layers whose config is read from the model itself from describing it, while open."""
    changed = []
    try:
        # Those inside others first: what owns them is described with them.
        for layer in reversed(layers):
            config = _short_config(layer)
            if config is not None:
                # Past the layer's own __setattr__, which tracks what is set.
                object.__setattr__(layer, "get_config", functools.partial(dict, config))
                changed.append(layer)
        yield
    finally:
        for layer in changed:
            if "get_config" in vars(layer):
                object.__delattr__(layer, "get_config")


def _short_config(layer: KerasLayer) -> Description | None:
    """Return the config that Keras should give for a layer in place of its own; None to leave it alone."""
    classes = keras_classes(layer)
    if "Functional" in classes and not is_of_keras(type(layer)) and not _is_of_user(layer):
        config: Description = classes["Functional"](layer.input, layer.output, name=layer.name).get_config()
        return config
    if "Lambda" in classes or (_is_of_user(layer) and (is_of_keras_3(layer) or not owned_layers(layer))):
        return _config_of_all(layer)
    return None


def _config_of_all(layer: KerasLayer) -> Description:
    """Return the part of a config that all layers have."""
    # A quantized layer's policy is "int8_from_float32".
    policy = layer.dtype_policy.name.rpartition("_from_")[2]
    return {"name": layer.name, "trainable": layer.trainable, "dtype": policy}


def _put_live_objects(description: Description, model: KerasLayer, rebinder: Rebinder) -> None:
    """Replace what a description only names, the user's functions and objects, by what the model holds."""
    pending = [(description, model)]
    while pending:
        described, layer = pending.pop()
        kind = _kind_of_model(layer)
        if kind is not None and not _is_of_user(layer):
            described.update(module="keras", class_name=kind, registered_name=None)
        if "Lambda" in keras_classes(layer):
            _put_functions(described, layer, rebinder)
        elif _is_traced_as_it_is(layer, rebinder):
            _describe_as_live(described, layer, rebinder)
        elif _is_custom_layer(layer):
            _describe_as_lambda(described, layer, rebinder)
        else:
            _put_arguments(described["config"], layer, rebinder)
            if not {"IndexLookup", "TextVectorization"}.isdisjoint(keras_classes(layer)):
                _put_vocabulary(described["config"], layer)
            inner = list(_inner_pairs(described["config"], layer))
            traced = {one.name for _, one in inner if _kind_of_model(one) == "Functional" and _is_of_user(one)}
            if traced and "output_layers" in described["config"]:
                described["config"]["output_layers"] = count_from_0(described["config"]["output_layers"], traced)
            pending.extend(inner)


def _inner_pairs(config: Description, layer: KerasLayer) -> Iterator[tuple[Description, KerasLayer]]:
    """Yield the descriptions inside a description, with the layers that they are of."""
    if isinstance(config.get("layers"), list):
        by_name = {inner.name: inner for inner in getattr(layer, "operations", layer.layers)}
        for inner in config["layers"]:
            name = inner.get("name") or inner["config"].get("name")
            if name in by_name:
                yield inner, by_name[name]
    for key in INNER_LAYERS:
        if key == "layers":
            continue
        described, live = config.get(key), getattr(layer, key, None)
        pairs = zip(described, live, strict=True) if isinstance(described, list) and live else [(described, live)]
        yield from ((one, inner) for one, inner in pairs if isinstance(one, dict) and inner is not None)


def _put_functions(description: Description, layer: KerasLayer, rebinder: Rebinder) -> None:
    config = description["config"]
    config["arguments"] = dict(layer.arguments)
    for key, attribute in LAMBDA_FUNCTIONS.items():
        value = getattr(layer, attribute, None)
        if value is not None:
            config[key] = rebinder.value(value)
    description.update(LAMBDA)


def _put_arguments(config: Description, layer: KerasLayer, rebinder: Rebinder) -> None:
    """Put in activations, initializers and the like that are the user's own."""
    for key, value in config.items():
        if isinstance(value, dict) and key not in INNER_LAYERS and not _describes_keras(value):
            live = getattr(layer, key, None)
            if callable(live):
                config[key] = rebinder.value(live)


def _put_vocabulary(config: Description, layer: KerasLayer) -> None:
    """Put the tokens and idf_weights that a lookup layer has now in the place of those that it was made with."""
    if not layer.get_vocabulary(include_special_tokens=False):
        return
    config["vocabulary"] = layer.get_vocabulary()
    lookup = getattr(layer, "_lookup_layer", layer)
    if lookup.output_mode == "tf_idf":
        # After the tokens are zeros, up to max_tokens.
        config["idf_weights"] = np.asarray(lookup.idf_weights_const)[: len(config["vocabulary"])]


def _describes_keras(value: Description) -> bool:
    return str(value.get("module")).partition(".")[0] in PACKAGES and value.get("registered_name") is None


def _is_custom_layer(layer: KerasLayer) -> bool:
    """Return whether this is a layer of the user's own, without layers inside, which need more than one function."""
    return _is_of_user(layer) and not owned_layers(layer)


def _is_of_user(layer: KerasLayer) -> bool:
    """Return whether this is a layer of the user's own, or a model of Keras 3 that the user's own `call` defines."""
    classes = keras_classes(layer)
    if "Model" in classes:
        return is_of_keras_3(layer) and not is_of_keras(type(layer).call)
    return "Layer" in classes and not is_of_keras(type(layer))


def _describe_as_lambda(description: Description, layer: KerasLayer, rebinder: Rebinder) -> None:
    """Describe a layer of the user's own as a Lambda of its `call`; its variables become constants."""
    config = description["config"]
    config["function"] = rebinder.method(type(layer).call, layer)
    if not is_of_keras(type(layer).compute_mask):
        config["mask"] = rebinder.method(type(layer).compute_mask, layer)
    elif layer.supports_masking:
        config["mask"] = _same_mask
    description.update(LAMBDA)


def _is_traced_as_it_is(layer: KerasLayer, rebinder: Rebinder) -> bool:
    """Return whether a layer is called as Keras does: a model, a cell, a layer of a package, or one with layers inside.

    Others of the user's own may compute with TensorFlow's functions, which only a copy of their `call` can do.
    """
    if not is_of_keras_3(layer):
        return False
    if not _is_of_user(layer):
        # A file's quantized layers need classes that know all ways to quantize; a live layer knows its own.
        is_known = layer_of_keras_3(type(layer).__name__) is not None or type(layer).__name__ in UNSUPPORTED
        is_as_described = is_known and not any(map(_is_quantized, (layer, *layers_inside(layer))))
        return not is_as_described and "Model" not in keras_classes(layer) and type(layer).__name__ != "InputLayer"
    is_one_function = (
        not owned_layers(layer) and "Model" not in keras_classes(layer) and not hasattr(layer, "state_size")
    )
    return not (is_one_function and rebinder.copies(type(layer).call))


def _is_quantized(layer: KerasLayer) -> bool:
    """Return whether a layer of Keras computes otherwise than its config says: in integers, or with LoRA weights."""
    return getattr(layer, "quantization_mode", None) is not None or getattr(layer, "lora_enabled", False)


def _describe_as_live(description: Description, layer: KerasLayer, rebinder: Rebinder) -> None:
    description["config"] = _live_config(layer, rebinder)
    description.update(module="kir", class_name=LiveLayer.__name__, registered_name=None)


def _live_config(layer: KerasLayer, rebinder: Rebinder) -> Description:
    convert = functools.partial(layer_from_keras, rebinder=rebinder)
    return {**_config_of_all(layer), "live": layer, "owned": layers_inside(layer), "convert": convert}


def layer_from_keras(layer: KerasLayer, rebinder: Rebinder) -> Layer | None:
    """Return kir's layer for one of Keras's own, with weights that are drawn; None if kir has no such layer."""
    if not is_of_keras(type(layer)) or "Model" in keras_classes(layer) or _is_traced_as_it_is(layer, rebinder):
        return None
    if layer_of_keras_3(type(layer).__name__) is None:
        return None
    try:
        with warnings.catch_warnings(), _short_configs([layer, *layers_inside(layer)]):
            warnings.simplefilter("ignore")
            serialize = sys.modules["keras.src.saving.serialization_lib"].serialize_keras_object
            description = parse(json.dumps(serialize(layer)), f"the description of {layer.name!r}")
    except Exception:
        # Keras raises anything where a config holds what it cannot describe; the layer's own `call` needs no config.
        return None
    _put_live_objects(description, layer, rebinder)
    return Builder(FileOrigin(LIVE, "3", LIVE_LAYERS)).make_layer(description, layer.name)


def _same_mask(inputs: T, mask: T) -> T:
    return mask


def _copy_weights(model: KerasLayer, converted: Model, path: Path) -> None:
    """Copy weights layer by layer, by name; layers that were described as Lambdas have theirs in the graph."""
    pending: list[tuple[KerasLayer, Layer]] = [(model, converted)]
    while pending:
        source, target = pending.pop()
        if not isinstance(target, Model):
            _copy_layer_weights(source, target, path)
            continue
        by_name = {layer.name: layer for layer in source.layers}
        pending.extend((by_name[layer.name], layer) for layer in target.layers if layer.name in by_name)


def _save_and_load_weights(model: KerasLayer, converted: Model) -> None:
    """Copy weights through a file of Keras: only there the layers inside a layer of the user's own have an order."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "model.weights.h5")
        model.save_weights(saved)
        converted.load_weights(saved)
        for weight in converted.weights:
            # The numbers may lie in the file, which goes.
            weight.assign(np.array(weight.array))


def _copy_layer_weights(source: KerasLayer, target: Layer, path: Path) -> None:
    if isinstance(target, LiveLayer):
        target.mark_as_random(_drawn_variables(source))
    if isinstance(target, LiveLayer) or not target.weights:
        return
    try:
        target.set_weights(source.get_weights())
    except KirError as error:
        raise FormatError(f"{path}: the weights of {source.name!r} do not fit: {error}") from error
    drawn = _drawn_variables(source)
    for variable, weight in zip(source.weights, target.weights, strict=True):
        if id(variable) in drawn:
            weight.mark_as_random()


def _drawn_variables(layer: KerasLayer) -> set[int]:
    """Return the ids of the variables in a layer that are as its initializers draw them: an initializer draws the same
    again when it is called again. Nothing is said of those that are large.
    """
    found = set()
    for owner in (layer, *layers_inside(layer)):
        for name, variable in list(vars(owner).items()):
            initializer = getattr(owner, f"{name.lstrip('_')}_initializer", None) if is_variable(variable) else None
            if initializer is None or not isinstance(getattr(initializer, "seed", None), int):
                continue
            if "RandomInitializer" in keras_classes(initializer) and math.prod(variable.shape) <= MAX_DRAWN_AGAIN:
                again = as_array(initializer(variable.shape, dtype=variable.dtype))
                if np.array_equal(again, as_array(variable)):
                    found.add(id(variable))
    return found


def owned_layers(layer: KerasLayer) -> list[KerasLayer]:
    """Return the layers that a layer of Keras owns: tracked as `_layers`, and as attributes by wrappers."""
    owned = list(getattr(layer, "layers", None) or getattr(layer, "_layers", None) or ())
    return [inner for inner in owned if inner is not layer]


def _keras_version(model: KerasLayer) -> str:
    """Return the version of the Keras that the model is of."""
    package = keras_classes(model)["Model"].__module__.partition(".")[0]
    return str(getattr(sys.modules.get(package), "__version__", ""))
