"""What a training script asks of a model besides building it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kir import Input, Sequential, layers
from kir.errors import FormatError, UnsupportedError
from kir.modeling.deferred import script_runs
from kir.modeling.training import IDLE_METHODS, REFUSED_METHODS


def small() -> Sequential:
    return Sequential([Input((3,)), layers.Dense(2, name="d"), layers.BatchNormalization(name="b")], name="small")


def test_fit_trains_nothing_and_says_so() -> None:
    model = small()
    before = model.get_weights()
    with pytest.warns(UserWarning, match=r"'small' was not trained.*before fit\(\).*--weights FILE.*load_weights"):
        history = model.fit(np.zeros((4, 3)), np.zeros((4, 2)), epochs=3)
    assert all(a is b for a, b in zip(model.get_weights(), before, strict=True))
    assert (history.model, history.epoch, history.params) == (model, [], {})
    assert history.history["val_loss"] == []
    assert [w.awaits_training for w in model.weights] == [True, True, True, True, False, False]


def test_results_are_nan_and_as_many_as_in_keras() -> None:
    model, reference = small(), keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for given, names in (((), ["loss"]), ((["mae", "mse"],), ["loss", "mae", "mse"])):
        arguments: Any = ("sgd", "mse", None, *given)
        model.compile(*arguments)
        reference.compile(*arguments)
        x, y = np.zeros((4, 3)), np.zeros((4, 2))
        with pytest.warns(UserWarning, match="'small' was not evaluated"):
            results, by_name = model.evaluate(x, y), model.test_on_batch(x, y, return_dict=True)
        expected = reference.evaluate(x, y, verbose=0)
        assert np.shape(results) == np.shape(expected)
        assert np.isnan(results).all()
        assert list(by_name) == model.metrics_names == names
        assert set(by_name) == set(reference.evaluate(x, y, verbose=0, return_dict=True))
    with pytest.warns(UserWarning, match=r"before train_on_batch\(\)"):
        assert all(math.isnan(one) for one in model.train_on_batch(x, y))


def test_compile_is_remembered() -> None:
    model = small()
    assert (model.optimizer, model.loss, model.compiled, model.stop_training) == (None, None, False, False)
    model.compile("adam", loss={"small": "mse"})
    assert (model.optimizer, model.loss, model.compiled) == ("adam", {"small": "mse"}, True)
    model.compile()
    assert model.optimizer == "rmsprop"


@pytest.mark.parametrize("method", REFUSED_METHODS)
def test_the_steps_of_a_loop_are_refused(method: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"cannot do {method}\(\).*__main__"):
        getattr(small(), method)(None)


@pytest.mark.parametrize("method", IDLE_METHODS)
def test_what_only_prepares_is_accepted(method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(small(), method)() is None


@pytest.mark.filterwarnings("ignore:'small' was not trained")
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.npz", "m.onnx"])
def test_weights_that_await_training_are_not_written_until_others_are_given(name: str, tmp_path: Path) -> None:
    path, model = tmp_path / name, small()

    def write() -> None:
        kind = {".keras": "save", ".onnx": "export"}.get(path.suffix, "save_weights")
        getattr(model, kind)(path)

    path.write_text("trained")
    model.fit(None)
    with pytest.raises(UnsupportedError, match="was not trained here"):
        write()
    with script_runs(), pytest.warns(UserWarning, match=f"{name}'\\) wrote nothing: 'small' was not trained here"):
        write()
    assert path.read_text() == "trained"
    model.set_weights([one + 1 for one in model.get_weights()])
    write()
    assert path.read_bytes() != b"trained"
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:'small' was not trained")
def test_layers_that_are_frozen_do_not_await_training(tmp_path: Path) -> None:
    model = small()
    model.trainable = False
    model.fit(None)
    model.save(tmp_path / "m.keras")
    assert (tmp_path / "m.keras").exists()


@pytest.mark.filterwarnings("ignore:'small' was not trained")
def test_weights_that_await_training_do_so_in_another_model_too(tmp_path: Path) -> None:
    """A script copies them into a model of another batch size, or back into the same model."""
    trained, copy = small(), small()
    trained.fit(None)
    copy.set_weights(trained.get_weights())
    trained.set_weights(trained.get_weights())
    for model in (trained, copy):
        with pytest.raises(UnsupportedError, match="was not trained here"):
            model.save(tmp_path / "m.keras")


@pytest.mark.filterwarnings("ignore:'small' was not trained")
def test_a_call_with_other_weights_trains_none(tmp_path: Path) -> None:
    model = small()
    model.fit(None)
    model.stateless_call([one + 1 for one in model.get_weights()], [], np.zeros((1, *model.input_shape[1:])))
    with pytest.raises(UnsupportedError, match="was not trained here"):
        model.save(tmp_path / "m.keras")


def test_a_file_that_cannot_be_written_is_an_error_outside_of_scripts_alone(tmp_path: Path) -> None:
    for write, message in (
        (lambda: small().save(tmp_path / "m.h5"), "expected a name ending in .keras"),
        (lambda: small().save(tmp_path / "folder"), "expected a name ending in .keras"),
        (lambda: small().save_weights(tmp_path / "checkpoint"), r"expected a name ending in .weights.h5"),
        (lambda: small().export(tmp_path / "folder"), "expected a name ending in .onnx"),
        (lambda: small().export(tmp_path / "m.onnx", format="tf_saved_model"), "kir exports ONNX files"),
        (lambda: small().save(tmp_path / "none" / "m.keras"), "cannot write"),
    ):
        with pytest.raises(FormatError, match=message):
            write()
        with script_runs(), pytest.warns(UserWarning, match=f"wrote nothing: .*{message}"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_files_are_kept_where_they_are_not_to_be_overwritten(tmp_path: Path) -> None:
    for path, write in (
        (tmp_path / "m.keras", small().save),
        (tmp_path / "m.npz", small().save_weights),
    ):
        write(path, overwrite=False)
        first = path.read_bytes()
        with pytest.raises(FormatError, match="exists; give another name, or overwrite=True"):
            write(path, overwrite=False)
        assert path.read_bytes() == first


def test_weights_are_loaded_whole_or_not_at_all(tmp_path: Path) -> None:
    small().save_weights(tmp_path / "m.npz")
    with pytest.raises(UnsupportedError, match="cannot do skip_mismatch, by_name"):
        small().load_weights(tmp_path / "m.npz", skip_mismatch=True, by_name=True)
    small().load_weights(tmp_path / "m.npz", skip_mismatch=False)


def test_predictions_under_the_names_of_keras() -> None:
    model, x = small(), np.ones((2, 3), "float32")
    expected = model.predict(x)
    for results in (
        model.predict(x, batch_size=1, verbose=0),
        model.predict_on_batch(x),
        model.predict_step((x, None)),
        model.predict_step(x),
    ):
        np.testing.assert_array_equal(results, expected)


def test_the_table_of_layers_goes_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    texts: list[str] = []
    small().summary(line_length=70, print_fn=texts.append, show_trainable=True)
    assert capsys.readouterr().out == ""
    assert "Total params: 16" in "".join(texts)
    assert max(map(len, texts[0].splitlines())) <= 70
    small().summary(line_length=60)
    assert "Total params: 16" in capsys.readouterr().out
