"""What type checkers see of `kir.layers`, whose names are imported on first use."""

from kir.layers.activations import ELU as ELU
from kir.layers.activations import Activation as Activation
from kir.layers.activations import LeakyReLU as LeakyReLU
from kir.layers.activations import PReLU as PReLU
from kir.layers.activations import ReLU as ReLU
from kir.layers.activations import Softmax as Softmax
from kir.layers.applications import CustomScaleLayer as CustomScaleLayer
from kir.layers.applications import LayerScale as LayerScale
from kir.layers.applications import StochasticDepth as StochasticDepth
from kir.layers.attention import AdditiveAttention as AdditiveAttention
from kir.layers.attention import Attention as Attention
from kir.layers.attention import GroupQueryAttention as GroupQueryAttention
from kir.layers.attention import MultiHeadAttention as MultiHeadAttention
from kir.layers.audio import MelSpectrogram as MelSpectrogram
from kir.layers.audio import STFTSpectrogram as STFTSpectrogram
from kir.layers.augmentation import AugMix as AugMix
from kir.layers.augmentation import AutoContrast as AutoContrast
from kir.layers.augmentation import CutMix as CutMix
from kir.layers.augmentation import Equalization as Equalization
from kir.layers.augmentation import MixUp as MixUp
from kir.layers.augmentation import Pipeline as Pipeline
from kir.layers.augmentation import RandAugment as RandAugment
from kir.layers.augmentation import RandomBrightness as RandomBrightness
from kir.layers.augmentation import RandomColorDegeneration as RandomColorDegeneration
from kir.layers.augmentation import RandomColorJitter as RandomColorJitter
from kir.layers.augmentation import RandomContrast as RandomContrast
from kir.layers.augmentation import RandomCrop as RandomCrop
from kir.layers.augmentation import RandomElasticTransform as RandomElasticTransform
from kir.layers.augmentation import RandomErasing as RandomErasing
from kir.layers.augmentation import RandomFlip as RandomFlip
from kir.layers.augmentation import RandomGaussianBlur as RandomGaussianBlur
from kir.layers.augmentation import RandomGrayscale as RandomGrayscale
from kir.layers.augmentation import RandomHue as RandomHue
from kir.layers.augmentation import RandomInvert as RandomInvert
from kir.layers.augmentation import RandomPerspective as RandomPerspective
from kir.layers.augmentation import RandomPosterization as RandomPosterization
from kir.layers.augmentation import RandomRotation as RandomRotation
from kir.layers.augmentation import RandomSaturation as RandomSaturation
from kir.layers.augmentation import RandomSharpness as RandomSharpness
from kir.layers.augmentation import RandomShear as RandomShear
from kir.layers.augmentation import RandomTranslation as RandomTranslation
from kir.layers.augmentation import RandomZoom as RandomZoom
from kir.layers.augmentation import Solarization as Solarization
from kir.layers.categorical import CategoryEncoding as CategoryEncoding
from kir.layers.categorical import Discretization as Discretization
from kir.layers.categorical import IntegerLookup as IntegerLookup
from kir.layers.categorical import StringLookup as StringLookup
from kir.layers.conv_lstm import ConvLSTM1D as ConvLSTM1D
from kir.layers.conv_lstm import ConvLSTM2D as ConvLSTM2D
from kir.layers.conv_lstm import ConvLSTM3D as ConvLSTM3D
from kir.layers.convolutional import Conv1D as Conv1D
from kir.layers.convolutional import Conv1DTranspose as Conv1DTranspose
from kir.layers.convolutional import Conv2D as Conv2D
from kir.layers.convolutional import Conv2DTranspose as Conv2DTranspose
from kir.layers.convolutional import Conv3D as Conv3D
from kir.layers.convolutional import Conv3DTranspose as Conv3DTranspose
from kir.layers.convolutional import DepthwiseConv1D as DepthwiseConv1D
from kir.layers.convolutional import DepthwiseConv2D as DepthwiseConv2D
from kir.layers.convolutional import SeparableConv1D as SeparableConv1D
from kir.layers.convolutional import SeparableConv2D as SeparableConv2D
from kir.layers.core import Dense as Dense
from kir.layers.core import Identity as Identity
from kir.layers.core import Lambda as Lambda
from kir.layers.core import Masking as Masking
from kir.layers.core import TernaryDense as TernaryDense
from kir.layers.einsum_dense import EinsumDense as EinsumDense
from kir.layers.embedding import Embedding as Embedding
from kir.layers.embedding import ReversibleEmbedding as ReversibleEmbedding
from kir.layers.hashing import HashedCrossing as HashedCrossing
from kir.layers.hashing import Hashing as Hashing
from kir.layers.image import CenterCrop as CenterCrop
from kir.layers.image import Resizing as Resizing
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
from kir.layers.pooling import AdaptiveAveragePooling1D as AdaptiveAveragePooling1D
from kir.layers.pooling import AdaptiveAveragePooling2D as AdaptiveAveragePooling2D
from kir.layers.pooling import AdaptiveAveragePooling3D as AdaptiveAveragePooling3D
from kir.layers.pooling import AdaptiveMaxPooling1D as AdaptiveMaxPooling1D
from kir.layers.pooling import AdaptiveMaxPooling2D as AdaptiveMaxPooling2D
from kir.layers.pooling import AdaptiveMaxPooling3D as AdaptiveMaxPooling3D
from kir.layers.pooling import AveragePooling1D as AveragePooling1D
from kir.layers.pooling import AveragePooling2D as AveragePooling2D
from kir.layers.pooling import AveragePooling3D as AveragePooling3D
from kir.layers.pooling import GlobalAveragePooling1D as GlobalAveragePooling1D
from kir.layers.pooling import GlobalAveragePooling2D as GlobalAveragePooling2D
from kir.layers.pooling import GlobalAveragePooling3D as GlobalAveragePooling3D
from kir.layers.pooling import GlobalMaxPooling1D as GlobalMaxPooling1D
from kir.layers.pooling import GlobalMaxPooling2D as GlobalMaxPooling2D
from kir.layers.pooling import GlobalMaxPooling3D as GlobalMaxPooling3D
from kir.layers.pooling import MaxPooling1D as MaxPooling1D
from kir.layers.pooling import MaxPooling2D as MaxPooling2D
from kir.layers.pooling import MaxPooling3D as MaxPooling3D
from kir.layers.preprocessing import Normalization as Normalization
from kir.layers.preprocessing import Rescaling as Rescaling
from kir.layers.regularization import ActivityRegularization as ActivityRegularization
from kir.layers.regularization import AlphaDropout as AlphaDropout
from kir.layers.regularization import Dropout as Dropout
from kir.layers.regularization import GaussianDropout as GaussianDropout
from kir.layers.regularization import GaussianNoise as GaussianNoise
from kir.layers.regularization import SpatialDropout1D as SpatialDropout1D
from kir.layers.regularization import SpatialDropout2D as SpatialDropout2D
from kir.layers.regularization import SpatialDropout3D as SpatialDropout3D
from kir.layers.reshaping import Cropping1D as Cropping1D
from kir.layers.reshaping import Cropping2D as Cropping2D
from kir.layers.reshaping import Cropping3D as Cropping3D
from kir.layers.reshaping import Flatten as Flatten
from kir.layers.reshaping import Permute as Permute
from kir.layers.reshaping import RepeatVector as RepeatVector
from kir.layers.reshaping import Reshape as Reshape
from kir.layers.reshaping import UpSampling1D as UpSampling1D
from kir.layers.reshaping import UpSampling2D as UpSampling2D
from kir.layers.reshaping import UpSampling3D as UpSampling3D
from kir.layers.reshaping import ZeroPadding1D as ZeroPadding1D
from kir.layers.reshaping import ZeroPadding2D as ZeroPadding2D
from kir.layers.reshaping import ZeroPadding3D as ZeroPadding3D
from kir.layers.rnn import GRU as GRU
from kir.layers.rnn import LSTM as LSTM
from kir.layers.rnn import RNN as RNN
from kir.layers.rnn import SimpleRNN as SimpleRNN
from kir.layers.rnn_cells import GRUCell as GRUCell
from kir.layers.rnn_cells import LSTMCell as LSTMCell
from kir.layers.rnn_cells import SimpleRNNCell as SimpleRNNCell
from kir.layers.rnn_cells import StackedRNNCells as StackedRNNCells
from kir.layers.text import TextVectorization as TextVectorization
from kir.layers.wrappers import Bidirectional as Bidirectional
from kir.layers.wrappers import TimeDistributed as TimeDistributed
from kir.layers.wrappers import Wrapper as Wrapper
from kir.modeling.input import Input as Input
from kir.modeling.input import InputLayer as InputLayer
from kir.modeling.layer import Layer as Layer

__all__: list[str]

# Keras's other names.
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
Convolution1DTranspose = Conv1DTranspose
Convolution2DTranspose = Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
