"""Sensors: they start runs for new files, and follow-up runs when a run succeeds.

New files become a track batch. The batch is ingested, compared with all tracks to find duplicates,
and embedded by every encoder in service, by fusions after their parts; then the recommendations are
updated. No sensor makes a dataset, a model or a report; a user starts these.
"""

import hashlib
from collections.abc import Iterator

from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    MultiPartitionKey,
    RunRequest,
    RunsFilter,
    RunStatusSensorContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    run_status_sensor,
    sensor,
)

from melgraph.assets.context import Context
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.embeddings.encoders import in_service
from melgraph.assets.library.live import library_state
from melgraph.assets.materialize import all_current
from melgraph.assets.models.test_reads import restore_test_reads
from melgraph.assets.partitions import track_batches
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import ENCODER, ONE, TRACK_BATCH
from melgraph.assets.stages import (
    BY_DEFAULT,
    EMBEDDINGS,
    ENCODERS,
    GENERATORS,
    SHOWN_STAGES,
    stages_of,
)
from melgraph.ml.errors import UserError
from melgraph.pipelines.intake import cut_batches, one_scanner, reconcile, restore, scan_library
from melgraph.pipelines.jobs import JOBS
from melgraph.pipelines.plan import Planner, Step
from melgraph.pipelines.runs.ownership import fail_dead_runs
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import StorageError
from melgraph.storage.records import canonical_json, partition_name

BATCHES_PER_TICK = 8
PARTITION, BACKFILL = "dagster/partition", "dagster/backfill"
# Jobs whose results the pages show, and that no other run follows.
JOBS_ON_PAGES = {
    "exploration",
    "training",
    "clustering",
    "recommending",
    *(stage.job for stage in GENERATORS if stage.on_pages),
}


ACTIVE = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
# The jobs whose results depend on moved, retagged and deleted files, in the order of the data.
FOLLOW_UPS = ("deduplication", "recommending", "publishing")


@sensor(
    jobs=[JOBS["ingest"], *(JOBS[name] for name in FOLLOW_UPS)],
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Groups new and changed files of the library into track batches and ingests them. "
    "Updates duplicates, recommendations and pages if files were moved, retagged or deleted.",
)
def new_tracks(context: SensorEvaluationContext, home: HomeResource) -> SensorResult | SkipReason:
    """Scan the library, record what happened to known files, and request a run for each new batch.

    First, runs whose process has died are marked as failed, so that they hold up no new run.

    A file is ingested when its size and date are the same at two ticks in a row. If the process
    dies between the registration of a batch and the request of its run, the next tick requests it:
    the catalogue holds the state, not a cursor. The cursor only says for which moved,
    retagged and deleted files results were updated already.
    """
    try:
        opened = home.open()
        if dead := fail_dead_runs(context.instance, opened):
            context.log.warning(f"marked as failed, because their process had died: {dead}")
        store, catalogue = ArtifactStore(opened), Catalogue(opened.catalogue)
        with one_scanner(opened):
            if n_restored := restore(store, catalogue):
                context.log.warning(f"the catalogue was lost; {n_restored} batch(es) were restored")
            restore_test_reads(store)
            reconcile(store, catalogue)
            scan = scan_library(opened, catalogue)
            cut_batches(catalogue, scan, most=BATCHES_PER_TICK)
    except (StorageError, UserError) as error:
        return SkipReason(str(error))
    requested = set(context.instance.get_dynamic_partitions(str(track_batches.name)))
    waiting = [batch for batch in catalogue.batches() if batch not in requested][:BATCHES_PER_TICK]
    if not waiting:
        try:
            requests = _follow_changes(context, home.context())
        except (StorageError, UserError) as error:  # a TOML file of the home is wrong, for example
            return SkipReason(f"no file to ingest; results were not updated: {error}")
        if requests:
            names = ", ".join(sorted({str(request.job_name) for request in requests}))
            context.log.info(
                f"files were moved, retagged or deleted; requesting {names}: {scan.sentence()}"
            )
            return SensorResult(run_requests=requests)
        recorded = "; the catalogue was updated" if scan.affects_catalogued_files else ""
        return SkipReason(f"no file to ingest{recorded}: {scan.sentence()}")
    context.log.info(f"requesting the ingest of {len(waiting)} track batch(es): {scan.sentence()}")
    return SensorResult(
        run_requests=[
            RunRequest(run_key=f"ingest {b}", job_name="ingest", partition_key=b) for b in waiting
        ],
        dynamic_partitions_requests=[track_batches.build_add_request(waiting)],
    )


