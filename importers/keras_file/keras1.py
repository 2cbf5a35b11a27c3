"""Descriptions of models of Keras 1 in the words of Keras 2.

What training alone needs (initializers, regularizers, constraints) is left out: it has other words, and files hold the
weights.

Source: `keras/legacy/interfaces.py` of Keras 2.2.4, which takes the old words; the layers of Keras 1.2.2, which write
them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kir.errors import FormatError, UnsupportedError
from kir.importers.bounded_json import walk

Config = dict[str, Any]

# How the graph was called in a model of several inputs before Keras 1, which had no layers between them.
GRAPH = "Graph"
CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Container": "Model",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}
MERGES = {"ave": "Average", "concat": "Concatenate", "dot": "Dot", "max": "Maximum", "mul": "Multiply", "sum": "Add"}
NAMES = {
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "dropout_U": "recurrent_dropout",
    "dropout_W": "dropout",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "length": "size",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
# The sizes of windows, one word for each axis.
WINDOWS = (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3"))
ORDERINGS = {"tf": "channels_last", "th": "channels_first"}
# Layers that look at images in an order that their configs do not say: that of the whole model.
ORDERED = frozenset({"Cropping2D", "Cropping3D", "UpSampling2D", "UpSampling3D", "ZeroPadding2D", "ZeroPadding3D"})
# What says nothing about what a layer computes, in an export.
DROPPED = frozenset({"consume_less", "init", "inner_init", "input_dim", "input_length", "output_shape_type"})
DROPPED_ENDINGS = ("_regularizer", "_constraint", "_init")
# Words that only configs of Keras 1 have.
OWN_WORDS = frozenset({"border_mode", "consume_less", "dim_ordering", "nb_filter"})


def is_of_keras_1(description: object) -> bool:
    """Return whether a description that does not say its version has words of Keras 1."""
    return any(isinstance(one, dict) and _has_own_words(one) for _, one in walk(description))


def _has_own_words(layer: Mapping[str, Any]) -> bool:
    config = layer.get("config")
    is_dense = layer.get("class_name") == "Dense" and isinstance(config, Mapping) and "output_dim" in config
    return is_dense or not OWN_WORDS.isdisjoint(layer)


def in_words_of_keras_2(description: object, is_of_keras: Callable[[str], bool]) -> Any:
    """Return the description of a model of Keras 1 as Keras 2 would write it; what is none is returned as it is.

    Layers of the user's own are left alone: `is_of_keras` tells, by the name of a class.

    Raises:
        FormatError: a layer is not described as Keras 1 describes it.
        UnsupportedError: its layers have images in different orders, or a layer does what Keras 2 lacks.
    """
    if not isinstance(description, Mapping):
        return description
    orderings = {
        one["dim_ordering"]
        for _, one in walk(description)
        if isinstance(one, dict) and one.get("dim_ordering") in ("th", "tf")
    }
    try:
        return _Converter(orderings, is_of_keras).model(description, description.get("name"))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise FormatError(f"a layer is not described as Keras 1 does it: {type(error).__name__}: {error}") from None


class _Converter:
    """The conversion of one description. `orderings` are those of images that its layers name."""

    def __init__(self, orderings: set[str], is_of_keras: Callable[[str], bool]) -> None:
        self.orderings = orderings
        self.is_of_keras = is_of_keras

    def model(self, description: Mapping[str, Any], name: object) -> Config:
        """Return a model, or a layer that is none."""
        class_name, config = description["class_name"], description["config"]
        if class_name == GRAPH:
            raise UnsupportedError("it is a Graph, which Keras 1 has replaced by Model: load it with Keras 1, as one")
        if class_name == "Sequential":
            return self._sequential(config, name)
        if class_name in ("Model", "Container"):
            layers = [
                self.model(layer, layer.get("name")) | {"name": layer["name"], "inbound_nodes": layer["inbound_nodes"]}
                for layer in config["layers"]
            ]
            return {"class_name": "Model", "config": {**config, "layers": layers}}
        return self.layer(description)

    def layer(self, description: Mapping[str, Any]) -> Config:
        """Return a layer that is no model."""
        name, config = description["class_name"], dict(description["config"])
        if name == "Merge":
            return _merge(config)
        if name not in CLASSES and not self.is_of_keras(name):
            return {**description}
        config = {key: value for key, value in config.items() if not _is_dropped(name, key)}
        _join_windows(config)
        keeps_names = name in ("Embedding", "Lambda", "MaxoutDense")
        config = {(key if keeps_names else NAMES.get(key, key)): value for key, value in config.items()}
        if "layer" in config:
            config["layer"] = self.model(config["layer"], None)
        self._set_ordering(name, config)
        special = SPECIAL.get(name)
        new_name = (special(config) if special else None) or CLASSES.get(name, name)
        if config.get("padding") == "full":
            raise UnsupportedError(f"{config.get('name')}: border_mode='full' is not supported; pad with ZeroPadding")
        return {"class_name": new_name, "config": config}

    def _set_ordering(self, name: str, config: Config) -> None:
        ordering = config.pop("dim_ordering", None)
        if ordering not in ORDERINGS and name in ORDERED and self.orderings:
            if len(self.orderings) > 1:
                raise UnsupportedError(
                    f"{config.get('name')}: a {name} of Keras 1 does not say in which order its images are, and the "
                    f"layers of this model have both; load it with Keras 1, and save it with one"
                )
            (ordering,) = self.orderings
        if ordering in ORDERINGS:
            config["data_format"] = ORDERINGS[ordering]

    def _sequential(self, config: Sequence[Mapping[str, Any]], name: object) -> Config:
        layers = [_with_class(one) for one in config]
        if layers and layers[0]["class_name"] == "Merge":
            return _Branches(self).join(layers, name)
        made = _with_input([self.model(one, None) for one in layers])
        return {"class_name": "Sequential", "config": {"name": name, "layers": made}}


class _Branches:
    """A Sequential that begins by merging others, as the functional model that it is: its layers side by side."""

    def __init__(self, converter: _Converter) -> None:
        self.converter = converter
        self.layers: dict[str, Config] = {}
        self.inputs: list[str] = []

    def join(self, layers: Sequence[Mapping[str, Any]], name: object) -> Config:
        """Return the model of all layers."""
        end = self._chain(layers)
        config = {
            "name": name,
            "layers": list(self.layers.values()),
            "input_layers": [[one, 0, 0] for one in self.inputs],
            "output_layers": [end],
        }
        return {"class_name": "Model", "config": config}

    def _chain(self, layers: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Add layers, each called with the one before, and return the output of the last."""
        first, *rest = [_with_class(one) for one in layers]
        if first["class_name"] == "Merge":
            branches = [self._branch(one) for one in first["config"]["layers"]]
            config = {key: value for key, value in first["config"].items() if key != "layers"}
            end = self._add(_merge(config), branches)
        else:
            made = _with_input([self.converter.model(first, None)])
            end = self._add_first(made)
        for layer in rest:
            end = self._add(self.converter.model(layer, None), [end])
        return end

    def _branch(self, layer: Mapping[str, Any]) -> list[Any]:
        is_sequential = layer["class_name"] == "Sequential"
        return self._chain(layer["config"] if is_sequential else [layer])

    def _add_first(self, made: Sequence[Config]) -> list[Any]:
        if made[0]["class_name"] != "InputLayer":
            raise UnsupportedError(
                "a branch of a Merge begins with a model, or does not say the shape of its input (batch_input_shape)"
            )
        name = str(made[0]["config"]["name"])
        end = self._add(made[0], [])
        if name not in self.inputs:
            self.inputs.append(name)
        for layer in made[1:]:
            end = self._add(layer, [end])
        return end

    def _add(self, layer: Config, inputs: list[list[Any]]) -> list[Any]:
        """Add a call of a layer, which others may share, and return its output."""
        name = str(layer["config"]["name"] or f"{layer['class_name'].lower()}_{len(self.layers)}")
        known = self.layers.setdefault(name, {**layer, "name": name, "inbound_nodes": []})
        # The graph of a model inside is its first call.
        before = 1 if layer["class_name"] in ("Model", "Sequential") else 0
        if not inputs:
            return [name, 0, 0]
        if inputs not in known["inbound_nodes"]:
            known["inbound_nodes"].append(inputs)
        return [name, known["inbound_nodes"].index(inputs) + before, 0]


