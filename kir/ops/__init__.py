"""The operators, one frozen dataclass each: declaration, type rule and meaning in NumPy together."""

from kir.ops import attention as attention
from kir.ops import convolution as convolution
from kir.ops import elementwise as elementwise
from kir.ops import linear as linear
from kir.ops import lookup as lookup
from kir.ops import nn as nn
from kir.ops import normalization as normalization
from kir.ops import opaque as opaque
from kir.ops import pooling as pooling
from kir.ops import random as random
from kir.ops import recurrent as recurrent
from kir.ops import reduce as reduce
from kir.ops import resize as resize
from kir.ops import shape as shape
from kir.ops import sparse as sparse
from kir.ops import spectral as spectral
from kir.ops import structural as structural
