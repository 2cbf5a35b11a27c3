"""Who may import whom, and what `import kir` and `kir --help` load.

`FLOORS` says which part of kir may know which, and `RULES` what else is forbidden. Imports are read from the syntax
tree, so that an import inside a function that no test runs counts as well.
"""

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

import kir
import kir.layers
from kir.modeling.layer import Layer

ROOT = Path(__file__).resolve().parent.parent

# The house, from the ground up. What stands on a floor may import what stands there and what stands below.
FLOORS = (
    {"errors"},
    {"support"},  # files, limits, names, text: what any program needs
    {"ir"},  # the typed graph, which knows no operator and no Keras
    {"ops", "config"},
    {"numerics"},  # runs, rounds and compares; knows no Keras and no ONNX
    {"passes"},
    {
        "backend",
        "modeling",
        "activations",
        "constraints",
        "initializers",
        "regularizers",
    },  # what Keras means by a model
    {"layers"},
    {"lift", "scripting"},
    {"api"},
)
# Users import the other names at the top of kir/, which are therefore few.
WINGS = {"support", "ir", "numerics", "modeling", "lift"}
MAX_NAMES_AT_THE_TOP = 12
UPWARDS = {
    ("kir.support.former_paths", "ir"): "a shim gives what has moved",
    ("kir.support.former_paths", "modeling"): "a shim gives what has moved",
}
MAX_RING = 3

FRAMEWORKS = ("keras", "tensorflow", "torch", "jax")
FORMATS = ("onnx", "onnxruntime")
REACH_OUT = (
    "kir/__init__.py",
    "kir/api.py",
    "kir/ir/graph.py",
    "kir/modeling/model.py",
    "kir/modeling/saving.py",
)


@dataclass(frozen=True)
class Import:
    """One imported dotted name.

    Args:
        name: the dotted name.
        line: where it is imported.
        deferred: whether that happens in a function or for type checkers, and not when the file is imported.
        for_types: whether it happens for type checkers alone.
    """

    name: str
    line: int
    deferred: bool
    for_types: bool = False


@dataclass(frozen=True)
class Rule:
    """Files matching `where` import nothing of `forbidden`, except, when deferred, the files named in `deferred_in`."""

    where: str
    forbidden: tuple[str, ...]
    deferred_in: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where} imports no {' '.join(self.forbidden)}"


RULES = [
    Rule("kir/**/*.py", FORMATS + FRAMEWORKS),
    Rule("kir/**/*.py", ("kir.exporters", "kir.importers"), deferred_in=REACH_OUT),
    Rule("kir/**/*.py", ("kir.cli",), deferred_in=("kir/support/program.py",)),
    Rule("kir/**/*.py", ("exporters", "importers", "cli", "tests", "models")),
    # `keras_child` is a program, which runs in a process of its own.
    Rule("exporters/**/*.py", FRAMEWORKS, deferred_in=("exporters/onnx_file/verify/keras_child.py",)),
    Rule("**/*.py", ("kir.exporters.onnx_file.verify.keras_child",)),
    Rule("exporters/**/*.py", ("kir.cli", "exporters", "importers", "cli", "tests", "models")),
    Rule("importers/**/*.py", (*FRAMEWORKS, "kir.cli", "exporters", "importers", "cli", "tests", "models")),
    Rule("exporters/**/*.py", ("kir.importers", "kir.api")),
    Rule("importers/**/*.py", ("kir.exporters", "kir.api")),
    Rule("cli.py", (*FRAMEWORKS, "exporters", "importers", "tests", "models")),
]


@cache
def imports_in(source: str, package: str) -> tuple[Import, ...]:
    """Every import of a module's source, in no particular order; `package` is what its relative imports start from."""
    return tuple(_walk_imports(source, package))


def _walk_imports(source: str, package: str) -> Iterator[Import]:
    pending: list[tuple[ast.AST, bool, bool]] = [(ast.parse(source), False, False)]
    while pending:
        node, in_function, for_types = pending.pop()
        for name in _names_imported_by(node, package):
            yield Import(name, getattr(node, "lineno", 0), in_function or for_types, for_types)
        in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        body = node.body if isinstance(node, ast.If) and _asks_for_type_checking(node.test) else []
        pending += [(child, in_function, for_types or child in body) for child in ast.iter_child_nodes(node)]


def _names_imported_by(node: ast.AST, package: str) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            origin = ".".join([*parents, *([module] if module else [])])
            return [f"{origin}.{alias.name}" for alias in names]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def _asks_for_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _package_of(path: Path) -> str:
    """The package that a file of the checkout is installed in: exporters/picture/svg.py in kir.exporters.picture."""
    parts = path.relative_to(ROOT).parent.parts
    return ".".join(parts if parts[:1] == ("kir",) else ("kir", *parts))


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _offences(rule: Rule, path: Path) -> Iterator[str]:
    place = path.relative_to(ROOT).as_posix()
    for found in imports_in(path.read_text(encoding="utf-8"), _package_of(path)):
        allowed = found.deferred and place in rule.deferred_in
        if not allowed and any(_is_within(found.name, package) for package in rule.forbidden):
            yield f"{place}:{found.line} imports {found.name}"


