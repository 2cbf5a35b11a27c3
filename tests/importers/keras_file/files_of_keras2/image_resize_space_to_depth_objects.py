from typing import Any

import tensorflow as tf


def grow(x: Any) -> Any:
    return tf.image.resize(x, (16, 16), method="bilinear")


def s2d(x: Any) -> Any:
    return tf.nn.space_to_depth(x, block_size=2)
