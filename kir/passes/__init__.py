"""The passes in the order in which they run, and the functions that choose and run them.

| level | passes                                                                        |
|-------|-------------------------------------------------------------------------------|
| 0     | none                                                                          |
| 1     | the exact ones: results are the same bit for bit                              |
| 2     | all: results may be rounded differently, by no more than the pass declares    |
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kir.errors import GraphError, InvalidArgumentError, KirError, MismatchError
from kir.ir.graph import Graph
from kir.ir.op import Array
from kir.passes.cancel_step_gathers import cancel_step_gathers
from kir.passes.compare import find_difference
from kir.passes.count_steps import count_steps
from kir.passes.dissolve_control import dissolve_control
from kir.passes.drop_unsqueezes import drop_unsqueezes
from kir.passes.expand_constants import expand_constants
from kir.passes.expand_normalizations import expand_normalizations
from kir.passes.expand_powers import expand_powers
from kir.passes.fold_affine import fold_affine
from kir.passes.fold_blocks import fold_blocks
from kir.passes.fold_constants import fold_constants
from kir.passes.fold_movements import fold_movements
from kir.passes.fold_pads import fold_pads
from kir.passes.fold_reshapes import fold_reshapes
from kir.passes.fold_strides import fold_strides
from kir.passes.fold_transposes import fold_transposes
from kir.passes.fuse_activations import fuse_activations
from kir.passes.fuse_attention import fuse_attention
from kir.passes.fuse_blocks import fuse_blocks
from kir.passes.fuse_formulas import fuse_formulas
from kir.passes.fuse_loops import fuse_loops
from kir.passes.fuse_normalizations import fuse_normalizations
from kir.passes.fuse_steps import fuse_steps
from kir.passes.inner_graphs import InnerGraphs
from kir.passes.join_affine import join_affine
from kir.passes.join_slices import join_slices
from kir.passes.keep_axes import keep_axes
from kir.passes.keep_states import keep_states
from kir.passes.merge_common import merge_common
from kir.passes.move_invariants import move_invariants
from kir.passes.move_reshapes import move_reshapes
from kir.passes.move_transposes import move_transposes, move_transposes_freely
from kir.passes.remove_dead import remove_dead
from kir.passes.reshape_transposes import reshape_transposes
from kir.passes.rewrite import Pass
from kir.passes.simplify import simplify
from kir.passes.simplify_control import simplify_control
from kir.passes.simplify_recurrent import simplify_recurrent
from kir.passes.split_slices import split_slices
from kir.passes.strip_inference import strip_inference

__all__ = ["PASSES", "RECOGNITION", "Pass", "pipeline", "run", "select"]

PASSES: tuple[Pass, ...] = (
    # First, since dead nodes cost time, and dead readers hide that a value has one live reader.
    remove_dead,
    strip_inference,
    fold_constants,
    # Conditions are constants by now. What dissolves here is simplified with the rest.
    count_steps,
    simplify_control,
    dissolve_control,
    move_invariants,
    simplify,
    # Before passes that ask for a single reader: Relu(dense), computed twice, is one reader after merging.
    merge_common,
    keep_states,
    drop_unsqueezes,
    # After merging, when layers that share a mask share its order too, and before anything that it looks for moves.
    cancel_step_gathers,
    # Before join_slices, which works on slices of a sequence itself.
    fuse_steps,
    fuse_loops,
    # Before simplify_recurrent, which reads a last step as a state: that is no slice like the others then.
    join_slices,
    simplify_recurrent,
    expand_constants,
    # Before any Reshape or Transpose moves: it knows how the layers divide and join heads.
    fuse_attention,
    fuse_blocks,
    # Before moving, which looks for a partner across elementwise operators only.
    fold_reshapes,
    fold_transposes,
    move_reshapes,
    move_transposes,
    move_transposes_freely,
    keep_axes,
    # After the last Transpose between them is gone; a Slice that became a stride no longer hides a Pad.
    fold_strides,
    fold_pads,
    fold_blocks,
    # After all passes that look for Slices.
    split_slices,
    # After Transposes have looked for partners: as a Reshape, one finds none.
    reshape_transposes,
    # Before powers become products, whose factors hide a formula, and before numbers of a formula go into a Dense.
    fuse_formulas,
    fuse_normalizations,
    # After fuse_normalizations, whose results it may expand, and before their scale goes into a convolution.
    expand_normalizations,
    expand_powers,
    # Before activations are fused: a Dense with an activation is no longer linear.
    fold_affine,
    # After Reshapes and Transposes have moved as far as they do without weights.
    fold_movements,
    # After fold_affine, for what no Dense or convolution absorbed.
    join_affine,
    fuse_activations,
)

# What puts together again what one operator is in a file: a graph that was written comes back as it was.
RECOGNITION: tuple[Pass, ...] = (keep_states, drop_unsqueezes, fuse_activations)

LEVELS = (0, 1, 2)
DEFAULT_LEVEL = 2

# Rounds repeat while passes make work for each other. Real models need two; what is left after five is small.
MAX_ROUNDS = 5


def pipeline(level: int = DEFAULT_LEVEL, training: bool = False, opset: int | None = None) -> tuple[Pass, ...]:
    """Return the passes of an optimization level, in order.

    Args:
        level: see the module.
        training: leaves out the passes that combine weights. (A Dropout with a training input stays anyway.)
        opset: of the file, if the user chose one: it adds passes that make operators of such a new opset.

    Raises:
        InvalidArgumentError: the level is not 0, 1 or 2.
    """
    if level not in LEVELS:
        raise InvalidArgumentError(f"optimization level {level!r} is unknown; expected 0, 1 or 2")
    chosen = PASSES if level == 2 else tuple(p for p in PASSES if p.exact and level == 1)
    return tuple(p for p in chosen if not (training and p.changes_weights) and p.opset <= (opset or 0))


def select(text: str, level: int = DEFAULT_LEVEL, training: bool = False, opset: int | None = None) -> tuple[Pass, ...]:
    """Return the passes that a text such as "fold-constants,-simplify" names, in the order in which they run.

    Names choose exactly those passes. Names with a minus are left out: of the chosen ones, or of the level's pipeline
    if none is chosen.

    Raises:
        InvalidArgumentError: a name is unknown, and the message lists the passes; or this is no text.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f'passes must be text such as "fold-constants,-simplify"; received {text!r}')
    words = [word.strip() for word in text.split(",") if word.strip()]
    removed = {word[1:] for word in words if word.startswith("-")}
    wanted = {word for word in words if not word.startswith("-")}
    known = {p.name for p in PASSES}
    for name in sorted((removed | wanted) - known):
        raise InvalidArgumentError(f"unknown pass {name!r}; expected some of {', '.join(p.name for p in PASSES)}")
    chosen = [p for p in PASSES if p.name in wanted] if wanted else pipeline(level, training, opset)
    return tuple(p for p in chosen if p.name not in removed)


