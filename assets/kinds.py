"""Every kind of artifact, and what writes it. Conformance and `reproduce` go through here."""

from collections.abc import Callable
from pathlib import Path

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.exploration import reports as exploration_reports
from melgraph.assets.embeddings import embeddings, encoders, tags
from melgraph.assets.embeddings.clusters import reports as cluster_reports
from melgraph.assets.generation import dreams
from melgraph.assets.library import duplicates, fingerprints, ingest
from melgraph.assets.models import evaluations, leaderboard, trained_models
from melgraph.assets.models.studies import reports as study_reports
from melgraph.assets.models.studies import trials
from melgraph.assets.pages import site
from melgraph.assets.recommendations import recommendations
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work, file_digests

KINDS: dict[str, Callable[[ArtifactStore, Work], None]] = {
    **dict.fromkeys((ingest.TRACKS, *ingest.DEFAULT, *ingest.ON_DEMAND), ingest.write_one),
    fingerprints.FINGERPRINTS: fingerprints.write_fingerprints,
    duplicates.DUPLICATES: duplicates.write_duplicates,
    datasets.DATASETS: datasets.write_dataset,
    exploration_reports.EXPLORATION_REPORTS: exploration_reports.write_exploration_report,
    trained_models.TRAINED: trained_models.write_trained_model,
    evaluations.EVALUATIONS: evaluations.write_evaluation,
    encoders.ENCODERS: encoders.write_encoder,
    embeddings.EMBEDDINGS: embeddings.write_embeddings,
    tags.TAGS: tags.write_tags,
    cluster_reports.CLUSTER_REPORTS: cluster_reports.write_cluster_report,
    recommendations.SEGMENTS: recommendations.write_index_segment,
    recommendations.INDEXES: recommendations.write_index,
    recommendations.RECOMMENDATIONS: recommendations.write_recommendations,
    dreams.DREAMS: dreams.write_dreams,
    trials.TRIALS: trials.write_trial,
    leaderboard.LEADERBOARD: leaderboard.write_leaderboard,
    study_reports.STUDY_REPORTS: study_reports.write_study_report,
    "pages": site.write_pages,
}


def remake(store: ArtifactStore, artifact: Artifact, folder: Path) -> list[str]:
    """Make an artifact again from its record alone, aside, and compare.

    Uses as many torch threads as the record names: another number can change the last bit.

    Args:
        store: where its inputs are.
        artifact: the one to make again; it is not touched.
        folder: an empty folder that receives the new files.

    Returns:
        The files whose bytes differ, are new or are missing; empty when every byte is the same.
    """
    spec = artifact.record.spec
    if threads := artifact.record.run.get("torch_threads"):
        import torch

        torch.set_num_threads(int(threads))
    KINDS[spec.asset](store, Work(spec, folder))
    made, recorded = file_digests(folder), dict(artifact.record.files)
    return sorted(name for name in made.keys() | recorded if made.get(name) != recorded.get(name))
