"""The Dagster definitions: this module only composes."""

from dagster import Definitions, in_process_executor

from assets import (
    cluster_reports,
    datasets,
    dreams,
    duplicates,
    embeddings,
    encoders,
    evaluations,
    exploration_reports,
    fingerprints,
    leaderboard,
    recommendations,
    representations,
    study_reports,
    tags,
    trained_models,
)
from assets.pages.asset import pages
from assets.resources import HomeResource
from assets.tracking import Tracker
from pipelines import jobs, sensors

defs = Definitions(
    assets=[
        representations.ingest_batch,
        fingerprints.audio_fingerprints,
        duplicates.duplicates,
        datasets.datasets,
        exploration_reports.exploration_reports,
        trained_models.trained_models,
        evaluations.evaluations,
        study_reports.study_reports,
        leaderboard.leaderboard,
        encoders.encoders,
        embeddings.embeddings,
        tags.tags,
        cluster_reports.cluster_reports,
        recommendations.recommendation_indexes,
        recommendations.recommendations,
        dreams.dreams,
        pages,
    ],
    asset_checks=[
        representations.quarantine_rate,
        datasets.no_leakage,
        embeddings.serving_coverage,
    ],
    jobs=jobs.ALL,
    sensors=sensors.ALL,
    resources={"home": HomeResource(), "tracking": Tracker()},
    # Small steps in one process: 0.2 s a run instead of 4 to 5. A cluster sets its own executor.
    executor=in_process_executor,
)
