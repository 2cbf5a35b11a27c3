"""Keras's EinsumDense: a Dense over whichever axes an equation names.

Source: https://keras.io/api/layers/core_layers/einsum_dense/
"""

from __future__ import annotations

import copy
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kir import backend as K
from kir import initializers
from kir.backend.linear import reshape_to
from kir.errors import InvalidArgumentError, ShapeError
from kir.ir.dims import Dim, product
from kir.ir.trace import Tensor, emit
from kir.ir.types import Shape, agree_dim, format_shape
from kir.modeling.declared import ActivationFunction, Constraint, DeclaredLayer, Initializer, Regularizer
from kir.modeling.user_functions import call_function
from kir.ops import linear
from kir.ops.linear import ELLIPSIS, parse_equation
from kir.support.arguments import integers
from kir.support.declarations import Argument, OptionalText, Text

FORMS = "X,Y->Z, ...X,Y->...Z or X...,Y->Z..."


@dataclass(frozen=True)
class Equation:
    """An equation "input,kernel->output" in which every axis has a letter, for inputs of one rank.

    Attributes:
        input, kernel, output: a letter for each axis.
        hidden: the letters that the ellipsis stood for.
    """

    input: str
    kernel: str
    output: str
    hidden: str

    def __str__(self) -> str:
        return f"{self.input},{self.kernel}->{self.output}"

    @property
    def free(self) -> str:
        """The axes that the output has from the input alone."""
        return "".join(letter for letter in self.input if letter in self.output and letter not in self.kernel)

    @property
    def contracted(self) -> str:
        """The axes that the product is summed over."""
        return "".join(letter for letter in self.input if letter in self.kernel and letter not in self.output)

    @property
    def new(self) -> str:
        """The axes that the output has from the kernel alone."""
        return "".join(letter for letter in self.output if letter not in self.input)

    @property
    def is_dense(self) -> bool:
        """Return whether it is one matrix product, but for the order and the number of axes."""
        terms = (self.input, self.kernel, self.output)
        return (
            all(len(set(term)) == len(term) for term in terms)
            and len(self.free) + len(self.contracted) == len(self.input)
            and len(self.contracted) + len(self.new) == len(self.kernel)
            and min(len(self.free), len(self.contracted), len(self.new)) > 0
        )


def _output_sizes(owner: str, name: str, given: object) -> tuple[int | None, ...]:
    sizes = tuple(given) if isinstance(given, list | tuple) else (given,)
    integers(owner, name, [size for size in sizes if size is not None] if None in sizes else given, 1)
    return sizes


