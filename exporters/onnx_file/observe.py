"""The types of values in an ONNX model, found by running it once in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from onnx import GraphProto, ModelProto, ValueInfoProto

from kir.errors import KirError
from kir.exporters.onnx_file.probe import index_bounds, load_model
from kir.exporters.onnx_file.session import Entry, Session, make_session
from kir.exporters.onnx_file.verify.signature import signature_graph
from kir.numerics.feeds import random_feeds
from kir.numerics.least_sizes import Sizes
from kir.numerics.probes import choose_probes

SEED = 0


def observe_types(model: bytes, folder: Path | None, names: Sequence[str]) -> dict[str, str]:
    """Return the types of values, as `kir.support.onnx_types` writes them.

    A size that depends on inputs is "?", or a name that the model or onnxruntime gave it.

    Where the model cannot be run, because no inputs were found that it takes, only what onnxruntime infers is known.

    Args:
        model: a serialized model.
        folder: where its external data lies.
        names: of values of the main graph.

    Raises:
        KirError: onnxruntime cannot load the model.
    """
    entries = {entry.name: entry for entry in _session(model, folder, names).get_outputs()}
    wanted = [entries[name] for name in names]
    plain = [entry.name for entry in wanted if _is_plain(entry)]
    ranks: Mapping[str, int] = {}
    with suppress(KirError):
        ranks = _ranks(model, _session(model, folder, plain))
    return {entry.name: _text(entry, ranks.get(entry.name)) for entry in wanted}


def _session(model: bytes, folder: Path | None, names: Sequence[str]) -> Session:
    outputs = [ValueInfoProto(name=name) for name in names]
    addition = ModelProto(graph=GraphProto(output=outputs)).SerializeToString()
    return make_session(model, optimize=False, addition=addition, data_folder=folder)


def _is_plain(entry: Entry) -> bool:
    """Return whether onnxruntime gives the value as an array."""
    return entry.type.startswith("tensor(") and not any(word in entry.type for word in ("float8", "int4", "float4"))


def _ranks(model: bytes, session: Session) -> dict[str, int]:
    """Return the ranks that outputs have in the first run that works."""
    graph, bounds = signature_graph(session), index_bounds(load_model(model, external_data=False))
    ranks: dict[str, int] = {}

    def accepts(sizes: Sizes) -> bool:
        if not ranks:
            ranks.update(session.run_ranks(random_feeds(graph, [SEED, 0], sizes, bounds=bounds)))
        return True

    choose_probes(graph, SEED, accepts=accepts, bounds=bounds)
    return ranks


def _text(entry: Entry, rank: int | None) -> str:
    """Return a type as text. Of a value without sizes onnxruntime does not say whether it is a scalar."""
    if not entry.type.startswith("tensor("):
        return entry.type
    shape = entry.shape if rank is None or len(entry.shape) == rank else (None,) * rank
    if rank is None and not shape:
        return entry.type
    return f"{entry.type}[{','.join('?' if size is None else str(size) for size in shape)}]"
