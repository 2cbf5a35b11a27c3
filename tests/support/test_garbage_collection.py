"""The garbage collector is off where it is asked to be, and as it was afterwards."""

from __future__ import annotations

import gc

import pytest

from kir.support.garbage_collection import without_garbage_collection


def test_the_collector_is_off_in_the_block_and_on_after_it() -> None:
    with without_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_switches_it_on_again() -> None:
    @without_garbage_collection()
    def fail() -> None:
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with without_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
