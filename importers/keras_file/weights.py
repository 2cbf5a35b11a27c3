"""Reading weights into a model: Keras's HDF5 files, `.npz`, `.safetensors`.

HDF5 files have one of two layouts:

    Keras 3        a group for each layer, numbered by class: "layers/dense_1/vars/0"
    whole models   a group for each layer under its name, with the weights in the order of an attribute; so are
                   weights that Keras 2 saved by themselves

The files are untrusted: nothing is unpickled, no link leads out, and no dataset is read whose shape is not the one
that its layer has.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kir.errors import FormatError
from kir.importers.arrays import load_npz, load_safetensors
from kir.importers.keras_file.archive import open_file
from kir.importers.keras_file.hdf5 import Hdf5File, open_hdf5
from kir.importers.keras_file.keras2 import parse_version
from kir.importers.sections import Section, whole_file
from kir.initializers import Zeros
from kir.ir.op import Array
from kir.ir.types import DType, format_shape
from kir.layers.categorical import IndexLookup
from kir.modeling.layer import Layer
from kir.modeling.model import Model
from kir.modeling.weight import Weight
from kir.modeling.weight_names import SavedLayer, named_weights, saved_layers
from kir.modeling.weight_owner import is_of_kir
from kir.support.naming import join_path
from kir.support.regular_files import require_regular

if TYPE_CHECKING:
    import h5py

    from kir.importers.keras_file.saved_layouts import SavedArray

# Where Keras 2.13 to 2.15 kept in `.keras` files what Keras 3 has in "layers".
OLD_LAYERS = "_layer_checkpoint_dependencies"
# What Keras 2 called the kernels of depthwise convolutions, and the factors of a LayerScale, which have no name today.
RENAMED = {"depthwise_kernel": "kernel", "gamma": "variable"}
MAX_LISTED = 10


def load_weights(model: Model, path: Path) -> None:
    """Set all weights of a model from a file; nothing is set unless every one is there and fits.

    Raises:
        FormatError: the file cannot be read, or a weight is missing or of another shape; all of them are listed.
    """
    require_regular(path, "a .weights.h5, .npz or .safetensors file")
    if path.name.endswith((".h5", ".hdf5")):
        with open_file(path) as file:
            load_weights_section(model, whole_file(file, path))
    elif path.suffix == ".npz":
        _assign_named(model, load_npz(path), path)
    elif path.suffix == ".safetensors":
        _assign_named(model, load_safetensors(path), path)
    else:
        raise FormatError(
            f"cannot read weights from {path}: expected a name ending in .weights.h5, .npz or .safetensors"
        )


def load_weights_section(model: Model, section: Section) -> None:
    """Set all weights from HDF5 in a section of a file, in any of the layouts; see `load_weights`."""
    with open_hdf5(section) as file:
        legacy = file.find("model_weights")
        is_by_name = file.names(file.root, "layer_names") is not None or file.find("layer_0") is not None
        if legacy is None and is_by_name:
            legacy = file.root
        if legacy is not None:
            load_legacy_weights(model, file, legacy)
        else:
            _load_numbered_weights(model, file)


class Assignments:
    """Arrays to set once all of them fit, and the problems of those that do not."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.problems: list[str] = []
        self.arrays: list[tuple[Weight, Array]] = []

    def add(self, file: Hdf5File, weight: Weight, dataset: h5py.Dataset | None, where: str) -> None:
        """Read a dataset for a weight, if it is there and has the weight's shape."""
        if dataset is None:
            self.problems.append(f"{where} is missing")
        elif not _fits(tuple(dataset.shape), weight.saved_shape):
            given, wanted = format_shape(tuple(dataset.shape)), format_shape(weight.saved_shape)
            self.problems.append(f"{where} has shape {given}, the model's {wanted}")
        elif dataset.dtype.kind == "V" and dataset.dtype.itemsize != weight.dtype.numpy.itemsize:
            self.problems.append(
                f"{where} has elements of {dataset.dtype.itemsize} bytes, the model's are {weight.dtype}"
            )
        else:
            array = file.read(dataset)
            # bfloat16 lies in HDF5 as two opaque bytes.
            self.arrays.append((weight, array.view(weight.dtype.numpy) if array.dtype.kind == "V" else array))

    def finish(self) -> None:
        """Set all weights.

        Raises:
            FormatError: there is a problem; then nothing was set.
        """
        if self.problems:
            shown = "; ".join(self.problems[:MAX_LISTED])
            more = len(self.problems) - MAX_LISTED
            rest = f"; and {more} more" if more > 0 else ""
            raise FormatError(f"the weights of {self.label} do not fit the model: {shown}{rest}")
        for weight, array in self.arrays:
            weight.load(array)


class IdfWeights(Weight):
    """The idf_weights of a lookup layer as a file holds them: [depth], for every index. They replace its config's."""

    def __init__(self, layer: IndexLookup) -> None:
        super().__init__("idf_weights", (layer.depth or 0,), DType.FLOAT32, Zeros(), trainable=False)
        self.layer = layer

    def load(self, array: Array) -> None:
        """Set the layer's weights; those after the last token, up to max_tokens, count for nothing."""
        tokens = self.layer.get_vocabulary()
        self.layer.set_vocabulary(tokens, array[: len(tokens)])


