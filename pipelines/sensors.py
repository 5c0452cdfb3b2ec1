"""Sensors: new files become a batch; a batch's run is followed by those that depend on it.

Only these start runs by themselves. Each batch goes tracks -> embeddings for the encoders in
service -> their index and recommendations, and is searched for duplicates. Datasets, models and
reports are made when asked for.
"""

from dagster import (
    AssetKey,
    DagsterRunStatus,
    DefaultSensorStatus,
    MultiPartitionKey,
    RunRequest,
    RunStatusSensorContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    run_status_sensor,
    sensor,
)

from melgraph.assets.embeddings.embeddings import embedding_spec
from melgraph.assets.embeddings.encoders import ENCODERS, in_service
from melgraph.assets.embeddings.encoding import input_of_encoder
from melgraph.assets.library.ingest import DEFAULT
from melgraph.assets.pages.asset import SHOWN
from melgraph.assets.partitions import TRACK_BATCH, track_batches
from melgraph.assets.resources import HomeResource
from melgraph.pipelines import jobs
from melgraph.pipelines.intake import cut_batches, one_scanner, reconcile, scan_library
from melgraph.storage.errors import StorageError

BATCHES_PER_TICK = 8
ENCODER, PARTITION, BACKFILL = "encoder", "dagster/partition", "dagster/backfill"
SHOWN_JOBS = {
    job.name
    for job in (
        jobs.exploration,
        jobs.training,
        jobs.clustering,
        jobs.recommending,
        jobs.dreaming,
    )
}


@sensor(
    job=jobs.ingest,
    minimum_interval_seconds=30,
    default_status=DefaultSensorStatus.RUNNING,
    description="Cuts new and changed files of the library into track batches and ingests them.",
)
def new_tracks(context: SensorEvaluationContext, home: HomeResource) -> SensorResult | SkipReason:
    """List the library, note what was moved or deleted, request a run per batch of new files.

    A file is taken when two ticks in a row saw it alike. A batch that was registered but whose run
    was never requested (a crash in between) is found again: the catalogue, not a cursor, is the
    memory.
    """
    try:
        catalogue = home.catalogue()
        with one_scanner(home.open()):
            reconcile(home.store(), catalogue)
            scan = scan_library(home.open(), catalogue)
            cut_batches(catalogue, scan, most=BATCHES_PER_TICK)
    except StorageError as error:
        return SkipReason(str(error))
    known = set(context.instance.get_dynamic_partitions(str(track_batches.name)))
    waiting = [batch for batch in catalogue.batches() if batch not in known][:BATCHES_PER_TICK]
    if not waiting:
        what = "noted, and nothing to ingest" if scan.noted else "nothing to do"
        return SkipReason(f"{what}: {scan.sentence()}")
    context.log.info(f"{len(waiting)} batch(es) to ingest: {scan.sentence()}")
    return SensorResult(
        run_requests=[RunRequest(run_key=f"ingest {b}", partition_key=b) for b in waiting],
        dynamic_partitions_requests=[track_batches.build_add_request(waiting)],
    )


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[jobs.ingest],
    request_jobs=[jobs.embedding, jobs.representing],
    default_status=DefaultSensorStatus.RUNNING,
    description="Embeds a freshly ingested batch with every encoder in service.",
)
def batch_ingested(context: RunStatusSensorContext, home: HomeResource):
    """One embedding run per encoder in service; what an encoder reads beyond the usual is first
    made, and its embedding follows that.
    """
    batch, store = context.dagster_run.tags[PARTITION], home.store()
    encoders = in_service(store)
    if not encoders:
        yield SkipReason(f"{batch}: no encoder is in service yet")
    reads = {name: input_of_encoder(store.need(ENCODERS, name)).representation for name in encoders}
    for encoder in encoders:
        if reads[encoder] in DEFAULT:
            yield _embedding(encoder, batch, context.dagster_run.run_id)
    for representation in sorted(set(reads.values()) - set(DEFAULT)):
        yield RunRequest(
            run_key=f"{representation} {batch} after {context.dagster_run.run_id}",
            job_name=jobs.representing.name,
            partition_key=batch,
            asset_selection=[AssetKey(representation)],
        )


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[jobs.representing],
    request_job=jobs.embedding,
    default_status=DefaultSensorStatus.RUNNING,
    description="Embeds a batch with the encoders that were waiting for its waveforms and such.",
)
def batch_represented(context: RunStatusSensorContext, home: HomeResource):
    """One embedding run per encoder in service that reads what is new, and lacks it."""
    batch, store = context.dagster_run.tags[PARTITION], home.store()
    made = {key.to_user_string() for key in context.dagster_run.asset_selection or ()}
    waiting = False
    for encoder in in_service(store):
        read = input_of_encoder(store.need(ENCODERS, encoder)).representation
        if read not in (made or {read}) or store.current_reference(read, batch) is None:
            continue
        spec = embedding_spec(store, encoder, batch)
        if store.current_reference(spec.asset, spec.partition) != spec.reference:
            waiting = True
            yield _embedding(encoder, batch, context.dagster_run.run_id)
    if not waiting:
        yield SkipReason(f"{batch}: no encoder was waiting for it")


def _embedding(encoder: str, batch: str, after: str) -> RunRequest:
    key = MultiPartitionKey({ENCODER: encoder, TRACK_BATCH: batch})
    run_key = f"embed {encoder} {batch} after {after}"
    return RunRequest(run_key=run_key, job_name=jobs.embedding.name, partition_key=key)


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[jobs.ingest],
    request_job=jobs.deduplication,
    default_status=DefaultSensorStatus.RUNNING,
    description="Compares a freshly ingested batch with all tracks, for duplicates.",
)
def batch_to_compare(context: RunStatusSensorContext):
    """One run of the duplicates, which takes in every batch that is new by then."""
    yield RunRequest(run_key=f"compare after {context.dagster_run.run_id}")


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[jobs.embedding],
    request_job=jobs.recommending,
    default_status=DefaultSensorStatus.RUNNING,
    description="Lets freshly embedded tracks join their encoder's index.",
)
def batch_embedded(context: RunStatusSensorContext):
    """One run of the encoder's index and recommendations."""
    encoder = context.dagster_run.tags[f"{PARTITION}/{ENCODER}"]
    run_key = f"recommend {encoder} after {context.dagster_run.run_id}"
    yield RunRequest(run_key=run_key, partition_key=encoder)


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    request_job=jobs.publishing,
    default_status=DefaultSensorStatus.RUNNING,
    description="Writes the pages again when there is something new to show.",
)
def something_to_show(context: RunStatusSensorContext):
    """One run of the pages after a run by hand or by sensor; a backfill makes its own."""
    run = context.dagster_run
    shown = {key.to_user_string() for key in run.asset_selection or ()} & set(SHOWN)
    if BACKFILL in run.tags or (run.job_name not in SHOWN_JOBS and not shown):
        yield SkipReason(f"run {run.run_id} made nothing that the pages show by itself")
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
