"""Which tracks of the library hold the recording of a query file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from melgraph.assets.library.recording_clusters import FINGERPRINTS
from melgraph.assets.stages import AUDIO_FINGERPRINTS
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.tables import read_part


def copies_of_file(
    store: ArtifactStore, path: Path, candidates: Mapping[str, Sequence[str]]
) -> set[str]:
    """The track ids that hold the recording of a file: equal, re-encoded or cut.

    Args:
        store: of the artifacts.
        path: of the audio file. It has to be decodable.
        candidates: track batch -> ids of its tracks that may be copies.
    """
    from melgraph.ml.recordings.fingerprints import Fingerprints, fingerprint
    from melgraph.ml.recordings.matching import Index
    from melgraph.ml.representations.analysis import analyse
    from melgraph.ml.spectral import MelTransform

    ids, codes = [], []
    for batch, track_ids in sorted(candidates.items()):
        artifact = store.current(AUDIO_FINGERPRINTS.name, batch)
        if artifact is None:
            continue
        wanted = pl.col("track_id").is_in(list(track_ids))
        rows = read_part(artifact.folder / FINGERPRINTS, ["track_id", "codes"], wanted)
        ids += rows["track_id"].to_list()
        codes += [one.to_numpy() for one in rows["codes"]]
    if not ids:
        return set()
    name = "mel_spectrograms"
    log_mel = analyse(path, {name: MelTransform()}).arrays[name]
    spectrogram = log_mel["values"] if isinstance(log_mel, Mapping) else log_mel
    query = fingerprint(np.asarray(spectrogram, np.float32))
    matches = Index(Fingerprints.of(codes)).matches(Fingerprints.of([query]))
    return {ids[match.reference] for match in matches}
