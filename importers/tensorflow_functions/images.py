"""`tf.image`: flips, crops, colours and the like, of images channels last."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from kir import backend as K
from kir.backend.dispatch import as_size, convert, dtype_of, rank_of
from kir.importers.tensorflow_functions.resizing import resize
from kir.importers.tensorflow_functions.signatures import alike, refuse, single, sizes_of, tensorflow, whole
from kir.ir.dims import maximum, product
from kir.ir.types import DType, as_dtype

# Turned and mirrored


@tensorflow("image.flip_left_right")
def _flip_left_right(image: Any) -> Any:
    return K.flip(single(image), -2)


@tensorflow("image.flip_up_down")
def _flip_up_down(image: Any) -> Any:
    return K.flip(single(image), -3)


@tensorflow("image.transpose compat.v1.image.transpose_image")
def _transpose(image: Any) -> Any:
    return K.swapaxes(single(image), -3, -2)


@tensorflow("image.rot90")
def _rot90(image: Any, k: Any = 1) -> Any:
    """Turn by quarters, to the left."""
    x, quarters = single(image), int(whole(k)) % 4
    if quarters == 2:
        return K.flip(x, (-3, -2))
    if quarters == 0:
        return x
    return K.flip(K.swapaxes(x, -3, -2), -3 if quarters == 1 else -2)


# Cropped and padded


def _cut(x: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    return K.get_item(x, (..., slice(top, top + height), slice(left, left + width), slice(None)))


def _cut_axis(x: Any, axis: int, part: slice) -> Any:
    """Cut one axis, counted from the end."""
    key: list[Any] = [..., part, *[slice(None)] * (-axis - 1)]
    return K.get_item(x, tuple(key))


@tensorflow("image.central_crop")
def _central_crop(image: Any, central_fraction: Any) -> Any:
    x, kept = single(image), float(whole(central_fraction))
    if kept == 1:
        return x
    starts: list[Any] = []
    for size in sizes_of(x)[-3:-1]:
        if isinstance(size, int):
            starts.append(int((size - size * kept) / 2))
        else:
            part = Fraction((1 - kept) / 2).limit_denominator(1000)
            starts.append(size * part.numerator // part.denominator)
    height, width = (size - 2 * start for size, start in zip(sizes_of(x)[-3:-1], starts, strict=True))
    return _cut(x, starts[0], starts[1], height, width)


@tensorflow("image.crop_to_bounding_box")
def _crop_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Any:
    given = (offset_height, offset_width, target_height, target_width)
    return _cut(single(image), *(as_size(whole(one), "a bound of image.crop_to_bounding_box") for one in given))


@tensorflow("image.pad_to_bounding_box")
def _pad_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Any:
    x = single(image)
    given = (offset_height, offset_width, target_height, target_width)
    top, left, height, width = (as_size(whole(one), "a bound of image.pad_to_bounding_box") for one in given)
    rows, columns = sizes_of(x)[-3:-1]
    widths = [(top, height - top - rows), (left, width - left - columns), (0, 0)]
    return K.pad(x, [*[(0, 0)] * (rank_of(x) - 3), *widths])


@tensorflow("image.resize_with_crop_or_pad compat.v1.image.resize_image_with_crop_or_pad")
def _resize_with_crop_or_pad(image: Any, target_height: Any, target_width: Any) -> Any:
    """Cut off or add the same on both sides; of an odd difference, one more at the end."""
    x = single(image)
    widths: list[Any] = [(0, 0)] * (rank_of(x) - 3)
    for place, target in ((-3, target_height), (-2, target_width)):
        size, wanted = sizes_of(x)[place], as_size(whole(target), "a size of image.resize_with_crop_or_pad")
        surplus = maximum(size - wanted, 0)
        if surplus != 0:
            start = surplus // 2
            x = _cut_axis(x, place, slice(start, start + size - surplus))
        missing = maximum(wanted - size, 0)
        widths.append((missing // 2, missing - missing // 2))
    return K.pad(x, [*widths, (0, 0)])


@tensorflow("image.resize_with_pad")
def _resize_with_pad(
    image: Any, target_height: Any, target_width: Any, method: Any = "bilinear", antialias: bool = False
) -> Any:
    """Resize at the images' ratio, and pad with zeros on both sides to the size."""
    x = single(image)
    given, wanted = sizes_of(x)[-3:-1], (whole(target_height), whole(target_width))
    if not all(isinstance(one, int) for one in (*given, *wanted)):
        raise refuse("image.resize_with_pad", "of unknown sizes", "fix the Input's shape")
    ratio = max(given[1] / wanted[1], given[0] / wanted[0])
    sizes = (int(np.floor(given[0] / ratio)), int(np.floor(given[1] / ratio)))
    before = [max(0, int(np.floor((target - size / ratio) / 2))) for target, size in zip(wanted, given, strict=True)]
    resized = resize(x, sizes, method, antialias=antialias)
    widths = [(start, target - start - size) for start, target, size in zip(before, wanted, sizes, strict=True)]
    return K.pad(resized, [*[(0, 0)] * (rank_of(x) - 3), *widths, (0, 0)])


