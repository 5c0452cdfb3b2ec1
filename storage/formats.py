"""Refuses a home if any part of it was written by a version of melgraph with other formats."""

import json
from contextlib import suppress
from pathlib import PurePosixPath

from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import NewerFormat
from melgraph.storage.home import Home
from melgraph.storage.spectrogram_store import FORMAT as SPECTROGRAM_FORMAT


def check_formats(home: Home) -> None:
    """Check the formats of the catalogue, the current records and the spectrogram stores.

    Writes nothing.

    Raises:
        NewerFormat: one of them has a newer format than this version of melgraph can read.
        OlderFormat: the catalogue has an older one.
    """
    if home.catalogue.is_file():
        Catalogue(home.catalogue).check_format()
    store = ArtifactStore(home)
    for asset in store.assets():
        for partition in store.partitions(asset):
            artifact = store.current(asset, partition)
            for name in artifact.record.files if artifact else ():
                if artifact and PurePosixPath(name).match("*.zarr/zarr.json"):
                    with suppress(FileNotFoundError):  # damaged: opening it will report this
                        description = store.read(artifact, name)
                        _check_spectrograms(description, where=f"{artifact.location}/{name}")


def _check_spectrograms(description: bytes, *, where: object) -> None:
    try:
        written_format = int(json.loads(description)["attributes"]["melgraph_format"])
    except (ValueError, KeyError, TypeError):
        return  # damaged, not newer: opening it will report this
    if written_format > SPECTROGRAM_FORMAT:
        raise NewerFormat(
            f"the store has format {written_format}, this melgraph reads up to "
            f"{SPECTROGRAM_FORMAT}",
            where=where,
            remedy="upgrade melgraph, or choose another home: --home FOLDER, or MELGRAPH_HOME",
        )
