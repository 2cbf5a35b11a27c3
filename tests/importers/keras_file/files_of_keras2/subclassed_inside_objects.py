from typing import Any

import tensorflow as tf
from tensorflow.keras import layers


class Blocks(tf.keras.Model):
    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.out = [layers.Dense(units) for _ in range(2)]
        self.first = layers.Dense(units, activation="relu")
        self.norm = layers.BatchNormalization()

    def call(self, x: Any, training: bool = False) -> Any:
        y = self.norm(self.first(x), training=training)
        for dense in self.out:
            y = dense(y) + y
        return y

    def get_config(self) -> dict[str, Any]:
        return {"units": self.units}


def shuffle(x: Any) -> Any:
    channels = x.get_shape().as_list()[-1]
    pairs = tf.reshape(x, [-1, *x.shape[1:-1].as_list(), 2, channels // 2])
    order = [*range(pairs.shape.rank - 2), pairs.shape.ndims - 1, pairs.shape.ndims - 2]
    return tf.reshape(tf.transpose(pairs, order), tf.shape(x))
