"""Every asset of the pipeline, as a table of stages.

The jobs, the Dagster definitions, the planner, `melgraph reproduce` and the conformance tests all
iterate over this table. A stage holds the names of its functions, which are imported at first use.
This module therefore imports no asset, and every asset can import this module.
"""

from melgraph.assets.stage import (
    DATASET,
    ENCODER,
    EXPERIMENT,
    GENERATIVE_MODEL,
    STUDY,
    TRACK_BATCH,
    Stage,
    generator_stage,
    representation_stage,
)

# The stages are listed in the order in which data flows.

TRACKS = Stage(
    "tracks",
    6,
    "library.representations",
    "tracks",
    definition="ingest_batch",
    files=("tracks.parquet",),
    partitioned_by=(TRACK_BATCH,),
    job="ingest",
    kinds=("polars",),
    on_pages=True,
)


MEL_SPECTROGRAMS = representation_stage("mel_spectrograms", 2, "ingest")
AUDIO_FEATURES = representation_stage(
    "audio_features", 2, "ingest", "audio_features.parquet", kind="polars"
)
STFT_SPECTROGRAMS = representation_stage("stft_spectrograms", 1, "representing")
MFCC = representation_stage("mfcc", 1, "representing")
WAVEFORMS = representation_stage("waveforms", 1, "representing")
WAVEFORMS_32K = representation_stage("waveforms_32k", 1, "representing")

BY_DEFAULT = (MEL_SPECTROGRAMS, AUDIO_FEATURES)  # representations computed for every batch
# representations computed only on request
ON_DEMAND = (STFT_SPECTROGRAMS, MFCC, WAVEFORMS, WAVEFORMS_32K)
REPRESENTATIONS = {stage.name: stage for stage in (*BY_DEFAULT, *ON_DEMAND)}

