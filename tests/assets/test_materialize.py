"""What Dagster shows of a mistake: the message, without the frames it went through."""

import pytest
from dagster import DagsterInstance, asset, materialize

from melgraph.assets.materialize import plain_failures
from melgraph.ml.errors import UserError
from melgraph.storage.errors import StorageError


@pytest.mark.parametrize("kind", [UserError, StorageError])
def test_a_user_error_is_shown_without_frames(kind):
    error = kind("it is wrong", where="here", remedy="do so")

    @asset
    def failing():
        with plain_failures():
            raise error

    with DagsterInstance.ephemeral() as instance:
        result = materialize([failing], instance=instance, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    failure_data = failure.step_failure_data
    assert failure_data.error.to_string() == str(error)
    assert failure_data.error.stack == []
    assert failure_data.user_failure_data.description == str(error)


def test_another_error_keeps_its_frames():
    @asset
    def broken():
        with plain_failures():
            raise ZeroDivisionError("ours")

    with DagsterInstance.ephemeral() as instance:
        result = materialize([broken], instance=instance, raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "broken" in "".join(failure.step_failure_data.error.cause.stack)