def _follow_changes(context: SensorEvaluationContext, opened: Context) -> list[RunRequest]:
    """Requests that bring existing results up to date with moved, retagged and deleted files.

    Each job waits until the one before it has ended, because it reads its result. The cursor is
    `<digest of the state of the library> <number of jobs requested for it>`.
    """
    state = hashlib.sha256(canonical_json(library_state(opened.catalogue))).hexdigest()[:16]
    known_state, _, count = (context.cursor or "").partition(" ")
    n_requested = int(count) if known_state == state and count.isdigit() else 0
    if n_requested and _is_active(context.instance, FOLLOW_UPS[n_requested - 1]):
        return []
    planner = Planner(opened, experiments=())
    plans = (planner.deduplication, planner.recommending, planner.publishing)
    requests: list[RunRequest] = []
    while n_requested < len(FOLLOW_UPS) and not requests:
        requests = [
            RunRequest(
                run_key=f"{step.job} {' '.join(step.partition.values())} of {state}",
                job_name=step.job,
                partition_key=next(iter(step.partition.values()), None),
            )
            for step in plans[n_requested]()
            if step.why_not is None and _exists(opened.store, step)
        ]
        n_requested += 1
    context.update_cursor(f"{state} {n_requested}")
    return requests


def _is_active(instance: DagsterInstance, job: str) -> bool:
    """Whether a run of the job is queued or under way."""
    unfinished = RunsFilter(job_name=job, statuses=ACTIVE)
    return instance.get_runs_count(unfinished) > 0


def _exists(store: ArtifactStore, step: Step) -> bool:
    """Whether the results of a step exist already. No sensor makes others for this reason."""
    partition = partition_name(step.partition) if step.partition else ONE
    return all(store.current_reference(stage.name, partition) for stage in stages_of(step.job))


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[JOBS["ingest"]],
    request_jobs=[JOBS["embedding"], JOBS["representing"]],
    default_status=DefaultSensorStatus.RUNNING,
    description="Embeds each newly ingested track batch with every encoder in service.",
)
def batch_ingested(context: RunStatusSensorContext, home: HomeResource):
    """Request an embedding run for each encoder in service.

    If an encoder reads a representation that an ingest does not compute, request this
    representation instead. `batch_represented` then requests the embedding. A fusion waits for the
    embeddings of its parts, after which `batch_embedded` requests its own.
    """
    batch, opened = context.dagster_run.tags[PARTITION], home.context()
    serving = [Encoder.current(opened.store, name) for name in _serving(context, opened)]
    if not serving:
        yield SkipReason(
            f"{batch} was not embedded: no encoder is in service in the loaded definitions"
        )
    reads = {e.name: e.input.representation for e in serving if not e.is_fusion}
    by_default = {stage.name for stage in BY_DEFAULT}
    for encoder, representation in reads.items():
        if representation in by_default:
            yield _embedding(encoder, batch, context.dagster_run.run_id)
    for representation in sorted(set(reads.values()) - by_default):
        yield RunRequest(
            run_key=f"{representation} {batch} after {context.dagster_run.run_id}",
            job_name="representing",
            partition_key=batch,
            asset_selection=[AssetKey(representation)],
        )


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[JOBS["representing"]],
    request_job=JOBS["embedding"],
    default_status=DefaultSensorStatus.RUNNING,
    description="Embeds a track batch with the encoders that waited for a representation of it.",
)
def batch_represented(context: RunStatusSensorContext, home: HomeResource):
    """Request an embedding run for each encoder that reads a new representation of the batch."""
    batch, opened = context.dagster_run.tags[PARTITION], home.context()
    selected = {key.to_user_string() for key in context.dagster_run.asset_selection or ()}
    waiting = False
    for name in _serving(context, opened):
        encoder = Encoder.current(opened.store, name)
        if encoder.is_fusion:
            continue
        representation = encoder.input.representation
        if representation not in (selected or {representation}):
            continue
        if opened.store.current_reference(representation, batch) is None:
            continue
        spec = EMBEDDINGS.plan(opened, partition_name({ENCODER: name, TRACK_BATCH: batch}))
        if not all_current(opened.store, [spec]):
            waiting = True
            yield _embedding(name, batch, context.dagster_run.run_id)
    if not waiting:
        yield SkipReason(f"{batch}: no encoder waited for a representation that this run made")


