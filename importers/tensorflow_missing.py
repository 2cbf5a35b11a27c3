"""Why kir does not have a function of TensorFlow, and what to use instead: by kind, from its path.

Paths are those of `tf`, without `compat.v1`; a pattern covers all paths that begin with it, up to a dot or the end.
"""

from __future__ import annotations

import functools
import re

# A kind's reason, and patterns of the paths that it covers; the first kind that covers a path is its own.
_KINDS: tuple[tuple[str, str], ...] = (
    (
        "it reads, writes or shows data, which stays outside of a model; do that in the program that runs the "
        "exported file",
        r"""
        data io audio summary print Print printing.* write_file read_file matching_files decode_.* encode_.*
        parse_.* image\.(decode|encode|extract_jpeg|adjust_jpeg|is_jpeg|draw).* serialize_.* deserialize_.*
        nn\.compute_accidental_hits lookup queue string_to_number FixedLenFeature.* feature_column
        fingerprint as_string app flags gfile logging python_io resource_loader sysconfig test user_ops tpu
        lite mlir profiler autodiff autograph raw_ops xla get_session_.* delete_session_tensor timestamp
        Session.* InteractiveSession spectrogram
        """,
    ),
    (
        "it draws other numbers at every run, so that no file could be proved to compute the same; draw with "
        "layers such as GaussianNoise or Dropout, which an export for inference leaves out",
        r"""
        random random_.* image\.(random|stateless_random|sample_distorted|stateless_sample).*
        nn\.(experimental|dropout) nn\..*dropout.* multinomial truncated_normal set_random_seed
        nn\..*candidate_sampler.* get_seed random_index_shuffle image\.extract_glimpse
        """,
    ),
    (
        "only training needs it, and kir does not train; leave it out of the model",
        r"""
        gradients hessians custom_gradient recompute_grad GradientTape train distribute losses metrics
        optimizers nn\.nce_loss nn\.sampled_softmax_loss nn\.compute_average_loss
        nn\.scale_regularization_loss nn\.ctc_.* nn\.collapse_repeated .*_backprop_.* .*_grad no_gradient
        NoGradient NotDifferentiable RegisterGradient clip_by_global_norm global_norm linalg\.global_norm
        stop_recording variable_creator_scope estimator layers initializers keras clip_by_average_norm
        .*_initializer ones_initializer report_uninitialized_variables .*_partitioner checkpoint
        """,
    ),
    (
        "it works on complex numbers, which kir does not have; use keras.ops.stft, or real and imaginary "
        "parts of your own",
        r"""
        complex fft.* ifft.* rfft.* irfft.* real imag angle conj math\.(real|imag|angle|conj) signal
        to_complex.* spectral fftnd ifftnd irfftnd rfftnd
        """,
    ),
    (
        "the size of its result would depend on the data; use tf.where(condition, x, y), or positions of a "
        "known number",
        r"""
        unique.* math\.(reduce_unique|segment_.*) segment_.* dynamic_partition dynamic_stitch setdiff1d sets
        sparse_mask boolean_mask edit_distance listdiff math\.unsorted_segment_(max|min|prod)
        unsorted_segment_.*
        """,
    ),
    (
        "it works on sparse or ragged tensors, which ONNX does not have; use dense ones, with a mask",
        r"""
        sparse sparse_.* ragged .*_sparse.* ragged_.* SparseTensor.* RaggedTensor.* ragged_fill.*
        nn\..*_sparse serialize_many_sparse to_sparse convert_to_tensor_or_.* IndexedSlices
        """,
    ),
    (
        "it works on texts; use the layers StringLookup, TextVectorization or Hashing",
        r"""
        strings string_.* reduce_join regex_replace substr
        """,
    ),
    (
        "it runs Python functions or branches when the model runs; use tf.where for a choice, and a Python "
        "loop over a known number of steps",
        r"""
        while_loop cond case switch_case map_fn scan foldl foldr vectorized_map py_func.* numpy_function
        py_function nondifferentiable_batch_function wrap_function TensorArray nn\.(with_space_to_batch)
        batch_function nn\.dynamic_rnn nn\.static_.*rnn nn\.raw_rnn nn\.bidirectional_.* nn\..*rnn.*
        """,
    ),
    (
        "it belongs to TensorFlow's graphs, sessions and variables, and kir traces models itself; use weights "
        "of a layer",
        r"""
        Graph.* graph_util get_collection.* add_to_collection.* placeholder.* assign.* Variable.*
        get_variable.* .*variables.* init_scope control_dependencies group no_op tuple
        scatter_(add|div|max|min|mul|sub|update|nd_.*) batch_scatter_update count_up_to get_default_.*
        import_graph_def executing_eagerly.* inside_function colocate_with container op_scope
        register_tensor_conversion_function control_flow_.* (en|dis)able_.* .*_enabled reset_default_graph
        tables_initializer trainable_.* variable.* model_.* moving_.* local_.* all_variables
        global_variables.* initialize_.* is_variable_initialized load_.* saved_model compat\.forward.*
        experimental make_template get_current_name_scope add_check_numerics_ops type_spec_from_value
        TypeSpec TensorSpec Module check_pinned create_partitioned_variables min_max_variable_partitioner
        no_regularizer types nest dtypes\.(as_string|complex|experimental).* graph is_tensor
        is_symbolic_tensor constant_initializer get_local_variable version config distribution.* disable.*
        dimension_.* debugging make_ndarray make_tensor_proto is_numeric_tensor assert_.* Assert Tensor.*
        verify_tensor_all_finite wrap_.* assert_variables_initialized
        """,
    ),
    (
        "ONNX has no operators that decompose or solve matrices; compute it before, and give the result as a weight",
        r"""
        linalg\.svd linalg\.qr linalg\.lu.* linalg\.eig.* linalg\.chol.* linalg\.inv linalg\.pinv
        linalg\.det linalg\.logdet linalg\.slogdet linalg\.solve linalg\.lstsq linalg\.expm linalg\.logm
        linalg\.sqrtm linalg\.triangular_solve linalg\.tridiagonal.* linalg\.matrix_.* linalg\.banded_.*
        linalg\.experimental.* linalg\.LinearOperator.* linalg\.global_norm linalg\.self_adjoint.*
        cholesky.* eig eigvals self_adjoint_.* svd qr matrix_.* lbeta .*triangular_solve
        """,
    ),
    (
        "ONNX has no such special function; compute it before, or approximate it by functions that are there",
        r"""
        math\.bessel.* math\.special math\.lgamma math\.digamma math\.polygamma math\.zeta math\.igamma.*
        math\.betainc math\.lbeta math\.ndtri math\.erfinv math\.erfcinv math\.nextafter math\..*gamma.*
        lgamma digamma polygamma zeta igamma.* betainc lbeta nextafter
        """,
    ),
    (
        "it works on bits, for which kir has no operators; use logical functions of booleans",
        r"""
        bitwise bitcast
        """,
    ),
    (
        "it finds or cuts boxes, as many as the data say; run it after the exported model",
        r"""
        image\.non_max_suppression.* image\.combined_non_max.* image\.crop_and_resize
        image\.generate_bounding_box_proposals non_max_.*
        """,
    ),
    (
        "kir quantizes no numbers inside of models; quantize the exported file, with onnxruntime.quantization",
        r"""
        quantization quantize.* dequantize fake_quant.* .*quantized.* nn\.(quantized.*)
        """,
    ),
    (
        "kir has no such windows; use pooling or convolutions of other kinds",
        r"""
        nn\.fractional_.* nn\.dilation2d nn\.erosion2d nn\.max_pool_with_argmax nn\.atrous_conv2d_transpose
        nn\.conv_transpose extract_volume_patches conv
        """,
    ),
    (
        "kir does not have it; write it with functions that are there",
        r"""
        broadcast_static_shape broadcast_dynamic_shape shape_n required_space_to_batch_paddings
        is_non_decreasing is_strictly_increasing tensor_diag_part histogram_fixed_width.*
        math\.(approx_.*|reduce_.*) approx_top_k nn\.approx_.* nn\.isotonic_regression nn\.normalize_moments
        nn\.sufficient_statistics nn\.weighted_moments nn\.batch_norm_with_global_normalization
        nn\.fused_batch_norm nn\.relu_layer nn\.xw_plus_b nn\.conv2d_backprop.* nn\.log_uniform_.*
        nn\.in_top_k nn\.safe_embedding_.* image\.(ssim.*|resize_image_with_pad|hsv.*)
        linalg\.(tensor_diag_part|band.*|l2.*|einsum.*|cross) tensor_scatter_.* scatter_nd diag_part
        confusion_matrix.* math\.is_non_decreasing math\.is_strictly_increasing math\.reciprocal_no_nan
        math\.sobol_sample
        """,
    ),
)


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(rf"(?:{word})(?:\..*)?"), reason) for reason, words in _KINDS for word in words.split()]


def known_reason(path: str) -> str | None:
    """Return why kir has no function at a path in TensorFlow; None if it is of no kind that TensorFlow has."""
    own = re.sub(r"^compat\.v[12]\.", "", path)
    return next((reason for pattern, reason in _patterns() if pattern.fullmatch(own)), None)


def reason_against(path: str) -> str:
    """Return why kir has no function at a path in TensorFlow, whatever it is."""
    return known_reason(path) or "kir has no such function; write it with functions that are there"
