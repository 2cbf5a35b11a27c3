"""The errors that kir raises on purpose.

Every message says what was given, what was expected and how to fix it. An error that is not one of
these is a bug in kir. The command line maps each class to an exit code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class KirError(Exception):
    """Something that kir was given cannot be used; the message says what to change.

    `layer` is the path of the layer in which it came up, once that is known; it opens the message. `details` are plain
    values that `--json` prints beside the message.
    """

    exit_code: ClassVar[int] = 2
    layer: str | None = None
    details: Mapping[str, Any] = {}

    def __str__(self) -> str:
        message = super().__str__()
        return message if self.layer is None else f"layer {self.layer}: {message}"


class InvalidArgumentError(KirError, ValueError):
    """An argument is out of range or of the wrong kind. The message repeats the received value."""


class UsageError(InvalidArgumentError):
    """Arguments do not go together, such as options for layers and an ONNX file. Options are named as flags."""


class ShapeError(KirError, ValueError):
    """Shapes or dtypes do not fit together, or a symbolic size would have to be guessed."""


class UndecidedSizesError(ShapeError):
    """Two sizes meet that are equal for some sizes of the inputs only, such as 2 * (h // 2) and h; `sizes` are both."""

    def __init__(self, message: str, sizes: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.sizes = sizes


class GraphError(KirError):
    """A graph, or an edit of one, is malformed."""


class TraceError(KirError):
    """A Python function could not be traced into a graph."""


class ScriptError(KirError):
    """A model script cannot be read or run, or holds no single model."""


class FormatError(KirError):
    """A file cannot be read, or cannot be written as asked."""


class LimitError(KirError):
    """Something would cost more than any real model does; the message says how much, the limit, and what to do."""


class ProviderError(KirError):
    """An onnxruntime execution provider is unknown or not installed."""


class UnsupportedError(KirError):
    """The model uses something that cannot be expressed; the message lists everything at once."""

    exit_code: ClassVar[int] = 3


class MismatchError(KirError):
    """Two executions of a model differ by more than rounding explains."""

    exit_code: ClassVar[int] = 1


class NotShownError(KirError):
    """A verification found nothing wrong, and did not show everything that `--strict` asks for."""

    exit_code: ClassVar[int] = 1


class CrashError(KirError):
    """The process in which a runtime loaded or ran a model died; the message says how, and at what."""

    exit_code: ClassVar[int] = 1
