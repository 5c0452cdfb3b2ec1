"""Announces to Dagster the current artifacts that its database lacks.

Dagster shows what its database knows. The database can lack artifacts: its folder was removed, the
process died between the commit of an artifact and the event, or an upgrade of melgraph changed the
edges of the graph. The artifacts themselves are complete without Dagster.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEventType,
    DagsterInstance,
    MultiPartitionKey,
)

from melgraph.assets.context import Context
from melgraph.assets.materialize import describe
from melgraph.assets.stage import ONE, STUDY, TRACK_BATCH, Stage
from melgraph.assets.stages import STAGES, STUDY_REPORTS, TRACKS, assets
from melgraph.assets.staleness import visible_inputs
from melgraph.assets.ui import progress_bar
from melgraph.storage.artifacts import Artifact
from melgraph.storage.errors import StorageError
from melgraph.storage.records import Reference

if TYPE_CHECKING:
    from dagster import EventLogRecord

    from melgraph.assets.stage import Metadata

# The tags of an event from which Dagster derives what is stale.
DATA_VERSION, CODE_VERSION = "dagster/data_version", "dagster/code_version"
INPUT_VERSION, INPUT_EVENT = "dagster/input_data_version", "dagster/input_event_pointer"
NO_VERSION = NO_EVENT = "NULL"  # as Dagster writes them for an input that does not exist


def announce(
    instance: DagsterInstance,
    context: Context,
    *,
    report: Callable[[str], None] = lambda sentence: None,
) -> int:
    """Tell Dagster about each current artifact that its database does not know, and its partitions.

    The events name the inputs as the records do. So Dagster calls an artifact stale afterwards if,
    and only if, an input that its graph can draw has another version now.

    Args:
        instance: the Dagster instance of the home.
        context: of the home.
        report: called with a sentence before the work, if there is any.

    Returns:
        The number of artifacts that were announced.
    """
    instance.add_dynamic_partitions(TRACK_BATCH, context.store.partitions(TRACKS.name))
    instance.add_dynamic_partitions(STUDY, context.store.partitions(STUDY_REPORTS.name))
    announcer = _Announcer(instance, context)
    unknown = list(announcer.unknown())
    if unknown:
        report(f"announcing {len(unknown)} artifact(s) that Dagster's database does not know")
        with progress_bar(len(unknown), "artifacts", "announcing") as bar:
            for reference in unknown:  # in the order in which data flows
                announcer.announce(reference)
                bar.update()
        announcer.restore_current()
    return len(unknown)


@dataclass
class _Announcer:
    """Adds events to Dagster's database.

    Attributes:
        instance: the Dagster instance of the home.
        context: of the home.
        versions: asset -> partition -> version that Dagster's last event names.
        events: asset -> id of its last event.
        superseded: partitions of which an older version was announced last.
    """

    instance: DagsterInstance
    context: Context
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    events: dict[str, int | None] = field(default_factory=dict)
    superseded: set[tuple[str, str]] = field(default_factory=set)

    def unknown(self) -> Iterator[Reference]:
        """The current artifacts that Dagster does not know with the present edges of its graph."""
        store = self.context.store
        for stage in assets():
            last = self._last_record(stage.name)
            self.events[stage.name] = last.storage_id if last else None
            self.versions[stage.name] = self._last_versions(stage)
            has_these_edges = last is not None and _edges(last) == set(stage.reads)
            for partition in store.partitions(stage.name):
                reference = store.current_reference(stage.name, partition)
                known = self.versions[stage.name].get(partition)
                if reference and not (has_these_edges and known == reference.version):
                    yield reference

    def announce(self, reference: Reference) -> None:
        """Announce an artifact. Its inputs are then the last versions that Dagster has seen.

        An artifact with a damaged record is left out: it must not stop a run that does not need it.
        """
        with suppress(StorageError):
            artifact, stage = self.context.store.get(reference), STAGES[reference.asset]
            for input_reference in visible_inputs(self.context.store, artifact):
                self._show_input(input_reference)
            self._report(artifact, stage, _metadata(artifact, stage))

    def _show_input(self, reference: Reference) -> None:
        """If Dagster's last event of a partition names another version, announce this one."""
        asset, partition = reference.asset, reference.partition
        if self.versions[asset].get(partition) == reference.version:
            return
        with suppress(StorageError):  # it was removed, or is damaged
            artifact = self.context.store.get(reference)
            self._report(artifact, STAGES[asset], {"outcome": "an older version, read by others"})
            self.superseded.add((asset, partition))

    def restore_current(self) -> None:
        """Announce the current version of the partitions whose last event names an older one.

        The assets that come last in the flow of data come first here, so that an input that is
        announced once more is restored afterwards.
        """
        for stage in reversed(assets()):
            for asset, partition in sorted(self.superseded):
                current = self.context.store.current_reference(asset, partition)
                if asset == stage.name and current is not None:
                    self.announce(current)

    def _report(self, artifact: Artifact, stage: Stage, metadata: "Metadata") -> None:
        reference = artifact.reference
        tags = {
            DATA_VERSION: reference.version,
            CODE_VERSION: str(artifact.record.spec.stage),
            **self._provenance(artifact, stage),
        }
        event = AssetMaterialization(
            stage.name, metadata=metadata, partition=_partition_key(reference, stage), tags=tags
        )
        self.instance.report_runless_asset_event(event)
        self.versions[stage.name][reference.partition] = reference.version
        last = self._last_record(stage.name)
        self.events[stage.name] = last.storage_id if last else None

    def _provenance(self, artifact: Artifact, stage: Stage) -> dict[str, str]:
        """The tags that say from which events of the drawn inputs an artifact was made."""
        recorded = {r.asset: r.version for r in visible_inputs(self.context.store, artifact)}
        tags = {}
        for name in stage.reads:
            # Dagster compares this version for inputs without partitions, and else the events.
            current = self.versions[name].get(ONE, NO_VERSION)
            tags[f"{INPUT_VERSION}/{name}"] = recorded.get(name, current)
            tags[f"{INPUT_EVENT}/{name}"] = str(self.events[name] or NO_EVENT)
        return tags

    def _last_record(self, asset: str) -> "EventLogRecord | None":
        return next(
            iter(self.instance.fetch_materializations(AssetKey(asset), limit=1).records), None
        )

    def _last_versions(self, stage: Stage) -> dict[str, str]:
        """Partition -> the version that Dagster's last event of it names."""
        if not stage.partitioned_by:
            last = self._last_record(stage.name)
            return {ONE: _tags(last)[DATA_VERSION]} if last else {}
        tags = self.instance.event_log_storage.get_latest_tags_by_partition(
            AssetKey(stage.name), DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION]
        )
        return {name.replace("|", "+"): value[DATA_VERSION] for name, value in tags.items()}


