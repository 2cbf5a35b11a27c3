"""Resize."""

from __future__ import annotations

from kir.errors import FormatError, UnsupportedError
from kir.importers.onnx_file.ops.table import Results, imports
from kir.importers.onnx_file.translate import Operand, OperatorCall
from kir.ir.dims import Dim
from kir.ops.onnx_forms import RESIZE_ATTRIBUTES
from kir.ops.resize import Resize

# What the attributes are where a node has none.
DEFAULTS = {
    "coordinate_transformation_mode": "half_pixel",
    "nearest_mode": "round_prefer_floor",
    "cubic_coeff_a": -0.75,
    "exclude_outside": 0,
}
# Attributes that matter to one mode only.
MATTER = {"nearest": ("nearest_mode",), "linear": (), "cubic": ("cubic_coeff_a", "exclude_outside")}


@imports("Resize")
def resize(
    call: OperatorCall,
    x: Operand,
    roi: Operand | None = None,
    scales: Operand | None = None,
    sizes: Operand | None = None,
) -> Results:
    """Read a Resize in one of the three ways that the exporter writes, by sizes or whole factors."""
    attributes = call.attributes
    mode = attributes.text("mode", "nearest")
    given = {
        "coordinate_transformation_mode": attributes.text("coordinate_transformation_mode", "half_pixel"),
        "nearest_mode": attributes.text("nearest_mode", "round_prefer_floor"),
        "cubic_coeff_a": attributes.number("cubic_coeff_a", -0.75),
        "exclude_outside": attributes.integer("exclude_outside", 0),
    }
    attributes.number("extrapolation_value", 0.0)
    names = ("coordinate_transformation_mode", *MATTER.get(mode, ()))
    known = DEFAULTS | RESIZE_ATTRIBUTES.get(mode, {})
    wrong = [f"{name}={given[name]!r}" for name in names if given[name] != known[name]]
    if mode not in RESIZE_ATTRIBUTES or wrong:
        raise UnsupportedError(f"Resize with mode={mode!r} {' '.join(wrong)}".rstrip())
    axes = call.axes(attributes.integers("axes", tuple(range(x.type.rank))), x.type.rank)
    shape = list(x.type.shape)
    for axis, size in zip(axes, _sizes(call, [shape[axis] for axis in axes], scales, sizes), strict=True):
        shape[axis] = size
    return call.add(Resize(tuple(shape), mode), x)


def _sizes(call: OperatorCall, given: list[Dim], scales: Operand | None, sizes: Operand | None) -> tuple[Dim, ...]:
    if sizes is not None:
        wanted = call.sizes(sizes, "the sizes of Resize")
        if len(wanted) != len(given):
            raise FormatError(f"Resize has {len(wanted)} sizes for {len(given)} axes")
        return wanted
    factors = [] if scales is None else call.array(scales, "the scales of Resize").tolist()
    if len(factors) != len(given) or any(factor != int(factor) for factor in factors):
        raise UnsupportedError(f"Resize by {factors}; kir knows whole factors, and sizes")
    return tuple(size * int(factor) for size, factor in zip(given, factors, strict=True))


@imports("Upsample")
def upsample(call: OperatorCall, x: Operand, scales: Operand | None = None) -> Results:
    """Read an Upsample of opset 7 to 9, a Resize whose coordinates begin at 0, by whole factors."""
    mode = call.attributes.text("mode", "nearest")
    given = call.attributes.numbers("scales") if scales is None else call.array(scales, "scales").tolist()
    if mode != "nearest" or len(given) != x.type.rank or any(factor != int(factor) or factor < 1 for factor in given):
        raise UnsupportedError(f"Upsample by {tuple(given)} with mode={mode!r}; kir has nearest ones by whole factors")
    shape = tuple(size * int(factor) for size, factor in zip(x.type.shape, given, strict=True))
    return call.add(Resize(shape, mode), x)
