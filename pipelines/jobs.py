"""The jobs. Each materializes the assets whose stages name it, for one partition."""

from typing import Any

from dagster import AssetSelection, define_asset_job

from melgraph.assets.stage import GPU_TAGS
from melgraph.assets.stages import stages_of
from melgraph.assets.staleness import up_to_date

DESCRIPTIONS = {
    "ingest": "Decode a track batch once; compute its mel spectrograms, features and fingerprints.",
    "deduplication": "Compare new tracks with all others, and list copies of the same recording.",
    "representing": "Compute further representations of a track batch: STFT, MFCC or waveforms.",
    "dataset": "Make a new snapshot of a dataset from the tracks of the current library.",
    "exploration": "Describe a dataset: classes, artists, audio files, features, example tracks.",
    "training": "Train the model of an experiment, and evaluate it on the test split.",
    "studying": "Train all arms of a study, compare them, and answer its question.",
    "ranking": "Compare all evaluated experiments in one table, the leaderboard.",
    "encoding": "Put an encoder into service. Its version is fixed until this job runs again.",
    "embedding": "Embed a track batch with an encoder, and predict its tags if the encoder can.",
    "clustering": "Map the embeddings of an encoder, and compare their clusters with the labels.",
    "recommending": "Add new embeddings to the index of an encoder, and recommend similar tracks.",
    "measuring": "Measure the recommendations of all encoders in service, and compare them.",
    "generative_training": "Train a generative model, and measure what it makes over the training.",
    "dreaming": "Generate the sounds of a recipe, and compare them with the originals.",
    "transferring": "Move the style of tracks towards that of other tracks, and measure both.",
    "inverting": "Reduce tracks to spectrograms without phase, and turn these back into sound.",
    "translating": "Move tracks of one genre towards another with a CycleGAN.",
    "recreating": "Recreate the MFCC of tracks with the network of a genre, as sound.",
    "composing": "Compose new music of a genre from noise.",
    "judging": "Judge the generated sounds of all recipes, and compare them with controls.",
    "publishing": "Write the HTML pages that show all results.",
}

# Jobs of which only one run may be active: each makes one artifact from everything that is current.
EXCLUSIVE = ("deduplication", "ranking", "measuring", "judging", "publishing")


def _tags(job: str) -> dict[str, Any]:
    """The tags of each run of a job, for the queue and for run launchers."""
    tags: dict[str, Any] = {}
    if job in EXCLUSIVE:
        (stage,) = stages_of(job)
        tags["melgraph/exclusive"] = stage.name
    if any(stage.gpu for stage in stages_of(job)):
        tags |= GPU_TAGS
    return tags


# It plans every partition, which takes as long as the library is large: no other job runs it.
_UP_TO_DATE = AssetSelection.checks(up_to_date)

JOBS = {
    name: define_asset_job(
        name,
        AssetSelection.assets(*(stage.name for stage in stages_of(name))) - _UP_TO_DATE,
        tags=_tags(name),
        description=description,
    )
    for name, description in DESCRIPTIONS.items()
}
CHECKING = define_asset_job(
    "checking", _UP_TO_DATE, description="Find out which artifacts are stale, and why."
)
