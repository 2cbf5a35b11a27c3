"""The methods of models that describe them, and that read and write files.

Formats stand above the core: their modules are imported when a method is called.

Source: https://keras.io/api/models/model_saving_apis/
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kir.errors import FormatError, InvalidArgumentError, UnsupportedError
from kir.modeling.training import require_trained, writing


class Saving:
    """What a model can be written as, and made from; see the head of this module."""

    # Whether layers may be called as one likes; those of a Sequential follow each other.
    takes_calls = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Return a new model from what `get_config` gave, with weights that its initializers draw.

        Raises:
            FormatError: the config is not one of Keras.
            UnsupportedError: it has layers that kir lacks; all are listed.
        """
        from kir.importers.keras_file import model_from_config

        if "layers" not in config:
            return cls(**config)
        kind = "Functional" if cls.takes_calls else "Sequential"
        description = {"module": "keras", "class_name": kind, "config": config}
        return model_from_config(description, custom_objects)

    def to_json(self: Any, **kwargs: object) -> str:
        """Return the model without its weights, for Keras's `model_from_json`; `kwargs` are those of `json.dumps`.

        Raises:
            UnsupportedError: see `get_config`.
        """
        from kir.exporters.keras_file import to_json

        return to_json(self, **kwargs)

    def save(
        self: Any, filepath: str | Path, overwrite: bool = True, zipped: bool | None = None, **options: object
    ) -> None:
        """Write the model with its weights as a `.keras` file.

        Raises:
            FormatError: the name ends otherwise, the file exists and is not to be overwritten, or cannot be written.
            UnsupportedError: Keras could not read the file, or a script wanted to train the model, which kir did not.
                While a script runs, these are warnings.
        """
        from kir.exporters.keras_file import save_model

        with writing(f"save({str(filepath)!r})"):
            self._require_writable(Path(filepath), overwrite)
            save_model(self, Path(filepath))

    def save_weights(self: Any, filepath: str | Path, overwrite: bool = True, max_shard_size: object = None) -> None:
        """Write the weights as `.weights.h5` (Keras's layout), `.npz` or `.safetensors`, by the name's ending.

        Raises:
            FormatError, UnsupportedError: as for `save`.
        """
        from kir.exporters.weights import save_weights

        with writing(f"save_weights({str(filepath)!r})"):
            self._require_writable(Path(filepath), overwrite)
            save_weights(self, Path(filepath))

    def load_weights(self: Any, filepath: str | Path, skip_mismatch: bool = False, **options: object) -> None:
        """Read what `save_weights` or Keras wrote; nothing is set unless everything fits.

        Raises:
            FormatError: the file cannot be read, or does not fit.
            UnsupportedError: weights that do not fit are to be skipped, or to be found by their layers' names.
        """
        from kir.importers.keras_file.weights import load_weights

        asked = {"skip_mismatch": skip_mismatch, **options}
        if any(asked.values()):
            raise UnsupportedError(
                f"load_weights cannot do {', '.join(name for name in asked if asked[name])}: the weights of "
                f"{self.name!r} must all be in the file; save those of this model with model.save_weights"
            )
        load_weights(self, Path(filepath))

    def export(
        self: Any,
        filepath: str | Path,
        format: str | None = None,
        verbose: object = None,
        input_signature: object = None,
        **options: Any,
    ) -> Any:
        """Write the optimised model as a verified ONNX file, or as a script: `kir.export(model, filepath, **options)`.

        Of Keras's own arguments, `verbose` and `input_signature` say nothing here, and `opset_version` is `opset`.

        Raises:
            FormatError: another format than "onnx" is asked for, or the file cannot be written.
            InvalidArgumentError: `kir.export` has no such option.
            KirError: see `kir.export`. While a script runs, these are warnings.
        """
        import kir

        path = Path(filepath)
        with writing(f"export({str(filepath)!r})"):
            if format not in (None, "onnx") or not path.suffix:
                raise FormatError(f"kir exports ONNX files; expected a name ending in .onnx; received {str(path)!r}")
            if "opset_version" in options:
                options["opset"] = options.pop("opset_version")
            known = list(inspect.signature(kir.export).parameters)[2:]
            if unknown := [name for name in options if name not in known]:
                raise InvalidArgumentError(f"export has no option {', '.join(unknown)}; it has {', '.join(known)}")
            return kir.export(self, path, **options)

    def _require_writable(self: Any, path: Path, overwrite: bool) -> None:
        require_trained(self)
        if not overwrite and path.exists():
            raise FormatError(f"{path} exists; give another name, or overwrite=True")