AUDIO_FINGERPRINTS = Stage(
    "audio_fingerprints",
    1,
    "library.fingerprints",
    "fingerprints",
    files=("audio_fingerprints.parquet",),
    partitioned_by=(TRACK_BATCH,),
    reads=("mel_spectrograms",),
    job="ingest",
    kinds=("polars",),
)
DUPLICATES = Stage(
    "duplicates",
    2,
    "library.duplicates",
    "duplicates",
    files=("duplicates.parquet", "links.parquet"),
    reads=("audio_fingerprints", "tracks"),
    job="deduplication",
    kinds=("polars",),
)
DATASETS = Stage(
    "datasets",
    4,
    "dataset.datasets",
    "dataset",
    files=("tracks.parquet", "spec.json"),
    partitioned_by=(DATASET,),
    reads=("tracks", "duplicates"),
    job="dataset",
    kinds=("polars",),
    on_pages=True,
)
EXPLORATION_REPORTS = Stage(
    "exploration_reports",
    3,
    "dataset.exploration.reports",
    "exploration_report",
    files=("*.parquet", "*.png", "figures.json"),
    partitioned_by=(DATASET,),
    reads=("datasets", "tracks", "mel_spectrograms", "audio_features", "duplicates"),
    job="exploration",
    kinds=("polars",),
    on_pages=True,
    oldest_readable=3,
)
TRAINED_MODELS = Stage(
    "trained_models",
    3,
    "models.trained_models",
    "trained_model",
    files=("checkpoint/*", "curves.parquet", "curves.png"),
    partitioned_by=(EXPERIMENT,),
    reads=("datasets", "mel_spectrograms"),
    job="training",
    kinds=("pytorch", "mlflow"),
    gpu=True,
    pool="gpu",
    on_pages=True,
)
EVALUATIONS = Stage(
    "evaluations",
    3,
    "models.evaluations",
    "evaluation",
    files=("*predictions.parquet", "*report.json", "*.png"),
    partitioned_by=(EXPERIMENT,),
    reads=("trained_models", "datasets", "mel_spectrograms"),
    job="training",
    kinds=("pytorch",),
    gpu=True,
    pool="gpu",
    on_pages=True,
    oldest_readable=2,
)
TRIALS = Stage(
    "trials",
    1,
    "models.studies.trials",
    "trial",
    is_planned=False,
    has_show=False,
    files=("predictions.parquet", "curves.parquet"),
)
STUDY_REPORTS = Stage(
    "study_reports",
    1,
    "models.studies.reports",
    "study_report",
    files=("arms.parquet", "report.json", "*.png"),
    partitioned_by=(STUDY,),
    reads=("datasets", "mel_spectrograms"),
    job="studying",
    kinds=("pytorch", "mlflow"),
    gpu=True,
    pool="gpu",
    on_pages=True,
)
ENCODERS = Stage(
    "encoders",
    3,
    "embeddings.encoders",
    "encoder",
    files=("encoder.json", "checkpoint/*", "statistics.npz"),
    partitioned_by=(ENCODER,),
    reads=("trained_models", "datasets", "mel_spectrograms"),
    job="encoding",
    kinds=("pytorch",),
)
EMBEDDINGS = Stage(
    "embeddings",
    3,
    "embeddings.embeddings",
    "embeddings",
    has_show=False,
    files=("tracks.parquet", "segments.parquet"),
    partitioned_by=(ENCODER, TRACK_BATCH),
    reads=("mel_spectrograms", "encoders"),
    job="embedding",
    kinds=("pytorch", "polars"),
    gpu=True,
    pool="embedding",
)
TAGS = Stage(
    "tags",
    2,
    "embeddings.tags",
    "tags",
    files=("tags.parquet",),
    partitioned_by=(ENCODER, TRACK_BATCH),
    reads=("embeddings", "encoders"),
    job="embedding",
    kinds=("pytorch", "polars"),
)
CLUSTER_REPORTS = Stage(
    "cluster_reports",
    3,
    "embeddings.clusters.reports",
    "cluster_report",
    files=("*.parquet", "figures.json", "*.png", "spectrograms-*.webp"),
    partitioned_by=(ENCODER,),
    reads=("embeddings", "datasets", "mel_spectrograms"),
    job="clustering",
    kinds=("scikitlearn",),
    on_pages=True,
    oldest_readable=2,
)
LEADERBOARD = Stage(
    "leaderboard",
    1,
    "models.leaderboard",
    "leaderboard",
    files=("leaderboard.parquet", "leaderboard.json", "tags.parquet", "tags.json"),
    reads=("evaluations", "trained_models"),
    job="ranking",
    kinds=("polars",),
    on_pages=True,
)
INDEX_SEGMENTS = Stage(
    "index_segments",
    2,
    "recommendations.indexes",
    "index_segment",
    has_show=False,
    files=("track_id.npy", "vectors.npy", "codes.npy", "cells.npz"),
)
RECOMMENDATION_INDEXES = Stage(
    "recommendation_indexes",
    2,
    "recommendations.indexes",
    "index",
    has_show=False,
    files=("manifest.json", "hidden.npy"),
    partitioned_by=(ENCODER,),
    reads=("embeddings", "encoders"),
    job="recommending",
)
RECOMMENDATIONS = Stage(
    "recommendations",
    3,
    "recommendations.recommendations",
    "recommendations",
    files=("recommendations.parquet", "scales.parquet"),
    partitioned_by=(ENCODER,),
    reads=("recommendation_indexes", "tracks", "duplicates", "datasets"),
    job="recommending",
    kinds=("polars",),
    on_pages=True,
)
RECOMMENDATION_REPORT = Stage(
    "recommendation_report",
    1,
    "recommendations.report.reports",
    "recommendation_report",
    files=("queries.parquet", "recordings.parquet", "report.json", "occurrences.png"),
    reads=("audio_features", "recommendations"),
    job="measuring",
    kinds=("polars",),
    on_pages=True,
)
GENERATIVE_MODELS = Stage(
    "generative_models",
    1,
    "generation.models.generative_models",
    "generative_model",
    files=("checkpoint/*", "*.parquet", "*.png", "samples.npz"),
    partitioned_by=(GENERATIVE_MODEL,),
    reads=("datasets", "mel_spectrograms"),
    job="generative_training",
    kinds=("pytorch", "mlflow"),
    gpu=True,
    pool="gpu",
    on_pages=True,
)
GENERATIVE_EVALUATIONS = Stage(
    "generative_evaluations",
    1,
    "generation.models.generative_evaluations",
    "generative_evaluation",
    files=("*.parquet", "*.png", "report.json"),
    partitioned_by=(GENERATIVE_MODEL,),
    reads=("generative_models", "datasets", "tracks", "mel_spectrograms"),
    job="generative_training",
    kinds=("pytorch",),
    gpu=True,
    pool="gpu",
    on_pages=True,
)


