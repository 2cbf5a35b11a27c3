"""Running ONNX files in onnxruntime: the only place that imports it.

onnxruntime is imported inside functions, which a worker process calls: the import takes longer than most exports, and
what onnxruntime dies of must not be the death of kir.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kir.errors import (
    CrashError,
    FormatError,
    InvalidArgumentError,
    KirError,
    ProviderError,
    ShapeError,
    UnsupportedError,
)
from kir.exporters.onnx_file.ort_values import AS_BYTES, flat, ort_value, to_array
from kir.exporters.onnx_file.worker import Worker, shared_worker
from kir.ir.op import Array
from kir.support.mapped_files import require_unchanged
from kir.support.naming import decoded
from kir.support.regular_files import require_regular

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

Values = TypeVar("Values")
Result = TypeVar("Result")
ModelFile = Path | bytes  # a file, or a serialized model

CPU = "CPUExecutionProvider"

_PROVIDERS = """
ACL Azure CANN CoreML CPU CUDA Dml Dnnl MIGraphX Nnapi OpenVINO QNN ROCM Tensorrt VitisAI WebGpu Xnnpack
"""
PROVIDERS = {name.lower(): f"{name}ExecutionProvider" for name in _PROVIDERS.split()}

# The newest opset at which every operator that kir writes has a kernel in every onnxruntime from 1.24 on. Later opsets
# load too, and most operators run; but at 22 the operators that draw random numbers got versions for which onnxruntime
# (1.32 is the newest known) has no kernel, so that a Dropout with a noise shape would not load.
NEWEST_FULL_OPSET = 21

# onnxruntime's severities: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal. While a model runs, errors are raised too.
ERRORS_ONLY = 3
FATAL_ONLY = 4

DATA_FOLDER = "session.model_external_initializers_file_folder_path"


# What NumPy and ml_dtypes call element types that onnxruntime calls otherwise.
_ORT_TYPES = {
    "float": "float32",
    "double": "float64",
    "float8e4m3fn": "float8_e4m3fn",
    "float8e5m2": "float8_e5m2",
    "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2fnuz": "float8_e5m2fnuz",
    "float4e2m1": "float4_e2m1fn",
    "float8e8m0": "float8_e8m0fnu",
}


def import_onnxruntime() -> ModuleType:
    """Return the module, imported without its telemetry, which would write files under HOME and TMPDIR.

    Raises:
        ProviderError: onnxruntime is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(f"onnxruntime cannot be imported ({error}); install it: pip install onnxruntime") from error
    module: ModuleType = onnxruntime
    return module


# What a provider is told, so that it computes in the precision that the model asks for. On CUDA, TensorFloat-32 would
# round the factors of float32 products to 10 bits; OpenVINO computes in float16 on GPUs if nothing is said.
# Sources: use_tf32 and precision in onnxruntime's documentation of the CUDA and the OpenVINO execution provider.
PROVIDER_OPTIONS = {
    "CUDAExecutionProvider": {"use_tf32": "0"},
    "OpenVINOExecutionProvider": {"precision": "ACCURACY"},
}

# CUDA as onnxruntime runs it if nothing is said: what differs from float32 is shown, and what it is.
CUDA_TF32 = "cuda-tf32"
TF32_NOTE = (
    "TensorFloat-32 rounds the factors of products to 10 bits, and the model asks for float32, which has 23: results "
    "are off by about a thousandth; where --provider cuda passes, that is all that is wrong"
)


def provider_name(provider: str) -> str:
    """Return onnxruntime's name of an execution provider, from a short name ("cuda", "cuda-tf32") or its own.

    Raises:
        ProviderError: it is unknown, or not part of the installed onnxruntime; the message lists what is.
    """
    available = import_onnxruntime().get_available_providers()
    by_lower_case = {name.lower(): name for name in (*PROVIDERS.values(), *available)}
    asked = "cuda" if provider.lower() == CUDA_TF32 else provider.lower()
    name = PROVIDERS.get(asked) or by_lower_case.get(asked)
    short = {full: key for key, full in PROVIDERS.items()}
    installed = ", ".join(sorted(short.get(known, known) for known in available))
    if name is None:
        raise ProviderError(
            f"unknown provider {provider!r}; expected one of {', '.join((*PROVIDERS, CUDA_TF32))}; "
            f"installed are: {installed}"
        )
    if name not in available:
        raise ProviderError(
            f"the provider {provider!r} is not installed; installed are: {installed}. "
            "Choose one of those, or install the onnxruntime that has it (such as onnxruntime-gpu for cuda)"
        )
    return name


