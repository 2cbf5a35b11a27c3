"""Files of Keras 3, each beside its inputs and the outputs that Keras computed from them: `NAME.keras.npz`.

`NAME_objects.py` is what `--custom-objects` gets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from kir.exporters.pipeline import export_model
from kir.importers.keras_file import load_keras_model
from kir.importers.script import run_script

FILES = sorted(Path(__file__).with_name("files").glob("*.keras"))


@pytest.mark.filterwarnings("ignore:CTCLayer .* adds a loss")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file(path: Path, tmp_path: Path) -> None:
    objects = path.with_name(f"{path.stem}_objects.py")
    model = load_keras_model(path, custom_objects=run_script(objects) if objects.exists() else {})
    export_model(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    values = np.load(path.with_name(f"{path.name}.npz"))
    for run in sorted({name.partition("/")[0] for name in values.files}):
        feeds = {
            name.removeprefix(f"{run}/in/"): values[name] for name in values.files if name.startswith(f"{run}/in/")
        }
        for index, given in enumerate(session.run(None, feeds)):
            wanted = values[f"{run}/out/{index}"]
            if wanted.dtype.kind == "U":
                assert given.tolist() == wanted.tolist()
            else:
                assert given.dtype == wanted.dtype
                np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-6)
