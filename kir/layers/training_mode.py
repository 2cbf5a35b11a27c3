"""Whether a layer trains: a boolean, or in a training export a tensor that says so."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from kir.ir.trace import AnyTensor, Tensor

TrainingMode: TypeAlias = Tensor | bool | None


def is_off(training: TrainingMode) -> bool:
    """Return whether a layer is known not to train."""
    return not isinstance(training, Tensor) and not training


def as_switch(training: TrainingMode) -> AnyTensor:
    """Return the mode as an operator takes it: a boolean without axes."""
    return training if isinstance(training, Tensor) else np.asarray(bool(training))
