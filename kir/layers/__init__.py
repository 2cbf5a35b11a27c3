"""The layers, one class per Keras layer."""

from kir.layers.activations import ELU as ELU
from kir.layers.activations import Activation as Activation
from kir.layers.activations import LeakyReLU as LeakyReLU
from kir.layers.activations import PReLU as PReLU
from kir.layers.activations import ReLU as ReLU
from kir.layers.activations import Softmax as Softmax
from kir.layers.base import Layer as Layer
from kir.layers.categorical import CategoryEncoding as CategoryEncoding
from kir.layers.categorical import Discretization as Discretization
from kir.layers.categorical import IntegerLookup as IntegerLookup
from kir.layers.categorical import StringLookup as StringLookup
from kir.layers.convolutional import Conv1D as Conv1D
from kir.layers.convolutional import Conv2D as Conv2D
from kir.layers.convolutional import Conv3D as Conv3D
from kir.layers.core import Dense as Dense
from kir.layers.core import Identity as Identity
from kir.layers.core import Lambda as Lambda
from kir.layers.core import Masking as Masking
from kir.layers.input import Input as Input
from kir.layers.input import InputLayer as InputLayer
from kir.layers.merging import Add as Add
from kir.layers.merging import Average as Average
from kir.layers.merging import Concatenate as Concatenate
from kir.layers.merging import Dot as Dot
from kir.layers.merging import Maximum as Maximum
from kir.layers.merging import Minimum as Minimum
from kir.layers.merging import Multiply as Multiply
from kir.layers.merging import Subtract as Subtract
from kir.layers.merging import add as add
from kir.layers.merging import average as average
from kir.layers.merging import concatenate as concatenate
from kir.layers.merging import dot as dot
from kir.layers.merging import maximum as maximum
from kir.layers.merging import minimum as minimum
from kir.layers.merging import multiply as multiply
from kir.layers.merging import subtract as subtract
from kir.layers.normalization import BatchNormalization as BatchNormalization
from kir.layers.normalization import GroupNormalization as GroupNormalization
from kir.layers.normalization import LayerNormalization as LayerNormalization
from kir.layers.normalization import RMSNormalization as RMSNormalization
from kir.layers.normalization import SpectralNormalization as SpectralNormalization
from kir.layers.normalization import UnitNormalization as UnitNormalization
from kir.layers.preprocessing import Normalization as Normalization
from kir.layers.preprocessing import Rescaling as Rescaling
from kir.layers.regularization import ActivityRegularization as ActivityRegularization
from kir.layers.regularization import Dropout as Dropout
from kir.layers.regularization import SpatialDropout1D as SpatialDropout1D
from kir.layers.regularization import SpatialDropout2D as SpatialDropout2D
from kir.layers.regularization import SpatialDropout3D as SpatialDropout3D
from kir.layers.reshaping import Flatten as Flatten
from kir.layers.reshaping import Permute as Permute
from kir.layers.reshaping import RepeatVector as RepeatVector
from kir.layers.reshaping import Reshape as Reshape
from kir.layers.rnn import GRU as GRU
from kir.layers.rnn import LSTM as LSTM
from kir.layers.rnn import SimpleRNN as SimpleRNN
from kir.layers.wrappers import Bidirectional as Bidirectional
from kir.layers.wrappers import TimeDistributed as TimeDistributed

# Keras's other names.
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