def _with_class(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a layer of a Sequential; the first releases wrote the class among the arguments."""
    if "class_name" in layer:
        return layer
    config = {key: value for key, value in layer.items() if key != "custom_name"}
    return {"class_name": layer["name"], "config": config | {"name": layer.get("custom_name")}}


def _with_input(layers: list[Config]) -> list[Config]:
    """Return the layers of a Sequential with an InputLayer before them that says the dtype of the input."""
    config = layers[0]["config"] if layers else {}
    if not layers or layers[0]["class_name"] == "InputLayer" or config.get("batch_input_shape") is None:
        return layers
    shape, dtype = config["batch_input_shape"], config.get("input_dtype")
    made = {"batch_input_shape": shape, "name": f"{config.get('name')}_input"} | ({"dtype": dtype} if dtype else {})
    return [{"class_name": "InputLayer", "config": made}, *layers]


def _is_dropped(name: str, key: str) -> bool:
    if name == "Embedding" and key in ("input_dim", "input_length"):
        return False
    return key in DROPPED or key.endswith(DROPPED_ENDINGS)


def _join_windows(config: Config) -> None:
    for words in WINDOWS:
        if words[0] in config:
            config["kernel_size"] = [config.pop(word) for word in words]


def _merge(config: Mapping[str, Any]) -> Config:
    """Return the layer that merges by the mode of a Merge."""
    mode = config.get("mode")
    # Without `trainable` it would be taken for an operation between layers.
    kept = {"name": config.get("name"), "trainable": True}
    if config.get("mode_type", "raw") != "raw":
        function = [mode] if config["mode_type"] == "lambda" and isinstance(mode, str) else mode
        kept |= {key: config[key] for key in ("arguments", "output_shape") if config.get(key) is not None}
        return {"class_name": "Lambda", "config": {**kept, "function": function}}
    if mode == "concat":
        return {"class_name": "Concatenate", "config": {**kept, "axis": config.get("concat_axis", -1)}}
    if mode in ("cos", "dot"):
        name = "Dot" if mode == "dot" else "CosineMerge"
        return {"class_name": name, "config": {**kept, "axes": config.get("dot_axes", -1)}}
    if mode not in MERGES:
        raise UnsupportedError(f"{kept['name']}: there is no mode {mode!r} of Merge")
    return {"class_name": MERGES[mode], "config": kept}


# What layers of some classes need besides; a name that is returned is that of another class.


def _batch_normalization(config: Config) -> str | None:
    return {1: "FeatureNormalization", 2: "BatchStatisticsNormalization"}.get(config.pop("mode", 0))


def _deconvolution(config: Config) -> None:
    config.pop("output_shape", None)


def _flatten(config: Config) -> None:
    # In the order in which the elements lie, whatever the images'.
    config["data_format"] = "channels_last"


def _embedding(config: Config) -> None:
    config.pop("dropout", None)


def _lambda(config: Config) -> None:
    if config.pop("function_type", None) == "lambda" and isinstance(config.get("function"), str):
        # Bytecode, which later releases wrote in a list.
        config["function"] = [config["function"]]


def _input(config: Config) -> None:
    dtype = config.pop("input_dtype", None)
    if dtype:
        config["dtype"] = dtype


def _padding_1d(config: Config) -> None:
    given = config.get("padding")
    if isinstance(given, dict):
        config["padding"] = [given.get("left_pad", 0), given.get("right_pad", 0)]


def _padding_2d(config: Config) -> None:
    given = config.get("padding")
    if isinstance(given, dict):
        given = [given.get(f"{side}_pad", 0) for side in ("top", "bottom", "left", "right")]
    if isinstance(given, list) and len(given) == 4:
        config["padding"] = [given[:2], given[2:]]


SPECIAL: Mapping[str, Callable[[Config], str | None]] = {
    "BatchNormalization": _batch_normalization,
    "Deconvolution2D": _deconvolution,
    "Embedding": _embedding,
    "Flatten": _flatten,
    "InputLayer": _input,
    "Lambda": _lambda,
    "ZeroPadding1D": _padding_1d,
    "ZeroPadding2D": _padding_2d,
}