@dataclass(frozen=True)
class Entry:
    """An input or output of a model. The type is onnxruntime's ("tensor(float)"), unknown sizes are text or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]

    @property
    def dtype(self) -> str:
        """The name of the element type, as NumPy has it."""
        element = self.type.removeprefix("tensor(").removesuffix(")")
        return _ORT_TYPES.get(element, element)


@dataclass(frozen=True)
class Settings:
    """How a model is loaded; see `make_session`. Profiles go to a file whose name begins with `profile_prefix`."""

    threads: int | None = None
    optimization: str = "all"
    prepack: bool = True
    profile_prefix: str | None = None
    addition: bytes = b""
    data_folder: Path | None = None


# How much onnxruntime rewrites a graph when it loads it, from nothing to everything; the names are its documentation's.
OPTIMIZATIONS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}

_usual: ContextVar[Settings] = ContextVar("usual settings", default=Settings())  # noqa: B039, it is frozen


@contextmanager
def usual_settings(threads: int | None = None, optimization: str = "all") -> Iterator[None]:
    """Load models in this context with other settings than onnxruntime's, where the caller of `make_session` asks for
    none: what holds with those must hold with any.

    Args:
        threads: within one operator.
        optimization: one of `OPTIMIZATIONS`.
    """
    token = _usual.set(Settings(threads, optimization))
    try:
        yield
    finally:
        _usual.reset(token)


class Session:
    """A model that onnxruntime has loaded, in a worker process where the system allows that (see `worker`)."""

    def __init__(self, worker: Worker, model: ModelFile, provider: str, settings: Settings) -> None:
        """Load a model; see `make_session`."""
        self._model, self._provider, self._settings = model, provider, settings
        self._inputs, self._outputs, self._optional = self._load(worker)

    def _load(self, worker: Worker) -> tuple[tuple[Entry, ...], ...]:
        """Load the model in a worker, and return its inputs, its outputs, and its inputs with a default."""
        self._worker = worker
        self._number = number = next(_numbers)
        doing = f"loading {_shown(self._model)}"
        entries = worker.call(doing, _keep_loaded, number, self._model, self._provider, self._settings)
        weakref.finalize(self, worker.call_later, _unload, number).atexit = False
        return entries

    def get_inputs(self) -> tuple[Entry, ...]:
        """Return the inputs without a default."""
        return self._inputs

    def get_outputs(self) -> tuple[Entry, ...]:
        return self._outputs

    def get_overridable_initializers(self) -> tuple[Entry, ...]:
        """Return the inputs with a default."""
        return self._optional

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs by name; see `run_session`, which checks the feeds first.

        Where the process of the worker died of another model, this one is loaded anew.
        """
        if not self._worker.is_usable:
            self._load(shared_worker(not _is_cpu(self._provider)))
        given = ", ".join(f"{name}: {array.dtype}[{', '.join(map(str, array.shape))}]" for name, array in feeds.items())
        doing = f"running {_shown(self._model)} on {given or 'no inputs'}"
        try:
            return self._worker.call(doing, _run_loaded, self._number, dict(feeds))
        except CrashError as error:
            raise _with_killer(error, self._model, self._provider, feeds) from None

    def run_ranks(self, feeds: Mapping[str, Array]) -> dict[str, int]:
        """Return the ranks of the outputs that are tensors, by name."""
        return self._worker.call(f"running {_shown(self._model)}", _run_ranks, self._number, dict(feeds))