class EinsumDense(DeclaredLayer):
    """`activation(einsum(equation, x, kernel) + bias)`.

    An equation that is a matrix product, as nearly all are, is computed as one.

    The other arguments are those of Dense.

    Raises:
        InvalidArgumentError: an argument is of the wrong kind.
        ShapeError: the input's shape or output_shape does not fit the equation.

    Source: https://keras.io/api/layers/core_layers/einsum_dense/
    """

    names_absent_regularizer = True
    takes_one_tensor = True
    ignored_config = frozenset({"quantization_config", "lora_rank", "lora_alpha", "gptq_unpacked_column_size"})

    equation: Text = Text(
        doc='of the input and the kernel, such as "abc,cd->abd". One ellipsis may stand at the front, or at the '
        "end, of the input and the output"
    )
    partial_output_shape: Argument[int | Sequence[int | None], tuple[int | None, ...]] = Argument(
        _output_sizes,
        alias="output_shape",
        doc="the sizes of the output without the batch, or without the axes of an ellipsis; None where it is that"
        " of the input",
    )
    activation: ActivationFunction = ActivationFunction(default=None)
    bias_axes: OptionalText = OptionalText(default=None, doc="the letters of the output that have a bias; none if None")
    kernel_initializer: Initializer = Initializer(default="glorot_uniform")
    bias_initializer: Initializer = Initializer(default="zeros")
    kernel_regularizer: Regularizer = Regularizer(default=None)
    bias_regularizer: Regularizer = Regularizer(default=None)
    kernel_constraint: Constraint = Constraint(default=None)
    bias_constraint: Constraint = Constraint(default=None)

    def finish_init(self) -> None:
        *_, output = _read_equation(self.name_in_messages, self.equation)
        if self.bias_axes is not None and (not self.bias_axes or not set(self.bias_axes) <= set(output)):
            raise InvalidArgumentError(
                f"{self.name_in_messages}: bias_axes must be letters of the output of {self.equation!r}; received "
                f"bias_axes={self.bias_axes!r}"
            )

    def build(self, input_shape: Shape) -> None:
        """Make a kernel with the sizes of the equation's letters, and a bias of those of `bias_axes`, 1 elsewhere."""
        equation = self._for_rank(len(input_shape))
        sizes = self._sizes(equation, input_shape)
        kernel_shape = tuple(sizes[letter] for letter in equation.kernel)
        initializer = _with_axes(self.kernel_initializer, equation)
        self.kernel = self.new_weight(
            "kernel", kernel_shape, initializer, self.kernel_regularizer, self.kernel_constraint
        )
        self.bias = None
        if self.bias_axes is not None:
            # The bias begins at the first of its axes.
            first = min(equation.output.find(letter) for letter in self.bias_axes)
            bias_shape = tuple(sizes[one] if one in self.bias_axes else 1 for one in equation.output[first:])
            self.bias = self.weight_of_role("bias", bias_shape)

    def call(self, inputs: Tensor) -> Any:
        inputs = self.promote(inputs)
        equation = self._for_rank(len(inputs.shape))
        sizes = self._sizes(equation, inputs.shape)
        multiply = self._as_dense if equation.is_dense else self._as_einsum
        return call_function("activation", self.activation, multiply(inputs, equation, sizes))

    def _as_dense(self, x: Tensor, equation: Equation, sizes: dict[str, Dim]) -> Any:
        """Return a Dense between reshapes, and with transposes where the order of the axes asks for them.

        For the projections of attention, onnxruntime's Einsum takes 1.04 to 1.5 times as long: python -m
        tests.benchmarks.attention.
        """
        free, contracted, new = equation.free, equation.contracted, equation.new
        rows = tuple(sizes[letter] for letter in free)
        columns = tuple(sizes[letter] for letter in new)
        count = product(sizes[letter] for letter in contracted)
        matrix = reshape_to(_in_order(x, equation.input, free + contracted), (*rows, count))
        kernel = _in_order(self.read(self.kernel, x), equation.kernel, contracted + new)
        kernel = reshape_to(kernel, (count, product(columns)))
        bias = None if self.bias is None else self.read(self.bias, x)
        is_inside = bias is not None and set(self.bias_axes or "") <= set(new)
        vector = self._bias_vector(bias, new, columns) if bias is not None and is_inside else None
        result = reshape_to(emit(linear.Dense(), matrix, kernel, vector), (*rows, *columns))
        result = _in_order(result, free + new, equation.output)
        return result if bias is None or is_inside else K.add(result, bias)

    def _bias_vector(self, bias: Tensor, new: str, columns: Shape) -> Any:
        """Return a bias for every new element, in the order in which the product has them."""
        sizes = tuple(
            size if letter in (self.bias_axes or "") else 1 for letter, size in zip(new, columns, strict=True)
        )
        bias = reshape_to(bias, sizes)
        return reshape_to(bias if sizes == columns else K.broadcast_to(bias, columns), (product(columns),))

    def _as_einsum(self, x: Tensor, equation: Equation, sizes: dict[str, Dim]) -> Any:
        result = emit(linear.Einsum(str(equation)), x, self.read(self.kernel, x))
        return result if self.bias is None else K.add(result, self.read(self.bias, x))

    def _for_rank(self, rank: int) -> Equation:
        """Return the equation with letters in place of its ellipsis."""
        given, kernel, output = _read_equation(f"EinsumDense {self.name!r}", self.equation)
        count = rank - len(given.replace(ELLIPSIS, ""))
        if count < 0 or (count > 0 and ELLIPSIS not in given):
            raise ShapeError(
                f"EinsumDense with equation={self.equation!r} received an input of rank {rank}; the ranks differ"
            )
        unused = (letter for letter in string.ascii_letters if letter not in given + kernel + output)
        hidden = "".join(letter for letter, _ in zip(unused, range(count), strict=False))
        return Equation(given.replace(ELLIPSIS, hidden), kernel, output.replace(ELLIPSIS, hidden), hidden)

    def _sizes(self, equation: Equation, shape: Shape) -> dict[str, Dim]:
        """Return the size of every letter."""
        what = f"EinsumDense with equation={self.equation!r} and output_shape={self.partial_output_shape}"
        sizes: dict[str, Dim] = {}
        for letter, size in zip(equation.input, shape, strict=True):
            sizes[letter] = agree_dim(sizes.get(letter, size), size, f"{what}, axis {letter!r}")
        # The batch is the first axis of the output, by itself or as part of the ellipsis.
        named = [letter for letter in equation.output if letter not in equation.hidden]
        named = named if equation.hidden and equation.output.startswith(equation.hidden) else named[1:]
        if len(named) != len(self.partial_output_shape):
            raise ShapeError(f"{what} received an input of shape {format_shape(shape)}; expected {len(named)} sizes")
        for letter, declared in zip(named, self.partial_output_shape, strict=True):
            if declared is not None:
                agreed = agree_dim(declared, sizes.get(letter, declared), f"{what}, axis {letter!r}")
                sizes.setdefault(letter, agreed)
        unknown = sorted(set(equation.kernel) - set(sizes))
        if unknown:
            raise ShapeError(f"{what}: axis {unknown[0]!r} has no size; give it one in output_shape")
        return sizes


def _read_equation(owner: str, equation: str) -> tuple[str, str, str]:
    """Return the three terms of an equation, with `ELLIPSIS` in them."""
    try:
        terms, output = parse_equation(equation)
    except ShapeError as error:
        raise InvalidArgumentError(f"{owner}: {error}") from None
    given, kernel = terms if len(terms) == 2 and "->" in equation else ("", "")
    known = set(given + output)
    places = (given.find(ELLIPSIS), output.find(ELLIPSIS))
    is_placed = places in ((-1, -1), (0, 0), (len(given) - 1, len(output) - 1))
    if not given or not kernel or ELLIPSIS in kernel or not is_placed or not set(kernel) <= known or len(output) < 1:
        raise InvalidArgumentError(
            f"{owner}: equation must have the form {FORMS}, with every letter of Y in X or Z; received "
            f"equation={equation!r}"
        )
    return given, kernel, output


def _with_axes(initializer: object, equation: Equation) -> Any:
    """Tell an initializer that scales with the sizes of its axes which of them are those of inputs and of outputs."""
    axes = (getattr(initializer, name, ()) for name in ("input_axes", "output_axes"))
    if not isinstance(initializer, initializers.VarianceScaling) or None not in axes:
        return initializer
    told = copy.copy(initializer)
    told.output_axes = [axis for axis, letter in enumerate(equation.kernel) if letter in equation.output]
    told.input_axes = [axis for axis, letter in enumerate(equation.kernel) if letter not in equation.output]
    return told


def _in_order(x: Tensor, given: str, wanted: str) -> Any:
    return K.transpose(x, [given.index(letter) for letter in wanted])
