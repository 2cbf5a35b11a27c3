"""Writing arrays to `.npz` and `.npy` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from kir.errors import FormatError
from kir.ir.op import Array
from kir.support.files import replacing


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write named arrays as `.npz`, or a single one as `.npy`, by the name's ending.

    Raises:
        FormatError: several arrays for one `.npy`, or the target cannot be written.
    """
    if path.suffix == ".npy" and len(arrays) != 1:
        raise FormatError(
            f"{path} can hold one array; there are {len(arrays)} ({', '.join(arrays)}): write a .npz file"
        )
    with replacing(path) as written, open(written, "wb") as file:
        if path.suffix == ".npy":
            # NumPy writes past Python to what it knows as a file, and does not say then that the disk is full.
            np.save(SimpleNamespace(write=file.write), next(iter(arrays.values())), allow_pickle=False)
        else:
            np.savez(file, **dict(arrays))  # type: ignore[arg-type]
