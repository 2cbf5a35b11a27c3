"""`Model`: a functional model, or one that its subclass's own `call` defines.

A model is a layer that owns recorded calls. Running it in a tracer runs those calls in order, whether that tracer
writes the graph of the whole model or only infers the types of an outer one.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kir.errors import InvalidArgumentError, KirError, ShapeError
from kir.ir.dims import Dim
from kir.ir.graph import Graph, Provenance
from kir.ir.interpreter import Plan, run
from kir.ir.op import Array
from kir.ir.structural import Output
from kir.ir.trace import CarriedState, SymbolicOperators, Tensor, Tracer, feed_states, store_states
from kir.modeling.call_order import calls_between, from_inputs_only, layers_by_depth, unique_names
from kir.modeling.deferred import FailedTensor, Uncomputed, is_script_running
from kir.modeling.functional import KerasTensor
from kir.modeling.input import InputLayer
from kir.modeling.layer import Layer
from kir.modeling.lower import add_inputs, loss_terms, lower, lower_with_states
from kir.modeling.saving import Saving
from kir.modeling.subclassing import Subclassing
from kir.modeling.training import Training
from kir.support.naming import automatic_name
from kir.support.trees import Tree, flatten, map_structure, only_item

if TYPE_CHECKING:
    from rich.console import Console

# What a model is fed.
Arrays: TypeAlias = Tree[npt.ArrayLike]


class Model(Subclassing, Training, Saving, Layer):
    """A functional model: everything between its inputs and its outputs.

    Args:
        inputs: one KerasTensor, or a list or dict of them. `input=` is the old name.
        outputs: likewise. `output=` is the old name.
        name: counted ("functional", "functional_1") when absent.

    Raises:
        InvalidArgumentError: the outputs do not depend on the inputs alone, or two layers share a name.

    Source: https://keras.io/api/models/model/
    """

    supports_masking = True
    is_model = True
    # What `output_names` was set to.
    given_output_names: list[str] | None = None
    # What the model was read from; see `kir.ir.graph.Provenance`.
    loaded_from = Provenance()
    # The model of Keras itself that this one was made from, if it was.
    of_keras: Any = None
    # What `predict` runs, the weights that are folded into it, and the states of stateful layers in it.
    _plan: Plan | None = None
    _planned_arrays: Sequence[Array] = ()
    _states: Sequence[CarriedState] = ()

    def __init__(
        self,
        inputs: Tree[SymbolicOperators] = None,
        outputs: Tree[SymbolicOperators] = None,
        *,
        input: Tree[SymbolicOperators] = None,
        output: Tree[SymbolicOperators] = None,
        name: str | None = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        is_functional = inputs is not None or input is not None
        kwargs.setdefault("autocast", self.has_own_call and not is_functional)
        super().__init__(name=name or self._automatic_name(), trainable=trainable, **kwargs)
        inputs, outputs = inputs if inputs is not None else input, outputs if outputs is not None else output
        if inputs is None and outputs is None and type(self) is not Model:
            # Without a `call` it can only be trained, as a GAN is, by a `train_step` of its own.
            self.is_subclassed = True
            return
        if inputs is None or outputs is None:
            raise InvalidArgumentError(
                f"{type(self).__name__} needs inputs and outputs; received inputs={inputs!r}, outputs={outputs!r}. "
                f"Give both, as Model(inputs, outputs), or define call in a subclass"
            )
        self._connect(inputs, outputs)

    @classmethod
    def _automatic_name(cls) -> str:
        return automatic_name("Functional" if cls is Model else cls.__name__)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Entries for the metadata of exported files."""
        return {}

    def _connect(self, inputs: Tree[SymbolicOperators], outputs: Tree[SymbolicOperators]) -> None:
        if not flatten(outputs):
            raise InvalidArgumentError(f"model {self.name!r} needs at least one output; received outputs={outputs!r}")
        failed = next((leaf for leaf in flatten(outputs) if isinstance(leaf, FailedTensor)), None)
        if failed is not None:
            self.failure, self._layers = failed.error, []
            return
        for role, structure in (("inputs", inputs), ("outputs", outputs)):
            for leaf in flatten(structure):
                if not isinstance(leaf, KerasTensor):
                    raise InvalidArgumentError(
                        f"{role} of model {self.name!r} must be symbolic tensors, as Input(...) and layers return "
                        f"them; received {leaf!r}"
                    )
        inputs, outputs = from_inputs_only(inputs, outputs)
        self.input_structure: Any = inputs
        self.output_structure: Any = outputs
        self.recorded = calls_between(flatten(inputs), flatten(outputs))
        self._layers = layers_by_depth(self.recorded, flatten(inputs), flatten(outputs))
        repeated = [name for name, count in Counter(layer.name for layer in self._layers).items() if count > 1]
        if repeated:
            raise InvalidArgumentError(
                f"layer names must be unique in a model; several layers of {self.name!r} are named {repeated[0]!r}"
            )
        self.built = True

    # Structure

    @property
    def keras_class_name(self) -> str:
        """Keras's functional models are of class Functional."""
        return "Functional" if type(self) is Model else type(self).__name__

    @property
    def keras_module(self) -> str:
        """Where Keras's files say that the class is."""
        return "keras.src.models.functional" if type(self) is Model else super().keras_module

    @property
    def described_name(self) -> str:
        """The name of the class in descriptions."""
        return self.keras_class_name

    @property
    def registered_name(self) -> str | None:
        """The name by which Keras finds the class."""
        return "Functional" if type(self) is Model else super().registered_name

    @property
    def layers(self) -> list[Layer]:
        """The layers, in Keras's order: from the inputs on by depth, then in order of traversal.

        Of a subclassed model, those that are attributes, in the order in which they became that.
        """
        if self.is_subclassed:
            return list({id(layer): layer for layer in self.owned_layers().values()}.values())
        return [layer for layer in self._layers if layer.is_layer]

    @property
    def operations(self) -> list[Layer]:
        """The layers and the recorded functions among them, such as `x + 1`.

        Of a subclassed model, the inputs and the one layer that runs its `call`.
        """
        self._require_connected()
        return list(self._layers)

    def owned_layers(self) -> dict[str, Layer]:
        """Return the layers of a subclassed model, by where Keras's files have them."""
        return {place: one for place, one in super().owned_layers().items() if not place.startswith("_layers/")}

    def sublayers(self) -> list[Layer]:
        """Return the layers; see `layers`."""
        return self.layers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer of this name, or at this index of `layers`.

        Raises:
            InvalidArgumentError: there is none, and the message lists the names; or neither is given.
        """
        layers = self.layers
        if index is not None and -len(layers) <= index < len(layers):
            return layers[index]
        for layer in layers:
            if name is not None and layer.name == name:
                return layer
        if name is None and index is None:
            raise InvalidArgumentError(f"get_layer needs the name or the index of a layer of {self.name!r}")
        wanted = f"index {index}" if name is None else f"name {name!r}"
        raise InvalidArgumentError(f"no layer of {wanted} in {self.name!r}; it has {[layer.name for layer in layers]}")

    @property
    def inputs(self) -> list[KerasTensor]:
        """The input tensors, flat."""
        self._require_connected()
        return flatten(self.input_structure)

    @property
    def outputs(self) -> list[KerasTensor]:
        """The output tensors, flat."""
        self._require_connected()
        return flatten(self.output_structure)

    @property
    def input(self) -> Any:
        """The input tensors as they were given."""
        self._require_connected()
        return self.input_structure

    @property
    def output(self) -> Any:
        """The output tensors as they were given."""
        self._require_connected()
        return self.output_structure

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs in the exported file, which are those of Keras."""
        return unique_names(self.inputs, self.input_structure, set())

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs in the exported file: of the layers, or the keys of a dict; others may be set."""
        if self.given_output_names is not None:
            return list(self.given_output_names)
        return unique_names(self.outputs, self.output_structure, set(self.input_names))

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        """Raise InvalidArgumentError unless there is one name for each output, all of them different."""
        given = list(names)
        is_fitting = len(given) == len(self.outputs) == len(set(given)) and all(given)
        if not is_fitting or not all(isinstance(name, str) for name in given):
            raise InvalidArgumentError(
                f"{self.name!r} has {len(self.outputs)} outputs, which need as many different names; received {given!r}"
            )
        self.given_output_names = given

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or the list of shapes of several, as Keras has it for dicts, too."""
        return _one_or_list([x.shape for x in self.inputs])

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or the list of shapes of several, as Keras has it for dicts, too."""
        return _one_or_list([x.shape for x in self.outputs])

    # Running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what `Layer.__call__` does; for arrays, a list of one output becomes that output, as in Keras.

        While a script runs, an error for arrays is raised only if the script does something with the result.
        """
        if self._awaits_inputs:
            given, others = self._input_first(args, kwargs)
            self.connect_to(*given, **others)
        try:
            if self.failure is not None:
                raise self.failure
            outputs = super().__call__(*args, **kwargs)
        except KirError as error:
            is_symbolic = any(isinstance(x, SymbolicOperators) for x in flatten([args, list(kwargs.values())]))
            if not is_script_running():
                raise
            return FailedTensor(error) if is_symbolic else Uncomputed(error)
        return outputs if any(isinstance(x, SymbolicOperators) for x in flatten(outputs)) else only_item(outputs)

    @property
    def has_own_call(self) -> bool:
        """Whether a subclass says what the model does."""
        return type(self).call is not Model.call

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Run the recorded calls on other tensors. A mask given for an input replaces the one that it carries."""
        return self.run_recorded(inputs, mask)

    def run(self, inputs: object) -> Any:
        """Return the outputs for the tensors of a graph: by `call`, or for a subclassed model by its one layer."""
        return self.run_recorded(inputs) if self.is_subclassed else self.call(inputs)

    def run_recorded(self, inputs: object, mask: object = None) -> Any:
        """See `call`, which a subclass may define anew."""
        given = self._flat_inputs(inputs)
        if mask is not None:
            masks = _flat_masks(mask)
            given = [x if m is None else x.with_mask(m) for x, m in zip(given, masks, strict=True)]
        tensors: dict[int, Tensor] = {id(x): t for x, t in zip(self.inputs, given, strict=True)}
        for recorded in self.recorded:
            args, kwargs = map_structure(
                lambda leaf: tensors[id(leaf)] if isinstance(leaf, KerasTensor) else leaf, recorded.arguments
            )
            outputs = recorded.layer.trace(*args, **kwargs)
            for symbolic, tensor in zip(flatten(recorded.outputs), flatten(outputs), strict=True):
                tensors[id(symbolic)] = tensor
        return map_structure(lambda leaf: tensors[id(leaf)], self.output_structure)

    def mask_outputs(self, inputs: object, outputs: object, masks: object) -> Any:
        """Return the outputs as they are: the model's own layers have put masks on them."""
        return super().mask_outputs(inputs, outputs, masks) if self.is_subclassed else outputs

    def _flat_inputs(self, inputs: object) -> list[Any]:
        """Return the inputs in the order of `self.inputs`; a dict goes by name.

        Raises:
            ShapeError: their number is wrong or a name is missing.
        """
        if isinstance(inputs, Mapping) and not isinstance(self.input_structure, Mapping):
            missing = [name for name in self.input_names if name not in inputs]
            if missing:
                raise ShapeError(f"{self.name!r} has the inputs {self.input_names}; received {sorted(inputs)}")
            return [inputs[name] for name in self.input_names]
        flat = flatten(inputs)
        if len(flat) != len(self.inputs):
            raise ShapeError(f"{self.name!r} has {len(self.inputs)} inputs {self.input_names}; received {len(flat)}")
        return flat

    def to_graph(
        self, *, training: bool = False, sizes: Mapping[str, Dim] | None = None, losses: bool = False
    ) -> Graph:
        """Return this model as a graph, not optimised; see `lower`."""
        return lower(self, training=training, sizes=sizes, losses=losses)

    def predict(
        self,
        x: Arrays,
        batch_size: int | None = None,
        verbose: object = "auto",
        steps: object = None,
        callbacks: object = None,
    ) -> Any:
        """Return the outputs for arrays, by the interpreter, in the structure of the model's outputs.

        As in Keras, a list of one output gives that output. Stateful layers keep their states; see `reset_states`. All
        samples are one batch, and what else Keras takes means nothing here.

        Raises:
            ShapeError: an array does not fit its input.
        """
        try:
            return self._predict(x)
        except KirError as error:
            if not is_script_running():
                raise
            return Uncomputed(error)

    def _predict(self, x: Arrays) -> Any:
        from kir import passes

        self.connect_to(x)
        arrays = self.get_weights()
        if self._plan is None or any(a is not b for a, b in zip_longest(arrays, self._planned_arrays)):
            graph, self._states = lower_with_states(self)
            passes.run(graph, passes.pipeline(1))
            self._plan, self._planned_arrays = Plan(graph), arrays
        results = self._plan.run(self._feeds(x) | feed_states(self._states))
        store_states(self._states, results)
        outputs = iter([results[name] for name in self.output_names])
        return only_item(map_structure(lambda leaf: next(outputs), self.output_structure))

    def predict_on_batch(self, x: Arrays) -> Any:
        """See `predict`."""
        return self.predict(x)

    def predict_step(self, data: object) -> Any:
        """Return the outputs for the inputs in what a data set of Keras gives: x, (x,), (x, y) or (x, y, weights)."""
        return self(data[0] if isinstance(data, tuple) else data)

    @property
    def losses(self) -> Losses:
        """The regularization terms of the weights; `losses(x)` are those of the activities for inputs x, and these.

        Source: https://keras.io/api/layers/regularizers/
        """
        return Losses(super().losses, self._losses_for)

    def _losses_for(self, x: Arrays) -> list[float]:
        """Return every regularization term for these inputs: activities in call order, then weights."""
        graph = Graph(self.name)
        tracer = Tracer(graph, on_lost_mask="ignore")
        tracer.collects_losses = True
        self.run(add_inputs(self, tracer, {}))
        terms = loss_terms(self, tracer)
        for index, term in enumerate(terms):
            graph.add(Output(str(index)), term.value)
        results = run(graph, self._feeds(x))
        return [float(results[str(index)]) for index in range(len(terms))]

    def _feeds(self, x: Arrays) -> dict[str, Array]:
        feeds: dict[str, Array] = {}
        for name, tensor, given in zip(self.input_names, self.inputs, self._flat_inputs(x), strict=True):
            layer = tensor.call.layer
            if isinstance(layer, InputLayer):
                feeds.update(layer.feeds(name, given))
            else:
                feeds[name] = np.asarray(given, dtype=tensor.type.dtype.numpy)
        return feeds

    # Conveniences that reach out of the core

    def get_config(self) -> dict[str, Any]:
        """Return the layers and, of a functional model, how they are called, as Keras's files have it.

        Raises:
            UnsupportedError: Keras's files cannot hold it; see `kir.exporters.keras_file.describe`.
        """
        from kir.exporters.keras_file import model_config

        if self.is_subclassed:
            return super().get_config()
        return model_config(self)

    def summary(
        self,
        line_length: int | None = None,
        positions: object = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: object = None,
        console: Console | None = None,
    ) -> None:
        """Print Keras's table of layers, those of nested models among them; see `kir.modeling.summary.print_summary`.

        Args:
            line_length: the width of the table.
            print_fn: gets the text of the table, which is then not printed.
            positions, expand_nested, show_trainable, layer_range: accepted; kir's table is always the whole one.
            console: where to print, with rich.
        """
        from rich.console import Console

        from kir.modeling.summary import print_summary

        if (self._awaits_inputs or self.failure is not None) and is_script_running():
            # As in Keras, the script goes on.
            warnings.warn(f"{self.name!r} has no summary yet: its inputs are not known", stacklevel=2)
            return
        if print_fn is None and line_length is None:
            print_summary(self, console)
            return
        console = Console(width=line_length, file=None if print_fn is None else io.StringIO())
        print_summary(self, console)
        if print_fn is not None:
            print_fn(console.file.getvalue())  # type: ignore[attr-defined]

    def _repr_svg_(self) -> str | None:
        """Return what a notebook shows, see `kir.plot`; None if the input shape is not known, or for huge models."""
        from kir.exporters.picture import Picture

        return Picture(self)._repr_svg_() if self.built else None

    def _repr_html_(self) -> str | None:
        """Return what a notebook shows where it can: the page that answers to clicks."""
        from kir.exporters.picture import Picture

        return Picture(self)._repr_html_() if self.built else None


class Losses(list[Any]):
    """The regularization terms of a model's weights; called with inputs, the terms of the activities as well."""

    def __init__(self, terms: Iterable[Any], compute: Callable[[Any], list[float]]) -> None:
        super().__init__(terms)
        self._compute = compute

    def __call__(self, x: Arrays) -> list[float]:
        return self._compute(x)


def load_arrays(path: str | Path) -> dict[str, Array]:
    """Return the arrays of a `.safetensors` file, by name; they stay on disk until they are read.

    Raises:
        FormatError: the file cannot be read.
    """
    from kir.importers.arrays import load_safetensors

    return load_safetensors(Path(path))


def _one_or_list(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items


def _flat_masks(mask: object) -> list[Any]:
    """Return the masks in the order of the inputs, with None for inputs without one."""
    if isinstance(mask, Mapping):
        return [mask[name] for name in sorted(mask)]
    return list(mask) if isinstance(mask, list | tuple) else [mask]
