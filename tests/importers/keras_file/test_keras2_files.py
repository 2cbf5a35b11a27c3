"""Whole models of Keras 2, each beside its inputs and the outputs that tf_keras computed from them: `NAME.h5.npz`.

`NAME_objects.py` is what `--custom-objects` gets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kir.exporters.onnx_file.session import make_session, run_session
from kir.exporters.pipeline import export_model
from kir.importers.keras_file import load_keras_model
from kir.importers.script import run_script

FOLDER = Path(__file__).with_name("files_of_keras2")
FILES = [path.name for path in sorted(FOLDER.iterdir()) if path.suffix in (".h5", ".keras")]


@pytest.mark.parametrize("name", FILES)
def test_file(name: str, tmp_path: Path) -> None:
    path = FOLDER / name
    objects = path.with_name(f"{path.stem}_objects.py")
    model = load_keras_model(path, custom_objects=run_script(objects) if objects.exists() else {})
    export_model(model, tmp_path / "m.onnx")
    session = make_session(tmp_path / "m.onnx")
    with np.load(path.with_name(f"{name}.npz")) as values:
        for run in sorted({key.partition("/")[0] for key in values.files}):
            feeds = {key: values[f"{run}/in/{key}"] for key in model.input_names}
            for index, given in enumerate(run_session(session, feeds).values()):
                wanted = values[f"{run}/out/{index}"]
                assert given.dtype == wanted.dtype
                assert given.shape == wanted.shape
                np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-5)
