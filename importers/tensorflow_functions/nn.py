"""`tf.nn`: activations, normalization and losses."""

from __future__ import annotations

from typing import Any

from kir import backend as K
from kir.backend.dispatch import rank_of
from kir.importers.tensorflow_functions.signatures import (
    alike,
    refuse,
    require_few,
    same,
    single,
    sizes_of,
    tensorflow,
    whole,
)
from kir.support.limits import MAX_UNROLLED

# Activations

for _name in ("elu", "relu", "relu6", "selu"):
    same(f"nn.{_name}", "features", getattr(K, _name))


@tensorflow("nn.leaky_relu")
def _leaky_relu(features: Any, alpha: Any = 0.2) -> Any:
    return K.leaky_relu(single(features), float(whole(alpha)))


@tensorflow("nn.gelu")
def _gelu(features: Any, approximate: bool = False) -> Any:
    return K.gelu(single(features), approximate=approximate)


@tensorflow("nn.silu nn.swish")
def _silu(features: Any, beta: Any = 1.0) -> Any:
    x = single(features)
    return K.silu(x) if beta == 1.0 else K.multiply(x, K.sigmoid(K.multiply(x, beta)))


@tensorflow("nn.crelu")
def _crelu(features: Any, axis: int = -1) -> Any:
    x = single(features)
    return K.concatenate([K.relu(x), K.relu(K.negative(x))], axis)


@tensorflow("nn.softmax math.softmax")
def _softmax(logits: Any, axis: Any = None) -> Any:
    return K.softmax(single(logits), -1 if axis is None else whole(axis))


@tensorflow("nn.log_softmax math.log_softmax")
def _log_softmax(logits: Any, axis: Any = None) -> Any:
    return K.log_softmax(single(logits), -1 if axis is None else whole(axis))


# Normalization


@tensorflow("nn.bias_add")
def _bias_add(value: Any, bias: Any, data_format: Any = None) -> Any:
    x, b = alike(value, bias)
    if rank_of(x) > 2 and data_format is not None and data_format.startswith("NC"):
        b = K.reshape(b, (-1, *(1,) * (rank_of(x) - 2)))
    return K.add(x, b)


@tensorflow("nn.moments")
def _moments(x: Any, axes: Any, shift: Any = None, keepdims: Any = False) -> Any:
    x = single(x)
    given = whole(axes)
    places = tuple(given) if isinstance(given, list | tuple) else given
    return K.moments(x, places, bool(keepdims))


@tensorflow("nn.batch_normalization")
def _batch_normalization(x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: Any) -> Any:
    given = [x, mean, variance, *[one for one in (offset, scale) if one is not None]]
    values = alike(*given)
    factor = K.rsqrt(K.add(values[2], variance_epsilon))
    factor = factor if scale is None else K.multiply(factor, values[-1])
    result = K.multiply(K.subtract(values[0], values[1]), factor)
    return result if offset is None else K.add(result, values[3])


@tensorflow("nn.local_response_normalization nn.lrn")
def _local_response_normalization(
    input: Any, depth_radius: Any = 5, bias: Any = 1, alpha: Any = 1, beta: Any = 0.5
) -> Any:
    x, radius = single(input), int(depth_radius)
    require_few("nn.lrn", radius, MAX_UNROLLED)
    channels = sizes_of(x)[-1]
    squares = K.pad(K.square(x), [*[(0, 0)] * (rank_of(x) - 1), (radius, radius)])
    parts = [K.get_item(squares, (..., slice(start, start + channels))) for start in range(2 * radius + 1)]
    total = parts[0]
    for part in parts[1:]:
        total = K.add(total, part)
    return K.divide(x, K.power(K.add(bias, K.multiply(alpha, total)), float(beta)))


@tensorflow("nn.l2_loss")
def _l2_loss(t: Any) -> Any:
    return K.divide(K.sum(K.square(single(t))), 2.0)


# Losses


@tensorflow("nn.softmax_cross_entropy_with_logits compat.v1.nn.softmax_cross_entropy_with_logits_v2")
def _softmax_cross_entropy(labels: Any, logits: Any, axis: Any = -1) -> Any:
    x, wanted = alike(logits, labels)
    return K.negative(K.sum(K.multiply(wanted, K.log_softmax(x, axis)), axis))


@tensorflow("nn.sparse_softmax_cross_entropy_with_logits")
def _sparse_softmax_cross_entropy(labels: Any, logits: Any) -> Any:
    logs = K.log_softmax(single(logits), -1)
    own = K.take_along_axis(logs, K.expand_dims(K.cast(single(labels), "int64"), -1), -1)
    return K.negative(K.squeeze(own, -1))


@tensorflow("nn.weighted_cross_entropy_with_logits")
def _weighted_cross_entropy(labels: Any, logits: Any, pos_weight: Any) -> Any:
    x, z, weight = alike(logits, labels, pos_weight)
    factor = K.add(1.0, K.multiply(K.subtract(weight, 1.0), z))
    spread = K.add(K.log1p(K.exp(K.negative(K.absolute(x)))), K.relu(K.negative(x)))
    return K.add(K.multiply(K.subtract(1.0, z), x), K.multiply(factor, spread))


@tensorflow("nn.log_poisson_loss")
def _log_poisson_loss(targets: Any, log_input: Any, compute_full_loss: bool = False) -> Any:
    x, wanted = alike(log_input, targets)
    if compute_full_loss:
        raise refuse("nn.log_poisson_loss", "with compute_full_loss=True")
    return K.subtract(K.exp(x), K.multiply(x, wanted))
