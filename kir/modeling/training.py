"""What a training script asks of a model besides building it. kir does not train: it says so, and what to do instead.

    asked for                    what happens
    compile                      remembered, for the names of the metrics
    fit, train_on_batch          a warning: the weights are what they were
    evaluate, test_on_batch      a warning: NaN for the loss and every metric
    a step of a loop of one's own    an error

A script that ends with `model.save("model.keras")` would write weights that nobody trained over those that the script
trained where it ran for real. Weights that await training are therefore not saved: see `require_trained`.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kir import config
from kir.errors import KirError, UnsupportedError
from kir.ir.graph import SourceKind
from kir.modeling.deferred import is_script_running
from kir.modeling.layer import Layer
from kir.support.naming import snake_case
from kir.support.trees import flatten

COMPILE_ARGUMENTS = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly")
ADVICE = "give trained weights with --weights FILE, or with model.load_weights(FILE)"

# Accepted without a word: they prepare or tidy up what training would do.
IDLE_METHODS = (
    "compile_from_config",
    "get_compile_config",
    "get_metrics_result",
    "make_predict_function",
    "make_test_function",
    "make_train_function",
    "reset_metrics",
)
# Steps of a loop of the script's own, whose results would go on into what it computes.
REFUSED_METHODS = ("compute_loss", "compute_metrics", "stateless_compute_loss", "test_step", "train_step")


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn an error of writing a file into a warning, while a script runs.

    Raises:
        KirError: as it came, outside of scripts.
    """
    try:
        yield
    except KirError as error:
        if not is_script_running():
            raise
        warnings.warn(f"{what} wrote nothing: {error}", stacklevel=4)


def require_trained(model: Layer) -> None:
    """Raise UnsupportedError if a script wanted to train a weight of the model, and gave no other numbers since."""
    if any(weight.awaits_training for weight in model.weights):
        raise UnsupportedError(
            f"{model.name!r} was not trained here, and weights that nobody trained could replace trained ones; load "
            f"trained weights before"
        )


def random_weights(model: Layer, kind: SourceKind) -> str:
    """Return what is to be said of weights that nobody gave, and how to give them; "" if there are none.

    Of those that await training it was said where that was asked for.

    Args:
        model: whose weights.
        kind: what the model was read from.
    """
    drawing = [weight for weight in model.weights if weight.draws_at_random or weight.is_random]
    random = [weight for weight in drawing if weight.is_random and not weight.awaits_training]
    if not random:
        return ""
    some = f" ({random[0].path}, …: {len(random)} of {len(drawing)})" if len(random) < len(drawing) else ""
    seed = "" if kind == "keras model" else f", seed {config.random_seed()}"
    advice = "give --weights FILE" if kind in ("script", "keras file") else "give others with load_weights(FILE)"
    return f"random{some}{seed}; {advice}"


class History:
    """What `fit` returns: no epochs, and an empty list under every name."""

    def __init__(self, model: Layer) -> None:
        self.model = model
        self.epoch: list[int] = []
        self.params: dict[str, Any] = {}
        self.history: defaultdict[str, list[float]] = defaultdict(list)


class Training(Layer):
    """The methods of `keras.Model` that train, measure, or prepare that; see the head of this module.

    Source: https://keras.io/api/models/model_training_apis/
    """

    optimizer: Any = None
    loss: Any = None
    compiled = False
    stop_training = False
    jit_compile: Any = False
    run_eagerly: Any = False
    steps_per_execution: Any = 1
    _compiled_metrics: Any = None

    def compile(self, *args: object, **kwargs: object) -> None:
        """Remember the optimizer, the loss and the metrics."""
        given = dict(zip(COMPILE_ARGUMENTS, args, strict=False)) | kwargs
        self.optimizer, self.loss = given.get("optimizer", "rmsprop"), given.get("loss")
        self._compiled_metrics = [given.get("metrics"), given.get("weighted_metrics")]
        self.compiled = True

    def connect_to(self, *args: object, **kwargs: object) -> None:
        """Let a subclassed model know its inputs by these, if it has none yet; see `kir.modeling.model.Model`."""

    @property
    def metrics_names(self) -> list[str]:
        """ "loss" and the names of the metrics that `compile` was given."""
        return ["loss", *map(_metric_name, flatten(self._compiled_metrics))]

    def fit(self, x: object = None, *args: object, **kwargs: object) -> History:
        """Train nothing, and warn of that."""
        if all(isinstance(leaf, np.ndarray) for leaf in flatten(x)):
            self.connect_to(x)
        self._await_training("fit")
        return History(self)

    def train_on_batch(self, *args: object, return_dict: bool = False, **kwargs: object) -> Any:
        """Train nothing, and warn of that; see `evaluate` for what is returned."""
        self._await_training("train_on_batch")
        return self._unmeasured(return_dict)

    def evaluate(self, *args: object, return_dict: bool = False, **kwargs: object) -> Any:
        """Return NaN for the loss, or a list (or dict) of NaN for the loss and every metric; and warn of that."""
        warnings.warn(
            f"{self.name!r} was not evaluated: kir measures no losses and metrics, and gives NaN for them", stacklevel=2
        )
        return self._unmeasured(return_dict)

    test_on_batch = evaluate
    # Names of Keras 2.
    fit_generator = fit
    evaluate_generator = evaluate

    def _await_training(self, method: str) -> None:
        for weight in self.trainable_weights:
            weight.awaits_training = True
        warnings.warn(
            f"{self.name!r} was not trained: kir does not train, and its weights are what they were before {method}(); "
            f"{ADVICE}",
            stacklevel=3,
        )

    def _unmeasured(self, return_dict: bool) -> Any:
        names = self.metrics_names
        if return_dict:
            return dict.fromkeys(names, float("nan"))
        return [float("nan")] * len(names) if len(names) > 1 else float("nan")


def _metric_name(metric: object) -> str:
    if isinstance(metric, str):
        return metric
    name = getattr(metric, "name", None)
    return name if isinstance(name, str) else snake_case(getattr(metric, "__name__", type(metric).__name__))


def _idle(name: str) -> Callable[..., None]:
    def method(self: Training, *args: object, **kwargs: object) -> None:
        """Accept the call: it only prepares, or follows, training."""

    method.__name__ = name
    return method


def _refused(name: str) -> Callable[..., None]:
    def method(self: Training, *args: object, **kwargs: object) -> None:
        """Refuse: kir does not train.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            f"{self.name!r} cannot do {name}(): kir exports models and does not train them; put the training loop "
            f'under if __name__ == "__main__": and {ADVICE}'
        )

    method.__name__ = name
    return method


for _name in IDLE_METHODS:
    setattr(Training, _name, _idle(_name))
for _name in REFUSED_METHODS:
    setattr(Training, _name, _refused(_name))
