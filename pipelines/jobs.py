"""The jobs: each selects assets that share a partitioning (one job cannot mix them)."""

from dagster import AssetSelection, define_asset_job

from melgraph.assets.partitions import (
    batches_by_encoder,
    dataset_names,
    encoder_names,
    experiment_names,
    recipe_names,
    study_names,
    track_batches,
)

ingest = define_asset_job(
    "ingest",
    AssetSelection.assets("tracks", "mel_spectrograms", "audio_features", "audio_fingerprints"),
    partitions_def=track_batches,
    description="One decode of a track batch: catalogue, spectrograms, features, fingerprints.",
)
deduplication = define_asset_job(
    "deduplication",
    AssetSelection.assets("duplicates"),
    tags={"melgraph/exclusive": "duplicates"},
    description="Compare new tracks with all: which are the same recording.",
)
representing = define_asset_job(
    "representing",
    AssetSelection.assets("stft_spectrograms", "mfcc", "waveforms"),
    partitions_def=track_batches,
    description="The representations that are made on demand, of a track batch.",
)
dataset = define_asset_job(
    "dataset",
    AssetSelection.assets("datasets"),
    partitions_def=dataset_names,
    description="A new snapshot of a dataset, as the library is now.",
)
exploration = define_asset_job(
    "exploration",
    AssetSelection.assets("exploration_reports"),
    partitions_def=dataset_names,
    description="What is in a dataset: classes, recordings, features, examples to listen to.",
)
training = define_asset_job(
    "training",
    AssetSelection.assets("trained_models", "evaluations"),
    partitions_def=experiment_names,
    description="Train an experiment and evaluate it on the test split.",
)
studying = define_asset_job(
    "studying",
    AssetSelection.assets("study_reports"),
    partitions_def=study_names,
    description="Train the arms of a study, and answer its question.",
)
ranking = define_asset_job(
    "ranking",
    AssetSelection.assets("leaderboard"),
    tags={"melgraph/exclusive": "leaderboard"},
    description="Every evaluated experiment side by side.",
)
encoding = define_asset_job(
    "encoding",
    AssetSelection.assets("encoders"),
    partitions_def=encoder_names,
    description="Put an encoder into service: freeze it to what is current now.",
)
embedding = define_asset_job(
    "embedding",
    AssetSelection.assets("embeddings", "tags"),
    partitions_def=batches_by_encoder,
    description="Embed a track batch with an encoder, and tag it where the encoder can.",
)
clustering = define_asset_job(
    "clustering",
    AssetSelection.assets("cluster_reports"),
    partitions_def=encoder_names,
    description="Map and clusters of the whole library in an encoder's space.",
)
recommending = define_asset_job(
    "recommending",
    AssetSelection.assets("recommendation_indexes", "recommendations"),
    partitions_def=encoder_names,
    description="Let new embeddings join the index, and recommend from it.",
)
dreaming = define_asset_job(
    "dreaming",
    AssetSelection.assets("dreams"),
    partitions_def=recipe_names,
    description="Generate the sounds of a recipe.",
)
publishing = define_asset_job(
    "publishing",
    AssetSelection.assets("pages"),
    tags={"melgraph/exclusive": "pages"},
    description="Write the pages with players.",
)

ALL = [
    ingest,
    representing,
    deduplication,
    dataset,
    exploration,
    training,
    studying,
    ranking,
    encoding,
    embedding,
    clustering,
    recommending,
    dreaming,
    publishing,
]
