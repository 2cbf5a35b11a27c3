"""Running a file on feeds, for verification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kir.errors import CrashError, KirError, MismatchError, UnsupportedError
from kir.exporters.onnx_file.session import Session, run_session
from kir.ir.op import Array
from kir.numerics.inputs import shape_of_feeds

ModelFile = Path | str | bytes


def as_file(model: ModelFile) -> Path | bytes:
    return Path(model) if isinstance(model, str) else model


def run_checked(session: Session, feeds: Mapping[str, Array]) -> dict[str, Array]:
    try:
        return run_session(session, feeds)
    except (UnsupportedError, CrashError):
        raise
    except KirError as error:
        raise MismatchError(
            f"onnxruntime fails on inputs that the model takes ({shape_of_feeds(feeds)}): {error}"
        ) from error
