"""The activation functions by Keras's names, defaults and numbers, and how they are found and saved.

Each is the function of `kir.backend` of that name, so it works on symbolic tensors, on those of a functional model
and on arrays. Integers become floats; the shape stays (`glu` halves an axis).

Source: https://keras.io/api/layers/activations/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from kir import backend as K
from kir.backend.dispatch import floating, operation
from kir.errors import InvalidArgumentError
from kir.ir.trace import Tensor, TensorLike, emit
from kir.modeling.layer_classes import layer_class
from kir.modeling.registry import KERAS_PACKAGES, Configurable, unknown_name
from kir.modeling.user_functions import function_config
from kir.ops.elementwise import HardSigmoid

Activation = Callable[..., Any]


celu = K.celu
elu = K.elu
exponential = K.exp
glu = K.glu
hard_shrink = K.hard_shrink
hard_sigmoid = K.hard_sigmoid
hard_silu = K.hard_silu
hard_swish = K.hard_silu
hard_tanh = K.hard_tanh
leaky_relu = K.leaky_relu
log_sigmoid = K.log_sigmoid
log_softmax = K.log_softmax
mish = K.mish
relu = K.relu
relu6 = K.relu6
selu = K.selu
sigmoid = K.sigmoid
silu = K.silu
soft_shrink = K.soft_shrink
softmax = K.softmax
softplus = K.softplus
softsign = K.softsign
sparse_plus = K.sparse_plus
sparse_sigmoid = K.sparse_sigmoid
sparsemax = K.sparsemax
squareplus = K.squareplus
swish = K.silu
tanh = K.tanh
tanh_shrink = K.tanh_shrink
threshold = K.threshold


@operation
def hard_sigmoid_of_keras_2(x: TensorLike) -> Tensor:
    """Return ``0.2 * x + 0.5`` between 0 and 1, which Keras 1 and 2 called hard_sigmoid."""
    return emit(HardSigmoid(0.2, 0.5), floating(x))


def linear(x: TensorLike) -> TensorLike:
    """Return x itself."""
    return x


@operation
def gelu(x: TensorLike, approximate: bool = False) -> Tensor:
    """Return `kir.backend.gelu` of x, exact unless asked otherwise: Keras's default for the activation."""
    return K.gelu(x, approximate)


# In Keras's own order of preference: the first name of a function is the one that it is saved under.
ACTIVATIONS: dict[str, Activation] = {
    "celu": celu, "elu": elu, "exponential": exponential, "gelu": gelu, "glu": glu, "hard_shrink": hard_shrink,
    "hard_sigmoid": hard_sigmoid, "hard_silu": hard_silu, "hard_swish": hard_swish, "hard_tanh": hard_tanh,
    "leaky_relu": leaky_relu, "linear": linear, "log_sigmoid": log_sigmoid, "log_softmax": log_softmax,
    "mish": mish, "relu": relu, "relu6": relu6, "selu": selu, "sigmoid": sigmoid, "silu": silu,
    "soft_shrink": soft_shrink, "softmax": softmax, "softplus": softplus, "softsign": softsign,
    "sparse_plus": sparse_plus, "sparse_sigmoid": sparse_sigmoid, "sparsemax": sparsemax,
    "squareplus": squareplus, "swish": swish, "tanh": tanh, "tanh_shrink": tanh_shrink, "threshold": threshold,
}  # fmt: skip

# All that are found by name: layers read from files of Keras 1 and 2 have one that Keras 3 lacks.
NAMED: dict[str, Activation] = {**ACTIVATIONS, "hard_sigmoid_of_keras_2": hard_sigmoid_of_keras_2}

# Layers without weights that Keras's users pass as activations, as in Dense(4, activation=LeakyReLU(0.1)).
LAYERS = frozenset({"Activation", "ELU", "LeakyReLU", "ReLU", "Softmax"})


def get(identifier: object) -> Activation:
    """Return the activation that a layer's argument means.

    | given                     | result                                                   |
    |---------------------------|----------------------------------------------------------|
    | None                      | `linear`                                                 |
    | a name, in any case       | the function of that name                                |
    | a config dict             | what `deserialize` makes of it                           |
    | a callable                | itself: a function of a tensor, or a layer               |

    Raises:
        InvalidArgumentError: nothing of that name exists, or the argument is none of these.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        return _named(identifier)
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    raise InvalidArgumentError(
        f"cannot use {identifier!r} as an activation; expected None, a name, a config dict or a function of a tensor"
    )


def deserialize(config: object, custom_objects: Mapping[str, Activation] | None = None) -> Activation:
    """Return the activation that `serialize`, or Keras, wrote; `custom_objects` has the user's own functions by name.

    Raises:
        InvalidArgumentError: the config describes no activation, or one that is not given.
    """
    if config is None or isinstance(config, str):
        return (custom_objects or {}).get(str(config)) or get(config)
    described = config if isinstance(config, Mapping) else {}
    class_name, name = described.get("class_name"), described.get("config")
    if class_name in LAYERS and isinstance(name, Mapping):
        return layer_class(class_name).from_config(name)  # type: ignore[no-any-return]
    if class_name not in ("function", "Function") or not isinstance(name, str):
        raise InvalidArgumentError(
            f"{config!r} describes no activation; expected a name, or a dict with class_name 'function' and a name "
            "as config"
        )
    if name in (custom_objects or {}):
        return (custom_objects or {})[name]
    module = str(described.get("module") or "builtins").split(".")[0]
    if described.get("registered_name") in (None, "function", name) and (
        module == "builtins" or module in KERAS_PACKAGES
    ):
        return _named(name)
    raise InvalidArgumentError(
        f"the activation is the function {name!r} of module {described.get('module')!r}, of which only the name was "
        f"saved; pass custom_objects={{{name!r}: the function}}"
    )


def serialize(activation: Activation) -> Any:
    """Return the name of one of the activations above; for any other function the config dict that Keras 3 writes.

    Raises:
        InvalidArgumentError: a lambda, or a function inside another, which cannot be found again by its name.
    """
    for name, known in NAMED.items():
        if activation is known:
            return name
    if isinstance(activation, FunctionType) and "<" not in activation.__qualname__:
        return function_config(activation)
    if isinstance(activation, Configurable):
        cls = type(activation)
        return {
            "module": cls.__module__,
            "class_name": cls.__name__,
            "config": activation.get_config(),
            "registered_name": cls.__name__,
        }
    raise InvalidArgumentError(
        f"the activation {activation!r} cannot be saved: only functions at the top of a module have a name that finds "
        "them again; write it as one"
    )


def _named(name: str) -> Activation:
    if name in NAMED:
        return NAMED[name]
    if name.lower() in NAMED:
        return NAMED[name.lower()]
    raise unknown_name("activation", name, ACTIVATIONS, ACTIVATIONS)
