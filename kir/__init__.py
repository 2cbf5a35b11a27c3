"""kir turns Keras models into ONNX files and verifies that the file computes what the model does.

>>> import kir
>>> kir.export("model.keras", "model.onnx")

>>> from kir import Input, Model, Sequential, backend as K
>>> from kir.layers import Dense

Nothing is imported here until it is asked for (PEP 562), so that `import kir` and `kir --help` load no NumPy.
A module that this file must never import at the top: any other module of kir.
"""

import importlib
import os

# A name that type checkers know; importing `typing` takes longer than the rest of this file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kir import activations, backend, config, constraints, initializers, layers, regularizers
    from kir.api import check_proof, diff, export, load, plot, summary, verify
    from kir.errors import KirError
    from kir.ir.graph import Graph
    from kir.modeling.comparison import compare
    from kir.modeling.input import Input
    from kir.modeling.model import Model
    from kir.modeling.sequential import Sequential

__all__ = [
    "Graph",
    "Input",
    "KirError",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "check_proof",
    "compare",
    "config",
    "constraints",
    "diff",
    "export",
    "initializers",
    "layers",
    "load",
    "plot",
    "regularizers",
    "summary",
    "verify",
]

__version__ = "0.1.0"

_HOME_OF_NAME = {
    "Graph": "kir.ir.graph",
    "Input": "kir.modeling.input",
    "KirError": "kir.errors",
    "Model": "kir.modeling.model",
    "Sequential": "kir.modeling.sequential",
    "check_proof": "kir.api",
    "compare": "kir.modeling.comparison",
    "diff": "kir.api",
    "export": "kir.api",
    "load": "kir.api",
    "plot": "kir.api",
    "summary": "kir.api",
    "verify": "kir.api",
}


def _extend_path() -> None:
    """Let `kir.exporters`, `kir.importers` and `kir.cli` be found in a bare checkout, where they stand beside `kir/`.

    Installed, they stand inside `kir/` and there is nothing to do.
    """
    package = os.path.dirname(os.path.abspath(__file__))
    if not os.path.isdir(os.path.join(package, "exporters")):
        __path__.append(os.path.dirname(package))
    # Scripts that kir wrote before it had `kir.scripting` import modules that stand elsewhere now.
    __path__.append(os.path.join(package, "support", "former_paths"))


_extend_path()


def __getattr__(name: str) -> object:
    """Import the public name `name` on first use; AttributeError for a name that is not in `__all__`."""
    if name not in __all__:
        raise AttributeError(f"module 'kir' has no attribute {name!r}; its public names are {', '.join(__all__)}")
    if name not in _HOME_OF_NAME:
        return importlib.import_module(f"kir.{name}")
    value: object = getattr(importlib.import_module(_HOME_OF_NAME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names; submodules that were imported enter the package and are not among them."""
    return sorted(__all__)
