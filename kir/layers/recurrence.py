"""The base of the layers that run cells over sequences.

A cell that ONNX has an operator for becomes that operator, over the whole sequence. Masks are arbitrary: a masked step
keeps the state, and its output repeats the one before. No loop is needed for that, since a masked step changes nothing:
`Steps` gathers the valid steps to the front, the operator runs over that many (`sequence_lens`), and a sequence of
outputs is gathered back. Every other cell is unrolled, each step becoming nodes of its own, or runs in a Scan where the
number of steps is unknown or large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kir import backend as K
from kir.backend.scanning import scan_steps
from kir.errors import InvalidArgumentError, ShapeError, UnsupportedError
from kir.ir.dims import Dim
from kir.ir.trace import Tensor, emit
from kir.ir.types import DType, Shape, format_shape
from kir.layers.cell import Cell, Step
from kir.layers.rnn_cells import (
    entered,
    initial_states,
    leaf_cells,
    start_steps,
    state_count,
    state_size,
    why_not_operator,
)
from kir.layers.steps import (
    BATCH_AND_TIME,
    Steps,
    as_column,
    cut_steps,
    is_unrolled,
    join_steps,
    last_step,
    one_step,
    reverse_time,
    with_steps,
)
from kir.layers.training_mode import TrainingMode
from kir.modeling.declared import DeclaredLayer
from kir.modeling.layer import Layer
from kir.ops.elementwise import Cast, Where
from kir.ops.shape import CumSum, Reshape, Slice
from kir.support.declarations import Boolean, Unchecked
from kir.support.trees import flatten


class Recurrence(DeclaredLayer):
    """A cell run over sequences: (batch, time, features) → (batch, units), or (batch, time, units).

    Raises:
        UnsupportedError: when the model is lowered, if a state of the cell changes its type, and the number of steps is
            unknown.
        ShapeError: at a call, if the layer is stateful and the batch size is not known.
    """

    supports_masking = True
    ignored_config = frozenset({"time_major"})
    # Whether the mask that a sequence carries goes unused when initial states are given: see `check_mask`.
    state_hides_mask: ClassVar[bool] = True

    return_sequences = Boolean(default=False, doc="gives the outputs of all steps, otherwise that of the last")
    return_state = Boolean(
        default=False, doc="gives (outputs, *states), the states in the structure of the cell's `state_size`"
    )
    go_backwards = Boolean(
        default=False, doc="reads the sequence from its end; a sequence of outputs is in the order of reading"
    )
    stateful = Boolean(
        default=False,
        doc="begins with the states that the run before ended with. In a graph they are further inputs, which are "
        "zeros unless fed, and further outputs; `predict` keeps them in the layer until `reset_states`",
    )
    unroll = Boolean(default=False, doc="how Keras runs the layer; see `zero_output_for_mask`")
    zero_output_for_mask = Boolean(
        default=False, doc="the output of a masked step is 0. An unrolled layer does not heed it, as in Keras"
    )

    if TYPE_CHECKING:
        # An argument of RNN; the other layers make it.
        cell = Unchecked()

    @property
    def zeros_masked(self) -> bool:
        """Return whether the output of a masked step is 0."""
        return self.zero_output_for_mask and not self.unroll

    @property
    def repeats_outputs(self) -> bool:
        """Return whether a masked step repeats the output before it, or 0 at first; otherwise the first state."""
        return self.unroll

    @property
    def state_size(self) -> list[Any]:
        """The size of each state of the cell; of a stack, those of each of its cells."""
        sizes = state_size(self.cell)
        return list(sizes) if isinstance(sizes, list | tuple) else [sizes]

    @property
    def state_count(self) -> int:
        """How many tensors the states are."""
        return sum(state_count(cell) for *_, cell in leaf_cells(self.cell))

    def cells(self) -> list[tuple[Any, tuple[Layer, ...]]]:
        """Return the cells that compute, each with the layers whose path its nodes have."""
        return [(path[-1], path) for path in leaf_cells(self.cell)]

    def get_initial_state(self, batch_size: Dim | None = None) -> list[Any]:
        """Return the states that the layer begins with, unless it is given others, as arrays with this many samples."""
        return [state for cell, _ in self.cells() for state in initial_states(cell, batch_size or 1)]

    def build(self, sequences_shape: Shape, initial_state_shape: object = None) -> None:
        """Build the cell, for the input of one step."""
        axes = self.cell.input_axes if isinstance(self.cell, Cell) else ()
        if len(sequences_shape) < 3 or (axes and len(sequences_shape) != len(axes) + 1):
            rank, features = (len(axes) + 1, ", ".join(axes[1:])) if axes else ("3 or more", "…")
            raise ShapeError(
                f"{type(self).__name__} needs an input of rank {rank}, (batch, time, {features}); "
                f"received {format_shape(sequences_shape)}"
            )
        self.cell.ensure_built((sequences_shape[0], *sequences_shape[2:]))

    # Calling

    def call(
        self, sequences: Tensor, initial_state: object = None, mask: Tensor | None = None, training: TrainingMode = None
    ) -> Any:
        given = self.check_initial_state(initial_state, self.state_count)
        mask = self.check_mask(mask, sequences, given)
        initial = self._read_states(sequences) if self.stateful and not given else given
        reason = next((why for cell, _ in self.cells() if (why := why_not_operator(cell, training))), None)
        if reason is None:
            output, finals = self._run_operators(sequences, initial, mask, training)
        elif sequences.tracer.graph is None and not is_unrolled(sequences.shape[1]):
            output, finals = self._infer_steps(sequences, initial, mask, training)
        else:
            output, finals = self._run_steps(sequences, initial, mask, training)
        if self.stateful:
            sequences.tracer.keep_states(self, finals)
        output, *finals = (self.promote(result) for result in (output, *finals))
        if not self.return_state:
            return output
        states = iter(finals)
        return output, *[_packed(size, states) for size in self.state_size]

    def compute_mask(self, inputs: object, mask: object = None) -> Any:
        """Return the mask of the inputs for a sequence of outputs; a single output and the states have none."""
        output_mask = mask if self.return_sequences else None
        return [output_mask] + [None] * len(self.state_size) if self.return_state else output_mask

    def check_initial_state(self, given: object, count: int) -> list[Any]:
        """Return the initial states as a flat list of `count` tensors in the compute dtype, or an empty one.

        Raises:
            InvalidArgumentError: there are more or fewer.
        """
        states = flatten(given)
        if states and len(states) != count:
            raise InvalidArgumentError(
                f"{type(self).__name__} {self.name!r} has {count} states; received initial_state with {len(states)}"
            )
        return [K.cast(state, self.compute_type.keras_name) for state in states]

    def check_mask(self, given: Tensor | None, x: Tensor, initial: Sequence[Tensor]) -> Any:
        """Return the mask to use, as booleans, or None.

        Keras hands a mask that x carries to a call only if x is the only tensor given: with an initial state it must be
        given as `mask`. The outputs carry it all the same. In Keras 2 (`state_hides_mask` is False) it is always used.

        Raises:
            ShapeError: it is not of rank 2.
            UnsupportedError: x is one of images, and the mask one of their pixels.

        Source: `Layer.__call__` in keras/src/layers/layer.py
        """
        if given is None or (self.state_hides_mask and initial and given is x.mask):
            return None
        if 2 < len(given.shape) < len(x.shape):
            raise UnsupportedError(
                f"{type(self).__name__} {self.name!r} is given a mask for each pixel, of shape "
                f"{format_shape(given.shape)}, as Masking makes it; only masks of whole images, of shape "
                f"(batch, time), are supported: give one as mask="
            )
        if len(given.shape) != 2:
            raise ShapeError(
                f"{type(self).__name__} {self.name!r} needs a mask of shape (batch, time); "
                f"received {format_shape(given.shape)}"
            )
        return K.cast(given, "bool")

    # One operator for each cell

    def _run_operators(
        self, x: Tensor, initial: Sequence[Tensor], mask: Tensor | None, training: TrainingMode
    ) -> tuple[Tensor, list[Tensor]]:
        # Sequences are reversed first, so that the outputs are in Keras's order, that of reading.
        turned = self.go_backwards and self.return_sequences
        if turned:
            x, mask = reverse_time(x), None if mask is None else reverse_time(mask)
        direction = "reverse" if self.go_backwards and not turned else "forward"
        steps = None if mask is None else Steps(mask)
        y = emit(BATCH_AND_TIME, x if steps is None else steps.gather(x))
        finals: list[Tensor] = []
        for cell, path in self.cells():
            given = initial[len(finals) : len(finals) + cell.state_count]
            with entered(path, x.tracer):
                y, ends = cell.run(y, direction, None if steps is None else steps.lens, given, training)
            finals += ends
        last, before = finals[-cell.state_count], initial[-cell.state_count :]
        if self.return_sequences:
            return self._spread_sequence(y, steps, before), finals
        return self._zero_if_masked(last, mask, before), finals

    def _spread_sequence(self, y: Tensor, steps: Steps | None, initial: Sequence[Tensor]) -> Tensor:
        """Return the outputs [time, batch, units] of the valid steps as (batch, time, units) of all steps."""
        if steps is None:
            return emit(BATCH_AND_TIME, y)
        if self.zeros_masked:
            return steps.spread(y, zero_masked=True)
        if not initial or self.repeats_outputs:
            return steps.spread(y)
        return steps.spread(y, before=emit(Reshape((1, *initial[0].shape)), initial[0]))

    def _zero_if_masked(self, output: Tensor, mask: Tensor | None, initial: Sequence[Tensor]) -> Tensor:
        """Return the last output, 0 where Keras's is.

        That is where the step that is read last is masked, with `zeros_masked`; with `repeats_outputs` where no step is
        valid, whatever the initial state.
        """
        if mask is None or not (self.zeros_masked or (initial and self.repeats_outputs)):
            return output
        last: Dim = 0 if self.go_backwards else mask.shape[1] - 1
        valid = emit(Slice((1,), (last,), (last + 1,), (1,)), mask) if self.zeros_masked else K.any(mask, 1, True)
        return emit(Where(), as_column(valid, output), output, K.zeros((), output.dtype))

    # One step after the other

    def _run_steps(
        self, x: Tensor, initial: Sequence[Tensor], mask: Tensor | None, training: TrainingMode
    ) -> tuple[Tensor, list[Tensor]]:
        run_cell = self._unroll_cell if is_unrolled(x.shape[1]) else self._scan_cell
        backwards = self.go_backwards
        finals: list[Tensor] = []
        for cell, path in self.cells():
            with entered(path, x.tracer):
                given = list(initial[len(finals) : len(finals) + state_count(cell)])
                parts, step = start_steps(cell, x, training)
                states = given or (cell.zero_states() if isinstance(cell, Cell) else initial_states(cell, x.shape[0]))
                is_last = len(finals) + len(states) == self.state_count
                x, ends = run_cell(step, parts, backwards, mask, states, self.return_sequences or not is_last)
            finals += ends
            backwards = False
        if not self.return_sequences:
            return self._zero_if_masked(x, mask, given), finals
        return self._zero_sequence(x, mask, given), finals

    def _unroll_cell(
        self,
        step: Step,
        parts: Sequence[Tensor],
        backwards: bool,
        mask: Tensor | None,
        states: Sequence[Any],
        is_sequence: bool,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs of all steps or the last one, and the last states. A masked step repeats those before."""
        pieces = [cut_steps(part)[:: -1 if backwards else 1] for part in parts]
        masks = [None] * len(pieces[0]) if mask is None else K.split(mask, len(pieces[0]), 1)
        outputs: list[Any] = []
        for part, valid in zip(zip(*pieces, strict=True), masks[:: -1 if self.go_backwards else 1], strict=True):
            output, new = step(part, states)
            if valid is not None:
                before = outputs[-1] if outputs else np.zeros((), output.type.dtype.numpy)
                output, new = self._repeat_masked(valid, output, new, states, before)
            outputs.append(output)
            states = new
        return join_steps(outputs) if is_sequence else outputs[-1], list(states)

    def _scan_cell(
        self,
        step: Step,
        parts: Sequence[Tensor],
        backwards: bool,
        mask: Tensor | None,
        states: Sequence[Any],
        is_sequence: bool,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return what `_unroll_cell` does, of any number of steps: they become one Scan."""
        is_state = False

        def run_step(before: list[Tensor], slices: list[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
            nonlocal is_state
            output, new = step(slices[: len(parts)], before)
            is_state = output is new[0]
            if mask is not None:
                valid = emit(Reshape((*slices[-1].shape, 1)), slices[-1])
                output, new = self._repeat_masked(valid, output, new, before, None)
            return new, [output] if is_sequence or not is_state else []

        tracer = parts[0].tracer
        first = [x if isinstance(x, Tensor) else tracer.constant(x) for x in states]
        sequences = [(part, backwards) for part in parts] + ([] if mask is None else [(mask, self.go_backwards)])
        finals, outputs = scan_steps(run_step, first, [x for x, _ in sequences], 1, [turned for _, turned in sequences])
        if is_sequence:
            return outputs[0], finals
        return finals[0] if is_state else last_step(outputs[0]), finals

    def _infer_steps(
        self, x: Tensor, initial: Sequence[Tensor], mask: Tensor | None, training: TrainingMode
    ) -> tuple[Tensor, list[Tensor]]:
        """Return tensors of the types that unrolling gives, for models that are built before their length is known."""
        one = None if mask is None else one_step(mask)
        output, finals = self._run_steps(one_step(x), initial, one, training)
        return (with_steps(output, x) if self.return_sequences else output), finals

    def _repeat_masked(
        self, mask: Tensor, output: Tensor, new: list[Any], states: Sequence[Any], before: Any
    ) -> tuple[Tensor, list[Any]]:
        """Return the output and the states after a step, those before it where it is masked.

        Raises:
            UnsupportedError: the output `before` is to be repeated, and there is none.
        """
        kept = [emit(Where(), as_column(mask, state), state, old) for state, old in zip(new, states, strict=True)]
        if output is new[0]:
            return kept[0], kept
        if self.repeats_outputs and before is None:
            raise UnsupportedError(
                f"{type(self).__name__} {self.name!r} has unroll=True, which needs a known number of steps where "
                "steps are masked; fix it in the Input's shape or with --input-shapes, or set unroll=False"
            )
        return emit(Where(), as_column(mask, output), output, before if self.repeats_outputs else states[0]), kept

    def _zero_sequence(self, outputs: Tensor, mask: Tensor | None, initial: Sequence[Tensor]) -> Tensor:
        """Return the sequence of outputs, 0 where Keras's is: see `_spread_sequence`."""
        if mask is None or not (self.zeros_masked or (initial and self.repeats_outputs)):
            return outputs
        valid = reverse_time(mask) if self.go_backwards else mask
        if not self.zeros_masked:
            valid = emit(CumSum(1), emit(Cast(DType.INT32), valid)) > 0
        return emit(Where(), as_column(valid, outputs), outputs, K.zeros((), outputs.dtype))

    # Keeping states

    def _read_states(self, x: Tensor) -> list[Tensor]:
        shapes = [tuple(size for size in shape if isinstance(size, int)) for shape in self._state_shapes(x)]
        if any(len(known) != len(shape) for known, shape in zip(shapes, self._state_shapes(x), strict=True)):
            raise ShapeError(
                f"{type(self).__name__} {self.name!r} has stateful=True, which needs a known batch size (and sizes of "
                f"the states); received {format_shape(x.shape)}: say Input(…, batch_size=…)"
            )
        return x.tracer.read_states(self, [np.zeros(shape, self.compute_type.numpy) for shape in shapes])

    def _state_shapes(self, x: Tensor) -> list[Shape]:
        return [(x.shape[0], size) for size in flatten(self.state_size)]


def _packed(size: object, states: Iterator[Tensor]) -> Any:
    """Return the next states in the structure of a `state_size`."""
    return [_packed(one, states) for one in size] if isinstance(size, list | tuple) else next(states)
