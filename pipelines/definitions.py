"""The Dagster definitions: this module only composes."""

from dagster import Definitions, in_process_executor

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.exploration import reports as exploration_reports
from melgraph.assets.embeddings import embeddings, encoders, tags
from melgraph.assets.embeddings.clusters import reports as cluster_reports
from melgraph.assets.generation import dreams
from melgraph.assets.library import duplicates, fingerprints, representations
from melgraph.assets.models import evaluations, leaderboard, trained_models
from melgraph.assets.models.studies import reports as study_reports
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.pages.asset import pages
from melgraph.assets.recommendations import recommendations
from melgraph.assets.resources import HomeResource
from melgraph.pipelines import jobs, sensors

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
