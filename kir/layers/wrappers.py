"""Layers around a layer: Bidirectional and TimeDistributed.

Source: https://keras.io/api/layers/recurrent_layers/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from kir import activations
from kir import backend as K
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.op import Op
from kir.ir.trace import Tensor, Tracer, emit
from kir.ir.types import Shape, format_shape
from kir.layers.cell import DenseCell, PackedWeights
from kir.layers.core import Dense
from kir.layers.recurrence import Recurrence
from kir.layers.rnn import RNN
from kir.layers.rnn_cells import config_to_copy, copied_cell, require_known_length, why_not_operator
from kir.layers.steps import BATCH_AND_TIME, Steps, one_step, reverse_time, run, select_direction, with_steps
from kir.layers.training_mode import TrainingMode, is_off
from kir.modeling.declared import DeclaredLayer
from kir.modeling.layer import Layer, to_config
from kir.modeling.layer_classes import layer_from_config
from kir.modeling.parameters import call_parameters
from kir.modeling.weight_owner import walk_layers
from kir.ops.reduce import ReduceMean, ReduceProd, ReduceSum
from kir.ops.shape import Concat, Reshape, Transpose
from kir.support.declarations import Argument, OptionalChoice
from kir.support.trees import flatten, map_structure

REDUCTIONS: dict[str, Callable[[tuple[int, ...], bool], Op]] = {"sum": ReduceSum, "mul": ReduceProd, "ave": ReduceMean}


def require_layer(owner: str, name: str, given: object) -> Layer:
    """Return the layer that a wrapper is given.

    Raises:
        InvalidArgumentError: it is no layer.
    """
    if not isinstance(given, Layer):
        raise InvalidArgumentError(f"{owner}: {name} must be a layer; received {name}={given!r}")
    return given


def _require_recurrent(owner: str, name: str, given: object) -> Recurrence:
    if not isinstance(given, Recurrence):
        raise InvalidArgumentError(
            f"{owner}: {name} must be a recurrent layer, such as SimpleRNN, LSTM, GRU or RNN; received {name}={given!r}"
        )
    return given


def _optional_recurrent(owner: str, name: str, given: object) -> Recurrence | None:
    return None if given is None else _require_recurrent(owner, name, given)


def _listed(owner: str, name: str, given: Sequence[Any] | None) -> list[Any]:
    return [] if given is None else list(given)


class Bidirectional(DeclaredLayer):
    """A recurrent layer run in both directions over (batch, time, features), and the two results merged.

    Both directions are one operator where they can be: layers of one class and size, the first reading forwards.

    Raises:
        InvalidArgumentError: a layer is not recurrent, or the two do not go together.

    Source: https://keras.io/api/layers/recurrent_layers/bidirectional/
    """

    supports_masking = True

    forward_layer: Argument[Layer, Recurrence] = Argument(
        _require_recurrent,
        alias="layer",
        doc="a recurrent layer; what is used is a copy of it, without its weights",
    )
    merge_mode: OptionalChoice = OptionalChoice(
        "concat",
        "sum",
        "mul",
        "ave",
        default="concat",
        doc='"concat" over the last axis, "sum", "mul", "ave"; None gives both results',
    )
    initial_weights: Argument[Sequence[Any] | None, list[Any]] = Argument(
        _listed,
        alias="weights",
        default=None,
        doc="arrays to begin with, the forward layer's and then the backward layer's",
    )
    backward_layer: Argument[Layer | None, Any] = Argument(
        _optional_recurrent,
        default=None,
        doc="the layer for the other direction; by default a copy of `layer` that reads backwards",
    )

    def finish_init(self) -> None:
        given = self.forward_layer
        self.forward_layer = _copy(given, "forward_", given.go_backwards)
        if self.backward_layer is None:
            self.backward_layer = _copy(given, "backward_", True)
        self._check_layers(self.name_in_messages)
        for inner in self.directions:
            # As in Keras: repeating outputs at masked steps would repeat different steps in the two directions.
            inner.zero_output_for_mask = inner.return_sequences
        self.packed = PackedWeights()

    @property
    def return_sequences(self) -> bool:
        """Return whether the outputs of all steps are given."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self) -> bool:
        """Return whether the states are given after the output: the forward layer's, then the backward layer's."""
        return self.forward_layer.return_state

    @property
    def directions(self) -> list[Recurrence]:
        """The forward and the backward layer."""
        return [self.forward_layer, self.backward_layer]

    def owned_layers(self) -> dict[str, Layer]:
        """Return the forward and the backward layer."""
        return {"forward_layer": self.forward_layer, "backward_layer": self.backward_layer}

    def build(self, sequences_shape: Shape, initial_state_shape: object = None) -> None:
        """Build both layers."""
        for layer in self.directions:
            layer.ensure_built(sequences_shape)
        if self.initial_weights:
            self.set_weights(self.initial_weights)

    def call(
        self, sequences: Tensor, initial_state: object = None, mask: Tensor | None = None, training: TrainingMode = None
    ) -> Any:
        count = self.forward_layer.state_count + self.backward_layer.state_count
        initial = self.forward_layer.check_initial_state(initial_state, count)
        mask = self.forward_layer.check_mask(mask, sequences, initial)
        sequences = self.promote(sequences)
        if self._is_one_operator(mask, initial, training) and not self._collects_activities(sequences.tracer):
            outputs, states = self._run_together(sequences, initial, mask)
        else:
            outputs, states = self._run_apart(sequences.with_mask(None), initial, mask)
        results = (*outputs, *states) if self.return_state else tuple(outputs)
        return results if len(results) > 1 else results[0]

    def compute_mask(self, inputs: object, mask: object = None) -> Any:
        """Return the mask of the inputs for a sequence of outputs; single outputs and states have none."""
        outputs = [mask if self.return_sequences else None] * (2 if self.merge_mode is None else 1)
        states = [None] * sum(len(layer.state_size) for layer in self.directions) if self.return_state else []
        return outputs + states if len(outputs + states) > 1 else outputs[0]

    def _is_one_operator(self, mask: Tensor | None, initial: list[Tensor], training: TrainingMode) -> bool:
        cells = self._operator_cells(training)
        if cells is None or self.forward_layer.stateful or self.forward_layer.go_backwards:
            return False
        forward, backward = cells
        alike = (
            type(forward) is type(backward)
            and forward.make_op("forward", ()) == backward.make_op("forward", ())
            and forward.compute_type is backward.compute_type
        )
        # Each direction drops inputs of its own, and may repeat outputs at masked steps, each its own way.
        drops = not is_off(training) and any(cell.dropout > 0 for cell in cells)
        repeats = mask is not None and any(
            not layer.zeros_masked if self.return_sequences else initial and layer.repeats_outputs
            for layer in self.directions
        )
        return alike and not drops and not repeats

    def _operator_cells(self, training: TrainingMode) -> list[DenseCell] | None:
        """Return the cells of the two directions, if each has one that can be an operator."""
        cells = [layer.cells() for layer in self.directions]
        if any(len(one) != 1 or why_not_operator(one[0][0], training) for one in cells):
            return None
        return [one[0][0] for one in cells]

    def _collects_activities(self, tracer: Tracer) -> bool:
        """Return whether the output of each direction has to be known, before they are merged, for the losses."""
        return tracer.collects_losses and any(layer.activity_regularizer is not None for layer in self.directions)

    def _run_together(self, x: Tensor, initial: list[Tensor], mask: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
        """Return the outputs, merged, and the states, by one operator."""
        cells = [layer.cells()[0][0] for layer in self.directions]
        functions = [activation for cell in cells for activation in cell.operator_activations()]
        op = cells[0].make_op("bidirectional", tuple(functions))
        steps = None if mask is None else Steps(mask)
        half = len(initial) // 2
        pairs = zip(initial[:half], initial[half:], strict=True)
        y, *finals = run(op, x, self.packed.read(cells, x), steps, [_stack_states(*pair) for pair in pairs])
        if self.return_sequences:
            outputs = [_in_batches(output, steps) for output in self._merge_stacked(y, 1)]
        else:
            outputs = self._merge_stacked(finals[0], 0)
        return outputs, [select_direction(final, direction) for direction in (0, 1) for final in finals]

    def _run_apart(self, x: Tensor, initial: list[Tensor], mask: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
        """Return the outputs, merged, and the states, by one operator for each direction."""
        results = []
        half = len(initial) // 2
        for layer, given in zip(self.directions, (initial[:half], initial[half:]), strict=True):
            result = layer.trace(x, initial_state=given or None, mask=mask)
            results.append(result if self.return_state else (result,))
        (forward, *forward_states), (backward, *backward_states) = results
        if self.return_sequences:
            backward = reverse_time(backward)
        return self._merge_pair(forward, backward), forward_states + backward_states

    def _merge_stacked(self, y: Tensor, axis: int) -> list[Tensor]:
        """Merge the two directions, which are an axis of y [..., directions, batch, units]."""
        if self.merge_mode is None:
            return [select_direction(y, direction, axis) for direction in (0, 1)]
        if self.merge_mode != "concat":
            return [emit(REDUCTIONS[self.merge_mode]((axis,), False), y)]
        leading = tuple(range(axis))
        side_by_side = emit(Transpose((*leading, axis + 1, axis, axis + 2)), y)
        shape: Shape = (*side_by_side.shape[: axis + 1], 2 * y.shape[-1])
        return [emit(Reshape(shape), side_by_side)]

    def _merge_pair(self, forward: Tensor, backward: Tensor) -> list[Tensor]:
        if self.merge_mode is None:
            return [forward, backward]
        if self.merge_mode == "concat":
            return [emit(Concat(len(forward.shape) - 1), forward, backward)]
        if self.merge_mode == "mul":
            return [forward * backward]
        total = forward + backward
        return [total / 2 if self.merge_mode == "ave" else total]

    def _check_layers(self, owner: str) -> None:
        forward, backward = self.directions
        if forward.go_backwards == backward.go_backwards:
            raise InvalidArgumentError(
                f"{owner}: the two layers must read in different directions; "
                f"received go_backwards={forward.go_backwards} for both"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            values = getattr(forward, name), getattr(backward, name)
            if values[0] != values[1]:
                raise InvalidArgumentError(
                    f"{owner}: the two layers must have the same {name}; received {values[0]} and {values[1]}"
                )

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments that Keras saves."""
        config = self.shared_config()
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = to_config(self.activity_regularizer)
        return config | {
            "merge_mode": self.merge_mode,
            "layer": to_config(self.forward_layer),
            "backward_layer": to_config(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return a new layer from what `get_config` gave; its inner layers may be config dicts or layers."""
        return cls(**{**config, **{name: layer_from_config(config.get(name)) for name in ("layer", "backward_layer")}})


class Wrapper(DeclaredLayer):
    """A layer around a layer: the base of those that are here, and of a user's own, which define `call`.

    Raises:
        InvalidArgumentError: it is no layer.

    Source: https://github.com/keras-team/keras/blob/master/keras/src/layers/core/wrapper.py
    """

    layer: Argument[Layer, Layer] = Argument(require_layer, doc="any layer or model")

    def owned_layers(self) -> dict[str, Layer]:
        """Return the layer inside."""
        return {"layer": self.layer}

    def build(self, input_shape: Shape | None = None) -> None:
        """Build the layer inside."""
        self.layer.ensure_built(input_shape)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """Return a new layer from what `get_config` gave; the inner layer may be a config dict or a layer."""
        return super().from_config({**config, "layer": layer_from_config(config.get("layer"))})


class TimeDistributed(Wrapper):
    """A layer applied to every step: (batch, time, …) → (batch, time, …).

    The steps are folded into the batch: the layer runs once, on (batch·time, …). A Dense needs no folding. With a
    stateful layer inside the steps run one after the other, since each goes on with the states of the one before.

    Raises:
        InvalidArgumentError: it is no layer.
        ShapeError: at a call, the input has fewer than three axes, or the mask does not fit.
        UnsupportedError: when the model is lowered, a layer inside is stateful, and the number of steps is unknown.

    Source: https://keras.io/api/layers/recurrent_layers/time_distributed/
    """

    supports_masking = True

    layer: Argument[Layer, Layer] = Argument(require_layer, doc="any layer or model of one input")

    def finish_init(self) -> None:
        self.autocast = False

    def build(self, input_shape: Shape | None = None) -> None:
        """Nothing: the layer inside is built when it is called with the steps."""

    def call(self, inputs: Tensor, training: TrainingMode = None, mask: Tensor | None = None) -> Any:
        if not isinstance(inputs, Tensor) or len(inputs.shape) < 3:
            received = format_shape(inputs.shape) if isinstance(inputs, Tensor) else "several inputs"
            raise ShapeError(
                f"TimeDistributed needs one input of rank 3 or more, (batch, time, …); received {received}"
            )
        if self._works_on_any_rank():
            return self._trace_layer(inputs)
        batch, time = inputs.shape[:2]
        if mask is None or not self._takes_mask():
            mask = None
        elif tuple(mask.shape[:2]) != (batch, time):
            raise ShapeError(
                f"TimeDistributed: the mask must begin with the input's sizes {format_shape((batch, time))}; "
                f"received a mask of shape {format_shape(mask.shape)}"
            )
        if self._is_stateful():
            return self._run_steps(inputs, mask)
        outputs = self._trace_layer(fold(inputs).with_mask(None if mask is None else fold(mask)))
        return map_structure(lambda y: emit(Reshape((batch, time, *y.shape[1:])), y), outputs)

    def _run_steps(self, x: Tensor, mask: Tensor | None) -> Any:
        """Return the outputs of the layer called with one step after the other."""
        if x.tracer.graph is None and not isinstance(x.shape[1], int):
            one = self._run_steps(one_step(x), None if mask is None else one_step(mask))
            return map_structure(lambda y: with_steps(y, x), one)
        require_known_length(x.shape[1], f"a layer inside TimeDistributed {self.name!r} is stateful")
        masks = [None] * len(steps := K.unstack(x, axis=1)) if mask is None else K.unstack(mask, axis=1)
        outputs = [self._trace_layer(step.with_mask(given)) for step, given in zip(steps, masks, strict=True)]
        leaves = iter([K.stack(leaf, axis=1) for leaf in zip(*map(flatten, outputs), strict=True)])
        return map_structure(lambda _: next(leaves), outputs[0])

    def _is_stateful(self) -> bool:
        return any(isinstance(one, Recurrence) and one.stateful for one in walk_layers(self.layer))

    def _trace_layer(self, x: Tensor) -> Any:
        """Return the outputs of the layer, which adds no loss of its own, since Keras runs its `call` alone."""
        outputs = self.layer.trace(x)
        if x.tracer.collects_losses and self.layer.activity_regularizer is not None:
            del x.tracer.losses[-len(flatten(outputs)) :]
        return outputs

    def _works_on_any_rank(self) -> bool:
        """Return whether the layer works on any rank, as a Dense with an activation of Keras does."""
        return type(self.layer) is Dense and self.layer.activation in activations.NAMED.values()

    def _takes_mask(self) -> bool:
        return "mask" in call_parameters(type(self.layer)) or self.layer.supports_masking


def _copy(layer: Recurrence, prefix: str, go_backwards: bool) -> Recurrence:
    """Return a layer of the same configuration, named for its direction."""
    config = config_to_copy(layer) | {"name": prefix + layer.name.removeprefix(prefix), "go_backwards": go_backwards}
    if isinstance(layer, RNN):
        config["cell"] = copied_cell(layer.cell)
    return type(layer).from_config(config)


def _stack_states(forward: Tensor, backward: Tensor) -> Any:
    """Return [2, batch, units] from the states of the two directions."""
    joined = emit(Concat(0), forward, backward)
    return emit(Reshape((2, *forward.shape)), joined)


def _in_batches(y: Tensor, steps: Steps | None) -> Tensor:
    """Return (batch, time, units) from [time, batch, units] of the valid steps."""
    return emit(BATCH_AND_TIME, y) if steps is None else steps.spread(y, zero_masked=True)


def fold(x: Tensor) -> Tensor:
    """Return the time axis folded into the batch."""
    batch, time = x.shape[:2]
    return emit(Reshape((batch * time, *x.shape[2:])), x)
