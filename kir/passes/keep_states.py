"""Final states of sequences without steps."""

from __future__ import annotations

from kir.ir.graph import Graph, Node, Value
from kir.ops.elementwise import Equal, Where
from kir.ops.recurrent import GRU, LSTM, RNN
from kir.ops.shape import Reshape
from kir.passes.rewrite import exact_pass, given, is_number, producer, rewrite, rule

# The slot of a recurrent operator, before those of its initial states. Output 0 is all steps, and output i the final
# state of which slot 4 + i has the initial one.
SEQUENCE_LENS = 4


@exact_pass
def keep_states(graph: Graph) -> int:
    """Where(lens == 0, initial state, final state of LSTM(x, lens, initial state)) → that final state

    Of an RNN and a GRU as well. ONNX says nothing of sequences without steps, so that exporters choose the initial
    state for them; kir's operators keep it.

    Exact: both are the same element.
    """
    return rewrite(graph, (drop_choice,))


@rule(Where)
def drop_choice(graph: Graph, node: Node) -> Value | None:
    initial, final = given(node.inputs[1]), given(node.inputs[2])
    recurrent, slot = final.node, SEQUENCE_LENS + final.index
    if not isinstance(recurrent.op, RNN | GRU | LSTM) or final.index == 0 or final.type != node.output.type:
        return None
    starts = list(recurrent.inputs[slot : slot + 1]) == [initial]
    return final if starts and _is_without_steps(node, recurrent.inputs[SEQUENCE_LENS]) else None


def _is_without_steps(choice: Node, lens: Value | None) -> bool:
    """Return whether the condition of a Where is ``lens == 0``, in a column of the batch's."""
    column = producer(choice, Reshape)
    test = None if column is None else producer(column, Equal)
    if column is None or test is None or lens is None or test.inputs[0] is not lens:
        return False
    # Against states of [directions, batch, units].
    return is_number(test.inputs[1], 0) and column.output.type.shape[-2:] == (*lens.type.shape, 1)