def make_session(
    model: ModelFile,
    provider: str = "cpu",
    *,
    threads: int | None = None,
    optimize: bool = True,
    prepack: bool = True,
    addition: bytes = b"",
    data_folder: Path | None = None,
) -> Session:
    """Return a session; nodes that the provider cannot run fall back to the CPU.

    Args:
        model: a file, or a serialized model.
        provider: a short name such as "cuda", or onnxruntime's own.
        threads: within one operator; None lets onnxruntime choose. One thread adds up in one order at every run.
        optimize: whether onnxruntime rewrites the graph when it loads it.
        prepack: whether kernels may keep copies of weights in an order of their own.
        addition: a serialized model whose lists (of outputs, of nodes) are added to those of the model.
        data_folder: where the external data of a serialized model lies.

    Raises:
        ProviderError: the provider is unknown, not installed, or cannot start.
        FormatError: the model cannot be loaded; the message has the file and what onnxruntime says.
        UnsupportedError: it has no kernel for an operator; the message has the dtype and all layers that need it.
        CrashError: onnxruntime died of it.
    """
    worker = shared_worker(not _is_cpu(provider))
    usual = _usual.get()
    optimization = usual.optimization if optimize else "disabled"
    settings = Settings(
        usual.threads if threads is None else threads, optimization, prepack, None, addition, data_folder
    )
    try:
        return Session(worker, model, provider, settings)
    except CrashError as error:
        raise _with_killer(error, model, provider, None) from None


def _with_killer(error: CrashError, model: ModelFile, provider: str, feeds: Mapping[str, Array] | None) -> CrashError:
    """Return the error with the node that onnxruntime dies of, if it can be found, and what to do."""
    from kir.exporters.onnx_file.crash import describe_killer  # start-up time: onnx is for errors alone

    require_unchanged()  # what is cut short while onnxruntime reads it kills it

    def dies(part: bytes) -> bool:
        try:
            session = Session(shared_worker(not _is_cpu(provider)), part, provider, _usual.get())
            if feeds is not None:
                session._worker.call("running a part", _run_loaded, session._number, dict(feeds))
        except CrashError:
            return True
        except KirError:
            return False
        return False

    try:
        killer = describe_killer(model, dies)
    except FormatError:
        killer = ""
    found = f"; it dies of {killer}, and not of the nodes before" if killer else ""
    advice = "that is a bug of onnxruntime: another version, provider, opset or -O level may avoid it"
    return CrashError(f"{error}{found}; {advice}")


def _shown(model: ModelFile) -> str:
    return "the model" if isinstance(model, bytes) else str(model)


def _is_cpu(provider: str) -> bool:
    return provider.lower() in ("cpu", CPU.lower())


# In the worker, where onnxruntime is imported

_numbers = itertools.count()
_loaded: dict[int, Any] = {}  # the sessions of onnxruntime, by number


def _unload(number: int) -> None:
    _loaded.pop(number, None)  # absent if loading it failed


def _keep_loaded(number: int, model: ModelFile, provider: str, settings: Settings) -> tuple[tuple[Entry, ...], ...]:
    session = _loaded[number] = _load(model, provider, settings)
    groups = (session.get_inputs(), session.get_outputs(), session.get_overridable_initializers())
    return tuple(tuple(Entry(one.name, one.type, tuple(one.shape)) for one in group) for group in groups)


def _run_loaded(number: int, feeds: dict[str, Array]) -> dict[str, Array]:
    return _run(_loaded[number], feeds)


def _run_ranks(number: int, feeds: dict[str, Array]) -> dict[str, int]:
    return {name: array.ndim for name, array in _run_loaded(number, feeds).items() if isinstance(array, np.ndarray)}


def _load(model: ModelFile, provider: str, settings: Settings) -> InferenceSession:
    onnxruntime = import_onnxruntime()
    name = provider_name(provider)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    if settings.threads is not None:
        options.intra_op_num_threads = settings.threads
    level = OPTIMIZATIONS[settings.optimization]
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    # Threads that wait for work at full speed answer sooner, and take half as much processor time again as the work.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not settings.prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if settings.profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = settings.profile_prefix
    session = _read(onnxruntime, model, settings, options, provider, name)
    if name not in session.get_providers():
        raise ProviderError(
            f"the provider {provider!r} is installed and could not start, so that all nodes would run on "
            f"{', '.join(session.get_providers())}; check its drivers and libraries"
        )
    return session


