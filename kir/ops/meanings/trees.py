"""Ensembles of decision trees of ai.onnx.ml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kir.errors import InvalidArgumentError
from kir.ir.op import Array
from kir.ir.types import TensorType
from kir.ops.meanings.machine_learning import DOMAIN, as_features, as_labels, has_known_transform, transformed
from kir.ops.meanings.table import means

COMPARISONS: dict[str, Callable[[Array, Array], Array]] = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}
MODES = (*COMPARISONS, "BRANCH_MEMBER")  # of TreeEnsemble, by number
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
NODES = (
    *("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true"),
    *("values", "values_as_tensor", "hitrates", "hitrates_as_tensor"),
)
LEAVES = ("treeids", "nodeids", "ids", "weights", "weights_as_tensor")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def attributes_of(kind: str) -> list[str]:
    """Return the names of the attributes that describe nodes, and leaves of a kind."""
    own = [f"nodes_{name}" for name in NODES] + [f"{kind}_{name}" for name in LEAVES]
    return [*own, "base_values", "base_values_as_tensor"]


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees: which feature each compares, how, with what, and where it goes on; a leaf goes to itself."""

    roots: Array
    features: Array
    modes: Array  # numbers of `MODES`; that of a leaf is past them
    values: Array
    if_true: Array
    if_false: Array
    missing_is_true: Array
    members: dict[int, Array]

    def leaves(self, x: Array) -> Array:
        """Return the leaf of each row of features in each tree: int64 [rows, trees]."""
        places = np.repeat(self.roots[None], len(x), 0)
        for _ in range(len(self.modes) + 1):  # more steps than nodes are a circle
            found = np.take_along_axis(x, self.features[places], 1)
            wanted, modes = self.values[places].astype(x.dtype), self.modes[places]
            holds = np.zeros(places.shape, bool)
            for number, mode in enumerate(MODES):
                is_own = modes == number
                if mode in COMPARISONS and is_own.any():
                    holds = np.where(is_own, COMPARISONS[mode](found, wanted), holds)
            for node, values in self.members.items():
                holds = np.where(places == node, np.isin(found, values), holds)
            holds = holds | (np.isnan(found) & self.missing_is_true[places])
            following = np.where(holds, self.if_true[places], self.if_false[places])
            if (following == places).all():
                return places
            places = following
        raise InvalidArgumentError("the nodes of a tree ensemble go on in a circle, so that no leaf is reached")


def _trees(given: dict[str, Any]) -> tuple[Trees, dict[tuple[int, int], int]]:
    """Return trees whose nodes are named by (tree, node), and the place of each node."""
    treeids, modes = _listed(given, "nodes_treeids"), _listed(given, "nodes_modes")
    places = {key: place for place, key in enumerate(zip(treeids, _listed(given, "nodes_nodeids"), strict=True))}
    is_leaf = np.array([mode == "LEAF" for mode in modes])
    if_true, if_false = (
        np.where(is_leaf, np.arange(len(modes)), [places.get(key, 0) for key in zip(treeids, ids, strict=True)])
        for ids in (_listed(given, "nodes_truenodeids"), _listed(given, "nodes_falsenodeids"))
    )
    is_reached = np.zeros(len(modes), bool)
    is_reached[if_true[~is_leaf]] = is_reached[if_false[~is_leaf]] = True
    trees = Trees(
        np.flatnonzero(~is_reached),
        np.where(is_leaf, 0, _listed(given, "nodes_featureids")),
        np.array([MODES.index(mode) if mode in MODES else len(MODES) for mode in modes]),
        _numbers(given, "nodes_values"),
        if_true,
        if_false,
        np.array(given.get("nodes_missing_value_tracks_true") or np.zeros(len(modes)), bool),
        {},
    )
    return trees, places


def aggregate(weights: Array, leaves: Array, how: str) -> Array:
    """Return what weights[nodes, targets] of the trees' leaves make together; NaN for a target that no leaf names."""
    chosen = weights[leaves]  # [rows, trees, targets]
    if how in ("MIN", "MAX"):
        return np.asarray((np.fmin if how == "MIN" else np.fmax).reduce(chosen, 1))
    total = np.where(np.isnan(chosen).all(1), np.nan, np.nan_to_num(chosen).sum(1))
    return total / leaves.shape[1] if how == "AVERAGE" else total


def _leaf_weights(
    places: dict[tuple[int, int], int], keys: list[tuple[int, int]], ids: Sequence[int], values: Array, count: int
) -> Array:
    """Return the weights of leaves for each target, NaN where there is none."""
    result = np.full((len(places), count), np.nan, values.dtype)
    for key, target, value in zip(keys, ids, values, strict=True):
        before = result[places[key], target]
        result[places[key], target] = value if np.isnan(before) else before + value
    return result


def _numbers(given: dict[str, Any], name: str) -> Array:
    """Return numbers that one of two attributes lists; those that are no tensor are of float32."""
    tensor = given.get(f"{name}_as_tensor")
    return np.array(given.get(name, ()), np.float32) if tensor is None else tensor.ravel()


def _listed(given: dict[str, Any], name: str) -> Any:
    if name not in given:
        raise InvalidArgumentError(f"a tree ensemble without the attribute {name}")
    return given[name]


def _run(x: Array, given: dict[str, Any], kind: str, count: int, how: str) -> tuple[Array, Array]:
    """Return what the trees say of each row and target, and the weights of all leaves."""
    trees, places = _trees(given)
    values = _numbers(given, f"{kind}_weights").astype(x.dtype)
    keys = list(zip(_listed(given, f"{kind}_treeids"), _listed(given, f"{kind}_nodeids"), strict=True))
    weights = _leaf_weights(places, keys, _listed(given, f"{kind}_ids"), values, count)
    return aggregate(weights, trees.leaves(x), how), values


