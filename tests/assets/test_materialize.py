"""What Dagster is told: a mistake without frames, and values that can be read."""

import pytest
from dagster import DagsterInstance, asset, materialize

from melgraph.assets.materialize import markdown_table, plain_failures
from melgraph.ml.errors import UserError
from melgraph.storage.errors import StorageError


@pytest.mark.parametrize("kind", [UserError, StorageError])
def test_a_mistake_is_told_without_the_frames_it_went_through(kind):
    error = kind("it is wrong", where="here", remedy="do so")

    @asset
    def hopeless():
        with plain_failures():
            raise error

    with DagsterInstance.ephemeral() as instance:
        ran = materialize([hopeless], instance=instance, raise_on_error=False)
    (failure,) = [event for event in ran.all_events if event.is_step_failure]
    told = failure.step_failure_data
    assert told.error.to_string() == str(error)
    assert told.error.stack == []
    assert told.user_failure_data.description == str(error)


def test_what_is_not_a_mistake_keeps_its_frames():
    @asset
    def broken():
        with plain_failures():
            raise ZeroDivisionError("ours")

    with DagsterInstance.ephemeral() as instance:
        ran = materialize([broken], instance=instance, raise_on_error=False)
    (failure,) = [event for event in ran.all_events if event.is_step_failure]
    assert "broken" in "".join(failure.step_failure_data.error.cause.stack)


def test_a_table_holds_names_as_they_are():
    rows = [
        {"path": "a|b/*c* <i>_d_ [x](y)\n~.flac", "artist": None, "seconds": 1 / 3},
        {"path": "plain.flac", "artist": "Trio", "seconds": 4.0},
    ]
    header, rule, first, second = markdown_table(rows).value.splitlines()
    assert header == "| path | artist | seconds |"
    assert rule == "| --- | --- | --- |"
    assert first == r"| a\|b/\*c\* \<i\>\_d\_ \[x\](y) \~.flac | - | 0.3333 |"
    assert second == "| plain.flac | Trio | 4.0 |"


def test_a_table_of_nothing_says_so():
    assert markdown_table([]).value == "(none)"
