"""Writers: each package turns a graph or a model into one format (ONNX, pictures, a Python script)."""

if __name__ != "kir.exporters":
    raise ImportError(
        f"this package was imported as {__name__!r}, which would give its classes a second identity; "
        "import it as 'kir.exporters' (the folder is part of the package kir, also in a checkout)"
    )
