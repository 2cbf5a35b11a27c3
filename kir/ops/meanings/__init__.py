"""What operators that are carried through a graph compute, in NumPy.

`meaning_of` finds the function of an `Opaque`. Without one, only a runtime knows what it computes: then it is neither
merged nor folded, and a verification takes a runtime at its word.
"""

from kir.ops.meanings import computed as computed
from kir.ops.meanings import quantized as quantized
from kir.ops.meanings import rearranging as rearranging
from kir.ops.meanings.table import Meaning as Meaning
from kir.ops.meanings.table import meaning_of as meaning_of
