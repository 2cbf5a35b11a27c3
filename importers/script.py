"""Model scripts: runs a `model.py` and finds the model in it.

A script is code and is run; nothing else that kir reads ever is. It may build its model with kir, with Keras where that
is installed, and with Keras's names where it is not (see `kir.importers.keras_stand_in`).
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import reprlib
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeGuard

from kir import config
from kir.errors import FormatError, KirError, ScriptError
from kir.importers.keras_live import is_keras_model, layers_inside, model_from_keras
from kir.importers.keras_stand_in import StandIn, packages_imported, stand_in_for
from kir.importers.process_state import as_program
from kir.importers.rebinding import KerasLayer
from kir.ir.graph import Provenance
from kir.modeling.divisible_sizes import build_fitting
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.weight_owner import walk_layers
from kir.support.limits import MAX_SCRIPT_BYTES
from kir.support.naming import reset_names
from kir.support.regular_files import read_regular

# The variable that holds the model where a script leaves several.
PREFERRED = "model"


def load_script(
    path: Path, name: str | None = None, on_lost_mask: str | None = None, weights: Path | None = None
) -> Model:
    """Run a script and return the model that it leaves behind.

    The script runs under its own file name, not as `__main__`, without arguments, with its folder importable, its
    standard output sent to standard error, layer names counted from the start and random seeds fixed, so that it builds
    the same model every time. What it changes in the process, such as the folder, is put back (see `as_program`).

    Args:
        path: the script.
        name: a global variable that holds the model, or a function without arguments that returns it. Without a
            name it is the variable `model`, or the only model that is not part of another.
        on_lost_mask: what happens when a mask reaches a layer that cannot carry it; by default "warn", as in Keras 3,
            if the script imports Keras, or else what `kir.config.on_lost_mask` says.
        weights: a file of weights to load into the model.

    Raises:
        FormatError: the weights do not fit.
        ScriptError: the script cannot be read or run, or there is no such model, or several.
    """
    tree, code = _compile(path)
    return build_fitting(lambda: _run_for_model(path, tree, code, name, on_lost_mask, weights))


def _run_for_model(
    path: Path, tree: ast.Module, code: CodeType, name: str | None, on_lost_mask: str | None, weights: Path | None
) -> Model:
    reset_names()
    config.set_random_seed(config.DEFAULT_SEED)
    module = _module_of(path)
    on_lost_mask = on_lost_mask or ("warn" if packages_imported(tree) else config.on_lost_mask())
    with (
        _importable(path.parent, module),
        _keras_names(stand_in_for(tree), module),
        contextlib.redirect_stdout(sys.stderr),
        config.lost_masks(on_lost_mask),
        config.own_dtype_policy(),
    ):
        with as_program(str(path)), _described(path):
            exec(code, module.__dict__)
            hint = _hint(module, tree)
            model = _named_model(path, module, name, hint) if name else _only_model(path, module, hint)
        if not isinstance(model, Model):
            # Keras itself loads the weights.
            model, weights = model_from_keras(model, path, lambda: run_script(path), weights), None
        with _described(path):
            model.require_inputs()
        if weights is not None:
            model.load_weights(weights)
        model.loaded_from = Provenance("script", model.loaded_from.producer, path)
        return model


def run_script(path: Path) -> dict[str, object]:
    """Run a script, as `load_script` does, and return what it defines, by names without a leading underscore.

    Modules, and what it imports from kir or Keras under its own name, are not among them.

    Under Keras's names it gets kir's, even where Keras is installed: what it defines is used in models of kir. Settings
    that it makes, such as the default dtype policy, stay: its layers make layers later.

    A script that ends with an error, as one may that reads its data after its classes, gives what it defined before,
    with a warning.

    Raises:
        ScriptError: the script cannot be read or run, and has defined no class and no function.
    """
    _, code = _compile(path)
    module = _module_of(path)
    with (
        _importable(path.parent, module),
        _keras_names(StandIn(chosen=True), module),
        as_program(str(path)),
    ):
        try:
            with _described(path):
                exec(code, module.__dict__)
        except KirError as error:
            if not any(_is_defined_in(module, value) for value in vars(module).values()):
                raise
            stopped = " ".join([*map(str, getattr(error, "__notes__", ())), str(error)])
            warnings.warn(f"{path} gives what it defined before it ended with an error: {stopped}", stacklevel=2)
        finally:
            # The model that is read next is none of the script's.
            reset_names()
    defined = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return {name: value for name, value in defined.items() if not _is_import(name, value)}


def _is_defined_in(module: ModuleType, value: object) -> bool:
    """Return whether a value is a class or a function that a script defines."""
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _is_import(name: str, value: object) -> bool:
    """Return whether a global of a script is a module, or a class or function of kir under its own name."""
    is_ours = str(getattr(value, "__module__", "")).partition(".")[0] == "kir"
    return isinstance(value, ModuleType) or (is_ours and getattr(value, "__name__", None) == name)


def _compile(path: Path) -> tuple[ast.Module, CodeType]:
    try:
        source = read_regular(path, "a Python script that builds a model", MAX_SCRIPT_BYTES)
        tree = ast.parse(source, str(path))
        # Absolute: functions of the script are looked up by their file, and it may go to another folder.
        return tree, compile(tree, str(path.absolute()), "exec")
    except FormatError as error:
        raise ScriptError(str(error)) from None
    except SyntaxError as error:
        if error.lineno is None:
            raise ScriptError(f"{path} is not a Python script: {error.msg}") from None
        raise ScriptError(f"{path}:{error.lineno}: {error.msg}: {(error.text or '').strip()}") from None
    except ValueError as error:
        raise ScriptError(f"{path} is not a Python script: {error}") from None


def _module_of(path: Path) -> ModuleType:
    """Return the empty module that a script runs in. Its file is absolute, as that of a program is."""
    module = ModuleType(path.stem)
    module.__file__ = str(path.absolute())
    return module


# The modules that a script imported from its folder. They stay until another script runs, for its functions may import
# them when they are traced; then they go, since the next script may have others of the same names.
_beside_scripts: set[str] = set()


@contextlib.contextmanager
def _importable(folder: Path, module: ModuleType) -> Iterator[None]:
    """Let modules beside the script be imported, and the script's own module be found, while open."""
    for name in _beside_scripts:
        sys.modules.pop(name, None)
    _beside_scripts.clear()
    modules, path = set(sys.modules), list(sys.path)
    name, folder = module.__name__, folder.resolve()
    hides_other = name in modules or _can_be_imported(name)
    sys.path.insert(0, str(folder))
    if not hides_other:
        sys.modules[name] = module
    try:
        yield
    finally:
        if not hides_other:
            sys.modules.pop(name, None)
        new = {one for one in sys.modules if one.partition(".")[0] not in modules}
        _beside_scripts.update(one for one in new if _is_in(folder, sys.modules.get(one.partition(".")[0])))
        sys.path[:] = path