def _classes_are_clear(settings: Mapping[str, Any], types: tuple[TensorType, ...]) -> bool:
    """Return whether ONNX and onnxruntime agree: of two classes that both have weights, the latter takes the second."""
    ids = set(settings.get("class_ids", ()))
    count = max(len(settings.get(name, ())) for name in ("classlabels_int64s", "classlabels_strings"))
    has_base = any(name.startswith("base_values") for name in settings)
    return has_known_transform(settings, types) and (count > 2 or (len(ids) == 1 and not (1 in ids and has_base)))


@means("TreeEnsembleRegressor", domain=DOMAIN, more=attributes_of("target"), when=has_known_transform)
def tree_ensemble_regressor(
    x: Array, *, n_targets: int = 1, aggregate_function: str = "SUM", post_transform: str = "NONE", **given: Any
) -> Array:
    """Return the sums (means, least, largest) of what the leaves say for each target, plus its base value."""
    wide = as_features(x)
    result, _ = _run(wide, given, "target", n_targets, aggregate_function)
    base = _numbers(given, "base_values").astype(wide.dtype)
    return transformed(np.nan_to_num(result + base if base.size else result), post_transform)


@means("TreeEnsembleClassifier", domain=DOMAIN, more=attributes_of("class"), when=_classes_are_clear)
def tree_ensemble_classifier(
    x: Array,
    *,
    classlabels_int64s: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
    post_transform: str = "NONE",
    **given: Any,
) -> tuple[Array, Array]:
    """Return the class of each row, and the scores of all classes.

    Where the leaves speak of one class of two only, its score decides at 0, or at 1/2 if no weight is negative.
    """
    wide = as_features(x)
    labels = as_labels(classlabels_int64s, classlabels_strings)
    scores, values = _run(wide, given, "class", len(labels), "SUM")
    base = _numbers(given, "base_values").astype(wide.dtype)
    ids = set(_listed(given, "class_ids"))
    if len(labels) != 2:
        scores = np.nan_to_num(scores) + base if base.size else scores
        return labels[np.nan_to_num(scores, nan=-np.inf).argmax(1)], transformed(np.nan_to_num(scores), post_transform)
    (own,) = ids
    is_positive = bool((values >= 0).all())
    score = np.nan_to_num(scores[:, [own]])
    score = score + base[-1] if base.size else score
    chosen = labels[(score[:, 0] > (0.5 if is_positive else 0)).astype(np.int64)]
    if own:
        return chosen, transformed(np.concatenate([np.zeros_like(score), score], 1), post_transform)
    if post_transform == "PROBIT":
        return chosen, transformed(score, post_transform)
    if is_positive:
        score = 1 / (1 + np.exp(-score)) if post_transform == "LOGISTIC" else score
        return chosen, np.concatenate([1 - score, score], 1)
    both = np.concatenate([-score, score], 1)
    return chosen, transformed(both, post_transform) if post_transform == "LOGISTIC" else both


@means("TreeEnsemble", domain=DOMAIN)
def tree_ensemble(
    x: Array,
    *,
    tree_roots: Sequence[int],
    nodes_featureids: Sequence[int],
    nodes_modes: Array,
    nodes_splits: Array,
    nodes_trueleafs: Sequence[int],
    nodes_truenodeids: Sequence[int],
    nodes_falseleafs: Sequence[int],
    nodes_falsenodeids: Sequence[int],
    leaf_targetids: Sequence[int],
    leaf_weights: Array,
    n_targets: int = 1,
    aggregate_function: int = 1,
    post_transform: int = 0,
    membership_values: Array | None = None,
    nodes_hitrates: Array | None = None,
    nodes_missing_value_tracks_true: Sequence[int] = (),
) -> Array:
    """Return what the trees say for each target; leaves are counted after the inner nodes."""
    inner, leaves = len(nodes_modes), len(leaf_weights)
    if_true, if_false = (
        np.concatenate([np.where(is_leaf, np.array(ids) + inner, ids), np.arange(inner, inner + leaves)]).astype(int)
        for is_leaf, ids in ((nodes_trueleafs, nodes_truenodeids), (nodes_falseleafs, nodes_falsenodeids))
    )
    zeros = np.zeros(leaves, np.int64)
    missing = nodes_missing_value_tracks_true or np.zeros(inner)
    member_nodes = np.flatnonzero(nodes_modes == MODES.index("BRANCH_MEMBER"))
    trees = Trees(
        np.array(tree_roots),
        np.concatenate([nodes_featureids, zeros]).astype(np.int64),
        np.concatenate([nodes_modes, zeros + len(MODES)]).astype(np.int64),
        np.concatenate([nodes_splits, zeros]),
        if_true,
        if_false,
        np.concatenate([missing, zeros]).astype(bool),
        dict(zip(member_nodes.tolist(), _member_sets(membership_values), strict=False)),
    )
    weights = np.full((inner + leaves, n_targets), np.nan, x.dtype)
    weights[np.arange(inner, inner + leaves), np.array(leaf_targetids)] = leaf_weights
    result = aggregate(weights, trees.leaves(x), AGGREGATES[aggregate_function])
    return transformed(np.nan_to_num(result), TRANSFORMS[post_transform])


def _member_sets(values: Array | None) -> list[Array]:
    """Return the sets of values, which NaN separates."""
    if values is None:
        return []
    return [part[~np.isnan(part)] for part in np.split(values, np.flatnonzero(np.isnan(values)) + 1)]