def run(
    graph: Graph,
    passes: Sequence[Pass],
    check: bool = False,
    feeds: Mapping[str, Any] | None = None,
    after: Callable[[Pass, Graph, int], None] | None = None,
) -> dict[str, int]:
    """Run passes on a graph, in place, to a fixpoint or for five rounds; return the number of changes by pass name.

    A pass is skipped if nothing has changed since its last turn. The graph's `provenance` lists the passes afterwards.

    Args:
        check: calls `graph.check()` after each pass.
        feeds: arrays for the graph's inputs. With them the interpreter runs before and after each pass, and the outputs
            must agree bit for bit, or as the pass declares. Every Dropout must be off.
        after: called after each pass, with the number of its changes.

    Raises:
        GraphError: a pass broke the graph. The message names the pass.
        MismatchError: a pass changed the results. The message names the pass.
    """
    judge = _Judge(graph, check, feeds)
    # The garbage collector would search the whole graph again and again, in vain: for up to half of the time with
    # 100,000 nodes. Frozen, it searches new objects only.
    gc.freeze()
    try:
        counts = _run_rounds(graph, passes, judge, after)
    finally:
        gc.unfreeze()
    graph.provenance = graph.provenance.after(counts)
    return counts


def _run_rounds(
    graph: Graph, passes: Sequence[Pass], judge: _Judge, after: Callable[[Pass, Graph, int], None] | None
) -> dict[str, int]:
    """Run the passes on a graph in rounds, each time on the graphs inside its operators first."""
    counts = {p.name: 0 for p in passes}

    def run_inside(graph: Graph) -> int:
        return _repeat(graph, (inside, *passes), lambda current, _, changes: count(current, changes))

    def count(current: Pass, changes: int) -> None:
        if current.name in counts:
            counts[current.name] += changes

    def look(current: Pass, graph: Graph, changes: int) -> None:
        judge.look(current)
        count(current, changes)
        if after is not None and (changes or current is not inside):
            after(current, graph, changes)

    tolerance = sum(p.tolerance for p in passes)
    inside = Pass("inner-graphs", InnerGraphs(run_inside).enter, all(p.exact for p in passes), tolerance)
    _repeat(graph, (inside, *passes), look)
    return counts


def _repeat(graph: Graph, passes: Sequence[Pass], after: Callable[[Pass, Graph, int], None]) -> int:
    """Run passes to a fixpoint, or for five rounds; return the number of changes."""
    total = version = 0
    seen: dict[str, int] = {}
    for _ in range(MAX_ROUNDS):
        for current in passes:
            if seen.get(current.name) == version:
                continue
            changes = current(graph)
            version += changes > 0
            total += changes
            seen[current.name] = version
            after(current, graph, changes)
        if all(last == version for last in seen.values()):
            break
    return total


class _Judge:
    """The outputs before a pass, to compare with those after it."""

    def __init__(self, graph: Graph, check: bool, feeds: Mapping[str, Any] | None) -> None:
        self.graph = graph
        self.check = check
        self.feeds = feeds
        self.outputs = self.run_graph()

    def run_graph(self) -> dict[str, Array]:
        from kir.ir.interpreter import run as interpret

        return {} if self.feeds is None else interpret(self.graph, self.feeds)

    def look(self, suspect: Pass) -> None:
        """Raise an error that names the pass, if it broke the graph or changed the results."""
        if self.check:
            try:
                self.graph.check()
            except GraphError as error:
                raise GraphError(f"pass {suspect} broke the graph: {error}") from error
        if self.feeds is None:
            return
        try:
            outputs = self.run_graph()
        except KirError as error:
            raise GraphError(f"pass {suspect} made a graph that does not run: {error}") from error
        difference = find_difference(self.outputs, outputs, suspect.exact, suspect.tolerance)
        if difference is not None:
            raise MismatchError(f"pass {suspect} changed the results: {difference}")
        self.outputs = outputs
