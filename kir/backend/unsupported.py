"""Why `kir.backend` lacks functions of `keras.ops` and of old `keras.backend`, and what to use instead."""

from __future__ import annotations

_DECOMPOSITION = "it decomposes matrices, for which ONNX has no operator; compute it before the model, as a weight"
_COMPLEX = "kir has no complex numbers; keras.ops.stft and rfft give real and imaginary parts"
_SIZE = "the size of its result depends on the data"
_BITS = "kir has no operators on the bits of integers here; use arithmetic, or K.logical_and of booleans"
_TRAINING = "kir exports models, it does not train them"
_EACH = "it calls a function for each element; use functions of whole tensors, which work on all rows at once"
_SOLVER = "it is computed step by step until it is exact enough; ONNX has no operator for it"
_WARP = "it samples images at places of their own; do that before the model, or with the layers that augment images"
_LOSS = "it is a loss; leave it out of the model"
_NUMBERS = "it reads numbers, which exist only when the model runs"

# By reason, the names of functions.
_NAMES: dict[str, str] = {
    _DECOMPOSITION: "cholesky cholesky_inverse det eig eigh inv logdet lstsq lu_factor matrix_rank pinv qr "
    "slogdet solve solve_triangular svd",
    _COMPLEX: "angle imag irfft istft polar view_as_complex view_as_real",
    f"{_SIZE}; use K.where(condition, a, b), whose shape does not depend on the data": "nonzero",
    f"{_SIZE}; use K.one_hot and sums, which have a known number of values": "bincount histogram unique",
    f"{_SIZE}; use K.segment_sum with num_segments": "segment_max segment_min segment_prod",
    _BITS: "bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor "
    "gcd lcm left_shift nextafter right_shift view",
    _TRAINING: "custom_gradient gradients jvp",
    _EACH: "associative_scan map map_fn scan vectorize vectorized_map",
    _SOLVER: "erfinv i0",
    "use 1 - K.erf(x), which is less exact where x is large": "erfc",
    _WARP: "affine_transform elastic_transform gaussian_blur map_coordinates perspective_transform scale_and_translate",
    _LOSS: "binary_crossentropy categorical_crossentropy ctc_decode ctc_loss sparse_categorical_crossentropy ssim",
    _NUMBERS + "; use model.predict": "convert_to_numpy eval get_value",
    "use K.sort and K.take of the first ones": "argpartition",
    "use K.matmul of what K.mean is subtracted from": "corrcoef",
    "use a convolution": "correlate",
    "use K.image.extract_patches, and a Reshape": "extract_patches_3d extract_sequences fold unfold",
    "use products with K.matmul, and K.where": "hsv_to_rgb rgb_to_hsv sobel_edges",
    "use K.where(K.isnan(x), …), and K.median or K.quantile": "nanmedian nanpercentile nanquantile",
    "use K.reshape and K.transpose": "rearrange",
    "use layers.Dropout": "dropout",
    "use layers.GaussianNoise, or a NumPy array made beforehand": "random_normal",
    "use a NumPy array made beforehand": "random_uniform",
    "use the recurrent layers": "rnn",
}
REASONS = {name: reason for reason, names in _NAMES.items() for name in names.split()}