def _tags(record: "EventLogRecord") -> Mapping[str, str]:
    materialization = record.asset_materialization
    return (materialization.tags if materialization else None) or {}


def _edges(record: "EventLogRecord") -> set[str]:
    """The assets upstream of an asset when an event was recorded."""
    prefix = f"{INPUT_VERSION}/"
    return {tag.removeprefix(prefix) for tag in _tags(record) if tag.startswith(prefix)}


def _partition_key(reference: Reference, stage: Stage) -> str | None:
    """The partition of an artifact as Dagster spells it."""
    if not stage.partitioned_by:
        return None
    if len(stage.partitioned_by) == 1:
        return reference.partition
    names = reference.partition.split("+")
    return MultiPartitionKey(dict(zip(sorted(stage.partitioned_by), names, strict=True)))


def _metadata(artifact: Artifact, stage: Stage) -> "Metadata":
    """What the UI shows of an artifact. What it cannot show must not keep it from being listed."""
    time = {"made": artifact.record.finished_at}
    if artifact.record.spec.stage < stage.oldest_readable:
        return time | {"outcome": "made by an older melgraph; materialize it again to see it"}
    try:
        return time | dict(describe(artifact, stage, is_new=False).metadata or {})
    except Exception as error:  # any file of it may be damaged; `melgraph audit` says which
        return time | {"outcome": f"it cannot be shown: {error}"}