@tensorflow("image.extract_patches")
def _extract_patches(images: Any, sizes: Any, strides: Any, rates: Any, padding: str) -> Any:
    size, steps, apart = (tuple(whole(one))[1:3] for one in (sizes, strides, rates))
    return K.image.extract_patches(single(images), size, steps, apart, padding.lower(), data_format="channels_last")


@tensorflow("compat.v1.extract_image_patches compat.v1.image.extract_image_patches")
def _extract_image_patches(
    images: Any, ksizes: Any = None, strides: Any = None, rates: Any = None, padding: Any = None, sizes: Any = None
) -> Any:
    return _extract_patches(images, sizes if ksizes is None else ksizes, strides, rates, padding)


# Brightness and contrast


@tensorflow("image.convert_image_dtype")
def _convert_image_dtype(image: Any, dtype: Any, saturate: bool = False) -> Any:
    """Convert between floats from 0 to 1 and integers from 0 to the largest."""
    x, wanted = single(image), as_dtype(dtype)
    given = dtype_of(x)
    if given is wanted or (given.is_float and wanted.is_float):
        return convert(x, wanted)
    if given.is_integer and wanted.is_integer:
        raise refuse("image.convert_image_dtype", f"from {given.keras_name} to {wanted.keras_name}")
    if wanted.is_float:
        return K.multiply(convert(x, wanted), 1 / float(np.iinfo(given.numpy).max))
    limits = np.iinfo(wanted.numpy)
    scaled = K.multiply(x, float(limits.max) + 0.5)
    return convert(K.clip(scaled, float(limits.min), float(limits.max)) if saturate else scaled, wanted)


def _in_floats(image: Any, change: Any) -> Any:
    """Change an image as floats, and give it its dtype again."""
    x = single(image)
    given = dtype_of(x)
    floats = x if given in (DType.FLOAT16, DType.FLOAT32) else _convert_image_dtype(x, "float32")
    return _convert_image_dtype(change(floats), given.keras_name, True)


@tensorflow("image.adjust_brightness")
def _adjust_brightness(image: Any, delta: Any) -> Any:
    return _in_floats(image, lambda x: K.add(x, K.cast(delta, dtype_of(x))))


@tensorflow("image.adjust_contrast")
def _adjust_contrast(images: Any, contrast_factor: Any) -> Any:
    def change(x: Any) -> Any:
        wide = K.cast(x, "float32")
        mean = K.mean(wide, (-3, -2), keepdims=True)
        return K.cast(K.add(K.multiply(K.subtract(wide, mean), K.cast(contrast_factor, "float32")), mean), dtype_of(x))

    return _in_floats(images, change)


@tensorflow("image.adjust_gamma")
def _adjust_gamma(image: Any, gamma: Any = 1, gain: Any = 1) -> Any:
    return _in_floats(image, lambda x: K.multiply(float(whole(gain)), K.power(x, float(whole(gamma)))))


