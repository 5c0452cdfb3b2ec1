"""Pictures an asset shows of what it made, computed when they are asked for."""

from pathlib import Path
from typing import Any

from melgraph.assets.library.inputs import transform_of
from melgraph.storage.spectrogram_store import SpectrogramStore


def first_spectrograms(store_folder: Path, *, count: int = 4) -> Any:
    """The first tracks of a store as one picture for the Dagster UI; 10 s of each."""
    from melgraph.assets.materialize import png
    from melgraph.ml import plots

    store = SpectrogramStore(store_folder)
    transform = transform_of(store)
    shown = [
        (track_id[:8], store.track(track_id)[: transform.frames(10.0)])
        for track_id in store.track_ids[:count]
        if len(store.track(track_id))
    ]
    if not shown:
        return "no tracks"
    return png(plots.spectrogram_grid(shown, transform), "first tracks")
