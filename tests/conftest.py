"""The surroundings of every test: set here because Keras and onnxruntime read them when they are first imported."""

import os
import tempfile

from hypothesis import settings

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
