"""The layers, one class per Keras layer."""

from kir.layers.base import Layer as Layer
from kir.layers.core import Dense as Dense
from kir.layers.input import Input as Input
from kir.layers.input import InputLayer as InputLayer
from kir.layers.rnn import GRU as GRU
from kir.layers.rnn import LSTM as LSTM
from kir.layers.rnn import SimpleRNN as SimpleRNN
from kir.layers.wrappers import Bidirectional as Bidirectional
from kir.layers.wrappers import TimeDistributed as TimeDistributed