def _can_be_imported(name: str) -> bool:
    """Return whether a module of this name is installed, or no script can import it, for it has a dot."""
    return "." in name or importlib.util.find_spec(name) is not None


def _is_in(folder: Path, module: ModuleType | None) -> bool:
    """Return whether a module or package stands directly in a folder."""
    places = getattr(module, "__path__", None) or [getattr(module, "__file__", None)]
    return any(Path(place).parent == folder for place in places if place)


@contextlib.contextmanager
def _keras_names(stand_in: StandIn, module: ModuleType) -> Iterator[None]:
    """Let `keras` be imported, installed or not, while open, and in the script's own functions later."""
    vars(module)["__builtins__"] = stand_in.builtins()
    with stand_in.installed():
        yield


@contextlib.contextmanager
def _described(path: Path) -> Iterator[None]:
    """Turn whatever a script raises into one error that names its line."""
    try:
        yield
    except ScriptError:
        raise
    except KirError as error:
        error.add_note(f"at {_script_line(path, error)}")
        raise
    except SystemExit as error:
        raise ScriptError(
            f"{_script_line(path, error)}: the script called sys.exit({error.code!r}); put what should run only as a "
            f'program under if __name__ == "__main__":'
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ScriptError(f"{_script_line(path, error)}: {type(error).__name__}: {error}") from error


def _script_line(path: Path, error: BaseException) -> str:
    """Return the innermost line of the script that an exception passed through, as file:line."""
    file = str(path.absolute())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _only_model(path: Path, module: ModuleType, hint: str) -> Model | KerasLayer:
    models = {name: value for name, value in vars(module).items() if _is_model(value)}
    if PREFERRED in models:
        return models[PREFERRED]
    inner = {id(layer) for model in models.values() for layer in _layers_inside(model)}
    found: dict[int, str] = {}
    for name, model in models.items():
        if id(model) not in inner:
            found.setdefault(id(model), name)
    if len(found) == 1:
        return models[next(iter(found.values()))]
    if not found:
        raise ScriptError(
            f"{path} leaves no model behind; expected a global variable that holds a kir.Model or kir.Sequential, or "
            f"{path}:NAME with the name of a function that returns one{hint}"
        )
    names = ", ".join(found.values())
    raise ScriptError(
        f"{path} leaves {len(found)} models behind ({names}); choose one: {path}:{next(iter(found.values()))}"
    )


def _is_model(value: object) -> TypeGuard[Model | KerasLayer]:
    """Return whether this is a model of kir or of Keras itself."""
    return isinstance(value, Model) or is_keras_model(value)


def _layers_inside(model: Model | KerasLayer) -> Sequence[Layer | KerasLayer]:
    """Return all layers that a model owns, at any depth."""
    if not isinstance(model, Model):
        return layers_inside(model)
    return list(walk_layers(model))[1:]


def _named_model(path: Path, module: ModuleType, name: str, hint: str) -> Model | KerasLayer:
    if name not in vars(module):
        raise ScriptError(f"{path} defines no {name!r}{hint}")
    value: object = vars(module)[name]
    if callable(value) and not _is_model(value):
        value = value()
    if not _is_model(value):
        raise ScriptError(
            f"{path}:{name} is {reprlib.repr(value)}; expected a kir.Model, or a function that returns one"
        )
    return value


def _hint(module: ModuleType, tree: ast.Module) -> str:
    """Describe what a script has in place of the model that was looked for."""
    models = [name for name, value in vars(module).items() if _is_model(value)]
    functions = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__ and not isinstance(value, type)
    ]
    parts = [f"models: {', '.join(models)}"] if models else []
    parts += [f"functions: {', '.join(functions)}"] if functions else []
    has = f" (it has {'; '.join(parts)})" if parts else ""
    return f'{has}; what is under if __name__ == "__main__": did not run' if _has_main(tree) else has


def _has_main(tree: ast.Module) -> bool:
    """Return whether a script does something only as a program."""
    tests = [ast.unparse(statement.test) for statement in tree.body if isinstance(statement, ast.If)]
    return any("__name__" in test and "__main__" in test for test in tests)
