"""What the tests need that the lowest versions in pyproject.toml lack; kir itself says so with an error there."""

from __future__ import annotations

import onnxruntime
import pytest


def needs_onnxruntime(version: str, reason: str) -> pytest.MarkDecorator:
    """Skip a test with an older onnxruntime."""
    installed, needed = (tuple(map(int, text.split(".")[:2])) for text in (onnxruntime.__version__, version))
    return pytest.mark.skipif(installed < needed, reason=f"onnxruntime before {version} has {reason}")
