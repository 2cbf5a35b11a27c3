"""Looking at every layer of a description before anything is made, to say at once all that kir lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kir.backend.keras_operations import OPERATIONS
from kir.errors import FormatError, UnsupportedError
from kir.importers.keras_file.descriptions import (
    INNER_LAYERS,
    FileOrigin,
    custom_object,
    is_operation,
    is_recorded,
    lambda_arguments,
    layer_of_keras_3,
    layers_at,
    message_of,
    name_of,
    short,
)
from kir.importers.keras_file.packages import how_to_give_layer
from kir.importers.keras_file.unused import MODEL_NAMES
from kir.layers.unsupported import UNSUPPORTED
from kir.modeling.layer import Layer
from kir.modeling.registry import KERAS_PACKAGES
from kir.support.naming import join_path


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
            f"{origin.path}: {path or 'the model'} is no layer with a class_name; received {short(description)}"
        )
    config = description.get("config")
    if not isinstance(config, dict | list) or (isinstance(config, list) and description["class_name"] != "Sequential"):
        raise FormatError(f"{origin.path}: the config of {path or 'the model'} is {short(config)}; expected an object")


def _inner_descriptions(description: Mapping[str, Any], path: str, origin: FileOrigin) -> list[tuple[str, Any]]:
    config = description["config"]
    if description["class_name"] in MODEL_NAMES and not is_operation(description):
        inner = config if isinstance(config, list) else config.get("layers")
        if not isinstance(inner, list):
            raise FormatError(f"{origin.path}: the config of {path or 'the model'} has no list of layers")
        return [(join_path(path, name_of(layer)), layer) for layer in inner]
    return [(join_path(path, name_of(layer)), layer) for key in INNER_LAYERS for layer in layers_at(config, key)]


def _reason_against(description: Mapping[str, Any], origin: FileOrigin) -> str | None:
    """Return why kir cannot make a layer; None if it can, as far as can be told from outside."""
    name, config = description["class_name"], description["config"]
    if custom_object(description, origin) is not None:
        return None
    if is_recorded(description, origin):
        from kir.importers.keras_file.recorded import reason_against_recorded  # start-up time: few files have them

        return reason_against_recorded(description)
    if is_operation(description):
        return None if name in OPERATIONS else f"the operation {name} is not supported"
    if not _is_of_keras(description):
        if origin.path.suffix == ".py":
            return (
                f"{name} of module {description.get('module')!r} is not a class of Keras; define it at the top of the "
                f"script, outside of functions, where it is found by its name"
            )
        return f"{how_to_give_layer(description)}{_others_given(origin)}"
    if origin.layer(name) is None and name not in MODEL_NAMES:
        from kir.importers.keras_file.keras2_layers import OLD_UNSUPPORTED  # start-up time: only errors need it

        reason = (UNSUPPORTED | OLD_UNSUPPORTED).get(name)
        return how_to_give_layer(description) if reason is None else f"{name} {reason}"
    return _reason_against_config(name, config, origin) if isinstance(config, dict) else None


def _others_given(origin: FileOrigin) -> str:
    """Return which classes of layers were given instead."""
    given = [name for name, value in origin.custom_objects.items() if isinstance(value, type)]
    names = [name for name in given if ">" not in name and issubclass(origin.custom_objects[name], Layer)]
    return f"; those that were given are {', '.join(names)}" if names else ""


def _reason_against_config(name: str, config: Mapping[str, Any], origin: FileOrigin) -> str | None:
    if name == "Lambda":
        try:
            lambda_arguments(config, origin)
        except UnsupportedError as error:
            return message_of(error)
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
