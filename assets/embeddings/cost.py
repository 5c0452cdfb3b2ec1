"""What embedding the library with an encoder will cost, told before it is paid."""

from melgraph.assets.library import ingest
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import partition_name

EMBEDDINGS, TRACK_BATCH = "embeddings", "track_batch"


def hours_to_embed(store: ArtifactStore, encoder: Artifact) -> tuple[int, float]:
    """Good tracks, and their hours, that the encoder as it is frozen now has not embedded."""
    tracks, hours = 0, 0.0
    for batch in store.partitions(ingest.TRACKS):
        partition = partition_name({"encoder": encoder.reference.partition, TRACK_BATCH: batch})
        made = store.current(EMBEDDINGS, partition)
        if made is None or encoder.reference not in made.record.spec.inputs:
            facts = store.need(ingest.TRACKS, batch).facts
            tracks, hours = tracks + facts["ok"], hours + facts["hours"]
    return tracks, hours


def told_cost(store: ArtifactStore, encoder: Artifact) -> str:
    """A sentence for people: how many tracks, and about how long on the machine that froze it."""
    tracks, hours = hours_to_embed(store, encoder)
    if not tracks:
        return "nothing to do: every batch is embedded"
    told = f"{tracks} tracks, {hours * 60:.0f} minutes of music"
    rate = encoder.record.run.get("seconds_per_audio_minute")
    if rate is None:
        return f"{told}: seconds a thousand tracks"
    minutes = float(rate) * hours  # seconds a minute x hours x 60 / 60
    about = f"about {minutes:.0f} minutes" if minutes >= 1 else "less than a minute"
    return f"{told}: {about}, at {60 / max(float(rate), 1e-3):.0f} times real time"