@tensorflow("image.adjust_saturation")
def _adjust_saturation(image: Any, saturation_factor: Any) -> Any:
    def change(x: Any) -> Any:
        hue, saturation, value = _channels(_rgb_to_hsv(x))
        changed = K.clip(K.multiply(saturation, K.cast(saturation_factor, dtype_of(x))), 0.0, 1.0)
        return _hsv_to_rgb(K.stack([hue, changed, value], -1))

    return _in_floats(image, change)


@tensorflow("image.adjust_hue")
def _adjust_hue(image: Any, delta: Any) -> Any:
    def change(x: Any) -> Any:
        hue, saturation, value = _channels(_rgb_to_hsv(x))
        turned = K.mod(K.add(hue, K.cast(delta, dtype_of(x))), 1.0)
        return _hsv_to_rgb(K.stack([turned, saturation, value], -1))

    return _in_floats(image, change)


@tensorflow("image.per_image_standardization")
def _per_image_standardization(image: Any) -> Any:
    x = single(image)
    x = x if dtype_of(x) is DType.FLOAT16 else K.cast(x, "float32")
    axes = (-3, -2, -1)
    count = product(sizes_of(x)[-3:])
    least = K.rsqrt(K.cast(count, dtype_of(x)))
    deviation = K.maximum(K.std(x, axes, keepdims=True), least)
    return K.divide(K.subtract(x, K.mean(x, axes, keepdims=True)), deviation)


# Colours


def _channels(x: Any) -> list[Any]:
    return [K.get_item(x, (..., place)) for place in range(3)]


@tensorflow("image.rgb_to_grayscale")
def _rgb_to_grayscale(images: Any) -> Any:
    weights = np.array([[0.2989], [0.5870], [0.1140]])

    def change(x: Any) -> Any:
        return K.matmul(x, K.cast(weights, dtype_of(x)))

    x = single(images)
    if dtype_of(x).is_float:
        return change(x)
    return _convert_image_dtype(change(_convert_image_dtype(x, "float32")), dtype_of(x).keras_name)


@tensorflow("image.grayscale_to_rgb")
def _grayscale_to_rgb(images: Any) -> Any:
    x = single(images)
    return K.broadcast_to(x, (*sizes_of(x)[:-1], 3))


@tensorflow("image.rgb_to_hsv")
def _rgb_to_hsv(images: Any) -> Any:
    x = single(images)
    red, green, blue = _channels(x)
    value, least = K.max(x, -1), K.min(x, -1)
    spread = K.subtract(value, least)
    saturation = K.where(K.greater(value, 0), K.divide(spread, K.where(K.greater(value, 0), value, 1.0)), 0.0)
    sixth = K.divide(1.0, K.multiply(6.0, K.where(K.greater(spread, 0), spread, 1.0)))
    from_red = K.multiply(sixth, K.subtract(green, blue))
    from_green = K.add(K.multiply(sixth, K.subtract(blue, red)), 2 / 6)
    from_blue = K.add(K.multiply(sixth, K.subtract(red, green)), 4 / 6)
    hue = K.where(K.equal(red, value), from_red, K.where(K.equal(green, value), from_green, from_blue))
    hue = K.where(K.greater(spread, 0), hue, 0.0)
    hue = K.where(K.less(hue, 0), K.add(hue, 1.0), hue)
    return K.stack([hue, saturation, value], -1)


@tensorflow("image.hsv_to_rgb")
def _hsv_to_rgb(images: Any) -> Any:
    hue, saturation, value = _channels(single(images))
    sixths = K.multiply(hue, 6.0)
    red = K.clip(K.subtract(K.absolute(K.subtract(sixths, 3.0)), 1.0), 0.0, 1.0)
    green = K.clip(K.subtract(2.0, K.absolute(K.subtract(sixths, 2.0))), 0.0, 1.0)
    blue = K.clip(K.subtract(2.0, K.absolute(K.subtract(sixths, 4.0))), 0.0, 1.0)
    rest = K.subtract(1.0, saturation)
    parts = [K.multiply(K.add(rest, K.multiply(saturation, one)), value) for one in (red, green, blue)]
    return K.stack(parts, -1)


