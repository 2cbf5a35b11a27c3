"""Further models of `subclassed_models`: what is rare in one."""

from __future__ import annotations

RARE = {
    "a build of two shapes": """
@keras.saving.register_keras_serializable("pkg", name="Own")
class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.d = layers.Dense(3)

    def build(self, a_shape, b_shape):
        self.d.build(a_shape)
        self.w = self.add_weight(shape=(b_shape[-1], 3), name="w")
        self.built = True

    def call(self, a, b):
        assert self.built
        return self.d(a) + ops.matmul(b, self.w)

class Outer(keras.Model):
    def __init__(self, m=None, **kw):
        super().__init__(**kw)
        self.m = m or M()

    def call(self, inputs):
        return self.m(*inputs)

def example():
    return (draw(2, 4), draw(2, 5))

model = Outer()
model(example())
""",
    "a build config of its own": """
@keras.saving.register_keras_serializable("pkg", name="Own")
class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.d = layers.Dense(3)

    def build(self, s):
        self.d.build(s)
        self.shape_seen = s
        self.built = True

    def get_build_config(self):
        return {"seen": self.shape_seen}

    def build_from_config(self, config):
        self.build(config["seen"])

    def call(self, a):
        return self.d(a)

def example():
    return draw(2, 4)

model = M()
model(example())
""",
    "loops and branches": """
@keras.saving.register_keras_serializable("pkg", name="Own")
class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.d = layers.Dense(3)

    def call(self, x, training=False):
        if training:
            raise ValueError
        n = x.shape[1]
        for i in range(n if n is not None else 1):
            x = x + i * np.float32(0.1)
        y = ops.cond(ops.sum(x) > 0, lambda: x * 2, lambda: x - 1)
        z = ops.fori_loop(0, 3, lambda i, v: v + y, y)
        q = np.maximum(z, 0) if True else None
        return self.d(q), ops.while_loop(lambda i, v: i < 2, lambda i, v: (i + 1, v * 2), (0, x))[1]

def example():
    return draw(2, 4)

model = M()
model(example())
""",
    "containers of all kinds": """
from collections import OrderedDict, namedtuple

Pair = namedtuple("Pair", "left right")

@keras.saving.register_keras_serializable("pkg", name="Own")
class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.by_size = {8: layers.Dense(8), 4: layers.Dense(4)}
        self.ordered = OrderedDict([("z", layers.Dense(2)), ("a", layers.Dense(2))])
        self.pair = Pair(layers.Dense(3), layers.Dense(3))
        self._private = layers.Dense(2)
        self.alias = self._private

    def call(self, x):
        x = self.by_size[4](self.by_size[8](x))
        x = self.pair.left(x) - self.pair.right(x)
        return self.ordered["z"](x) + 2 * self.ordered["a"](x) + self._private(x)

def example():
    return draw(2, 4)

model = M()
model(example())
""",
    "masks": """
@keras.saving.register_keras_serializable("pkg", name="Own")
class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.mask = layers.Masking()
        self.l = layers.LSTM(3, return_sequences=True)
        self.att = layers.MultiHeadAttention(1, 2)
        self.pool = layers.GlobalAveragePooling1D()

    def call(self, x, mask=None):
        x = self.mask(x)
        m = self.mask.compute_mask(x)
        x = self.l(x)
        x = x + self.att(x, x)
        return self.pool(x, mask=m), ops.cast(m, "float32")

def example():
    x = draw(2, 5, 3)
    x[0, 3:] = 0
    return x

model = M()
model(example())
""",
    "optional arguments": """
@keras.saving.register_keras_serializable("pkg", name="Own")
class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.e = layers.Embedding(5, 3)
        self.d = layers.Dense(3)

    def call(self, tokens, features=None, *, scale=2.0, training=None):
        y = self.e(tokens)
        if features is not None:
            y = y + self.d(features)[:, None]
        return y * scale

class Outer(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.m = M()
        self.n = M()

    def call(self, inputs):
        return self.m(inputs["tokens"], features=inputs["features"], scale=3.0) + self.n(
            tokens=inputs["tokens"]
        )

def example():
    return {"tokens": random.integers(0, 5, (2, 4)).astype("int32"), "features": draw(2, 6)}

model = Outer()
model(example())
""",
    "called twice in a functional model": """
@keras.saving.register_keras_serializable("pkg", name="Own")
class M(keras.Model):
    def __init__(self, units=3, **kw):
        super().__init__(**kw)
        self.units = units
        self.d = layers.Dense(units)

    def call(self, x, extra=None):
        y = self.d(x)
        return (y, y + 1) if extra is None else y + extra

    def get_config(self):
        return {**super().get_config(), "units": self.units}

a = keras.Input((4,), name="a")
b = keras.Input((4,), name="b")
m = M(name="m")
p, q = m(a)
s, t = m(b)
n = M(3, name="n")
model = keras.Model({"a": a, "b": b}, {"sum": layers.add([p, t]), "n": n(q, extra=s)})

def example():
    return {"a": draw(2, 4), "b": draw(2, 4)}
""",
    "a wrong output shape": """
@keras.saving.register_keras_serializable("pkg", name="Own")
class L(layers.Layer):
    def call(self, x):
        return {"out": (x[..., :2], [x * 2])}

    def compute_output_shape(self, s):
        return s

class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.l = L()
        self.d = layers.Dense(2)

    def call(self, inputs):
        o = self.l(inputs)
        return {"b": self.d(o["out"][0]), "a": (o["out"][1][0],)}

    def compute_output_shape(self, s):
        return (1, 2, 3)

def example():
    return draw(2, 4)

model = M()
model(example())
""",
}
