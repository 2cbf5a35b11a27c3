"""Reading arrays from `.npz` and `.npy` files, which are untrusted: nothing is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kir.errors import FormatError
from kir.op import Array


def read_arrays(sources: Sequence[str], names: Sequence[str]) -> dict[str, Array]:
    """Arrays by input name.

    Args:
        sources: "file.npz" (each member under its name), "name=file.npy", or "file.npy" when there is one input.
        names: of the inputs that exist.

    Raises:
        FormatError: a file cannot be read, or holds pickled objects, or a name is missing or given twice.
    """
    arrays: dict[str, Array] = {}
    for source in sources:
        for name, array in _read_source(source, names).items():
            if name in arrays:
                raise FormatError(f"input {name!r} is given twice, the second time by {source}")
            arrays[name] = array
    return arrays


def load_npy(path: Path) -> Array:
    """One array of a `.npy` file.

    Raises:
        FormatError: the file cannot be read, or holds pickled objects.
    """
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise FormatError(f"{path} is not a .npy file; expected one array")
    return loaded


def load_npz(path: Path) -> dict[str, Array]:
    """The arrays of a `.npz` file, by name.

    Raises:
        FormatError: the file cannot be read, or holds pickled objects.
    """
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise FormatError(f"{path} is not a .npz file; expected named arrays, as np.savez writes them")
    with loaded:
        try:
            return {name: loaded[name] for name in loaded.files}
        except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
            raise FormatError(f"cannot read the arrays of {path}: {error}") from None


def _read_source(source: str, names: Sequence[str]) -> dict[str, Array]:
    name, equals, file = source.partition("=")
    if equals and not Path(source).exists():
        return {name: load_npy(Path(file))}
    if Path(source).suffix == ".npz":
        return load_npz(Path(source))
    if len(names) != 1:
        raise FormatError(f"{source} does not say which input it is for; write NAME={source} with one of {list(names)}")
    return {names[0]: load_npy(Path(source))}


def _load(path: Path) -> np.ndarray | np.lib.npyio.NpzFile:
    try:
        loaded: np.ndarray | np.lib.npyio.NpzFile = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FormatError(f"there is no file {path}; expected a .npy or .npz file") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        # NumPy takes whatever it does not know for a pickle, and says how to trust it.
        raise FormatError(f"{path} is no .npy or .npz file, or holds pickled objects, which are never read") from None
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}; expected a .npy or .npz file") from None
    return loaded
