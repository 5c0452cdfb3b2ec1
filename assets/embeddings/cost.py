"""The cost of embedding the library with an encoder, which is shown before the work starts."""

from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.stage import TRACK_BATCH
from melgraph.assets.stages import EMBEDDINGS
from melgraph.storage.records import partition_name


def hours_to_embed(encoder: Encoder) -> tuple[int, float]:
    """Number and total hours of the good tracks that the encoder has not embedded yet."""
    count, hours = 0, 0.0
    for tracks in Tracks.all_current(encoder.store):
        partition = partition_name({"encoder": encoder.name, TRACK_BATCH: tracks.name})
        embeddings = encoder.store.current(EMBEDDINGS.name, partition)
        if embeddings is None or encoder.reference not in embeddings.record.spec.inputs:
            count, hours = count + tracks.good, hours + tracks.hours
    return count, hours


def cost_sentence(encoder: Encoder) -> str:
    """How many tracks have to be embedded, and about how long this takes.

    The time is an estimate from the speed on the machine that froze the encoder. The sentence on a
    fusion names the parts that have to embed tracks before.
    """
    tracks, hours = hours_to_embed(encoder)
    if not tracks:
        return "nothing to do: all tracks are embedded"
    if encoder.is_fusion:
        parts = [part for part in encoder.parts if hours_to_embed(part)[0]]
        before = "".join(f"; before that {part.name}: {cost_sentence(part)}" for part in parts)
        return (
            f"{tracks} tracks: a few seconds per thousand tracks, to join the vectors of its parts"
            f"{before}"
        )
    amount = f"{tracks} tracks, {hours * 60:.0f} minutes of music"
    seconds = encoder.seconds_per_audio_minute
    if seconds is None:
        return f"{amount}: a few seconds per thousand tracks"
    minutes = seconds * hours  # (seconds per minute of audio) * hours * 60 / 60
    duration = f"about {minutes:.0f} minutes" if minutes >= 1 else "less than a minute"
    return f"{amount}: {duration}, at {60 / max(seconds, 1e-3):.0f} times real time"
