"""All limits on what untrusted files may cost, in one place, with their reasons.

A file that goes past one of them is refused with what it has, what the limit is and what to do. Together they keep
reading a hostile file, and refusing it, within 10 seconds and 1 GB, while no real model comes near them: where a limit
is in proportion to a file, so that large models have more, that is said. Only running a model may take more, up to
`MAX_RUN_BYTES`.

Nothing is imported here: every part of kir may ask.
"""

from __future__ import annotations

from typing import Final

# Integers

MAX_INT64: Final = (1 << 63) - 1  # ONNX's sizes, axes and indices, and NumPy's
MAX_INTEGER_BITS: Final = 63  # of integers in JSON, for the same reason

# Keras's archives and JSON

# Of JSON. Python needs up to 30 bytes of memory for a byte of text; a model of 10,000 layers has 12 MB. The names of
# 100,000 arrays in the header of a safetensors file have as many.
MAX_CONFIG_BYTES: Final = 32 << 20
# What `zipfile` reads of an archive at once is its directory: 60,000 members and more fit.
MAX_DIRECTORY_BYTES: Final = 4 << 20
# Weights hardly compress; what unpacks to more than this, and to more than so many times its size, is no model.
MAX_UNPACKED_BYTES: Final = 256 << 20
MAX_RATIO: Final = 100


def most_unpacked(packed: int) -> int:
    """Return how many bytes so many may unpack to."""
    return max(MAX_UNPACKED_BYTES, packed * MAX_RATIO)


# A model inside a model adds 5 levels; Python's own limit of about 1000 calls must never be what stops us.
MAX_DEPTH: Final = 200
# Lists and dicts and their items: of these, not of its text, a document takes up memory.
MAX_ITEMS: Final = 4_000_000
# A header of an HDF5 object with attributes is in blocks of at most 64 KB each.
MAX_BLOCKS: Final = 1000
# Calls count as often as they are made: a model called twice in a model that is called twice counts four times.
MAX_CALLS: Final = 50_000
# No sample that a computer works on has so many numbers, nor has a model whose weights are drawn at random, nor one
# value of a model that is run to verify it.
MAX_ELEMENTS: Final = 1 << 28
# Counts that become an array of that size while a model is read, and those that become as many operators.
MAX_COUNT: Final = 1 << 24
MAX_UNROLLED: Final = 10_000

# Scripts

# They are run, so this is no matter of trust: a device as a script would never end.
MAX_SCRIPT_BYTES: Final = 32 << 20

# Saved graphs

# A graph of 100,000 nodes has some 20 MB of structure.
MAX_STRUCTURE_BYTES: Final = 1 << 28
MAX_ATTRIBUTE_DEPTH: Final = 20  # an operator within an operator's attributes is two levels

# ONNX files

# Protobuf's own limit; the weights of larger models lie in a second file.
MAX_MESSAGE_BYTES: Final = (1 << 31) - 1
# Of a graph and the bodies of functions: ten times what kir is tested with.
MAX_NODES: Final = 1_000_000
# What is left when functions take the place of their calls: so many nodes, and so many times those in the file. A
# block of a network that is a function is called in each of a hundred layers.
MAX_INLINED_NODES: Final = 10_000
MAX_INLINED_RATIO: Final = 100
MAX_INLINED_BYTES: Final = 256 << 20
# An empty message has 2 bytes in a file, and 150 in memory. A model of 100,000 nodes has a million, names included.
MAX_MESSAGES: Final = 4_000_000
MAX_RANK: Final = 32  # far above any model's; NumPy stops at 64

# Memory

# What running a graph in float64 takes at a time, beside its weights, is known before: see `kir.numerics.cost`. A batch
# of 7 images through VGG16, the hungriest network of keras.applications, comes to 1 GiB, an image of 1024 x 1024
# through U-Net to 5, and so does attention with 8 heads over 4096 steps. Where a run comes to more than this, or makes
# a value of more than `MAX_ELEMENTS`, verification does without it; where every run does, the file is refused. The
# limit does not depend on the machine, so that the same file has the same fate everywhere.
MAX_RUN_BYTES: Final = 8 << 30
# What an operator may take beside its inputs and its result, to be computed at export.
MAX_FOLDED_BYTES: Final = 1 << 28
