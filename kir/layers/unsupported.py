"""The layers of Keras that kir lacks, and why: for errors, and for the table of layers."""

from __future__ import annotations

_OTHER_CODE = "runs code of another framework, which kir neither reads nor runs"

UNSUPPORTED: dict[str, str] = {
    "ContrastLimitedAdaptiveHistogramEqualization": "prepares images for training; ONNX has no histogram",
    "FlaxLayer": _OTHER_CODE,
    "JaxLayer": _OTHER_CODE,
    "MaxNumBoundingBoxes": "prepares the bounding boxes of a training set; it means nothing for inference",
    "TFSMLayer": _OTHER_CODE,
    "TorchModuleWrapper": _OTHER_CODE,
}

_TRAINING = "training alone uses it"
_QUANTIZED = "kir exports layers in their own precision"
_PARTS = "a part of a call, by which Keras transforms labels, boxes and images alike; call the layer"
_ADAPTING = "kir reads no data: give what the layer has seen to its constructor, or read it from the file that has it"
_PER_STEP = "a part of a call, for one step or one kernel; call the layer"
_STATE_OF_TRAINING = "the state of a training run; get_weights and set_weights are that of the model"
_RAGGED = "ONNX has no ragged tensors"

# Arguments of constructors, by their names, and why kir's layers do not take them.
UNSUPPORTED_ARGUMENTS: dict[str, str] = {
    "gptq_unpacked_column_size": _QUANTIZED,
    "lora_alpha": _TRAINING,
    "lora_rank": _TRAINING,
    "quantization_config": _QUANTIZED,
}

# Methods and properties, by their names, and why the layers and models of kir lack them.
UNSUPPORTED_MEMBERS: dict[str, str] = {
    "adapt": _ADAPTING,
    "convert_weight": _PARTS,
    "convolution_op": _PER_STEP,
    "enable_lora": _TRAINING,
    "finalize_state": _ADAPTING,
    "get_clipped_bbox": _PARTS,
    "get_dropout_mask": _TRAINING,
    "get_elastic_transform_params": _PARTS,
    "get_quantization_layer_structure": _QUANTIZED,
    "get_random_transformation": _PARTS,
    "get_recurrent_dropout_mask": _TRAINING,
    "get_shifted_bbox": _PARTS,
    "get_state_tree": _STATE_OF_TRAINING,
    "get_transformed_x_y": _PARTS,
    "inner_loop": _PER_STEP,
    "linear_to_mel_weight_matrix": _PARTS,
    "load_assets": "Keras's files are read as a whole",
    "normalized_weights": _TRAINING,
    "output_dtype": "the output's own dtype says it",
    "ragged_rank": _RAGGED,
    "reset_dropout_mask": _TRAINING,
    "reset_recurrent_dropout_mask": _TRAINING,
    "row_splits_dtype": _RAGGED,
    "save_assets": "Keras's files are written as a whole",
    "set_state_tree": _STATE_OF_TRAINING,
    "transform_bounding_boxes": _PARTS,
    "transform_images": _PARTS,
    "transform_labels": _PARTS,
    "transform_segmentation_masks": _PARTS,
    "transform_single_bounding_box": _PARTS,
    "transform_single_image": _PARTS,
    "transform_single_label": _PARTS,
    "transform_single_segmentation_mask": _PARTS,
    "update_state": _ADAPTING,
    "variable_serialization_spec": _QUANTIZED,
}