@pytest.mark.quick
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_import_direction(rule: Rule) -> None:
    files = sorted(ROOT.glob(rule.where))
    assert files, f"no file matches {rule.where}: the rule would hold whatever is imported"
    assert [offence for path in files for offence in _offences(rule, path)] == []


def modules_of_kir() -> dict[str, Path]:
    """Return the modules under kir/ but kir itself, by their dotted names."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in (ROOT / "kir").rglob("*.py")}
    names = {".".join(place.parts).removesuffix(".__init__"): path for place, path in paths.items()}
    return {name: path for name, path in names.items() if name != "kir"}


def imported_modules() -> Iterator[tuple[str, str, int]]:
    """Yield a module of kir, another that it imports as it runs, now or later, and the line of the import."""
    modules = modules_of_kir()
    for importer, path in modules.items():
        for found in imports_in(path.read_text(encoding="utf-8"), _package_of(path)):
            imported = found.name
            while imported and imported not in modules:
                imported = imported.rpartition(".")[0]
            if imported and imported != importer and not found.for_types:
                yield importer, imported, found.line


def _name_at_the_top(module: str) -> str:
    return module.split(".")[1]


def test_every_name_at_the_top_of_kir_stands_on_a_floor() -> None:
    names = {_name_at_the_top(module) for module in modules_of_kir()} - {"__main__"}
    assert names == {name for floor in FLOORS for name in floor}
    assert len(names - WINGS) <= MAX_NAMES_AT_THE_TOP


def test_each_floor_knows_only_those_below_it() -> None:
    floors = {name: number for number, floor in enumerate(FLOORS) for name in floor} | {"__main__": len(FLOORS)}
    upwards = [
        (importer, imported, line)
        for importer, imported, line in imported_modules()
        if floors[_name_at_the_top(imported)] > floors[_name_at_the_top(importer)]
    ]
    excused = {
        (module, name)
        for importer, imported, _ in upwards
        for module, name in UPWARDS
        if _is_within(importer, module) and _name_at_the_top(imported) == name
    }
    offences = [
        f"{importer}:{line} imports {imported}"
        for importer, imported, line in upwards
        if not any(_is_within(importer, module) and _is_within(imported, f"kir.{name}") for module, name in UPWARDS)
    ]
    assert offences == []
    assert excused == set(UPWARDS), "these exceptions are no longer needed"


def test_no_more_than_a_few_modules_import_each_other_in_a_ring() -> None:
    graph = nx.DiGraph((importer, imported) for importer, imported, _ in imported_modules())
    rings = [sorted(ring) for ring in nx.strongly_connected_components(graph) if len(ring) > MAX_RING]
    assert rings == []


@pytest.mark.parametrize(
    ("source", "name", "deferred"),
    [
        ("import onnx.helper as h", "onnx.helper", False),
        ("from kir import layers", "kir.layers", False),
        ("from kir.layers.core import Dense", "kir.layers.core.Dense", False),
        ("from . import core", "kir.ops.core", False),
        ("from .core import Gemm", "kir.ops.core.Gemm", False),
        ("from ..layers import Dense", "kir.layers.Dense", False),
        ("from .. import layers", "kir.layers", False),
        ("importlib.import_module('onnx')", "onnx", False),
        ("if fast:\n    import onnx", "onnx", False),
        ("class A:\n    import onnx", "onnx", False),
        ("def f():\n    import onnx", "onnx", True),
        ("class A:\n    async def f(self):\n        if self:\n            import onnx", "onnx", True),
        ("if TYPE_CHECKING:\n    import onnx", "onnx", True),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import onnx", "onnx", False),
    ],
)
def test_an_import_is_seen_however_it_is_written(source: str, name: str, deferred: bool) -> None:
    [found] = imports_in(source, "kir.ops")
    assert (found.name, found.deferred) == (name, deferred)


def _modules_loaded_by(program: str) -> set[str]:
    """Return the top-level names of `sys.modules` after `program` ran in a fresh interpreter in the checkout's root."""
    report = f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


HEAVY = {"numpy", "networkx", "onnx", "onnxruntime", "rich", "h5py", "safetensors", "ml_dtypes", *FRAMEWORKS}


def test_importing_kir_loads_nothing_heavy() -> None:
    loaded = _modules_loaded_by("import kir")
    assert "kir" in loaded
    assert loaded & (HEAVY | {"click"}) == set()


ASK_FOR_HELP = """
import kir.cli
try:
    kir.cli.main(["--help"])
except SystemExit as end:
    assert not end.code, end.code
"""


def test_help_loads_nothing_heavy() -> None:
    loaded = _modules_loaded_by(ASK_FOR_HELP)
    assert "click" in loaded
    assert loaded & HEAVY == set()


