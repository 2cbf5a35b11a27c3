"""The names in each module of Keras, as kir has them: `NAMESPACES["layers"]["Dense"]` is `kir.layers.Dense`.

Source: https://keras.io/api/
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NoReturn

import kir.layers
from kir import activations, backend, config, constraints, initializers, regularizers
from kir.backend import image
from kir.config import as_dtype_policy as dtype_policy
from kir.errors import UnsupportedError
from kir.importers import keras_functions as functions
from kir.importers import keras_random
from kir.ir.trace import SymbolicOperators, Tensor, emit
from kir.layers.unsupported import UNSUPPORTED
from kir.modeling.functional import KerasTensor
from kir.modeling.input_spec import InputSpec
from kir.modeling.model import Model
from kir.modeling.sequential import Sequential
from kir.ops.opaque import for_training
from kir.support.trees import flatten, map_structure

# The first with `keras.ops`, whose numbers kir computes.
VERSION = "3.0.0"

_WITHOUT_TRAINING = 'put what only training needs under if __name__ == "__main__": and load the weights with --weights'
TRAINING = f"kir exports models and does not train them; {_WITHOUT_TRAINING}"


class Inert:
    """An optimizer, loss, metric or callback: made from any arguments, for `compile`, which uses none of them.

    What a class of the script's own, derived from it, asks of itself when it is made (`self.add_weight(...)`) gives
    another such object. It computes nothing.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        vars(self).update(kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return Inert()

    def __call__(self, *args: object, **kwargs: object) -> Any:
        leaves = flatten((args, list(kwargs.values())))
        traced = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if traced:
            # Inside a layer's `call`, where it may become a loss, which an export leaves out; `lower` refuses others.
            return emit(for_training(type(self).__name__), *traced)
        if any(isinstance(leaf, SymbolicOperators) for leaf in leaves):
            raise UnsupportedError(
                f"{type(self).__name__} computes nothing here, and a model was to be made of its result; {TRAINING}"
            )
        return Inert()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return an object made from the config."""
        return cls(**config)


class Refused:
    """Something of Keras that a script may import and mention, but not use.

    Args:
        name: its full name.
        reason: what to do instead.
    """

    def __init__(self, name: str, reason: str) -> None:
        self._name = name
        self._reason = reason

    def __getattr__(self, name: str) -> Refused:
        if name.startswith("_"):
            raise AttributeError(name)
        return Refused(f"{self._name}.{name}", self._reason)

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        raise UnsupportedError(f"{self._name}: {self._reason}")


class _InertClass(type):
    """The class of inert classes; a call with tensors is one of a function, such as `keras.losses.mse(y, x)`."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        made = super().__call__(*args, **kwargs)
        return made(*args) if any(isinstance(leaf, SymbolicOperators) for leaf in flatten(args)) else made


def inert_class(module: str, name: str) -> Any:
    """Return a class of that name whose objects do nothing."""
    return _InertClass(name, (Inert,), {"__module__": module})


def accept(*args: object, **kwargs: object) -> None:
    """Do nothing, for a setting of Keras that means nothing for an export."""


def no_scope(*args: object, **kwargs: object) -> contextlib.AbstractContextManager[None]:
    """Return a context that does nothing, for a `with` of Keras that means nothing for an export."""
    return contextlib.nullcontext()


def own_names(module: ModuleType, package: str) -> dict[str, Any]:
    """Return the public classes and functions of a module that were written in a package."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "").startswith(package)
    }


def _named(module: ModuleType, names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names.split()}


_SETTINGS = {"backend": functions.backend_name} | _named(
    config, "epsilon floatx image_data_format set_epsilon set_floatx set_image_data_format"
)
_POLICIES = {
    "LossScaleOptimizer": inert_class("keras.mixed_precision", "LossScaleOptimizer"),
    **dict.fromkeys(("DTypePolicy", "Policy"), dtype_policy),
    **dict.fromkeys(("dtype_policy", "global_policy"), functions.default_dtype_policy),
    **dict.fromkeys(("set_dtype_policy", "set_global_policy"), functions.set_dtype_policy),
}
_OPS = {
    name: function
    for name, function in own_names(backend, "kir.backend").items()
    if not isinstance(function, type) and function is not backend.operation
}
_INITIALIZERS = {
    name: value
    for name, value in own_names(initializers, "kir.initializers").items()
    if value not in (initializers.RandomInitializer, initializers.compute_fans)
}
_LAYERS = {
    # Those of keras.applications have no public name.
    name: getattr(kir.layers, name)
    for name in kir.layers.__all__
    if name not in ("CustomScaleLayer", "LayerScale", "StochasticDepth")
} | {"InputSpec": InputSpec, **_named(functions, "deserialize serialize")}
_DTYPES = _named(functions, "is_float_dtype is_int_dtype standardize_dtype")
_SERIALIZATION = {
    "deserialize_keras_object": functions.deserialize,
    "get_registered_name": functions.registered_name,
    "get_registered_object": functions.registered_object,
    "serialize_keras_object": functions.serialize,
}
_MODELS = {
    "Model": Model,
    "Sequential": Sequential,
    **_named(functions, "clone_model load_model model_from_json save_model"),
}
_REGISTRATION = _SERIALIZATION | {
    **dict.fromkeys(("CustomObjectScope", "custom_object_scope"), functions.custom_object_scope),
    "get_custom_objects": functions.custom_objects,
    "register_keras_serializable": functions.register,
}
_SAVING = _REGISTRATION | _named(functions, "load_model load_weights save_model save_weights")
_FUNCTIONS_OF_UTILS = """
clear_session normalize pack_x_y_sample_weight pad_sequences plot_model standardize_dtype to_categorical
unpack_x_y_sample_weight
"""
_UTILS = (
    _REGISTRATION
    | _named(functions, _FUNCTIONS_OF_UTILS)
    | {
        "is_keras_tensor": backend.is_keras_tensor,
        "set_random_seed": config.set_random_seed,
        **{f"{does}_interactive_logging": accept for does in ("disable", "enable")},
        "is_interactive_logging_enabled": accept,
        # Bases of a script's own classes, which only training uses.
        **{name: inert_class("keras.utils", name) for name in ("Progbar", "PyDataset", "Sequence")},
    }
)


def _registry(module: ModuleType) -> dict[str, Any]:
    return _named(module, "get serialize deserialize")


_MEANINGLESS_SETTINGS = """
disable_flash_attention disable_interactive_logging disable_traceback_filtering enable_flash_attention
enable_interactive_logging enable_traceback_filtering enable_unsafe_deserialization is_flash_attention_enabled
is_interactive_logging_enabled is_nnx_enabled is_traceback_filtering_enabled max_epochs max_steps_per_epoch set_backend
set_max_epochs set_max_steps_per_epoch
"""
# Where Keras 1 and 2 kept the layers, too.
OLD_LAYER_MODULES = """
advanced_activations convolutional core embeddings experimental experimental.preprocessing local merge noise
normalization pooling recurrent wrappers
"""

# The names in each module of Keras; "" is Keras itself.
NAMESPACES: Mapping[str, Mapping[str, Any]] = {
    "": _MODELS
    | {
        "Input": kir.layers.Input,
        "DTypePolicy": dtype_policy,
        "FloatDTypePolicy": dtype_policy,
        "KerasTensor": KerasTensor,
        "InputSpec": _LAYERS["InputSpec"],
        "Layer": kir.layers.Layer,
        "Initializer": initializers.Initializer,
        "Regularizer": regularizers.Regularizer,
        "Variable": functions.variable,
        "__version__": VERSION,
        "device": no_scope,
        "name_scope": no_scope,
        "remat": lambda function: function,
        "version": lambda: VERSION,
    }
    | {name: inert_class("keras", name) for name in ("Loss", "Metric", "Optimizer", "Quantizer")}
    | dict.fromkeys(("RematScope", "StatelessScope", "SymbolicScope"), no_scope),
    "activations": activations.ACTIVATIONS | _registry(activations),
    "backend": _OPS
    | _SETTINGS
    | _DTYPES
    | {"clear_session": functions.clear_session, "get_uid": functions.get_uid, "name_scope": no_scope}
    | {"ctc_batch_cost": inert_class("keras.backend", "ctc_batch_cost")},
    "config": _SETTINGS
    | {"dtype_policy": functions.default_dtype_policy, "set_dtype_policy": functions.set_dtype_policy}
    | dict.fromkeys(_MEANINGLESS_SETTINGS.split(), accept),
    "constraints": own_names(constraints, "kir.constraints") | _registry(constraints),
    "initializers": _INITIALIZERS | _registry(initializers),
    "layers": _LAYERS,
    **{f"layers.{name}": _LAYERS for name in OLD_LAYER_MODULES.split()},
    "dtype_policies": {
        "DTypePolicy": dtype_policy,
        "FloatDTypePolicy": dtype_policy,
        "deserialize": dtype_policy,
        "get": dtype_policy,
        "serialize": lambda policy: policy.get_config(),
    },
    "legacy": {"saving": _SERIALIZATION},
    "legacy.saving": _SERIALIZATION,
    "mixed_precision": _POLICIES,
    "models": _MODELS,
    "ops": _OPS,
    **{f"ops.{name}": _OPS for name in ("core", "linalg", "math", "nn", "numpy")},
    "ops.image": own_names(image, "kir.backend.image"),
    "random": {"SeedGenerator": inert_class("keras.random", "SeedGenerator"), **keras_random.FUNCTIONS},
    "preprocessing": {},
    "preprocessing.sequence": {"pad_sequences": functions.pad_sequences},
    "regularizers": own_names(regularizers, "kir.regularizers") | _registry(regularizers),
    "saving": _SAVING,
    "tree": {"flatten": flatten, "map_structure": map_structure},
    "utils": _UTILS,
    "utils.legacy": _SERIALIZATION,
    "utils.np_utils": _UTILS,
}

# Modules of things that only `compile` and `fit` use: any name in them is that of a class whose objects do nothing.
INERT = frozenset(
    {"callbacks", "distillation", "distribution", "losses", "metrics", "optimizers", "optimizers.legacy"}
    | {"optimizers.schedules", "quantizers"}
)

_DATA = f"kir reads no data, as it does not train; {_WITHOUT_TRAINING}"
_NEEDS_KERAS = "kir has no such models; where Keras is installed, its own are used"
_GRAPHS = "kir traces models itself; write a Lambda, or a class that derives from Layer"
_QUANTIZED = "kir exports layers in their own precision; quantize the exported file, with onnxruntime.quantization"
_PICTURES = "kir draws from the command line: kir plot model.py -o model.svg"

_WRITES_ONNX = "kir writes ONNX files: kir export model.py -o model.onnx"

_DATASETS = "image_dataset_from_directory text_dataset_from_directory timeseries_dataset_from_array"


def _all(reason: str, names: str, module: str = "") -> dict[str, str]:
    """Return the reason for each of the names, in a module."""
    return {f"{module}{name}": reason for name in names.split()}


# What may be imported but not used: modules, with everything inside, and single names.
REFUSED: Mapping[str, str] = {
    "applications": _NEEDS_KERAS,
    "backend.result_type": "cast to the dtype that is wanted, with keras.ops.cast",
    "datasets": _DATA,
    "export": _WRITES_ONNX,
    "saving.KerasFileEditor": "kir inspect model.keras shows what is in a file, and kir plot draws it",
    "utils.Config": "give settings as a dict or a types.SimpleNamespace",
    "wrappers": TRAINING,
    **{f"layers.{name}": f"it {reason}" for name, reason in UNSUPPORTED.items()},
    **_all(_DATA, f"image text {_DATASETS} sequence.TimeseriesGenerator sequence.skipgrams", "preprocessing."),
    **_all(_DATA, f"FeatureSpace array_to_img audio_dataset_from_directory bounding_boxes {_DATASETS}", "utils."),
    **_all(_DATA, "get_file img_to_array load_img save_img split_dataset", "utils."),
    **_all(_GRAPHS, "Function Operation utils.get_source_inputs"),
    **_all(_GRAPHS, "MAP_TO_NONE assert_same_paths assert_same_structure flatten_with_path is_nested", "tree."),
    **_all(_GRAPHS, "lists_to_tuples map_shape_structure map_structure_up_to pack_sequence_as traverse", "tree."),
    **_all(_PICTURES, "visualization utils.model_to_dot utils.vis_utils"),
    **_all(_QUANTIZED, "AWQDTypePolicy DTypePolicyMap GPTQDTypePolicy Int4DTypePolicy", "dtype_policies."),
    **_all(_QUANTIZED, "QuantizedDTypePolicy QuantizedFloat8DTypePolicy", "dtype_policies."),
}
# The same for TensorFlow.
REFUSED_OF_TENSORFLOW: Mapping[str, str] = {
    "saved_model": _WRITES_ONNX,
    **_all(TRAINING, "GradientTape distribute train"),
    **_all(_DATA, "data io"),
}
