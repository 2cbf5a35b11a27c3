"""Real Keras as the judge: the same model built with both libraries, with the same weights, on the same numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import onnxruntime

from kir import Model, layers, passes
from kir import backend as K
from kir.exporters.onnx_file import to_model_proto
from kir.ir import interpreter
from kir.layers import Input
from kir.modeling.lower import lower
from kir.support.trees import flatten

Array = np.ndarray[Any, Any]
# A shape without the batch (None or a name for unknown sizes), and perhaps a dtype behind it.
InputSpec = tuple[Any, ...] | tuple[tuple[Any, ...], str]


def build_both(build: Callable[..., Any], *specs: InputSpec, seed: int = 0) -> tuple[Model, Any]:
    """A model of kir and one of Keras, from `build(layers, *inputs)`, which is called with either library's layers.

    Both get the same random weights: those that Keras draws leave biases at 0.
    """
    ours, theirs = [], []
    for spec in specs:
        shape, dtype = _shape_and_dtype(spec)
        ours.append(Input(shape, dtype=dtype))
        theirs.append(keras.Input(tuple(None if isinstance(size, str) else size for size in shape), dtype=dtype))
    model = Model(ours, build(layers, *ours))
    reference = keras.Model(theirs, build(keras.layers, *theirs))
    randomize(reference, seed)
    model.set_weights(reference.get_weights())
    return model, reference


def randomize(reference: Any, seed: int = 0) -> None:
    """Give a Keras model random weights, positive ones where they stand for a variance or a deviation."""
    random = np.random.default_rng(seed)
    for weight in reference.weights:
        drawn = random.normal(scale=0.5, size=weight.shape)
        weight.assign(np.abs(drawn) + 0.1 if weight.name.endswith(("variance", "stddev")) else drawn)
    for layer in reference._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def assert_matches_keras(
    model: Model, reference: Any, feeds: Sequence[Array], atol: float = 2e-6, rtol: float = 1e-5
) -> Any:
    """Keras's outputs are those of the interpreter, of its float64 run, and of the optimised file in onnxruntime.

    onnxruntime has float64 kernels of few activations, and models of that dtype are not run in it.

    Returns the ONNX model, for a look at its nodes.
    """
    expected = [np.asarray(output) for output in flatten(reference(list(feeds)))]
    named = dict(zip(model.input_names, feeds, strict=True))
    graph = lower(model)
    wide = interpreter.run(graph, named, wide=True)
    passes.run(graph, passes.pipeline(2), check=True, feeds=named)
    proto = to_model_proto(graph)
    computed = {
        "interpreter": flatten(model.predict(list(feeds))),
        "float64": [wide[name] for name in model.output_names],
    }
    if all(feed.dtype != np.float64 for feed in feeds):
        computed["onnxruntime"] = _run_in_onnxruntime(proto, named, model.output_names)
    for what, outputs in computed.items():
        for output, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, wanted, rtol=rtol, atol=atol, err_msg=what)
    return proto


def _run_in_onnxruntime(proto: Any, feeds: Mapping[str, Array], output_names: Sequence[str]) -> list[Array]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    read = {given.name: feeds[given.name] for given in session.get_inputs()}
    return session.run(output_names, read)


def draw_feeds(*specs: InputSpec, batch: int = 3, unknown: int = 5, seed: int = 1) -> list[Array]:
    """Return random arrays for the inputs; all unknown sizes are `unknown`."""
    random = np.random.default_rng(seed)
    feeds = []
    for spec in specs:
        shape, dtype = _shape_and_dtype(spec)
        sizes = (batch, *[size if isinstance(size, int) else unknown for size in shape])
        drawn = random.normal(size=sizes) if "float" in dtype else random.integers(0, 2, size=sizes)
        feeds.append(drawn.astype(dtype))
    return feeds


def check_layer(class_name: str, *specs: InputSpec, atol: float = 2e-6, rtol: float = 1e-5, **options: Any) -> Any:
    """One layer (on a list if there are several inputs): same numbers, output shape and config as Keras's.

    Returns the ONNX model.
    """

    def build(library: Any, *inputs: Any) -> Any:
        layer = getattr(library, class_name)(name="checked", **options)
        return layer(inputs[0] if len(inputs) == 1 else list(inputs))

    model, reference = build_both(build, *specs)
    assert_same_config(model.get_layer("checked"), reference.get_layer("checked"))
    if not any(isinstance(size, str) for spec in specs for size in _shape_and_dtype(spec)[0]):
        assert model.output_shape == reference.output_shape
    return assert_matches_keras(model, reference, draw_feeds(*specs), atol, rtol)


def show_mask(library: Any, x: Any) -> Any:
    """Return a tensor (batch, time, features) plus 100 where its mask is true, or plus 7 if it has none."""
    ops = K if library is layers else keras.ops

    def reveal(x: Any, mask: Any = None) -> Any:
        return x + (7.0 if mask is None else ops.cast(mask, "float32")[..., None] * 100.0)

    return library.Lambda(reveal, mask=lambda x, mask: mask)(x)


def _shape_and_dtype(spec: InputSpec) -> tuple[tuple[Any, ...], str]:
    return spec if spec and isinstance(spec[0], tuple) else (spec, "float32")


def assert_same_config(ours: Any, theirs: Any) -> None:
    """Both layers have the same config, and a layer of ours made from it has it again."""
    config = json.loads(json.dumps(ours.get_config()))
    expected = json.loads(json.dumps(theirs.get_config()))
    # How to quantize a layer: nothing that its float form has, and no key before Keras 3.12.
    expected.pop("quantization_config", None)
    assert config == expected
    assert json.loads(json.dumps(type(ours).from_config(config).get_config())) == config


def node_types(proto: Any) -> list[str]:
    """Return the operators of an ONNX model, in order."""
    return [node.op_type for node in proto.graph.node]
