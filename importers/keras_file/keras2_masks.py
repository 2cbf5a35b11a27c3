"""Layers of Keras 2 that do something else with masks than those of the same name in Keras 3.

| layers                             | Keras 2                                        | Keras 3                  |
|------------------------------------|------------------------------------------------|--------------------------|
| Add, Average, Maximum, Minimum,    | masked steps count as any others; a step of    | see `kir.layers.merging` |
| Multiply, Subtract                 | the output is valid where all masks say so     |                          |
| Concatenate                        | valid where all masks say so                   | where any mask does      |
| recurrent ones with initial states | use the mask of the sequence                   | if a call is given it    |
| recurrent ones                     | repeat the output before a masked step, or 0   | see `Recurrence`         |
| Identity, Normalization, Rescaling | end it                                         | pass it on               |
| TimeDistributed                    | lets the layer inside make one of each step    | passes it on             |
| SpectralNormalization              | does as the layer inside                       | ends it                  |
| GroupNormalization                 | leaves out masked elements                     | takes no mask            |

Source: https://github.com/keras-team/tf-keras
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import Any

from kir import backend as K
from kir import layers
from kir.errors import UnsupportedError
from kir.ir.trace import Tensor
from kir.ir.types import DType
from kir.layers.keras2 import OfKeras2, OtherForMasks, public_layers
from kir.layers.merging import ElementwiseMerge, Masks
from kir.layers.recurrence import Recurrence
from kir.layers.wrappers import fold
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.support.declarations import Boolean


class _Merge(OtherForMasks, ElementwiseMerge):
    """A merge, element by element, that ignores masks."""

    def call(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        return super().call(inputs)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        """Return where all inputs that have a mask are valid."""
        return _all_valid(mask)


class Average(_Merge, layers.Average):
    """The mean of the inputs."""


class Concatenate(OtherForMasks, layers.Concatenate):
    """The inputs joined along an axis."""

    def compute_mask(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        """Return the masks, joined too; on an axis that they lack, where all of them are valid."""
        known = _known(mask)
        if known and self.axis % len(inputs[0].shape) >= len(known[0].shape):
            return _all_valid(mask)
        return super().compute_mask(inputs, mask)


class _EndsMask(OtherForMasks):
    """A layer that ends a mask that reaches it."""

    supports_masking = False


class SpectralNormalization(OtherForMasks, layers.SpectralNormalization):
    """A layer whose kernel has a norm of 1."""

    supports_masking = True

    def compute_mask(self, inputs: Sequence[Tensor], mask: Masks | None = None) -> Any:
        """Return what the layer inside makes of it."""
        return self.layer.compute_mask(inputs, mask)


class TimeDistributed(OtherForMasks, layers.TimeDistributed):
    """A layer applied to every step."""

    # What a model inside put on its output in the call under way.
    _made: Tensor | None = None

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        """Return what the layer inside makes of each step; where it makes nothing, whether anything in a step is valid.

        (batch, time, …) → (batch, time, …), or (batch, time).
        """
        folded = None if mask is None else fold(mask)
        made = self._made if isinstance(self.layer, Model) else self.layer.compute_mask(fold(inputs), folded)
        if made is not None:
            return K.reshape(made, (*inputs.shape[:2], *made.shape[1:]))
        return mask if mask is None or len(mask.shape) == 2 else K.any(mask, tuple(range(2, len(mask.shape))))

    def _trace_layer(self, x: Tensor) -> Any:
        outputs = super()._trace_layer(x)
        self._made = getattr(outputs, "mask", None)
        return outputs


class GroupNormalization(OtherForMasks, layers.GroupNormalization):
    """Groups of channels without their mean, divided by their deviation.

    Raises:
        UnsupportedError: a call is given a mask.
    """

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None:
            raise UnsupportedError("GroupNormalization that leaves out masked elements is not supported")
        return super().call(inputs)


def swap_time(x: Any) -> Any:
    """Return a tensor, or a mask, (batch, time, …) as (time, batch, …), or the reverse; None if there is none."""
    return None if x is None else K.swapaxes(x, 0, 1)


class _Recurrence(OtherForMasks, Recurrence):
    """A recurrent layer that uses the mask of its sequence even if it is given initial states.

    With `time_major` sequences, masks and sequences of outputs are (time, batch, …).
    """

    state_hides_mask = False
    ignored_config = frozenset({"implementation"})

    time_major: Boolean = Boolean(default=False, kw_only=True, doc="sequences are (time, batch, features)")

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return not self.time_major and super().is_same_in_keras_3(dtypes, has_masks)

    def get_config(self) -> dict[str, Any]:
        """Return the config that Keras 3 has, too."""
        return {key: value for key, value in super().get_config().items() if key != "time_major" or value}

    @property
    def repeats_outputs(self) -> bool:
        """Return whether a masked step repeats the output before it, or 0: always."""
        return True

    @property
    def zeros_masked(self) -> bool:
        """Return whether the output of a masked step is 0, unrolled or not."""
        return self.zero_output_for_mask and not self._misreads_mask

    @property
    def _misreads_mask(self) -> bool:
        """Return whether zeros are put where the mask has them read forwards, while the outputs run backwards."""
        return self.zero_output_for_mask and self.unroll and self.go_backwards and self.return_sequences

    def call(
        self,
        sequences: Tensor,
        initial_state: object = None,
        mask: Tensor | None = None,
        training: Tensor | bool | None = None,
    ) -> Any:
        if self.time_major:
            sequences, mask = swap_time(sequences), swap_time(mask)
        results = super().call(sequences, initial_state, mask, training)
        outputs, *states = results if self.return_state else (results,)
        if mask is not None and self._misreads_mask:
            outputs = K.where(K.expand_dims(mask, -1), outputs, K.zeros((), outputs.dtype))
        if self.time_major and self.return_sequences:
            outputs = swap_time(outputs)
        return (outputs, *states) if self.return_state else outputs


class _ConvLSTM(_Recurrence):
    """A convolutional LSTM, whose masked steps never give 0, also in a Bidirectional."""

    zeros_masked = False


class Bidirectional(OfKeras2, layers.Bidirectional):
    """A recurrent layer run in both directions, over (time, batch, features) if it is `time_major`."""

    def finish_init(self) -> None:
        self.is_time_major = getattr(self.forward_layer, "time_major", False)
        super().finish_init()
        for layer in self.directions:
            vars(layer)["time_major"] = False

    def is_same_in_keras_3(self, dtypes: Collection[DType], has_masks: bool) -> bool:
        return not self.is_time_major

    def call(
        self,
        sequences: Tensor,
        initial_state: object = None,
        mask: Tensor | None = None,
        training: Tensor | bool | None = None,
    ) -> Any:
        if not self.is_time_major:
            return super().call(sequences, initial_state, mask, training)
        results = super().call(swap_time(sequences), initial_state, swap_time(mask), training)
        outputs = results if isinstance(results, tuple) else (results,)
        count = (2 if self.merge_mode is None else 1) if self.return_sequences else 0
        swapped = (*map(swap_time, outputs[:count]), *outputs[count:])
        return swapped if len(swapped) > 1 else swapped[0]


# The layers that differ from those of Keras 3 by a base alone.
_BASES: Mapping[type[OtherForMasks], str] = {
    _Merge: "Add Maximum Minimum Multiply Subtract",
    _EndsMask: "Identity Normalization Rescaling",
    _Recurrence: "RNN SimpleRNN LSTM GRU",
    _ConvLSTM: "ConvLSTM1D ConvLSTM2D ConvLSTM3D",
}


def _derive(base: type[OtherForMasks], name: str) -> type[Layer]:
    cls = getattr(layers, name)
    return type(name, (base, cls), {"__doc__": cls.__doc__, "__module__": __name__})


MASKED_LAYERS: dict[str, type[Layer]] = public_layers(globals()) | {
    name: _derive(base, name) for base, names in _BASES.items() for name in names.split()
}


def _known(masks: Tensor | Masks | None) -> list[Any]:
    given = masks if isinstance(masks, Sequence) else [masks]
    return [mask for mask in given if mask is not None]


def _all_valid(masks: Tensor | Masks | None) -> Any:
    """Return where all masks that there are say so; None if there are none."""
    known = _known(masks)
    return reduce(K.logical_and, known) if known else None