# What each channel of RGB adds to each of the other three.
_FROM_RGB = {
    "yuv": [[0.299, -0.14714119, 0.61497538], [0.587, -0.28886916, -0.51496512], [0.114, 0.43601035, -0.10001026]],
    "yiq": [[0.299, 0.59590059, 0.2115], [0.587, -0.27455667, -0.52273617], [0.114, -0.32134392, 0.31119955]],
}
_TO_RGB: dict[str, list[list[float]]] = {
    "yuv": [[1, 1, 1], [0, -0.394642334, 2.03206185], [1.13988303, -0.58062185, 0]],
    "yiq": [[1, 1, 1], [0.95598634, -0.27201283, -1.10674021], [0.6208248, -0.64720424, 1.70423049]],
}


def _colours(path: str, matrix: list[list[float]]) -> None:
    def call(images: Any) -> Any:
        x = single(images)
        return K.matmul(x, K.cast(np.array(matrix, np.float64), dtype_of(x)))

    tensorflow(path)(call)


for _space, _matrix in _FROM_RGB.items():
    _colours(f"image.rgb_to_{_space}", _matrix)
for _space, _matrix in _TO_RGB.items():
    _colours(f"image.{_space}_to_rgb", _matrix)


# Measures


@tensorflow("image.image_gradients")
def _image_gradients(image: Any) -> Any:
    x = single(image)
    down = K.subtract(K.get_item(x, (..., slice(1, None), slice(None), slice(None))), _without_last(x, -3))
    right = K.subtract(K.get_item(x, (..., slice(1, None), slice(None))), _without_last(x, -2))
    in_front = [(0, 0)] * (rank_of(x) - 3)
    return K.pad(down, [*in_front, (0, 1), (0, 0), (0, 0)]), K.pad(right, [*in_front, (0, 0), (0, 1), (0, 0)])


def _without_last(x: Any, axis: int) -> Any:
    return _cut_axis(x, axis, slice(None, -1))


@tensorflow("image.sobel_edges")
def _sobel_edges(image: Any) -> Any:
    """Return the slopes down and to the right, by Sobel's kernels, with mirrored borders: (…, height, width, c, 2)."""
    x = single(image)
    *in_front, height, width, channels = sizes_of(x)
    x = K.pad(x, [*[(0, 0)] * len(in_front), (1, 1), (1, 1), (0, 0)], mode="reflect")
    down = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]], np.float32)
    kernel = np.stack([down, down.T], -1)[:, :, None, :].repeat(channels, 2)
    edges = K.depthwise_conv(x, K.cast(kernel, dtype_of(x)), 1, "valid", "channels_last")
    return K.reshape(edges, (*in_front, height, width, channels, 2))


@tensorflow("image.total_variation")
def _total_variation(images: Any) -> Any:
    x = single(images)
    down = K.subtract(K.get_item(x, (..., slice(1, None), slice(None), slice(None))), _without_last(x, -3))
    right = K.subtract(K.get_item(x, (..., slice(1, None), slice(None))), _without_last(x, -2))
    axes = (-3, -2, -1) if rank_of(x) == 4 else None
    return K.add(K.sum(K.absolute(down), axes), K.sum(K.absolute(right), axes))


@tensorflow("image.psnr")
def _psnr(a: Any, b: Any, max_val: Any) -> Any:
    x, y = alike(a, b)
    top = float(whole(max_val))
    if dtype_of(x).is_integer:
        top = top / float(np.iinfo(dtype_of(x).numpy).max)
    x, y = (_convert_image_dtype(one, "float32") for one in (x, y))
    error = K.mean(K.square(K.subtract(x, y)), (-3, -2, -1))
    return K.subtract(20 * np.log10(top), K.multiply(10 / np.log(10), K.log(error)))
