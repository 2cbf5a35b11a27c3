"""Every layer of the installed Keras is one of kir's, or its absence is explained."""

from __future__ import annotations

import keras

import kir.layers
from kir.layers.unsupported import UNSUPPORTED

# What keras.layers also holds: the base class, the shape of an input, and what Input makes.
NO_LAYERS = {"Layer", "InputSpec", "InputLayer"}


def test_every_layer_of_keras_is_here_or_its_absence_is_explained() -> None:
    """By all the names that Keras has for it. A layer that a new Keras brings shows up here."""
    names = {name for name, value in vars(keras.layers).items() if isinstance(value, type)}
    assert names - NO_LAYERS - set(vars(kir.layers)) == set(UNSUPPORTED)
