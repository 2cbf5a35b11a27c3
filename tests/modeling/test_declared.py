"""Layers whose constructor's arguments are declared."""

from __future__ import annotations

import os
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kir import layers
from kir.errors import InvalidArgumentError

ROOT = Path(__file__).parent.parent.parent

CALLS = """
from kir.layers.pooling import MaxPooling2D
reveal_type(MaxPooling2D(2, (1, 1), "same", name="pool", trainable=False).pool_size)
MaxPooling2D("two")
MaxPooling2D(pool=2)
"""


def test_type_checkers_know_constructors_and_attributes(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    options = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "-c", CALLS],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    revealed, wrong_type, wrong_name, _ = done.stdout.splitlines()
    assert 'Revealed type is "tuple[int, ...]"' in revealed
    assert 'has incompatible type "str"; expected "int | Sequence[int]"' in wrong_type
    assert 'Unexpected keyword argument "pool" for "MaxPooling2D"' in wrong_name


class Scaled(layers.Dense):
    """A user's own."""

    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(3, **kwargs)
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class Halved(layers.Dense):
    def call(self, inputs: Any) -> Any:
        return super().call(inputs) / 2


def test_classes_of_the_user_extend_constructors_and_configs() -> None:
    scaled = Scaled(2.0, use_bias=False, name="s")
    config = scaled.get_config()
    assert (scaled.units, config["factor"], config["units"], config["use_bias"]) == (3, 2.0, 3, False)
    assert Scaled.__doc__ == "A user's own."
    del config["units"]
    assert Scaled.from_config(config).factor == 2.0
    assert Halved(4, "relu").get_config()["activation"] == "relu"
    with pytest.raises(InvalidArgumentError, match="Scaled has no argument factors; did you mean factor"):
        Scaled(2.0, factors=1)
    with pytest.raises(
        InvalidArgumentError, match=r"Halved 'h': units must be an integer of at least 1; received units=0"
    ):
        Halved(0, name="h")


class Tagged(layers.Layer):
    def __init__(self, tag: str = "none", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tag = tag


class TaggedDense(layers.Dense, Tagged):
    """Both constructors take part, as those written by hand do."""


def test_constructors_of_mixed_in_classes_are_called() -> None:
    layer = TaggedDense(2, use_bias=False, tag="x", name="t")  # type: ignore[call-arg]
    assert (layer.tag, layer.units, layer.use_bias, layer.name) == ("x", 2, False, "t")
    assert layer.get_config()["tag"] == "x"


def test_attributes_may_be_set_to_anything_afterwards() -> None:
    layer = layers.Dense(2)
    layer.units = 5
    assert layer(np.ones((1, 3), np.float32)).shape == (1, 5)


def test_old_names_of_arguments() -> None:
    assert layers.LeakyReLU(alpha=0.5).negative_slope == 0.5  # type: ignore[call-arg]
    assert layers.Embedding(5, 2, input_length=7).batch_input_shape == (None, 7)  # type: ignore[call-arg]
    assert layers.Embedding(5, 2, input_length=7, input_shape=(3,)).batch_input_shape == (None, 3)  # type: ignore[call-arg]


def test_weights_that_an_embedding_begins_with() -> None:
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    for cls in (layers.Embedding, layers.ReversibleEmbedding):
        assert cls(3, 2, weights=[table]).get_weights()[0].tolist() == table.tolist()


def test_type_hints_of_a_constructor_can_be_asked_for() -> None:
    assert typing.get_type_hints(layers.Dense.__init__) == {}


def test_a_class_of_two_layers_takes_the_arguments_of_both() -> None:
    # To a type checker the two do not go together: both have a `call`.
    both: Any = type("Both", (layers.Dense, layers.Dropout), {})

    class Fixed(both):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(units, rate=0.25, **kwargs)

    made, fixed = both(3, rate=0.5), Fixed(4, name="fixed")
    assert (made.units, made.rate) == (3, 0.5)
    assert (fixed.units, fixed.rate, fixed.name) == (4, 0.25, "fixed")
    with pytest.raises(TypeError, match=r"Both.__init__\(\) missing 1 required positional argument: 'rate'"):
        both(3)
