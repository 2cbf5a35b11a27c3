"""The surroundings of every test: set here because Keras and onnxruntime read them when they are first imported."""

import os
import tempfile

import pytest
from hypothesis import settings

from tests.tiers import mark_quick

# Held by the module so that the folder lives as long as the tests do.
_empty_home = tempfile.TemporaryDirectory(prefix="kir-tests-home-")

os.environ["KERAS_BACKEND"] = "numpy"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# A keras.json of whoever runs the tests must not change image_data_format or floatx.
os.environ["HOME"] = _empty_home.name
os.environ["KERAS_HOME"] = os.path.join(_empty_home.name, ".keras")

# Deterministic: the same commit passes or fails everywhere, and a slow machine is no failure.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("default")

_held: list[object] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the quick tier, before `-m` is asked."""
    mark_quick(items)


@pytest.fixture(autouse=True)
def _one_process_for_onnxruntime() -> None:
    """All tests use one process for onnxruntime, until it dies: to import it takes longer than most tests."""
    from kir.exporters.onnx_file.worker import shared_worker

    _held[:] = [shared_worker(uses_device=False)]
