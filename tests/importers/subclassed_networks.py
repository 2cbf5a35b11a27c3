"""Further models of `subclassed_models`."""

from __future__ import annotations

NETWORKS = {
    "recommender": """
@register
class Recommender(keras.Model):
    def __init__(self, users, items, size, **kwargs):
        super().__init__(**kwargs)
        self.users, self.items, self.size = users, items, size
        regularizer = keras.regularizers.l2(1e-6)
        self.user_embedding = layers.Embedding(
            users, size, embeddings_initializer="he_normal", embeddings_regularizer=regularizer
        )
        self.user_bias = layers.Embedding(users, 1)
        self.item_embedding = layers.Embedding(items, size, embeddings_regularizer=regularizer)
        self.item_bias = layers.Embedding(items, 1)

    def call(self, inputs):
        user, item = self.user_embedding(inputs[:, 0]), self.item_embedding(inputs[:, 1])
        bias = self.user_bias(inputs[:, 0]) + self.item_bias(inputs[:, 1])
        return ops.sigmoid(ops.sum(user * item, axis=-1, keepdims=True) + bias)

    def get_config(self):
        return {**super().get_config(), "users": self.users, "items": self.items, "size": self.size}

def example():
    return random.integers(0, 5, (4, 2)).astype("int32")

model = Recommender(7, 5, 4)
model(example())
""",
    "transformer": """
@register
class TransformerBlock(layers.Layer):
    def __init__(self, size, heads, hidden, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.size, self.heads, self.hidden, self.rate = size, heads, hidden, rate
        self.attention = layers.MultiHeadAttention(num_heads=heads, key_dim=size // heads)
        self.feed_forward = keras.Sequential([layers.Dense(hidden, activation="gelu"), layers.Dense(size)])
        self.norm1, self.norm2 = (
            layers.LayerNormalization(epsilon=1e-6),
            layers.LayerNormalization(epsilon=1e-6),
        )
        self.dropout1, self.dropout2 = layers.Dropout(rate), layers.Dropout(rate)

    def call(self, x, training=False, mask=None):
        causal = None if mask is None else ops.cast(mask[:, None, :], "int32")
        y = self.dropout1(
            self.attention(x, x, attention_mask=causal, use_causal_mask=True), training=training
        )
        x = self.norm1(x + y)
        return self.norm2(x + self.dropout2(self.feed_forward(x), training=training))

    def compute_mask(self, inputs, mask=None):
        return mask

    def get_config(self):
        names = ("size", "heads", "hidden", "rate")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

@register
class PositionalEmbedding(layers.Layer):
    def __init__(self, length, vocabulary, size, **kwargs):
        super().__init__(**kwargs)
        self.length, self.vocabulary, self.size = length, vocabulary, size
        self.tokens = layers.Embedding(vocabulary, size, mask_zero=True)
        self.positions = layers.Embedding(length, size)

    def call(self, x):
        return self.tokens(x) + self.positions(ops.arange(0, ops.shape(x)[-1], 1))

    def compute_mask(self, inputs, mask=None):
        return self.tokens.compute_mask(inputs)

    def get_config(self):
        return {
            **super().get_config(),
            "length": self.length,
            "vocabulary": self.vocabulary,
            "size": self.size,
        }

@register
class Transformer(keras.Model):
    def __init__(self, depth=2, **kwargs):
        super().__init__(**kwargs)
        self.depth = depth
        self.embed = PositionalEmbedding(7, 11, 8)
        self.blocks = [TransformerBlock(8, 2, 12) for _ in range(depth)]
        self.pool = layers.GlobalAveragePooling1D()
        self.head = layers.Dense(2)

    def call(self, tokens, training=False):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.pool(x))

    def get_config(self):
        return {**super().get_config(), "depth": self.depth}

def example():
    tokens = random.integers(1, 11, (3, 7))
    tokens[1, 5:] = 0
    return tokens.astype("int32")

model = Transformer()
model(example())
""",
    "mixture of experts": """
@register
class Router(layers.Layer):
    def __init__(self, experts, top=2, **kwargs):
        super().__init__(**kwargs)
        self.experts, self.top = experts, top

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.experts), name="kernel")

    def call(self, x):
        scores = ops.softmax(ops.matmul(x, self.kernel))
        values, indices = ops.top_k(scores, self.top)
        chosen = ops.sum(ops.one_hot(indices, self.experts) * values[..., None], axis=-2)
        return chosen / ops.sum(values, axis=-1, keepdims=True)

    def get_config(self):
        return {**super().get_config(), "experts": self.experts, "top": self.top}

@register
class Mixture(keras.Model):
    def __init__(self, count=3, units=4, **kwargs):
        super().__init__(**kwargs)
        self.count, self.units = count, units
        self.router = Router(count)
        self.experts = {f"expert_{index}": self.make_expert() for index in range(count)}

    def make_expert(self):
        return keras.Sequential([layers.Dense(self.units, activation="swish"), layers.Dense(self.units)])

    def call(self, inputs):
        x = ops.reshape(inputs, (-1, inputs.shape[-1]))
        weights = self.router(x)
        results = ops.stack([expert(x) for expert in self.experts.values()], axis=1)
        y = ops.einsum("ne,neu->nu", weights, results)
        return ops.reshape(y, (-1, inputs.shape[1], self.units)), ops.argmax(weights, axis=-1)

    def get_config(self):
        return {**super().get_config(), "count": self.count, "units": self.units}

def example():
    return draw(2, 3, 5)

model = Mixture()
model.build((None, 3, 5))
model(example())
""",
    "U-Net": """
def conv_block(filters):
    return keras.Sequential(
        [
            layers.Conv2D(filters, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.SpatialDropout2D(0.1),
        ]
    )

@register
class UNet(keras.Model):
    def __init__(self, filters=(2, 4), **kwargs):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.down = [conv_block(size) for size in self.filters]
        self.pool = layers.MaxPooling2D()
        self.bottom = conv_block(8)
        self.up = [
            (layers.Conv2DTranspose(size, 2, strides=2), conv_block(size)) for size in reversed(self.filters)
        ]
        self.out = layers.Conv2D(1, 1)

    def call(self, x, training=None):
        skips = []
        for block in self.down:
            x = block(x, training=training)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x, training=training)
        for up, block in self.up:
            x = block(layers.concatenate([up(x), skips.pop()]), training=training)
        return ops.sigmoid(self.out(x))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}

def example():
    return draw(1, 8, 8, 3)

model = UNet()
model(example())
""",
    "TCN": """
@register
class TemporalBlock(layers.Layer):
    def __init__(self, filters, dilation, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.dilation = filters, dilation
        self.conv1 = layers.Conv1D(filters, 3, padding="causal", dilation_rate=dilation)
        self.conv2 = layers.Conv1D(filters, 3, padding="causal", dilation_rate=dilation)
        self.dropout = layers.SpatialDropout1D(0.2)
        self.downsample = None

    def build(self, input_shape):
        if input_shape[-1] != self.filters:
            self.downsample = layers.Conv1D(self.filters, 1)
            self.downsample.build(input_shape)
        self.conv1.build(input_shape)
        self.conv2.build((*input_shape[:-1], self.filters))
        self.built = True

    def call(self, x, training=None):
        y = self.dropout(ops.relu(self.conv1(x)), training=training)
        y = self.dropout(ops.relu(self.conv2(y)), training=training)
        return ops.relu(y + (x if self.downsample is None else self.downsample(x)))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "dilation": self.dilation}

@register
class TCN(keras.Model):
    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.network = keras.Sequential(
            [TemporalBlock(size, 2**index) for index, size in enumerate(channels)]
        )
        self.head = layers.Dense(1)

    def call(self, x):
        return self.head(self.network(x)[:, -1])

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}

def example():
    return draw(2, 9, 3)

model = TCN([4, 4, 5])
model(keras.Input((9, 3)))
""",
    "nested": """
@register
class Inner(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units, activation="tanh")

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

@register
class Stack(keras.Sequential):
    pass

@register
class Functional(keras.Model):
    def __init__(self, size, units, **kwargs):
        inputs = keras.Input((size,), name="features")
        super().__init__(inputs=inputs, outputs=layers.Dense(units)(Inner(units)(inputs)), **kwargs)
        self.size, self.units = size, units

    def get_config(self):
        return {"size": self.size, "units": self.units, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

@register
class Outer(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tower = Stack([Inner(4), layers.LayerNormalization()])
        self.functional = Functional(4, 3)
        self.parts = {"left": [Inner(3), {"deep": Inner(2)}], "right": (Inner(3),)}
        self.unused = layers.Dense(9)

    def call(self, x):
        x = self.functional(self.tower(x))
        left, right = self.parts["left"][0](x), self.parts["right"][0](x)
        return self.parts["left"][1]["deep"](left - 2 * right)

inputs = keras.Input((5,), name="x")
x = Outer(name="outer")(inputs)
model = keras.Model(inputs, keras.Sequential([Inner(4), layers.Dense(2)])(x))

def example():
    return draw(3, 5)
""",
    "a keyword argument of indices": """
@register
class FiLM(layers.Layer):
    def __init__(self, **kw):
        super().__init__(**kw)

    def build(self, input_shape):
        feature_shape, cond_shape = input_shape
        self.gamma = layers.Dense(feature_shape[-1], name="gamma")
        self.beta = layers.Dense(feature_shape[-1], name="beta")
        self.gamma.build(cond_shape)
        self.beta.build(cond_shape)
        self.built = True

    def call(self, inputs):
        x, c = inputs
        return x * (1 + self.gamma(c))[:, None, None, :] + self.beta(c)[:, None, None, :]

@register
class CGAN(keras.Model):
    def __init__(self, classes=3, **kw):
        super().__init__(**kw)
        self.classes = classes
        self.d_loss_metric = keras.metrics.Mean(name="d_loss")
        self.fc = layers.Dense(3 * 3 * 4, use_bias=False)
        self.films = [FiLM(), FiLM()]
        self.convs = [
            layers.Conv2DTranspose(4, 3, 2, "same"),
            layers.Conv2DTranspose(1, 3, 1, "same", activation="tanh"),
        ]
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self):
        return [self.d_loss_metric]

    def call(self, z, label, training=False):
        c = ops.one_hot(label, self.classes)
        x = ops.reshape(self.fc(z), (-1, 3, 3, 4))
        for film, conv in zip(self.films, self.convs):
            x = conv(film([ops.leaky_relu(x, 0.2), c]))
        return x

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}

class Both(keras.Model):
    def __init__(self, gan=None, **kw):
        super().__init__(**kw)
        self.gan = gan or CGAN()

    def call(self, inputs):
        return self.gan(inputs["z"], label=inputs["label"])

def example():
    return {"z": draw(2, 5), "label": random.integers(0, 3, (2,)).astype("int32")}

model = Both()
model(example())
""",
    "called on float64": """
@register
class DuelingDQN(keras.Model):
    def __init__(self, action_dim: int = 3, **kw):
        super().__init__(**kw)
        self.action_dim = action_dim
        self.d1 = layers.Dense(8, activation="relu")
        self.d2 = layers.Dense(8, activation="relu")
        self.v = layers.Dense(1, activation=None)
        self.a = layers.Dense(action_dim, activation=None)
        self.optimizer_ = keras.optimizers.Adam(1e-3)

    def call(self, state):
        x = self.d2(self.d1(state))
        v, a = self.v(x), self.a(x)
        return v + (a - ops.mean(a, axis=1, keepdims=True))

    def advantage(self, state):
        return self.a(self.d2(self.d1(state)))

    def get_action(self, state):
        return np.argmax(self.predict(state)[0])

def example():
    return draw(3, 4)

class Agent:
    def __init__(self):
        self.model = DuelingDQN()
        self.target = DuelingDQN()
        self.model(np.zeros((1, 4)))
        self.target(np.zeros((1, 4)))
        self.target.set_weights(self.model.get_weights())

agent = Agent()
model = agent.model
""",
    "a call over that of a functional model": """
@register
class PreNet(keras.Model):
    def __init__(self, dim, depth=2, name="prenet", **kw):
        inp = keras.Input((dim,))
        x = inp
        for i in range(depth):
            x = layers.Dense(dim, activation="relu", name=f"fc{i}")(x)
        super().__init__(inputs=inp, outputs=x, name=name, **kw)
        self.dim, self.depth = dim, depth

    def get_config(self):
        return {"dim": self.dim, "depth": self.depth, "name": self.name}

    @classmethod
    def from_config(cls, c, custom_objects=None):
        return cls(**c)

@register
class Seq(keras.Sequential):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)

    def call(self, x, training=None, mask=None):
        return super().call(x) * 2.0

@register
class M(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.pre = PreNet(4)
        self.seq = Seq([keras.Input((4,)), layers.Dense(3)])
        self.post = keras.Sequential([layers.Dense(2), Seq([layers.Dense(2)])])

    def call(self, x):
        return self.post(self.seq(self.pre(x)))

inp = keras.Input((2, 2))
model = keras.Model(inp, M()(layers.Flatten()(inp)))

def example():
    return draw(3, 2, 2)
""",
    "a cell of its own": """
@register
class MinimalRNNCell(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )

    def call(self, inputs, states):
        prev_output = states[0]
        h = ops.matmul(inputs, self.kernel)
        output = ops.tanh(h + ops.matmul(prev_output, self.recurrent_kernel))
        return output, [output]

    def get_config(self):
        return {**super().get_config(), "units": self.units}

@register
class Memory(keras.Model):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.rnn = layers.RNN([MinimalRNNCell(4), MinimalRNNCell(3)], return_sequences=True)
        self.final = layers.RNN(MinimalRNNCell(2), return_state=True)

    def call(self, x):
        y, s = self.final(self.rnn(x))
        return y + s

def example():
    return draw(2, 5, 3)

model = Memory()
model(example())
""",
}
