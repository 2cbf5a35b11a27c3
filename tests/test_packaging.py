"""What is built and installed: one package, `kir`, whichever way it comes.

The build backend is called directly, in this environment, so that nothing is fetched: what pip would do between
fetching the backend and unpacking the wheel.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import kir

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["kir", "exporters", "importers", "cli.py", "pyproject.toml", "README.md", "LICENSE"]
WHERE_IS_KIR = "import kir.exporters, kir.importers; print(kir.__file__); print(kir.exporters.__file__)"


@dataclass(frozen=True)
class Built:
    """The distributions of one checkout, `checkout`: the copy that the editable wheel points to."""

    checkout: Path
    sdist: Path
    wheel: Path
    wheel_from_sdist: Path
    editable_wheel: Path


def _copy_checkout(target: Path) -> Path:
    target.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


def _build(hook: str, checkout: Path, target: Path) -> Path:
    """Call one hook of PEP 517 or 660 in the checkout; the path of what it built."""
    target.mkdir()
    program = f"import sys; from poetry.core.masonry import api; print(api.{hook}(sys.argv[1]))"
    return target / _run([sys.executable, "-c", program, str(target)], cwd=checkout).splitlines()[-1]


def _run(command: list[str], cwd: Path) -> str:
    """The stdout of a command that succeeds; without PYTHONPATH, which could show the checkout to an installed kir."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("packaging")
    checkout = _copy_checkout(folder / "checkout")
    sdist = _build("build_sdist", checkout, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    [unpacked] = (folder / "unpacked").iterdir()
    return Built(
        checkout=checkout,
        sdist=sdist,
        wheel=_build("build_wheel", checkout, folder / "wheel"),
        wheel_from_sdist=_build("build_wheel", unpacked, folder / "wheel_from_sdist"),
        editable_wheel=_build("build_editable", checkout, folder / "editable"),
    )


def _install(wheel: Path, environment: Path) -> Path:
    """Install a wheel, without its dependencies, into a new virtual environment; the path of its Python."""
    venv.create(environment, with_pip=False, symlinks=os.name != "nt")
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    _run([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], cwd=environment)
    return python


def _files(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


@pytest.mark.slow
def test_wheel_holds_one_package(built: Built) -> None:
    assert {name.partition("/")[0] for name in _files(built.wheel)} == {"kir", "kir_onnx-0.1.0.dist-info"}


def test_wheel_holds_every_source_file(built: Built) -> None:
    in_kir = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kir").rglob("*.py")}
    beside_kir = [*(ROOT / "exporters").rglob("*.py"), *(ROOT / "importers").rglob("*.py"), ROOT / "cli.py"]
    moved_into_kir = {f"kir/{path.relative_to(ROOT).as_posix()}" for path in beside_kir}
    in_wheel = {name for name in _files(built.wheel) if name.endswith(".py")}
    assert in_wheel == in_kir | moved_into_kir
    assert {"kir/py.typed", "kir/exporters/picture/page.css", "kir/exporters/picture/page.js"} <= set(
        _files(built.wheel)
    )


def test_wheel_from_sdist_is_the_same(built: Built) -> None:
    assert _files(built.wheel_from_sdist) == _files(built.wheel)


@pytest.mark.slow
def test_installed_wheel_works_from_another_folder(built: Built, tmp_path: Path) -> None:
    python = _install(built.wheel, tmp_path / "venv")
    package, exporters = map(Path, _run([str(python), "-c", WHERE_IS_KIR], cwd=tmp_path).splitlines())
    assert package.is_relative_to(tmp_path / "venv")
    assert exporters.parent.parent == package.parent
    assert (python.parent / "kir").exists() or (python.parent / "kir.exe").exists()


def test_editable_install_works_from_another_folder(built: Built, tmp_path: Path) -> None:
    python = _install(built.editable_wheel, tmp_path / "venv")
    package, exporters = map(Path, _run([str(python), "-c", WHERE_IS_KIR], cwd=tmp_path).splitlines())
    assert package == built.checkout / "kir" / "__init__.py"
    assert exporters == built.checkout / "exporters" / "__init__.py"


def test_bare_checkout_works(built: Built) -> None:
    isolated = [sys.executable, "-S", "-c", WHERE_IS_KIR]
    package, exporters = map(Path, _run(isolated, cwd=built.checkout).splitlines())
    assert package == built.checkout / "kir" / "__init__.py"
    assert exporters == built.checkout / "exporters" / "__init__.py"


def test_bare_checkout_runs_its_command_line(built: Built) -> None:
    assert "export" in _run([sys.executable, "cli.py", "--help"], cwd=built.checkout)


def test_version_is_the_distribution_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == kir.__version__