def _read(
    onnxruntime: ModuleType,
    model: ModelFile,
    settings: Settings,
    options: SessionOptions,
    provider: str,
    name: str,
) -> Any:
    if isinstance(model, Path):
        require_regular(model, "an ONNX file")
    source = _source(model, settings, options)
    chosen = {} if provider.lower() == CUDA_TF32 else PROVIDER_OPTIONS.get(name, {})
    try:
        return onnxruntime.InferenceSession(source, options, providers=[(name, chosen), *_fallback(name)])
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        refusal = _missing_kernel(model, str(error))
        if refusal is None and name != CPU and _loads_on_cpu(onnxruntime, source):
            refusal = UnsupportedError(
                f"{provider} cannot load {_shown(model)}, which the cpu can; verify with --provider cpu, or run it on "
                f"another provider; it says: {' '.join(str(error).split())[-LONGEST_REASON:]}"
            )
        raise refusal or FormatError(f"onnxruntime cannot load {_shown(model)}: {error}") from error


def _source(model: ModelFile, settings: Settings, options: SessionOptions) -> str | bytes:
    """Return what onnxruntime loads: the name of the file, or the bytes of it and of what is added to it."""
    folder = settings.data_folder
    if not isinstance(model, bytes):
        if not settings.addition:
            return decoded(str(model))
        file = Path(model)
        model, folder = file.read_bytes(), file.parent
    if folder is not None:
        options.add_session_config_entry(DATA_FOLDER, decoded(str(folder)))
    return model + settings.addition  # protobuf joins messages that stand one after the other


LONGEST_REASON = 300  # characters, the last ones: what went wrong at the bottom of a chain of exceptions


def _fallback(name: str) -> list[tuple[str, dict[str, str]]]:
    return [] if name == CPU else [(CPU, {})]


def _loads_on_cpu(onnxruntime: ModuleType, source: str | bytes) -> bool:
    try:
        onnxruntime.InferenceSession(source, providers=[CPU])
    except Exception:  # as above
        return False
    return True


# What onnxruntime says when it loads, or for some operators (LSTM, GRU) only when it runs, what it has no kernel for.
NOT_LOADED = re.compile(
    r"(?:Could not find an implementation|Failed to find kernel) for (\w+)\((\d+)\) (?:node with name |\(node:)'(.*?)'"
)
# An operator without a kernel is replaced by the formula that the ONNX standard has for it, in nodes without names.
NOT_IN_FORMULA = re.compile(
    r"Type 'tensor\((\w+)\)' of input parameter \((.*?)\) of operator \((\w+)\) in node \(\) is invalid"
)
NOT_RUN = re.compile(r"running (\w+) node\. Name:'(.*)' Status Message: .* does not support (\w+) yet")


def _missing_kernel(model: ModelFile, message: str) -> UnsupportedError | None:
    """Return the error for a model that is refused for want of a kernel; None if that is not why."""
    match = NOT_LOADED.search(message)
    if match is None:
        return _missing_kernel_of_formula(model, message)
    from kir.exporters.onnx_file.probe import find_alike  # start-up time: onnx is for errors alone

    op_type, version, node = match.groups()
    dtype, layers = find_alike(model, op_type, node)
    where = f"in {', '.join(layers)}" if layers else f"node {node!r}"
    if int(version) > NEWEST_FULL_OPSET:
        return UnsupportedError(
            f"onnxruntime has no kernel for the operator {op_type} of opset {version} ({where}); write an older opset "
            f"(--opset {NEWEST_FULL_OPSET}), or export with --no-verify for another runtime"
        )
    return _no_kernel(op_type, dtype, where)


def _missing_kernel_of_formula(model: ModelFile, message: str) -> UnsupportedError | None:
    """Return the error for an operator whose formula takes no such type; None if the file itself has what is wrong."""
    match = NOT_IN_FORMULA.search(message)
    if match is None:
        return None
    from kir.exporters.onnx_file.probe import find_readers  # start-up time: onnx is for errors alone

    dtype, value, op_type = match.groups()
    readers = find_readers(model, value)
    if not readers or op_type in readers:
        return None
    replaced, layers = next(iter(readers.items()))
    return _no_kernel(replaced, dtype, f"in {', '.join(layers)}")


def _no_kernel(op_type: str, dtype: str, where: str) -> UnsupportedError:
    return UnsupportedError(
        f"onnxruntime has no kernel for the operator {op_type} of {_ORT_TYPES.get(dtype, dtype)} ({where}); "
        "use float32 there, or export with --no-verify for another runtime"
    )


