"""Methods of Keras's layers that scripts call, and that no layer of kir defines anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from kir.errors import UnsupportedError
from kir.modeling.functional import infer_call
from kir.modeling.given_shapes import shapes_with_none

Function = TypeVar("Function", bound=Callable[..., Any])


class KerasMethods:
    """The methods of Keras's layers that describe, quantize, measure or call them in other ways.

    Source: https://keras.io/api/layers/base_layer/
    """

    def compute_output_spec(self: Any, *args: object, **kwargs: object) -> Any:
        """Return KerasTensors of the types of the outputs, for KerasTensors; no call is recorded."""
        return infer_call(self, *self._input_first(args, kwargs)).outputs

    def symbolic_call(self: Any, *args: object, **kwargs: object) -> Any:
        """Do what `compute_output_spec` does, under the name by which Keras calls it."""
        return self.compute_output_spec(*args, **kwargs)

    def stateless_call(
        self: Any,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: object,
        return_losses: bool = False,
        **kwargs: object,
    ) -> Any:
        """Return the outputs with other numbers in the weights, and the numbers that do not train after the call.

        Raises:
            ShapeError: an array does not fit its weight.
        """
        weights = [*self.trainable_weights, *self.non_trainable_weights]
        kept = [weight.array for weight in weights]
        try:
            for weight, array in zip(weights, [*trainable_variables, *non_trainable_variables], strict=True):
                weight.assign(array)
            outputs = self(*args, **kwargs)
            losses = list(self.losses) if return_losses else []
        finally:
            for weight, array in zip(weights, kept, strict=True):
                weight.assign(array)
        result = (outputs, list(non_trainable_variables))
        return (*result, losses) if return_losses else result

    def rematerialized_call(self: Any, layer_call: Function, *args: object, **kwargs: object) -> Function:
        """Return the `call` that is given: what training computes again to save memory, an export computes once."""
        return layer_call

    def quantize(
        self: Any, mode: object = None, type_check: bool = True, config: object = None, **kwargs: object
    ) -> None:
        """Refuse, as `quantized_build` and `quantized_call` do.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            f"{self.name!r} cannot be quantized: kir exports layers in their own precision; quantize the exported "
            f"file, with onnxruntime.quantization"
        )

    def quantized_build(self: Any, input_shape: object, mode: object) -> None:
        """See `quantize`."""
        self.quantize()

    def quantized_call(self: Any, *args: object, **kwargs: object) -> None:
        """See `quantize`."""
        self.quantize()

    @property
    def quantization_mode(self: Any) -> str | None:
        """None: no layer here is quantized."""
        return None

    def add_metric(self: Any, *args: object, **kwargs: object) -> None:
        """Accept a metric, which only training measures."""

    @property
    def metrics(self: Any) -> list[Any]:
        """None: only training measures."""
        return []

    @property
    def metrics_variables(self: Any) -> list[Any]:
        """None: only training measures."""
        return []

    def get_build_config(self: Any) -> dict[str, Any] | None:
        """Return the shapes that the layer was built with, for `build_from_config`; None if it is not built."""
        if not self.build_shapes:
            return None
        shapes = {name: shapes_with_none(shape) for name, shape in self.build_shapes.items()}
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": shapes}

    def build_from_config(self: Any, config: Mapping[str, Any] | None) -> None:
        """Build the layer for the shapes that `get_build_config` gave."""
        shapes = (config or {}).get("shapes_dict")
        if shapes is not None:
            self.build(**shapes)
        elif config and config.get("input_shape") is not None:
            self.build(config["input_shape"])