_OF_A_CLASSIFIER = ("trained_models", "datasets", "tracks")
_OF_A_DATASET = ("datasets", "tracks")
_OF_A_GENERATIVE_MODEL = ("generative_models", "datasets", "tracks")
DREAMS = generator_stage("dreams", 4, "deep_dream", _OF_A_CLASSIFIER, "dreaming")
STYLE_TRANSFERS = generator_stage(
    "style_transfers", 2, "style_transfer", _OF_A_DATASET, "transferring"
)
INVERSIONS = generator_stage("inversions", 2, "inversion", _OF_A_DATASET, "inverting", kind="numpy")
GENRE_TRANSFERS = generator_stage(
    "genre_transfers", 1, "genre_transfer", _OF_A_GENERATIVE_MODEL, "translating", module="trained."
)
RECREATIONS = generator_stage(
    "recreations", 1, "recreation", _OF_A_GENERATIVE_MODEL, "recreating", module="trained."
)
COMPOSITIONS = generator_stage(
    "compositions", 1, "composition", _OF_A_GENERATIVE_MODEL, "composing", module="trained.",
    composes=True,
)  # fmt: skip
# A new generator joins here. Runs, the command, pages and the report then use it.
_GENERATORS = (
    DREAMS,
    STYLE_TRANSFERS,
    INVERSIONS,
    GENRE_TRANSFERS,
    RECREATIONS,
    COMPOSITIONS,
)
GENERATION_REPORT = Stage(
    "generation_report",
    1,
    "generation.report.reports",
    "generation_report",
    files=("sounds.parquet", "report.json"),
    reads=(DREAMS.name, "trained_models", "datasets"),
    job="judging",
    kinds=("polars",),
    on_pages=True,
)
EXCERPTS = Stage(
    "excerpts",
    1,
    "generation.excerpts",
    "excerpt",
    is_planned=False,
    has_show=False,
    files=("excerpt.flac",),
)
REQUESTED_SOUNDS = Stage(
    "requested_sounds",
    1,
    "generation.requested_sounds",
    "requested_sounds",
    is_planned=False,
    has_show=False,
    files=("*.flac", "*.png", "report.json"),
    on_pages=True,
)
_BEFORE_PAGES = (
    TRACKS,
    *BY_DEFAULT,
    *ON_DEMAND,
    AUDIO_FINGERPRINTS,
    DUPLICATES,
    DATASETS,
    EXPLORATION_REPORTS,
    TRAINED_MODELS,
    EVALUATIONS,
    TRIALS,
    STUDY_REPORTS,
    LEADERBOARD,
    ENCODERS,
    EMBEDDINGS,
    TAGS,
    CLUSTER_REPORTS,
    INDEX_SEGMENTS,
    RECOMMENDATION_INDEXES,
    RECOMMENDATIONS,
    RECOMMENDATION_REPORT,
    GENERATIVE_MODELS,
    GENERATIVE_EVALUATIONS,
    *_GENERATORS,
    GENERATION_REPORT,
    EXCERPTS,
    REQUESTED_SOUNDS,
)
# Assets that a run makes only if the user asks for them. No other asset may seem to need them.
ON_REQUEST = {
    stage.name
    for stage in (
        *ON_DEMAND,
        STUDY_REPORTS,
        GENERATIVE_MODELS,
        GENERATIVE_EVALUATIONS,
        *(generator for generator in _GENERATORS if generator is not DREAMS),
        REQUESTED_SOUNDS,
    )
}
SHOWN_STAGES = {stage.name: stage for stage in _BEFORE_PAGES if stage.on_pages}
PAGES = Stage(
    "pages",
    4,
    "pages.asset",
    "pages",
    files=("*.html", "*.js", "*.css", "*.svg"),
    reads=tuple(name for name in SHOWN_STAGES if name not in ON_REQUEST),
    job="publishing",
    pool="pages",  # if two runs start at once, the second waits and finds the pages of the first
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in (*_BEFORE_PAGES, PAGES)}
GENERATORS = [stage for stage in STAGES.values() if stage.method]


def assets() -> list[Stage]:
    """The stages that are assets of Dagster, in the order in which data flows."""
    return [stage for stage in STAGES.values() if stage.job is not None]


def stages_of(job: str) -> list[Stage]:
    """The stages that a job materializes, in the order in which data flows."""
    return [stage for stage in STAGES.values() if stage.job == job]
