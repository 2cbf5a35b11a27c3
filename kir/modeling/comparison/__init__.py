"""The comparison of two models: signature, structure, weights, and the numbers they compute.

Nodes are matched by evidence, strong before weak (`matching`), so that the answer reads like what somebody did: an
activation changed, a layer added after another. Everything is near-linear in the nodes, and weights are read a block
at a time.
"""

from kir.modeling.comparison.comparison import Comparison, compare, compare_graphs, default_level

__all__ = ["Comparison", "compare", "compare_graphs", "default_level"]
