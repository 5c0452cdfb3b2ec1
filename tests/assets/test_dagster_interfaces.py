"""melgraph uses two private interfaces of Dagster. What to do when an upgrade breaks one of them.

`PlainFailure` in assets/materialize.py makes the UI show the message of a user's mistake without a
traceback. For this it derives from `DagsterUserCodeProcessError` and passes a
`SerializableErrorInfo`. Dagster 1.13 has no public interface for it: for a public `Failure` it
stores a traceback of its own frames (the last test of this module).

When a test of this module fails after an upgrade of Dagster, in this order:

1. If the last test fails, Dagster shows a `Failure` without frames: derive `PlainFailure` from
   `dagster.Failure` alone, and delete this module.
2. If a name has moved, change the two imports in assets/materialize.py. Look for it with
   `grep -rn "class DagsterUserCodeProcessError\\|class SerializableErrorInfo"` in the package.
3. Otherwise let `PlainFailure` derive from `dagster.Failure` alone, and delete this module and the
   assertion on `stack` in test_materialize.py. Then the UI shows a traceback below the message.
   Nothing else depends on it.
"""

import ast
import inspect
import sys

from dagster import DagsterInstance, Failure, asset, materialize

from tests.test_architecture import ROOT, name_of, tracked

try:
    from dagster._core.errors import DagsterUserCodeProcessError
    from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info

    from melgraph.assets.materialize import PlainFailure
except ImportError as error:
    raise ImportError(f"{error}\n\n{__doc__}") from error

PRIVATE_IMPORTS = {
    ("assets/materialize.py", "dagster._core.errors.DagsterUserCodeProcessError"),
    ("assets/materialize.py", "dagster._utils.error.SerializableErrorInfo"),
}


def private_imports(source: str) -> set[str]:
    """Names that a module imports from private modules of Dagster."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("dagster") and "._" in name}


def test_only_these_private_interfaces_are_used():
    tests = ROOT / "tests"  # they may look at Dagster's internals
    modules = [path for path in tracked(".py") if not path.is_relative_to(tests)]
    uses = {(name_of(path), name) for path in modules for name in private_imports(path.read_text())}
    assert uses == PRIVATE_IMPORTS, "use `from dagster import ...`, or describe the new use here"


def test_the_private_classes_have_the_form_that_plain_failure_needs():
    parameters = inspect.signature(SerializableErrorInfo).parameters
    assert {"message", "stack", "cls_name"} <= set(parameters)
    info = SerializableErrorInfo(message="what", stack=[], cls_name=None)
    assert info.to_string() == "what"
    error = DagsterUserCodeProcessError("what", user_code_process_error_infos=[info])
    assert error.user_code_process_error_infos == [info]


def test_dagster_takes_the_message_of_a_plain_failure_without_frames():
    try:
        raise PlainFailure("what")
    except PlainFailure:
        info = serializable_error_info_from_exc_info(sys.exc_info())
    assert (info.message, info.stack, info.cause) == ("what", [], None)


def test_a_plain_failure_is_a_failure_without_retries():
    failure = PlainFailure("what")
    assert isinstance(failure, Failure)
    assert failure.description == "what"
    assert failure.allow_retries is False


def test_dagster_shows_frames_for_a_public_failure():
    """As long as this holds, the private classes are needed."""

    @asset
    def failing():
        raise Failure("what", allow_retries=False)

    with DagsterInstance.ephemeral() as instance:
        result = materialize([failing], instance=instance, raise_on_error=False)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert event.step_failure_data.error.stack, (
        "Dagster shows a Failure without frames: see point 1 at the top of this module"
    )