def _serving(context: RunStatusSensorContext, opened: Context) -> list[str]:
    """The encoders in service that the loaded definitions have as partitions.

    An encoder that was put into service later has no partition until Dagster loads the definitions
    again. A request for it would fail the tick, and with it the requests for all other encoders.
    """
    names = in_service(opened)
    if context.repository_def is None:
        return names
    partitions = context.repository_def.asset_graph.get(AssetKey(ENCODERS.name)).partitions_def
    loaded = set(partitions.get_partition_keys()) if partitions else set()
    if new := sorted(set(names) - loaded):
        context.log.warning(
            f"not embedded with {', '.join(new)}: the loaded definitions do not have this encoder; "
            "remedy: reload the code location under Deployment, or restart `melgraph ui`"
        )
    return [name for name in names if name in loaded]


def _embedding(encoder: str, batch: str, after: str) -> RunRequest:
    key = MultiPartitionKey({ENCODER: encoder, TRACK_BATCH: batch})
    run_key = f"embed {encoder} {batch} after {after}"
    return RunRequest(run_key=run_key, job_name="embedding", partition_key=key)


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[JOBS["ingest"]],
    request_job=JOBS["deduplication"],
    default_status=DefaultSensorStatus.RUNNING,
    description="Compares each newly ingested track batch with all tracks, to find duplicates.",
)
def batch_to_compare(context: RunStatusSensorContext):
    """Request a run of `duplicates`, which covers all batches that are new when it starts."""
    yield RunRequest(run_key=f"compare after {context.dagster_run.run_id}")


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[JOBS["embedding"]],
    request_jobs=[JOBS["recommending"], JOBS["embedding"]],
    default_status=DefaultSensorStatus.RUNNING,
    description="Adds newly embedded tracks to the index and the recommendations of their encoder. "
    "Embeds them with each fusion of which this encoder was the last part to embed them.",
)
def batch_embedded(context: RunStatusSensorContext, home: HomeResource):
    """Request a run of the index and the recommendations of the encoder, and of its fusions."""
    encoder = context.dagster_run.tags[f"{PARTITION}/{ENCODER}"]
    batch = context.dagster_run.tags[f"{PARTITION}/{TRACK_BATCH}"]
    run_key = f"recommend {encoder} after {context.dagster_run.run_id}"
    yield RunRequest(run_key=run_key, job_name="recommending", partition_key=encoder)
    try:  # a TOML file of the home that is wrong must not keep the recommendations from following
        opened = home.context()
        for name in _serving(context, opened):
            fusion = Encoder.current(opened.store, name)
            if encoder in [part.name for part in fusion.parts]:
                yield from _fused_embedding(context, opened, fusion, batch)
    except (StorageError, UserError) as error:
        context.log.warning(f"{batch} was not embedded with fusions of {encoder}: {error}")


def _fused_embedding(
    context: RunStatusSensorContext, opened: Context, fusion: Encoder, batch: str
) -> Iterator[RunRequest]:
    """The request of an embedding by a fusion, if all of its parts have embedded the batch.

    Two parts may finish at once, and each of them is then the last one. The key of the request
    names the embeddings of all parts, so that Dagster starts one run.
    """
    partition = partition_name({ENCODER: fusion.name, TRACK_BATCH: batch})
    try:
        spec = EMBEDDINGS.plan(opened, partition)
        inputs = [opened.store.get(reference).record for reference in sorted(spec.inputs)]
    except (StorageError, UserError) as error:
        context.log.info(f"{batch} waits to be embedded with {fusion.name}: {error.what}")
        return
    if not all_current(opened.store, [spec]):
        state = [[str(one.spec.reference), one.finished_at] for one in inputs]
        after = hashlib.sha256(canonical_json(state)).hexdigest()[:16]
        yield _embedding(fusion.name, batch, after)


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    request_job=JOBS["publishing"],
    default_status=DefaultSensorStatus.RUNNING,
    description="Writes the HTML pages again when a run has made a result that they show.",
)
def something_to_show(context: RunStatusSensorContext):
    """Request a run of the pages after a run that made something they show.

    A backfill requests none, because it may consist of thousands of runs.
    """
    run = context.dagster_run
    on_pages = {key.to_user_string() for key in run.asset_selection or ()} & set(SHOWN_STAGES)
    if BACKFILL in run.tags:
        yield SkipReason(f"run {run.run_id} belongs to a backfill, which does not update the pages")
    elif run.job_name not in JOBS_ON_PAGES and not on_pages:
        yield SkipReason(f"run {run.run_id} made no result that the pages show")
    else:
        yield RunRequest(run_key=f"pages after {run.run_id}")


ALL = [
    new_tracks,
    batch_ingested,
    batch_represented,
    batch_to_compare,
    batch_embedded,
    something_to_show,
]
