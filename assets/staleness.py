"""What is stale, and why: a comparison of the records with what would be made now.

Dagster derives staleness from the edges of its graph. An edge is the same for all partitions, so it
cannot say that only one experiment reads MFCC, or that a model started from another one; it is not
followed beyond the next asset, nor above 100 partitions. Records have none of these limits.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    multi_asset_check,
)

from melgraph.assets.context import Context
from melgraph.assets.library.live import MISSING, MOVED, RETAGGED, STATE, state_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import STAGES, assets
from melgraph.assets.ui import markdown_table
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.errors import StorageError
from melgraph.storage.records import Reference, Spec

CHECK = "up_to_date"
SHOWN_INPUTS = 3  # partitions of one asset that a reason names
SHOWN_PARTITIONS = 50  # in the Dagster UI
LIBRARY_EVENTS = {
    MISSING: "were deleted or came back",
    MOVED: "were moved",
    RETAGGED: "have new file metadata",
}


@dataclass(frozen=True)
class Stale:
    """A current artifact that would be made differently now.

    Attributes:
        reference: which artifact.
        reasons: why, one sentence each, for people.
    """

    reference: Reference
    reasons: tuple[str, ...]


def visible_inputs(store: ArtifactStore, artifact: Artifact) -> Iterator[Reference]:
    """The artifacts of assets that an artifact was directly made from.

    What was made inside of an asset, such as the trials of a study, is no asset of its own. Its
    inputs take its place, if it is still there and undamaged.
    """
    for reference in artifact.record.spec.inputs:
        if STAGES[reference.asset].job is not None:
            yield reference
            continue
        with suppress(StorageError):  # `melgraph audit` says what is missing or damaged
            yield from visible_inputs(store, store.get(reference))


def stale_artifacts(
    context: Context, *, on_partition: Callable[[], None] = lambda: None
) -> list[Stale]:
    """The current artifacts that are stale, in the order in which data flows.

    An artifact is stale if its spec would be another one now, if it was made from a current
    artifact that is stale, or if its record cannot be read.

    Args:
        context: of the home.
        on_partition: called after each partition.
    """
    changes: dict[Reference, list[str]] = {}
    inputs: dict[Reference, list[Reference]] = {}
    for stage in assets():
        for partition in context.store.partitions(stage.name):
            reference = context.store.current_reference(stage.name, partition)
            if reference is not None:
                changes[reference], inputs[reference] = _examine(context, reference)
            on_partition()

    @cache
    def reasons(reference: Reference) -> tuple[str, ...]:
        stale_inputs = [r for r in inputs[reference] if r in inputs and reasons(r)]
        return (*changes[reference], *_stale_inputs(stale_inputs))

    return [Stale(reference, reasons(reference)) for reference in changes if reasons(reference)]


@multi_asset_check(
    specs=[
        AssetCheckSpec(
            CHECK,
            asset=stage.name,
            description="What is stale, and why, from the records. Start the job `checking`, or "
            "`melgraph stale`, to ask again.",
        )
        for stage in assets()
    ],
    can_subset=True,
)
def up_to_date(
    context: AssetCheckExecutionContext, home: HomeResource
) -> Iterator[AssetCheckResult]:
    """Whether each partition of an asset is what would be made now."""
    stale = stale_artifacts(home.context())
    for key in sorted(context.selected_asset_check_keys):
        asset = key.asset_key.to_user_string()
        rows = [
            {"partition": one.reference.partition, "why it is stale": "; ".join(one.reasons)}
            for one in stale
            if one.reference.asset == asset
        ]
        yield AssetCheckResult(
            passed=not rows,
            asset_key=key.asset_key,
            check_name=CHECK,
            severity=AssetCheckSeverity.WARN,
            metadata={"stale": len(rows), "partitions": markdown_table(rows[:SHOWN_PARTITIONS])},
        )


def _examine(context: Context, reference: Reference) -> tuple[list[str], list[Reference]]:
    """How an artifact differs from the one that would be made now; and its visible inputs."""
    try:
        artifact = context.store.get(reference)
    except StorageError as error:
        return [error.what], []
    inputs = sorted(set(visible_inputs(context.store, artifact)))
    return _changes(context, artifact), inputs


def _changes(context: Context, artifact: Artifact) -> list[str]:
    """How the spec of an artifact differs from the one that it would have now."""
    spec = artifact.record.spec
    try:
        planned = STAGES[spec.asset].plan(context, spec.partition)
    except (UserError, StorageError) as error:
        return [f"it could not be made now: {error.what}"]
    if planned.version == spec.version:
        return []
    return list(spec_differences(spec, planned))


def _stale_inputs(inputs: Sequence[Reference]) -> Iterator[str]:
    for asset, references in groupby(inputs, key=lambda reference: reference.asset):
        partitions = [reference.partition for reference in references]
        verb = "is" if len(partitions) == 1 else "are"
        yield f"it was made from {asset} {_listing(partitions)}, which {verb} stale"


def spec_differences(old: Spec, new: Spec) -> Iterator[str]:
    """The differences between two specs of one partition, one sentence each."""
    if old.stage != new.stage:
        yield f"the stage integer of its code was {old.stage} and is {new.stage}"
    if old.seed != new.seed and "seed" not in old.config:  # else it is one of the settings below
        yield f"the seed was {old.seed} and is {new.seed}"
    itself = (new.asset, new.partition)  # the parent of a snapshot is no reason
    others = [[r for r in spec.inputs if (r.asset, r.partition) != itself] for spec in (old, new)]
    yield from _input_differences(*others)
    yield from _library_differences(old.config, new.config)
    before, now = (
        dict(_flat({key: value for key, value in spec.config.items() if key not in STATE}))
        for spec in (old, new)
    )
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield f"{key} was {_value(before, key)} and is {_value(now, key)}"


def _input_differences(old: Sequence[Reference], new: Sequence[Reference]) -> Iterator[str]:
    before = {(r.asset, r.partition) for r in set(old) - set(new)}
    now = {(r.asset, r.partition) for r in set(new) - set(old)}
    for sentence, keys in (
        ("it was made from another version of {}", before & now),
        ("it was not made from {}, which is there now", now - before),
        ("it was made from {}, which it would not use now", before - now),
    ):
        for asset, names in groupby(sorted(keys), key=lambda key: key[0]):
            yield sentence.format(f"{asset} {_listing([name for _, name in names])}")


def _library_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """How the library of two configurations differs: one sentence per kind of event."""
    before, now = _events(old), _events(new)
    for key, event in LIBRARY_EVENTS.items():
        ours, theirs = before[key], now[key]
        paths = [path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)]
        if paths:
            yield f"{len(paths)} file(s) {event} since: {_listing(sorted(paths))}"


def _events(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Kind of event -> path -> what the excerpt of the catalogue says about it."""
    state = state_of(config)
    origins = {origin for _, origin in state[MOVED].values()}  # has no file, but is not deleted
    absent = {path: True for path in state[MISSING] if path not in origins}
    return {MISSING: absent, MOVED: state[MOVED], RETAGGED: state[RETAGGED]}


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables, by dotted key."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(config: Mapping[str, Any], key: str) -> str:
    text = repr(config[key]) if key in config else "absent"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN_INPUTS])
    rest = len(names) - SHOWN_INPUTS
    return shown if rest <= 0 else f"{shown} and {rest} more"
