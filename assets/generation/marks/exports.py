"""Copies of generated sounds for use outside of the home."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from melgraph.assets.generation.marks.source_types import (
    FILE_TAG,
    SIGNED_TAG,
    SOURCE_TYPE_TAG,
    digital_source_type,
    is_generated,
)
from melgraph.assets.generation.marks.stored import stored_sound
from melgraph.assets.generation.sound_files import GUIDE, ORIGINAL, PICTURE, new_file
from melgraph.assets.stages import GENERATORS, REQUESTED_SOUNDS
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import Recording

NETWORK_TAG = "melgraph_network"
_NOT_GENERATED = (ORIGINAL, GUIDE, PICTURE)


@dataclass(frozen=True)
class ExportedSound:
    """A generated sound that is to be exported.

    Attributes:
        artifact: the sounds that it is one of.
        row: its facts.
        file: the name of its FLAC file.
    """

    artifact: Artifact
    row: dict[str, Any]
    file: str

    @cached_property
    def data(self) -> bytes:
        """The stored file. Raises `ArtifactCorrupt` if it is not as recorded."""
        return stored_sound(self.artifact, self.file)

    @cached_property
    def tags(self) -> dict[str, str]:
        """The file metadata of a copy: those of the stored file, and its mark.

        A sound of an earlier melgraph has no mark. Its copy gets one.
        """
        from melgraph.ml.generation.copies import read_tags

        tags = read_tags(self.data)
        source_type = digital_source_type(self.method, tags.get(NETWORK_TAG, ""))
        return {SOURCE_TYPE_TAG: source_type, FILE_TAG: self.file, **tags}

    @property
    def method(self) -> str:
        """The generation method."""
        return str(self.artifact.record.spec.config["method"])

    @property
    def networks(self) -> str:
        """The trained networks that took part, in one line; empty for none."""
        return self.tags.get(NETWORK_TAG, "")

    @property
    def recordings(self) -> list[Recording]:
        """The recordings that the sound was made from."""
        return [one for one in self.artifact.record.recordings if self.file in one.files]

    def copy(self, file_format: str, *, to_sign: bool) -> bytes:
        """The sound as a file of another format, with its file metadata.

        Args:
            file_format: `flac`, `wav` or `mp3`.
            to_sign: whether a manifest is added next. The file metadata then say so.

        Raises:
            UserError: the format cannot hold the sound.
        """
        from melgraph.ml.generation.copies import encode_copy

        signed = {SIGNED_TAG: "C2PA"} if to_sign else {}
        return encode_copy(self.data, file_format, {**self.tags, **signed}, where=self.file)


def choose_sound(
    store: ArtifactStore, artifact: Artifact, file: str | None, number: int | None
) -> ExportedSound:
    """The sound that a user names.

    Args:
        store: of the artifact.
        artifact: the sounds.
        file: one of its files; None if only the artifact is named.
        number: which of its sounds, from 1; None if only one comes into question.

    Raises:
        UserError: this is no generated sound, or it is not clear which one is meant.
    """
    if not is_generated(artifact):
        raise UserError(
            "this artifact holds no generated sounds",
            where=str(artifact.reference),
            remedy="name a generated sound: "
            + (", ".join(_generated(store)) or "melgraph generate makes one"),
        )
    rows = artifact.facts["sounds"]
    if file is None:
        row = _numbered(artifact, rows, number)
        return ExportedSound(artifact, row, new_file(row))
    if number is not None:
        raise UserError(
            "--number chooses among the sounds of an artifact, and a file is named already",
            where=f"--number {number}",
            remedy="leave it out, or name the artifact without the file",
        )
    for row in rows:
        for kind, name in row["files"].items():
            if name == file and kind not in _NOT_GENERATED:
                return ExportedSound(artifact, row, file)
    raise UserError(
        f"{file} is no generated sound",
        where=str(artifact.reference),
        remedy=f"name one of: {', '.join(map(new_file, rows))}",
    )


def _numbered(artifact: Artifact, rows: list[dict[str, Any]], number: int | None) -> dict[str, Any]:
    if number is None and len(rows) == 1:
        return rows[0]
    if number is not None and 1 <= number <= len(rows):
        return rows[number - 1]
    names = ", ".join(f"{n} {new_file(row)}" for n, row in enumerate(rows, start=1))
    what = f"there is no sound {number}" if number is not None else "it is not clear which is meant"
    raise UserError(
        f"the artifact holds {len(rows)} sound(s), and {what}",
        where=str(artifact.reference),
        remedy=f"choose one by its number, --number N: {names}",
    )


def _generated(store: ArtifactStore) -> list[str]:
    """The current artifacts with generated sounds."""
    return [
        f"{stage.name}/{name}"
        for stage in (*GENERATORS, REQUESTED_SOUNDS)
        for name in store.partitions(stage.name)
    ]
