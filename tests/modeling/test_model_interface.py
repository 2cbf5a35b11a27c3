"""What scripts ask of models, compared with real Keras."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

import kir
import kir.layers

OURS = SimpleNamespace(layers=kir.layers, Input=kir.Input, Model=kir.Model, Sequential=kir.Sequential)
X = np.ones((2, 3), "float32")


def one(k: Any) -> Any:
    a = k.Input((3,), name="a")
    return k.Model(a, k.layers.Dense(4, name="h")(a), name="m")


def two(k: Any) -> Any:
    a, b = k.Input((3,), name="a"), k.Input((3,), name="b")
    h = k.layers.Dense(4, name="h")(a)
    return k.Model([a, b], [k.layers.Add(name="y")([h, k.layers.Dense(4, name="g", trainable=False)(b)]), h], name="m")


def chain(k: Any) -> Any:
    return k.Sequential([k.layers.Dense(2, name="d")], name="s")


def built(k: Any) -> Any:
    model = chain(k)
    model.build((None, 3))
    return model.built, model.input_shape, model.output_shape, model.count_params(), [x.shape for x in model.inputs]


def frozen(k: Any) -> Any:
    model = k.Sequential([k.Input((3,)), one(k), chain(k)])
    model.trainable = False
    inner = [layer.trainable for layer in (model.layers[0], model.layers[0].layers[1])]
    model.layers[1].trainable = True
    counts = [len(part.trainable_variables) for part in (model, *model.layers)]
    model.trainable = True
    return inner, counts, len(model.trainable_variables)


def popped(k: Any) -> Any:
    model = chain(k)
    model.build((None, 3))
    model.add(k.layers.Dense(5, name="last"))
    return model.pop().name, model.output_shape, [w.name for w in model.weights]


def stateless(k: Any) -> Any:
    model = two(k)
    outputs, others = model.stateless_call([np.ones((3, 4)), np.zeros(4)], [np.ones((3, 4)), np.ones(4)], [X, 2 * X])
    return [np.asarray(x).tolist() for x in outputs], len(others)


BEHAVIOURS: dict[str, Callable[[Any], Any]] = {
    "inputs by name": lambda k: np.shape(one(k)(inputs=X)),
    "output shape": lambda k: one(k).compute_output_shape((None, 3)),
    "output shapes": lambda k: two(k).compute_output_shape([(None, 3), (4, 3)]) and None,
    "output spec": lambda k: one(k).compute_output_spec(k.Input((3,))).shape,
    "shapes": lambda k: (two(k).input_shape, two(k).output_shape),
    "tensors": lambda k: [x.name for x in two(k).inputs] + [len(two(k).outputs)],
    "structures": lambda k: (type(two(k).input).__name__, type(one(k).input).__name__),
    "variables": lambda k: [v.path for v in two(k).variables],
    "which are trained": lambda k: [
        [v.path for v in two(k).trainable_variables],
        [v.path for v in two(k).non_trainable_variables],
    ],
    "layers": lambda k: [layer.name for layer in two(k).layers],
    "a layer": lambda k: (two(k).get_layer("h").name, two(k).get_layer(index=2).name),
    "a tensor of a layer": lambda k: (one(k).layers[-1].input.shape, one(k).layers[-1].output.shape),
    "before it is built": lambda k: [
        chain(k).built,
        chain(k).weights,
        *[hasattr(chain(k), name) for name in ("inputs", "outputs", "input_shape", "output_shape")],
        hasattr(k.layers.Dense(2), "output"),
    ],
    "built": built,
    "built by a call": lambda k: [model := chain(k), np.shape(model(X)), len(model.weights)][1:],
    "frozen": frozen,
    "popped": popped,
    "stateless": stateless,
    "names": lambda k: (one(k).name, one(k).dtype, one(k).path, one(k).metrics, one(k).run_eagerly),
    "config": lambda k: [sorted(part(k).get_config()) for part in (one, two, chain)],
    "nested weights": lambda k: [w.shape for w in k.Sequential([k.Input((3,)), one(k), chain(k)]).weights],
}


def plain(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_models_behave_as_those_of_keras(name: str) -> None:
    assert plain(BEHAVIOURS[name](OURS)) == plain(BEHAVIOURS[name](keras))


@pytest.mark.parametrize("library", [OURS, keras])
def test_a_layer_that_is_not_there_is_a_value_error(library: Any) -> None:
    with pytest.raises(ValueError, match=r"'a', 'b', 'h', 'g', 'y'"):
        two(library).get_layer("z")
