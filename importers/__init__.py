"""Readers: each package turns one format (ONNX, Keras files, a Python script) into a graph or a model."""

if __name__ != "kir.importers":
    raise ImportError(
        f"this package was imported as {__name__!r}, which would give its classes a second identity; "
        "import it as 'kir.importers' (the folder is part of the package kir, also in a checkout)"
    )
