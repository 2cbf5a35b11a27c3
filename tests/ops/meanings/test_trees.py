"""Random trees, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kir.errors import InvalidArgumentError
from kir.ops.meanings.trees import tree_ensemble_regressor
from tests.ops.meanings.single_nodes import ML, Numbers, check, has_meaning

f = Numbers()
FEATURES, TREES, DEPTH = 4, 5, 3
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
X = f(20, FEATURES)
X[3, 1] = np.nan


def make_trees(modes: list[str]) -> tuple[dict[str, list[Any]], list[tuple[int, int]]]:
    """Return the attributes of the nodes of some trees, and their leaves."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in (*names, "missing_value_tracks_true")}
    leaves = []
    for tree in range(TREES):
        for node in range(2 ** (DEPTH + 1) - 1):  # complete trees: the children of n are 2 n + 1 and 2 n + 2
            is_leaf = node >= 2**DEPTH - 1
            leaves += [(tree, node)] if is_leaf else []
            mode = "LEAF" if is_leaf else str(f.generator.choice(modes))
            children = (0, 0) if is_leaf else (2 * node + 1, 2 * node + 2)
            feature, missing = (int(f.generator.integers(end)) for end in (FEATURES, 2))
            row = (tree, node, feature, mode, float(f.generator.normal()), *children, missing)
            for values, value in zip(nodes.values(), row, strict=True):
                values.append(value)
    return nodes, leaves


def weights(kind: str, leaves: list[tuple[int, int]], ids: list[int], values: Any) -> dict[str, list[Any]]:
    trees, nodes = map(list, zip(*leaves, strict=True))
    return {f"{kind}_treeids": trees, f"{kind}_nodeids": nodes, f"{kind}_ids": ids, f"{kind}_weights": list(values)}


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("modes", [MODES[:1], MODES[1:2], MODES], ids=["leq", "lt", "all"])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_regressor(aggregate: str, modes: list[str], transform: str) -> None:
    for targets in (1, 2):
        nodes, leaves = make_trees(modes)
        own = weights("target", leaves, [i % targets for i in range(len(leaves))], f(len(leaves)))
        how = {"n_targets": targets, "aggregate_function": aggregate, "post_transform": transform}
        for base in (None, [0.5] * targets):
            check("TreeEnsembleRegressor", X, domain=ML, version=3, base_values=base, **nodes, **own, **how)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("is_positive", [False, True])
def test_classifier(is_positive: bool, transform: str) -> None:
    nodes, leaves = make_trees(MODES[:1])
    values = f(len(leaves)) * 0.3
    values = np.abs(values) if is_positive else values
    how = {"post_transform": transform, "outputs": 2, "domain": ML, "version": 3, **nodes}
    three = weights("class", leaves, [i % 3 for i in range(len(leaves))], values)
    for base in (None, [0.1, 0.2, 0.3]):
        check("TreeEnsembleClassifier", X, classlabels_int64s=[5, 6, 7], base_values=base, **three, **how)
    first, second = (weights("class", leaves, [place] * len(leaves), values) for place in (0, 1))
    for base in (None, [0.1]):
        check("TreeEnsembleClassifier", X, classlabels_int64s=[5, 6], base_values=base, **first, **how)
    check("TreeEnsembleClassifier", X, classlabels_strings=["a", "b"], **second, **how)


def test_two_classes_that_both_have_weights_have_no_meaning() -> None:
    nodes, leaves = make_trees(MODES[:1])
    own = weights("class", leaves, [i % 2 for i in range(len(leaves))], f(len(leaves)))
    how = {"domain": ML, "version": 3, **nodes, **own}
    assert not has_meaning("TreeEnsembleClassifier", "i64[3]; f32[3,2]", classlabels_int64s=[0, 1], **how)
    assert has_meaning("TreeEnsembleClassifier", "i64[3]; f32[3,2]", classlabels_int64s=[0, 1, 2], **how)


def test_a_circle_ends() -> None:
    nodes, leaves = make_trees(MODES[:1])
    nodes["nodes_truenodeids"][1] = nodes["nodes_falsenodeids"][1] = 0
    nodes["nodes_truenodeids"][0] = nodes["nodes_falsenodeids"][0] = 1
    nodes["nodes_falsenodeids"][2] = 2
    nodes["nodes_falsenodeids"][3] = 1
    own = weights("target", leaves, [0] * len(leaves), f(len(leaves)))
    circle: dict[str, Any] = {name: tuple(values) for name, values in (nodes | own).items()}
    with pytest.raises(InvalidArgumentError, match="circle"):
        tree_ensemble_regressor(X, n_targets=1, **circle)
