"""Subclassed models in the style of Keras's guides: scripts that build `model`, and arrays for it in `example()`."""

from __future__ import annotations

from tests.importers.subclassed_networks import NETWORKS
from tests.importers.subclassed_rarely import RARE

HEAD = """
import numpy as np
import keras
from keras import layers, ops

random = np.random.default_rng(0)

def draw(*shape):
    return random.normal(size=shape).astype("float32")

register = keras.saving.register_keras_serializable(package="guides")
"""

MODELS = (
    {
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
    }
    | NETWORKS
    | RARE
)
