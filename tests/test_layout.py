"""Tests stand where the source stands: tests/ir/test_dims.py tests kir/ir/dims.py."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The tests of a whole folder, and those of the whole house at the end. Any other is named after what it tests.
OF_A_WHOLE = {
    "modeling/comparison": {"command_line", "inside"},
    "exporters": {"interruptions"},
    "exporters/onnx_file": {"openvino", "shape_inference", "transposed_products"},
    "exporters/onnx_file/verify": {"command_line", "planted_errors"},
    "exporters/picture": {"text_forms"},
    "exporters/script": {"command_line", "keras_files"},
    "importers": {"provenance", "user_layers"},
    "importers/keras_file": {
        *("applications", "complete", "keras2_configs", "keras2_files", "loading", "mask_arguments", "models")
    },
    "importers/onnx_file": {"backend_suite", "command_line", "foreign_exporters", "named_values", "refused_sizes"},
    "backend": {"operations"},
    "importers/tensorflow_functions": {"values"},
    "ir": {"joined_sizes", "printed_graph"},
    "layers": {"complete", "dtypes"},
    "modeling": {"model_interface"},
    "packages": {"keras_hub", "other_packages"},
    "passes": {"pipeline", "properties"},
    ".": {"imports", "layout", "packaging", "planted_errors", "random_exports", "random_models", "seed"},
}


def is_mirrored(folder: Path, name: str) -> bool:
    """Return whether kir has a module, a folder or another file of that name, or the tests a table of it."""
    homes = (ROOT / "kir" / folder, ROOT / folder, ROOT / "tests" / folder)
    return any(path.stem == name for home in homes if home.is_dir() for path in home.iterdir())


def test_the_documents_name_files_that_are_there() -> None:
    """In backticks, from the root; what stands in angle brackets is any name."""
    named = {
        (document, path)
        for document in ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md")
        for path in re.findall(
            r"`((?:kir|exporters|importers|tests|models|docs)/[\w/.-]*)`", (ROOT / document).read_text()
        )
    }
    assert [(document, path) for document, path in named if not (ROOT / path).exists()] == []


def test_every_test_file_is_named_after_what_it_tests() -> None:
    files = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")]
    strays = {
        (path.parent.as_posix(), name)
        for path in files
        if not is_mirrored(path.parent, name := path.stem.removeprefix("test_"))
    }
    listed = {(folder, name) for folder, names in OF_A_WHOLE.items() for name in names}
    assert strays - listed == set(), "a test file mirrors a file of the source, or is listed in tests/test_layout.py"
    assert listed - strays == set(), "these are not there, or need no place in the list of tests/test_layout.py"
