"""Running large ONNX files in little memory: their weights are moved where onnxruntime maps them from disk.

onnxruntime reads a model file whole, parses it and copies every weight, and copies again the weights that its kernels
want in another order: three times the file. Weights in a second file it maps into memory, and the kernel may drop their
pages. So a large file is rewritten: the wire format is walked without being loaded, and the bytes of large weights go
to a second file.

Wire format: https://protobuf.dev/programming-guides/encoding/. Fields: `ModelProto`, `GraphProto` and `TensorProto` of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from onnx import GraphProto, ModelProto, StringStringEntryProto, TensorProto

from kir.errors import CrashError, FormatError
from kir.exporters.onnx_file.content import read_content
from kir.exporters.onnx_file.probe import cut_at, load_model, more_outputs, require_inside, resize_inputs, serialize
from kir.exporters.onnx_file.session import Session, make_session
from kir.exporters.onnx_file.write import CHUNK_BYTES, DATA_FILE, LOCATION
from kir.support.files import scratch_folder
from kir.support.mapped_files import map_pages
from kir.support.protobuf import DELIMITED, BrokenMessageError, Field, Message, field_head, field_number, walk_fields
from kir.support.regular_files import open_regular

# Smaller files are read again sooner than they are written.
MIN_MAPPED_BYTES = 4 << 20
MIN_WEIGHT_BYTES = 64 << 10

# Kernels may keep copies of the weights of smaller files in an order of their own, which makes runs faster.
LARGE_BYTES = 64 << 20

# Every system can map memory at multiples of this.
ALIGNMENT = 64 << 10

MODEL, WEIGHTS = "model.onnx", "weights"


@dataclass(frozen=True)
class LeanModel:
    """A model to run in little memory, see `lean_model`.

    Attributes:
        original: the model.
        file: what onnxruntime loads instead.
        is_large: whether kernels should not keep copies of weights.
    """

    original: Path | bytes
    file: Path | bytes
    is_large: bool

    def session(self, provider: str = "cpu", optimize: bool = True) -> Session:
        """Return a session as of `make_session`, with the same errors."""
        try:
            return make_session(self.file, provider, prepack=not self.is_large, optimize=optimize)
        except (FormatError, CrashError) as error:
            raise type(error)(str(error).replace(str(self.file), str(self.original))) from error

    def load(self) -> ModelProto:
        """Return the model without its weights.

        Raises:
            FormatError: it cannot be read, or its weights lie outside its folder.
        """
        content = read_content(self.file)
        if isinstance(self.file, Path):
            heads = GraphProto(initializer=[tensor.head for tensor in content.initializers])
            require_inside(ModelProto(graph=heads), self.file.parent)
            require_inside(content.model, self.file.parent)
        return content.model

    def session_with(
        self, outputs: Sequence[str], provider: str = "cpu", optimize: bool = True, threads: int | None = None
    ) -> Session:
        """Return a session with more outputs, none of which is one yet. Errors as of `make_session`."""
        return make_session(
            self.file,
            provider,
            threads=threads,
            optimize=optimize,
            prepack=not self.is_large,
            addition=more_outputs(outputs),
        )

    def session_cut(
        self, types: Mapping[str, tuple[int, int]], outputs: Sequence[str], provider: str = "cpu"
    ) -> Session:
        """Return a session as of `session_with`, cut into its nodes; see `cut_at`. It is not optimised."""
        cut = cut_at(load_model(self.file, external_data=False), types)
        return self._session_of(cut, provider, optimize=False, addition=more_outputs(outputs))

    def session_resized(self, shapes: Mapping[str, Sequence[int]], provider: str = "cpu") -> Session:
        """Return a session as of `session_with` with other sizes of inputs, see `resize_inputs`; of one thread."""
        resized = load_model(self.file, external_data=False)
        resize_inputs(resized, shapes)
        return self._session_of(resized, provider, threads=1)

    def _session_of(
        self,
        model: ModelProto,
        provider: str,
        optimize: bool = True,
        threads: int | None = None,
        addition: bytes = b"",
    ) -> Session:
        """Return a session of what was made of the model, which refers to the same data."""
        return make_session(
            serialize(model),
            provider,
            threads=threads,
            prepack=not self.is_large,
            optimize=optimize,
            addition=addition,
            data_folder=self.file.parent if isinstance(self.file, Path) else None,
        )


@contextmanager
def lean_model(
    model: Path | bytes, min_bytes: int = MIN_MAPPED_BYTES, min_weight: int = MIN_WEIGHT_BYTES
) -> Iterator[LeanModel]:
    """Return the model with the weights of all but small files mapped from disk.

    Anonymous memory stays far below the file then; pages of mapped files, which the kernel may drop, do not count.
    Every further session reads little more than the graph. Kernels do not reorder the weights of a large model, which
    makes a run slower. The copy lies beside the model while the context is open (in the system's temporary folder if it
    cannot), and needs as much disk as the model. Sessions may outlive it.

    Args:
        model: a file, or a serialized model, which is run as it is.
        min_bytes: how large a file, with its external data, is to be rewritten.
        min_weight: how many bytes a weight has, at least, that is moved.

    Raises:
        FormatError: as `mapped_copy`.
    """
    size = 0 if isinstance(model, bytes) else _size_with_data(model)
    if isinstance(model, bytes) or size < min_bytes:
        yield LeanModel(model, model, is_large=False)
        return
    with ExitStack() as stack:
        with _writing_copy(model):
            folder = Path(stack.enter_context(_folder_near(model.resolve())))
        yield LeanModel(model, mapped_copy(model, folder, min_bytes, min_weight), is_large=size >= LARGE_BYTES)


def _folder_near(model: Path) -> AbstractContextManager[Path | str]:
    if os.access(model.parent, os.W_OK):
        return scratch_folder(model)
    return tempfile.TemporaryDirectory(prefix="kir-", ignore_cleanup_errors=True)


@contextmanager
def _writing_copy(model: object) -> Iterator[None]:
    """Turn what the system says while a copy is written into an error about the model."""
    try:
        yield
    except OSError as error:
        raise FormatError(f"cannot write the copy of {model} that is run: {error.strerror}; check the disk") from error


def _size_with_data(model: Path) -> int:
    """Return the bytes of a file and of the data that kir wrote beside it; 0 if there is no such file."""
    if not model.is_file():
        return 0
    files = (model, *map(model.with_name, DATA_FILE.of(model)))
    return sum(file.stat().st_size for file in files)


def mapped_copy(
    model: Path, folder: Path, min_bytes: int = MIN_MAPPED_BYTES, min_weight: int = MIN_WEIGHT_BYTES
) -> Path:
    """Return a file that computes the same with large weights in a second file. Memory: 1 MiB, and mapped pages.

    Weights are moved if they are initializers with `raw_data`. Everything else is copied byte by byte.

    Args:
        model: an ONNX file.
        folder: where to write; it must be empty.
        min_bytes: how many bytes all weights to move must have together.
        min_weight: how many bytes a weight must have to be moved.

    Returns:
        The copy in `folder`; or `model` itself, if it has less to move, or already has external data.

    Raises:
        FormatError: the file is no protobuf message, or cannot be read, or the copy cannot be written.
    """
    with open_regular(model, "an ONNX file") as file, _writing_copy(model):
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise FormatError(f"{model} is not an ONNX file: it is empty")
        data = map_pages(file, str(model), 0, size)
        try:
            pieces = _plan_model(data, min_weight)
        except BrokenMessageError as error:
            raise FormatError(
                f"{model} is not an ONNX file: the field at byte {error.position} of {size} is cut off or of no known "
                "kind; expected a protobuf message, complete"
            ) from None
        weights = sum(piece.length for piece in pieces if isinstance(piece, _Weight))
        if weights < min_bytes or weights == 0 or _has_external_data(data, pieces):
            return model
        return _write_copy(file, pieces, folder / MODEL)


# What the copy consists of


@dataclass(frozen=True)
class _Span:
    """Bytes of the original."""

    start: int
    length: int


@dataclass(frozen=True)
class _Weight(_Span):
    """The raw data of a weight, which moves to the second file, at `offset`."""

    offset: int


_Piece = _Span | bytes


def _plan_model(data: mmap.mmap, min_weight: int) -> list[_Piece]:
    """Return the pieces of the copied model. A `_Weight` stands after the initializer that it belongs to."""
    pieces: list[_Piece] = []
    offset = 0
    for field in walk_fields(data, 0, len(data)):
        if _is_field(field, ModelProto, "graph"):
            graph, offset = _plan_graph(data, field, min_weight, offset)
            pieces += [field_head(ModelProto, "graph", _length(graph)), *graph]
        else:
            pieces.append(_whole(field))
    return pieces


def _plan_graph(data: mmap.mmap, graph: Field, min_weight: int, offset: int) -> tuple[list[_Piece], int]:
    """Return the pieces of a graph, and where in the second file the next weight begins."""
    pieces: list[_Piece] = []
    for field in walk_fields(data, graph.start, graph.end):
        raw = None
        if _is_field(field, GraphProto, "initializer") and field.end - field.start >= min_weight:
            raw = _movable(data, field, min_weight)
        if raw is None:
            pieces.append(_whole(field))
        else:
            moved = _Weight(raw.start, raw.end - raw.start, offset)
            before, after = _Span(field.start, raw.begin - field.start), _Span(raw.end, field.end - raw.end)
            tensor: list[_Piece] = [before, _reference(moved), after]
            pieces += [field_head(GraphProto, "initializer", _length(tensor)), *tensor, moved]
            offset = -(-(offset + moved.length) // ALIGNMENT) * ALIGNMENT
    return pieces, offset


def _is_field(field: Field, kind: type[Message], name: str) -> bool:
    return field.kind == DELIMITED and field.number == field_number(kind, name)


def _whole(field: Field) -> _Span:
    return _Span(field.begin, field.end - field.begin)


def _movable(data: mmap.mmap, tensor: Field, min_weight: int) -> Field | None:
    """Return the raw data of a tensor if it is large enough, and given once."""
    found = [
        field for field in walk_fields(data, tensor.start, tensor.end) if _is_field(field, TensorProto, "raw_data")
    ]
    return found[0] if len(found) == 1 and found[0].end - found[0].start >= min_weight else None


def _reference(weight: _Weight) -> bytes:
    tensor = TensorProto(data_location=TensorProto.EXTERNAL)
    for key, value in ((LOCATION, WEIGHTS), ("offset", weight.offset), ("length", weight.length)):
        tensor.external_data.append(StringStringEntryProto(key=key, value=str(value)))
    return bytes(tensor.SerializeToString(deterministic=True))


def _has_external_data(data: mmap.mmap, pieces: list[_Piece]) -> bool:
    """Return whether what stays may refer to files, which are not beside the copy: in any tensor, however deep."""
    key = StringStringEntryProto(key=LOCATION).SerializeToString()
    spans = [piece for piece in pieces if isinstance(piece, _Span) and not isinstance(piece, _Weight)]
    return any(data.find(key, span.start, span.start + span.length) >= 0 for span in spans)


def _length(pieces: list[Any]) -> int:
    return sum(
        len(piece) if isinstance(piece, bytes) else piece.length for piece in pieces if not isinstance(piece, _Weight)
    )


def _write_copy(source: IO[bytes], pieces: list[_Piece], target: Path) -> Path:
    with open(target, "xb") as model, open(target.with_name(WEIGHTS), "xb") as weights:
        for piece in pieces:
            if isinstance(piece, bytes):
                model.write(piece)
            elif isinstance(piece, _Weight):
                weights.seek(piece.offset)
                _stream(source, piece, weights)
            else:
                _stream(source, piece, model)
    return target


def _stream(source: IO[bytes], span: _Span, target: IO[bytes]) -> None:
    source.seek(span.start)
    left = span.length
    while left:
        chunk = source.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise FormatError(f"{source.name} was cut short while it was copied; wait until it is whole, and retry")
        target.write(chunk)
        left -= len(chunk)
