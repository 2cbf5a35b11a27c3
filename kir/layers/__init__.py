"""The layers, one class per Keras layer."""

from kir.layers.base import Layer as Layer
from kir.layers.core import Dense as Dense
from kir.layers.input import Input as Input
from kir.layers.input import InputLayer as InputLayer
