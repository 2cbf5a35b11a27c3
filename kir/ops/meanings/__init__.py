"""What operators that are carried through a graph compute, in NumPy.

`meaning_of` finds the function of an `Opaque`. Without one, only a runtime knows what it computes: then it is neither
merged nor folded, and a verification takes a runtime at its word.
"""

from kir.ops.meanings import attention as attention
from kir.ops.meanings import bits as bits
from kir.ops.meanings import computed as computed
from kir.ops.meanings import conversion as conversion
from kir.ops.meanings import fused as fused
from kir.ops.meanings import grids as grids
from kir.ops.meanings import indexing as indexing
from kir.ops.meanings import machine_learning as machine_learning
from kir.ops.meanings import normalization as normalization
from kir.ops.meanings import pooling as pooling
from kir.ops.meanings import quantized as quantized
from kir.ops.meanings import rearranging as rearranging
from kir.ops.meanings import recurrent as recurrent
from kir.ops.meanings import regions as regions
from kir.ops.meanings import resampling as resampling
from kir.ops.meanings import spectral as spectral
from kir.ops.meanings import texts as texts
from kir.ops.meanings import training as training
from kir.ops.meanings import transformers as transformers
from kir.ops.meanings import trees as trees
from kir.ops.meanings import vectors as vectors
from kir.ops.meanings.table import Meaning as Meaning
from kir.ops.meanings.table import meaning_of as meaning_of
