"""Whatever is in a file: a clean error, soon, in little memory, and nothing of it is run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kir.errors import KirError
from kir.importers.keras_file import load_keras_model
from tests.importers.keras_file import hostile

SECONDS = 10
MEGABYTES = 1000

# Loads each file and says what came of it; the parent process sees how much memory that took.
LOAD = """
import sys
from pathlib import Path
from kir.errors import KirError
from kir.importers.keras_file import load_keras_model
from tests.importers.keras_file.memory import peak_megabytes
for path in Path(sys.argv[1]).iterdir():
    try:
        load_keras_model(path)
        print("loaded", path)
    except KirError:
        pass
print("peak", peak_megabytes())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    hostile.write_all(path)
    return path


def test_the_good_files_are_good(tmp_path: Path) -> None:
    for name, content in (("good.keras", hostile.archive()), ("good.h5", hostile.whole())):
        (tmp_path / name).write_bytes(content)
        model = load_keras_model(tmp_path / name)
        np.testing.assert_array_equal(model.predict(np.ones((2, 4), np.float32)), np.full((2, 3), 5.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.ALL)
def test_hostile_file(name: str, folder: Path) -> None:
    hostile.CANARY.unlink(missing_ok=True)
    begin = time.monotonic()
    with pytest.raises(KirError, match=f"(?s){hostile.ALL[name][0]}") as caught:
        load_keras_model(folder / name)
    assert time.monotonic() - begin < SECONDS
    assert name in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert not hostile.CANARY.exists()


@pytest.mark.slow
def test_memory(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOAD, str(folder)], capture_output=True, text=True, check=True)
    *loaded, peak = done.stdout.splitlines()
    assert not loaded
    assert int(peak.removeprefix("peak ")) < MEGABYTES


def test_damaged_bytes(tmp_path: Path) -> None:
    """A file with a few bytes changed is read, or refused cleanly; the interpreter survives it."""
    random = np.random.default_rng(0)
    for content, name in ((hostile.archive(), "damaged.keras"), (hostile.whole(), "damaged.h5")):
        for _ in range(200):
            changed = bytearray(content)
            for place in random.integers(0, len(content), 3):
                changed[place] = random.integers(0, 256)
            (tmp_path / name).write_bytes(bytes(changed))
            with contextlib.suppress(KirError):
                load_keras_model(tmp_path / name)
