"""Subclassed models in the style of Keras's guides: scripts that build `model`, and arrays for it in `example()`."""

from __future__ import annotations

HEAD = """
import numpy as np
import keras
from keras import layers, ops

random = np.random.default_rng(0)

def draw(*shape):
    return random.normal(size=shape).astype("float32")

register = keras.saving.register_keras_serializable(package="guides")
"""

MODELS = {
    "MLP": """
@register
class MLP(keras.Model):
    def __init__(self, units=(8, 6), classes=3, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.classes, self.rate = list(units), classes, rate
        self.hidden = [layers.Dense(size, activation="relu") for size in self.units]
        self.dropout = layers.Dropout(rate)
        self.head = layers.Dense(classes)

    def call(self, x, training=False):
        for layer in self.hidden:
            x = layer(x)
            if training:
                x = self.dropout(x, training=training)
        return ops.softmax(self.head(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "classes": self.classes, "rate": self.rate}

def example():
    return draw(4, 5)

model = MLP(name="mlp")
model.build((None, 5))
model(example())
""",
    "CNN with blocks in lists": """
class Block(layers.Layer):
    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.convs = [
            layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False),
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
        ]
        self.norms = [layers.BatchNormalization(), layers.BatchNormalization()]
        self.shortcut = layers.Conv2D(filters, 1, strides=strides) if strides > 1 else None

    def call(self, x, training=None):
        y = ops.relu(self.norms[0](self.convs[0](x), training=training))
        y = self.norms[1](self.convs[1](y), training=training)
        return ops.relu(y + (x if self.shortcut is None else self.shortcut(x)))

@register
class ResNet(keras.Model):
    def __init__(self, depths, **kwargs):
        super().__init__(**kwargs)
        self.depths = depths
        self.stem = keras.Sequential([layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()])
        self.stages = [
            [Block(4 * 2**stage, strides=2 if stage and not index else 1) for index in range(depth)]
            for stage, depth in enumerate(depths)
        ]
        self.pool = layers.GlobalAveragePooling2D()
        self.heads = {"label": layers.Dense(3, activation="softmax"), "age": layers.Dense(1)}

    def call(self, images, training=None):
        x = self.stem(images, training=training)
        for stage in self.stages:
            for block in stage:
                x = block(x, training=training)
        x = self.pool(x)
        return {name: head(x) for name, head in self.heads.items()}

    def get_config(self):
        return {**super().get_config(), "depths": self.depths}

def example():
    return draw(2, 8, 8, 3)

model = ResNet([1, 2])
model(example())
""",
    "encoder-decoder": """
@register
class Encoder(keras.Model):
    def __init__(self, vocabulary, units, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary, self.units = vocabulary, units
        self.embedding = layers.Embedding(vocabulary, units, mask_zero=True)
        self.gru = layers.Bidirectional(layers.GRU(units, return_sequences=True, return_state=True), merge_mode="sum")

    def call(self, tokens):
        outputs, forward, backward = self.gru(self.embedding(tokens))
        return outputs, forward + backward

    def get_config(self):
        return {**super().get_config(), "vocabulary": self.vocabulary, "units": self.units}

@register
class Decoder(keras.Model):
    def __init__(self, vocabulary, units, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary, self.units = vocabulary, units
        self.embedding = layers.Embedding(vocabulary, units, mask_zero=True)
        self.gru = layers.GRU(units, return_sequences=True)
        self.attention = layers.Attention()
        self.head = layers.Dense(vocabulary)

    def call(self, tokens, memory, state):
        x = self.gru(self.embedding(tokens), initial_state=state)
        return self.head(ops.concatenate([x, self.attention([x, memory])], axis=-1))

    def get_config(self):
        return {**super().get_config(), "vocabulary": self.vocabulary, "units": self.units}

@register
class Translator(keras.Model):
    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder

    def call(self, inputs):
        source, target = inputs
        memory, state = self.encoder(source)
        return self.decoder(target, memory, state)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {**super().get_config(), "encoder": serialize(self.encoder), "decoder": serialize(self.decoder)}

    @classmethod
    def from_config(cls, config):
        restore = keras.saving.deserialize_keras_object
        return cls(restore(config.pop("encoder")), restore(config.pop("decoder")), **config)

def example():
    source, target = random.integers(1, 9, (3, 6)), random.integers(1, 7, (3, 4))
    source[1, 4:] = 0
    target[2, 3:] = 0
    return (source.astype("int32"), target.astype("int32"))

model = Translator(Encoder(9, 4), Decoder(7, 4))
model(example())
""",
    "siamese": """
@register
class Distance(layers.Layer):
    def call(self, anchor, other):
        return ops.sqrt(ops.sum(ops.square(anchor - other), axis=-1, keepdims=True) + keras.config.epsilon())

@register
class Siamese(keras.Model):
    def __init__(self, margin=0.5, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin
        inputs = keras.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, activation="relu")(inputs)
        x = layers.Flatten()(layers.MaxPooling2D()(x))
        self.embedding = keras.Model(inputs, layers.Dense(5)(x), name="embedding")
        self.distance = Distance()
        self.loss_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.loss_tracker]

    def train_step(self, data):
        raise NotImplementedError

    def call(self, inputs):
        anchor, positive, negative = inputs["anchor"], inputs["positive"], inputs["negative"]
        anchor = self.embedding(anchor)
        near = self.distance(anchor, self.embedding(positive))
        far = self.distance(anchor, self.embedding(negative))
        self.add_loss(ops.mean(ops.maximum(near - far + self.margin, 0.0)))
        return near, far

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}

def example():
    return {name: draw(2, 8, 8, 1) for name in ("anchor", "positive", "negative")}

model = Siamese()
model(example())
""",
    "GAN generator": """
@register
class Generator(keras.Model):
    def __init__(self, latent=6, **kwargs):
        super().__init__(**kwargs)
        self.latent = latent
        self.project = layers.Dense(4 * 4 * 8)
        self.reshape = layers.Reshape((4, 4, 8))
        self.ups = []
        for filters in (8, 4):
            self.ups.append(layers.Conv2DTranspose(filters, 4, strides=2, padding="same"))
            self.ups.append(layers.LeakyReLU(negative_slope=0.2))
        self.out = layers.Conv2D(1, 5, padding="same", activation="sigmoid")

    def call(self, z):
        x = self.reshape(self.project(z))
        for layer in self.ups:
            x = layer(x)
        return self.out(x)

    def get_config(self):
        return {**super().get_config(), "latent": self.latent}

@register
class GAN(keras.Model):
    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    def compile(self, g_optimizer, d_optimizer):
        super().compile()
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer

    def train_step(self, data):
        noise = keras.random.normal((ops.shape(data)[0], 6))
        self.discriminator(self.generator(noise))

def example():
    return draw(2, 6)

model = Generator()
model.build((None, 6))
model(example())
critic = keras.Sequential([keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(1)])
gan = GAN(model, critic)
gan.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
""",
    "VAE decoder": """
@register
class Sampling(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise

@register
class Encoder(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.log_variance, self.sampling = layers.Dense(2), layers.Dense(2), Sampling()

    def call(self, inputs):
        mean, log_variance = self.mean(inputs), self.log_variance(inputs)
        return mean, log_variance, self.sampling((mean, log_variance))

@register
class Decoder(keras.Model):
    def __init__(self, units=5, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units, activation="relu")
        self.image = layers.Dense(9, activation="sigmoid")

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        super().build(input_shape)

    def call(self, z):
        return ops.reshape(self.image(self.hidden(z * self.scale)), (-1, 3, 3, 1))

    def get_config(self):
        return {**super().get_config(), "units": self.units}

class VAE(keras.Model):
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def call(self, inputs):
        mean, log_variance, z = self.encoder(inputs)
        self.add_loss(-0.5 * ops.mean(log_variance - ops.square(mean) - ops.exp(log_variance) + 1))
        return self.decoder(z)

def example():
    return draw(3, 2)

model = Decoder()
vae = VAE(Encoder(), model)
vae(draw(2, 9))
model(example())
""",
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
        self.norm1, self.norm2 = layers.LayerNormalization(epsilon=1e-6), layers.LayerNormalization(epsilon=1e-6)
        self.dropout1, self.dropout2 = layers.Dropout(rate), layers.Dropout(rate)

    def call(self, x, training=False, mask=None):
        causal = None if mask is None else ops.cast(mask[:, None, :], "int32")
        y = self.dropout1(self.attention(x, x, attention_mask=causal, use_causal_mask=True), training=training)
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
        return {**super().get_config(), "length": self.length, "vocabulary": self.vocabulary, "size": self.size}

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
        self.network = keras.Sequential([TemporalBlock(size, 2**index) for index, size in enumerate(channels)])
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
}