EXPORT = """
import kir.cli
try:
    kir.cli.main(["export", {source!r}, "-o", {target!r}, "--no-verify"])
except SystemExit as end:
    assert not end.code, end.code
"""
# What an unverified export of a small Keras file has no use for: other kinds of sources and targets, other layers,
# random numbers, the runtime.
UNUSED = {
    *("kir.importers.script", "kir.importers.keras_live", "kir.importers.keras_names", "kir.importers.onnx_file"),
    *("kir.importers.keras_file.keras2_layers", "kir.exporters.picture", "kir.exporters.script", "kir.lift"),
    *("kir.layers.attention", "kir.layers.augmentation", "kir.layers.rnn", "kir.modeling.summary"),
    *("numpy.random", "onnxruntime", "onnx.reference", "rich", "asyncio", "multiprocessing", "ssl", "keras"),
}


def test_an_export_loads_what_it_needs(tmp_path: Path) -> None:
    model = kir.Sequential([kir.Input((28, 28)), kir.layers.Flatten(), kir.layers.Dense(4, activation="relu")])
    model.save(tmp_path / "model.keras")
    program = EXPORT.format(source=str(tmp_path / "model.keras"), target=str(tmp_path / "model.onnx"))
    # Some versions of the libraries load more than others.
    libraries = _loaded_by("import numpy, onnx, networkx, h5py, click")
    assert (UNUSED & _loaded_by(program)) - libraries == set()


def test_a_script_without_keras_loads_no_names_of_keras(tmp_path: Path) -> None:
    loaded = _loaded_by(EXPORT.format(source="models/mnist_mlp.py", target=str(tmp_path / "model.onnx")))
    assert loaded & {"kir.importers.keras_names", "kir.layers.attention", "kir.importers.tensorflow_names"} == set()


def _loaded_by(program: str) -> set[str]:
    report = f"{program}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("name", kir.__all__)
def test_public_name_is_found(name: str) -> None:
    value = getattr(kir, name)
    assert value.__name__.rpartition(".")[2] == name
    assert name in dir(kir)


def test_type_checkers_are_told_of_every_public_name() -> None:
    source = (ROOT / "kir" / "__init__.py").read_text(encoding="utf-8")
    declared = {found.name.rpartition(".")[2] for found in imports_in(source, "kir") if found.deferred}
    assert declared == set(kir.__all__)


def test_unknown_name_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Dense'.*Sequential"):
        kir.Dense  # noqa: B018


def test_every_layer_of_a_module_has_a_name_in_kir_layers() -> None:
    """What other classes of these modules extend is no layer for users, nor is the cell that the ConvLSTMs make."""
    modules = [
        importlib.import_module(f"kir.layers.{path.stem}")
        for path in sorted((ROOT / "kir" / "layers").glob("*.py"))
        if path.stem != "__init__"
    ]
    classes = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Layer) and value.__module__ == module.__name__
    ]
    bases = {base for cls in classes for base in cls.__mro__[1:]}
    unnamed = {cls.__name__ for cls in classes if cls not in bases} - set(kir.layers.__all__) - {"ConvLSTMCell"}
    assert not unnamed, f"without a name in kir/layers/__init__.py: {sorted(unnamed)}"


def test_type_checkers_are_told_of_every_layer() -> None:
    tree = ast.parse((ROOT / "kir" / "layers" / "__init__.pyi").read_text(encoding="utf-8"))
    told = {(node.module, alias.name) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    others = {
        (ast.unparse(node.value), ast.unparse(node.targets[0])) for node in tree.body if isinstance(node, ast.Assign)
    }
    assert told == {(home, name) for name, home in kir.layers._HOME_OF_NAME.items()}  # type: ignore[attr-defined]
    assert others == {(own, name) for name, own in kir.layers._OTHER_NAMES.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [*kir.layers.__all__, "core", "rnn"])
def test_every_layer_is_found(name: str) -> None:
    assert getattr(kir.layers, name).__name__ in (name, f"kir.layers.{name}", kir.layers._OTHER_NAMES.get(name))  # type: ignore[attr-defined]


def test_one_layer_is_imported_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from kir.layers import Flatten; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name for name in done.stdout.split() if name.startswith("kir.layers.")}
    assert "kir.layers.reshaping" in loaded
    assert (
        loaded & {"kir.layers.attention", "kir.layers.augmentation", "kir.layers.convolutional", "kir.layers.rnn"}
        == set()
    )


def test_all_layers_are_imported_by_a_star() -> None:
    names: dict[str, object] = {}
    exec("from kir.layers import *", names)
    assert set(kir.layers.__all__) <= set(names)
    assert set(kir.layers.__all__) <= set(dir(kir.layers))


@pytest.mark.parametrize("folder", ["exporters", "importers"])
def test_top_level_import_is_refused(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"ImportError: this package was imported as '{folder}'" in done.stderr
    assert f"import it as 'kir.{folder}'" in done.stderr
