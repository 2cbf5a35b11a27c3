"""Whether a verification holds with an execution provider: right files pass, and planted errors are seen.

    python -m tests.gpu.check [--provider cuda] [--exports 100] [--errors 100] [--part 1/4] [--seconds 540]

1. The 14 models of `tests.benchmarks.planted_models` and random exports are right: each passes. Where the provider has
   no kernel, that is said (unsupported); where nodes ran on the CPU instead, they are counted.
2. Errors planted in the files of these models, in the form of another tool, so that numbers alone show them: those that
   change a result are seen.

With `cuda-tf32` the factors of products have 10 bits, and right files may fail: then they must pass with `cuda`. A
provider may be wrong itself: what is known of that is listed in `KNOWN`. `--part 2/4` takes every fourth of all,
beginning with the second, so that several processes share the work; what does not fit into the seconds is counted as
left out. tests/gpu/run.sh does all of that on a machine with a GPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from kir.errors import KirError, UnsupportedError
from kir.exporters.onnx_file.session import CUDA_TF32
from kir.exporters.onnx_file.verify.file import verify_file
from kir.exporters.pipeline import ExportOptions, export_reference
from kir.ir.graph import Graph
from kir.modeling.lower import lower
from kir.numerics.report import VerificationReport
from kir.ops.recurrent import GRU, LSTM, RNN
from tests.benchmarks.planted_errors import differs, plant_errors, results, right_results, verify_error
from tests.benchmarks.planted_kinds import HIDDEN_KINDS, KINDS
from tests.benchmarks.planted_models import NAMES, Subject, build_model
from tests.benchmarks.random_exports import build_case


def has_lengths(graph: Graph) -> bool:
    """Return whether a recurrence of the graph is given the lengths of its sequences."""
    recurrent = [node for node in graph.order() if isinstance(node.op, GRU | LSTM | RNN)]
    return any(len(node.inputs) > 4 and node.inputs[4] is not None for node in recurrent)


def has_halves(graph: Graph) -> bool:
    """Return whether the graph computes with floats of 16 bits."""
    dtypes = {value.type.dtype for node in graph.order() for value in node.outputs}
    return any(dtype.is_float and dtype.itemsize == 2 for dtype in dtypes)


def has_softplus(graph: Graph) -> bool:
    return any("Softplus" in str(node.op) for node in graph.order())


# Where a provider computes something else than ONNX asks for, so that right files fail. OpenVINO 2025.4, which is in
# onnxruntime-openvino 1.24.1, runs recurrences over the steps after the end of a sequence as well; in models of 16-bit
# floats it computes in 16 bits also between casts to float32; and its Softplus of numbers below -20 is off by 4e-6, and
# negative.
KNOWN: dict[str, tuple[Callable[[Graph], bool], ...]] = {"openvino": (has_lengths, has_halves, has_softplus)}

# Casts to float16 and back: a provider may leave both out.
UNDONE = "values through float16"

FALSE_ALARM, MISSED = "FALSE ALARM", "ERROR MISSED"
WRONG = {FALSE_ALARM, MISSED}


@dataclass(frozen=True)
class Right:
    """A model that is exported and must pass."""

    name: str
    graph: Graph
    options: ExportOptions


def right_models(provider: str, count: int) -> Iterator[Right]:
    for name in NAMES:
        yield Right(name, lower(build_model(Subject(name))), ExportOptions(verify=False, provider=provider))
    for index in range(count):
        case = build_case(0, index, provider)
        options = ExportOptions(verify=False, opset=case.options.opset, level=case.options.level, provider=provider)
        yield Right(f"{index}: {case}", lower(case.model), options)


def check_right(right: Right) -> tuple[str, str]:
    """Return what becomes of a right model, and what there is to say about it."""
    kind, text = _verify_right(right, right.options.provider)
    return kind, f"{right.name}\n{text}"


def _verify_right(right: Right, provider: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            written = export_reference(right.graph.copy(), path, right.options).graph
            report = verify_file(right.graph, path, provider, written=written)
            if not report.passed and provider == CUDA_TF32:
                usual = verify_file(right.graph, path, "cuda", written=written)
                return ("passed without TF32" if usual.passed else FALSE_ALARM), str(usual)
        except UnsupportedError as error:
            return "unsupported", str(error)
        except KirError as error:
            return FALSE_ALARM, str(error)
    return _kind(report, right, provider), str(report)


def _kind(report: VerificationReport, right: Right, provider: str) -> str:
    if report.passed:
        return "passed, some nodes on the CPU" if report.notes else "passed"
    if any(is_known(right.graph) for is_known in KNOWN.get(provider, ())):
        return "the provider is wrong, as is known"
    return FALSE_ALARM


def check_errors(provider: str, count: int, part: slice) -> Iterator[tuple[str, str]]:
    """Return what becomes of each planted error: whether it is seen, if it changes a result."""
    kinds = [kind for kind in (*KINDS, *HIDDEN_KINDS) if provider == "cpu" or kind != UNDONE]
    for error in islice(plant_errors(count, 0, kinds=kinds), part.start, None, part.step):
        if not differs(right_results(error.subject, error.level), results(error.model)):
            yield "error that changes nothing", ""
            continue
        verdict, _ = verify_error(error, "foreign", provider)
        yield ("error seen" if verdict.is_seen else MISSED), f"{error} {verdict.trouble}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="cuda")
    parser.add_argument("--exports", type=int, default=100)
    parser.add_argument("--errors", type=int, default=100)
    parser.add_argument("--part", default="1/1", help="of the work, such as 2/4")
    parser.add_argument("--seconds", type=float, default=540)
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    number, parts = (int(word) for word in given.part.split("/"))
    part = slice(number - 1, None, parts)
    rights = islice(right_models(given.provider, given.exports), part.start, None, part.step)
    counts: Counter[str] = Counter()
    for kind, text in chain(map(check_right, rights), check_errors(given.provider, given.errors, part)):
        counts[kind] += 1
        if kind in WRONG:
            print(f"{kind}: {text}", flush=True)
        if time.perf_counter() - began > given.seconds:
            print(f"the rest is left out: {given.seconds:g} s are over")
            break
    print(f"{given.provider}, part {given.part}, {time.perf_counter() - began:.0f} s:")
    print("\n".join(f"  {count:>4} {kind}" for kind, count in counts.most_common()))
    return 1 if counts.keys() & WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