def _idf_weights(layer: Layer) -> list[Weight]:
    """Return the idf_weights of a lookup layer that has a vocabulary and uses them, or nothing."""
    if isinstance(layer, IndexLookup) and layer.output_mode == "tf_idf" and layer.vocabulary is not None:
        return [IdfWeights(layer)]
    return []


def _fits(given: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Return whether a shape is the wanted one, in which None stands for any size."""
    return len(given) == len(wanted) and all(size in (None, one) for one, size in zip(given, wanted, strict=True))


def _load_numbered_weights(model: Model, file: Hdf5File) -> None:
    """Load Keras 3's layout."""
    is_old = OLD_LAYERS in file.root
    found = Assignments(file.section.label)
    all_saved = _layout_of(file, model)
    if _is_of_unbuilt(file, all_saved):
        raise FormatError(
            f"{file.section.label} has no weights: the model was not built when Keras saved it; call the model on an "
            f"array, and save it again"
        )
    groups = {saved.group for saved in all_saved}
    for saved in all_saved:
        group = _group_in(file, saved.group.replace("layers", OLD_LAYERS) if is_old else saved.group)
        for index, weight in enumerate(saved.weights):
            name = f"{group}/vars/{index}" if group else f"vars/{index}"
            found.add(
                file,
                weight,
                file.find_dataset(name),
                f"{weight.name} of layer {saved.path or saved.layer.name} ({name})",
            )
        for weight in _idf_weights(saved.layer):
            name = f"{group}/vars/{weight.name}"
            dataset = file.find_dataset(name)
            if dataset is not None:
                found.add(file, weight, dataset, f"{weight.name} of layer {saved.path} ({name})")
        if not is_old and not is_of_kir(type(saved.layer)):
            found.problems.extend(_left_over(saved, groups, file))
    found.finish()


def _layout_of(file: Hdf5File, model: Model) -> list[SavedLayer]:
    """Return the groups of the layers: where the file does not have those of Keras 3, those of tf_keras if it has."""
    layout = saved_layers(model)
    if _has_groups(file, layout):
        return layout
    from_last = saved_layers(model, from_last=True)
    return from_last if _has_groups(file, from_last) else layout


def _has_groups(file: Hdf5File, layout: Sequence[SavedLayer]) -> bool:
    return all(file.find(join_path(_group_in(file, one.group), "vars")) is not None for one in layout if one.weights)


def _is_of_unbuilt(file: Hdf5File, layout: Sequence[SavedLayer]) -> bool:
    """Return whether a file has the groups of all layers, and no weight in any of them."""
    import h5py  # start-up time

    groups = [file.find(join_path(_group_in(file, one.group), "vars")) for one in layout if one.weights]
    return bool(groups) and all(isinstance(group, h5py.Group) and not len(group) for group in groups)


def _group_in(file: Hdf5File, group: str) -> str:
    """Return the name of a group as the file has it: Keras 2 has "_query_dense" where Keras 3 has "query_dense"."""
    parent, slash, name = group.rpartition("/")
    private = f"{parent}{slash}_{name}"
    return private if file.find(group) is None and file.find(private) is not None else group


def _left_over(saved: SavedLayer, groups: Collection[str], file: Hdf5File) -> Iterator[str]:
    """Return the weights that a file has in the group of a layer of the user's own, and that the model lacks."""
    import h5py  # start-up time

    pending = [saved.group]
    seen: set[int] = set()
    while pending:
        place = pending.pop()
        group = file.find(place)
        if not isinstance(group, h5py.Group) or h5py.h5o.get_info(group.id).addr in seen:
            continue
        seen.add(h5py.h5o.get_info(group.id).addr)
        where = f"layer {saved.path} ({place})"
        if place.endswith("/vars"):
            count = len(saved.weights) if place == f"{saved.group}/vars" else 0
            # Integers are the states of random numbers.
            if len(group) > count and all(_is_of_floats(file.find(name, group)) for name in group):
                yield f"{where} has {len(group)} weights, the model's {count}"
        else:
            pending.extend(f"{place}/{name}" for name in group if f"{place}/{name}" not in groups)


def _is_of_floats(dataset: h5py.Dataset | None) -> bool:
    return getattr(getattr(dataset, "dtype", None), "kind", "") in ("f", "V")


def load_legacy_weights(model: Model, file: Hdf5File, group: h5py.Group | None) -> None:
    """Load the layout by layers' names, from the group that has them.

    As in Keras, the layers of weights without a model are in the order of the model's layers if the names are others.

    Raises:
        FormatError: a weight is missing or of another shape, or a layer has another number of them.
        UnsupportedError: Theano trained a layer that Keras does not convert.
    """
    from kir.importers.keras_file.saved_layouts import (
        pair_up,
        turn_kernels,
        warn_of_theano,
    )  # start-up time: most files are of Keras 3

    origin = _origin_of(file, group)
    found = Assignments(file.section.label)
    wanted = {layer: weights for layer in model.layers if (weights := _in_saved_order(layer))}
    for layer, saved in _arrays_of_layers(list(wanted), file, group):
        weights = wanted[layer]
        if len(saved) < len(weights):
            # Keras 3 keeps no idf_weights in this layout: those of the config count.
            weights = [weight for weight in weights if not isinstance(weight, IdfWeights)]
        pairs = pair_up(layer, weights, saved, origin.version)
        if origin.backend == "theano":
            turn_kernels(layer)
        if pairs is None:
            found.problems.append(f"layer {layer.name} has {len(saved)} weights, the model's {len(weights)}")
            continue
        for weight, array in pairs:
            where = f"{array.name} of layer {layer.name}"
            own_name = array.name.rsplit("/", 1)[-1].split(":")[0]
            # TensorFlow gave those that were made without a name this one.
            is_named = weight.name in (own_name, RENAMED.get(own_name)) or isinstance(weight, IdfWeights)
            if not is_named and not origin.names_otherwise:
                found.problems.append(f"{where} stands where the model has {weight.name}")
                continue
            found.add(file, weight, array.dataset, where)
    found.finish()
    if origin.version[0] == 1 and origin.backend is None:
        warn_of_theano(model, file.section.label)


class WeightsOrigin(NamedTuple):
    """The Keras that wrote weights in the layout by names."""

    version: tuple[int, ...]
    backend: str | None

    @property
    def names_otherwise(self) -> bool:
        """Whether its weights have other names than today."""
        return self.version[0] == 1


def _origin_of(file: Hdf5File, group: h5py.Group | None) -> WeightsOrigin:
    """Return what the group of the weights, or the whole file, says; one that says
    nothing is of Keras 1, as in Keras 2.
    """
    places = [file.root] if group is None else [group, file.root]
    version, backend = (
        next((text for place in places if (text := file.text(place, name)) is not None), None)
        for name in ("keras_version", "backend")
    )
    return WeightsOrigin((1,) if version is None else parse_version(version) or (2,), backend)


def _arrays_of_layers(
    layers: Sequence[Layer], file: Hdf5File, group: h5py.Group | None
) -> Iterator[tuple[Layer, list[SavedArray]]]:
    """Yield each layer with its arrays, in the order of the file; those that lack a group have none."""
    from kir.importers.keras_file.saved_layouts import SavedArray  # start-up time: most files are of Keras 3

    names = [layer.name for layer in layers]
    if group is not None and any(file.find(name, group) is None for name in names):
        listed = [name for name in _listed_layers(file, group) if _weight_names(file, file.find(name, group))]
        names = listed if len(listed) == len(layers) else names
    for layer, name in zip(layers, names, strict=True):
        owner = None if group is None else file.find(name, group)
        arrays = []
        for array in _weight_names(file, owner):
            dataset = file.find_dataset(array, owner)
            arrays.append(SavedArray(array, () if dataset is None else tuple(dataset.shape), dataset))
        yield layer, arrays


def _listed_layers(file: Hdf5File, group: h5py.Group) -> list[str]:
    """Return the names of the groups of layers in the order of the model; Keras before 1.0 numbered them."""
    return file.names(group, "layer_names") or list(_numbered(file, group, "layer_"))


def _weight_names(file: Hdf5File, owner: h5py.Group | None) -> list[str]:
    """Return the names of a layer's weights in their order; Keras before 1.0 numbered them."""
    if owner is None:
        return []
    return file.names(owner, "weight_names") or list(_numbered(file, owner, "param_"))


def _numbered(file: Hdf5File, group: h5py.Group, prefix: str) -> Iterator[str]:
    return itertools.takewhile(
        lambda name: file.find(name, group) is not None, (f"{prefix}{index}" for index in itertools.count())
    )


def _in_saved_order(layer: Layer) -> list[Weight]:
    """Return all weights of a layer, trained ones first: those of frozen layers inside a model come last."""
    trained: list[Weight] = []
    frozen: list[Weight] = []
    seen: set[int] = set()
    pending: list[tuple[Layer, bool]] = [(layer, True)]
    while pending:
        here, is_trained = pending.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        is_trained = is_trained and here.trainable
        for weight in [*here.own_weights, *_idf_weights(here)]:
            if id(weight) not in seen:
                seen.add(id(weight))
                (trained if is_trained and weight.trainable else frozen).append(weight)
        pending.extend((inner, is_trained) for inner in reversed(here.sublayers()))
    return trained + frozen


def _assign_named(model: Model, arrays: Mapping[str, Array], path: Path) -> None:
    found = Assignments(str(path))
    for name, weight in named_weights(model).items():
        if name not in arrays:
            found.problems.append(f"{name} is missing")
        elif arrays[name].shape != weight.shape:
            given, wanted = format_shape(arrays[name].shape), format_shape(weight.shape)
            found.problems.append(f"{name} has shape {given}, the model's {wanted}")
        else:
            found.arrays.append((weight, arrays[name]))
    found.finish()