def run_session(session: Session, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return the outputs by name. Inputs with a default may be left out.

    Raises:
        InvalidArgumentError: an input is missing or unknown.
        ShapeError: an input has another dtype or shape than the model declares.
        UnsupportedError: an operator does not run in the model's dtype, which some say only now (LSTM, GRU).
        CrashError: onnxruntime died of it.
    """
    _check_feeds(session, feeds)
    return session.run(feeds)


def _run(session: InferenceSession, feeds: dict[str, Array]) -> dict[str, Array]:
    onnxruntime = import_onnxruntime()
    outputs = session.get_outputs()
    names = [output.name for output in outputs]
    quiet = onnxruntime.RunOptions()
    quiet.log_severity_level = FATAL_ONLY
    kinds = [entry.type for entry in (*session.get_inputs(), *outputs)]
    if not any(kind in kinds for kind in AS_BYTES):
        return flat(dict(zip(names, _try(session.run, names, feeds, quiet), strict=True)))
    values = {name: ort_value(onnxruntime, array) for name, array in feeds.items()}
    return {
        name: to_array(value)
        for name, value in zip(names, _try(session.run_with_ort_values, names, values, quiet), strict=True)
    }


def _try(
    function: Callable[[list[str], Values, object], Result], names: list[str], feeds: Values, options: object
) -> Result:
    try:
        return function(names, feeds, options)
    except Exception as error:  # onnxruntime's exceptions have no base class of their own
        match = NOT_RUN.search(str(error))
        if match is not None:
            raise _no_kernel(match[1], match[3], f"node {match[2]!r}") from error
        raise ShapeError(f"onnxruntime cannot run the model on these inputs: {error}") from error


def _check_feeds(session: Session, feeds: Mapping[str, Array]) -> None:
    declared = {entry.name: entry for entry in session.get_inputs()}
    optional = {entry.name: entry for entry in session.get_overridable_initializers()}
    missing = sorted(declared.keys() - feeds.keys())
    unknown = sorted(feeds.keys() - declared.keys() - optional.keys())
    listed = ", ".join(f"{name}: {_describe(entry)}" for name, entry in (declared | optional).items()) or "no inputs"
    if missing or unknown:
        problem = f"no value for the inputs {missing}" if missing else f"values for unknown inputs {unknown}"
        if missing and unknown:
            problem += f", but values for {unknown}"
        raise InvalidArgumentError(f"received {problem}; the model takes {listed}")
    for name, array in feeds.items():
        entry = (declared | optional)[name]
        if not _fits(entry, array):
            raise ShapeError(
                f"received {array.dtype}{list(array.shape)} for the input {name!r}; the model takes {listed}"
            )


def _describe(entry: Entry) -> str:
    return f"{entry.dtype}[{', '.join(map(str, entry.shape))}]"


def _fits(entry: Entry, array: Array) -> bool:
    is_string = entry.dtype == "string" and array.dtype.kind in "OUS"
    return (is_string or entry.dtype == array.dtype.name) and (
        len(entry.shape) == array.ndim
        and all(not isinstance(dim, int) or dim == size for dim, size in zip(entry.shape, array.shape, strict=True))
    )


def node_providers(model: ModelFile, feeds: Mapping[str, Array], provider: str = "cpu") -> dict[str, str]:
    """Return where each node ran: execution providers by node name, in order, from a profile of one run.

    The nodes are those that onnxruntime runs: fused ones have names of its own.

    Raises:
        KirError: as `make_session` and `run_session`.
    """
    worker = shared_worker(not _is_cpu(provider))
    return worker.call(f"profiling {_shown(model)}", _profile, model, dict(feeds), provider)


def _profile(model: ModelFile, feeds: dict[str, Array], provider: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="kir-profile-") as folder:
        session = _load(model, provider, Settings(profile_prefix=str(Path(folder) / "profile")))
        try:
            _run(session, feeds)
        finally:
            profile = session.end_profiling()  # closes the file in the folder that is about to go
        events = json.loads(Path(profile).read_text(encoding="utf-8"))
    return {
        event["name"].removesuffix("_kernel_time"): event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and "provider" in event["args"]
    }


def fallback_nodes(model: ModelFile, feeds: Mapping[str, Array], provider: str) -> list[str]:
    """Return the nodes that ran on the CPU although another provider was asked for; none if the CPU was.

    Raises:
        KirError: as `make_session` and `run_session`.
    """
    if _is_cpu(provider):
        return []
    return [name for name, placed in node_providers(model, feeds, provider).items() if placed == CPU]
