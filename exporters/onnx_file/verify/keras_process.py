"""The process in which the installed Keras runs a model: what it does is in `keras_child`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from kir.errors import CrashError, ProviderError
from kir.exporters.onnx_file.verify.rows import as_kind
from kir.ir.op import Array
from kir.ir.types import DType

CHILD = Path(__file__).with_name("keras_child.py")
# The precision of the products of GPUs, which is not float32 unless these say so; and what TensorFlow prints.
SETTINGS = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest", "TF_CPP_MIN_LOG_LEVEL": "3"}
# Keras needs no password, and a model file may hold code that runs in it.
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY")
COLOUR = re.compile(r"\x1b\[[\d;]*m")
MAX_MESSAGE = 500


@dataclass(frozen=True)
class KerasFile:
    """What Keras loads.

    Attributes:
        path: the file.
        label: what messages call it.
        package: which Keras can read it: "keras" or "tf_keras".
        code: a script that defines its own classes and functions.
        is_trusted: whether functions in it may run: it was written by this process.
    """

    path: Path
    label: str
    package: str = "keras"
    code: Path | None = None
    is_trusted: bool = False


class Keras:
    """A process in which Keras has loaded a file.

    Raises:
        ProviderError: Keras, or its backend, is not installed.
        CrashError: it died.
    """

    def __init__(self, file: KerasFile) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kir-keras-", ignore_cleanup_errors=True)
        self._package = file.package
        self._label = file.label
        request = {
            "package": file.package,
            "model": str(file.path),
            "code": None if file.code is None else str(file.code.absolute()),
            "safe_mode": not file.is_trusted,
        }
        environment = {name: value for name, value in os.environ.items() if not SECRET.search(name.upper())}
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                # -P: the modules beside the program have common names.
                [sys.executable, "-P", str(CHILD), json.dumps(request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, **SETTINGS},
            )
        self._about: dict[str, str] | None = None

    @property
    def _log(self) -> Path:
        return Path(self._folder.name, "log")

    def about(self) -> dict[str, str]:
        """Return "version", "backend" and "python", once the model is loaded; "error" if it could not be."""
        if self._about is None:
            answer = self._answer(f"loading {self._label}")
            if answer.get("failed") == "import":
                raise ProviderError(self._advice(answer["error"]))
            self._about = answer
        return self._about

    def run(self, arrays: Sequence[Array]) -> list[Array] | str:
        """Return the outputs in Keras's order, or what Keras says of these inputs."""
        self.about()
        given = Path(self._folder.name, "inputs.npz")
        _write_inputs(given, arrays)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # reading the answer says what happened
            self._process.stdin.write(f"{given}\n".encode())
            self._process.stdin.flush()
        answer = self._answer(f"running {self._label}")
        if "failed" in answer:
            return answer["error"]
        with np.load(given.with_name("outputs.npz"), allow_pickle=False) as outputs:
            return [outputs[name] for name in outputs.files]

    def close(self) -> None:
        """End the process, whatever it does: it has nothing to finish."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                _opened(stream).close()
        self._folder.cleanup()

    def _answer(self, doing: str) -> dict[str, str]:
        line = _opened(self._process.stdout).readline()
        if not line.endswith(b"\n"):
            code = self._process.wait()
            fate = f"with exit code {code}" if code >= 0 else f"of signal {signal.Signals(-code).name}"
            *_, last = ("", *filter(None, map(str.strip, self._log.read_text("utf-8", "replace").splitlines())))
            raise CrashError(f"Keras died {fate} while {doing}{f': {one_line(last)}' if last else ''}")
        answer: dict[str, str] = json.loads(line)
        return answer

    def _advice(self, error: str) -> str:
        package = self._package
        if re.search(rf"No module named '{package}'", error):
            why = ", which alone reads what Keras 2 wrote as it was meant" if package == "tf_keras" else ""
            return (
                f"--against keras needs {package}{why}; it is not installed for {sys.executable}: pip install {package}"
                f"{'' if package == 'tf_keras' else ' tensorflow (or another backend)'}"
            )
        backend = os.environ.get("KERAS_BACKEND", "not set, so the one in ~/.keras/keras.json, or tensorflow")
        return (
            f"{package} cannot be imported (KERAS_BACKEND: {backend}): {one_line(error)}; install what is missing, or "
            f"choose a backend that is installed: KERAS_BACKEND=numpy, jax, torch or tensorflow"
        )


def _write_inputs(path: Path, arrays: Sequence[Array]) -> None:
    """Write arrays and their types, as `.npz` files can hold them."""
    members: dict[str, Any] = {}
    for index, array in enumerate(arrays):
        kind = as_kind(array.dtype)
        assert kind is not None, "every type of an input must be handled"
        stored = array.astype(str) if kind is DType.STRING else array
        members[f"{index}"] = stored.astype(np.float32) if kind is DType.BFLOAT16 else stored
        members[f"type{index}"] = np.array(kind.keras_name)
    np.savez(path, **members)


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "both streams are pipes"
    return stream


def one_line(text: str) -> str:
    """Return what a message says, on a line of bounded length."""
    # Keras wraps a message in that of each object around it.
    innermost = COLOUR.sub("", text).rpartition("Exception encountered: ")[2]
    line = "".join(filter(str.isprintable, " ".join(innermost.split())))
    return line if len(line) <= MAX_MESSAGE else f"{line[:MAX_MESSAGE]} …"
