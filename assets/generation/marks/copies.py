"""Copies of generated sounds outside of the home: which sound each is, and whether it holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melgraph.assets.generation.marks.source_types import (
    FILE_TAG,
    RECORD_TAG,
    SIGNED_TAG,
    SOURCE_TYPE_TAG,
)
from melgraph.assets.generation.marks.stored import stored_sound
from melgraph.ml.generation.copies import LOSSLESS, format_of, has_same_samples, read_tags
from melgraph.storage.artifacts import Artifact
from melgraph.storage.credentials import read_certificates
from melgraph.storage.home import Home

if TYPE_CHECKING:
    from melgraph.ml.credentials.manifests import Manifest

_OWN_TAGS = "melgraph_"


@dataclass(frozen=True)
class SoundCopy:
    """A file that may be a copy of a generated sound, with or without a signed manifest.

    Attributes:
        path: of the file.
        home: whose certificates are recognised.
    """

    path: Path
    home: Home

    @cached_property
    def data(self) -> bytes:
        """The file."""
        return self.path.read_bytes()

    @cached_property
    def file_format(self) -> str | None:
        """`flac`, `wav` or `mp3`; None for other files."""
        return format_of(self.data)

    @cached_property
    def tags(self) -> dict[str, str]:
        """Its file metadata."""
        return read_tags(self.data)

    @cached_property
    def manifest(self) -> "Manifest | None":
        """Its signed manifest; None if it has none."""
        from melgraph.ml.credentials.manifests import read_manifest

        if self.file_format is None:
            return None
        roots = read_certificates(self.home) or b""
        return read_manifest(self.data, self.file_format, roots=roots)

    @property
    def reference(self) -> str | None:
        """The artifact that the file says it belongs to; None if it says nothing."""
        return self._statement(RECORD_TAG, "record")

    def file_in(self, artifact: Artifact) -> str | None:
        """Which file of an artifact it is a copy of: the one that it names, or the same sound."""
        name = self._statement(FILE_TAG, "file")
        sounds = [file for file in artifact.record.files if file.endswith(".flac")]
        if name in sounds:
            return name
        if self.file_format not in LOSSLESS:
            return None
        stored = ((file, stored_sound(artifact, file)) for file in sounds)
        return next((file for file, sound in stored if has_same_samples(self.data, sound)), None)

    def _statement(self, tag: str, key: str) -> str | None:
        """What the file says of itself: in its file metadata, else in its manifest."""
        value: Any = self.tags.get(tag)
        if value is None and self.manifest is not None:
            value = self.manifest.provenance.get(key)
        return None if value is None else str(value)


@dataclass(frozen=True)
class Comparison:
    """A copy compared with the recorded sound.

    Attributes:
        copy: the file.
        artifact: the sounds that it belongs to.
        file: the recorded sound.
    """

    copy: SoundCopy
    artifact: Artifact
    file: str

    @cached_property
    def problems(self) -> list[str]:
        """What is not as recorded, a sentence each."""
        return [f"{self.copy.path}: {problem}" for problem in self._problems()]

    def lines(self) -> Iterator[str]:
        """What kind of copy it is, its mark and its signature, in lines for people."""
        yield f"copy: {self._description()}"
        mark = self.copy.tags.get(SOURCE_TYPE_TAG)
        yield f"mark: {mark or 'none'}"
        yield f"signature: {self._signature()}"

    @cached_property
    def _sound(self) -> bytes:
        return stored_sound(self.artifact, self.file)

    @cached_property
    def _has_same_samples(self) -> bool:
        return self.copy.data == self._sound or has_same_samples(self.copy.data, self._sound)

    @property
    def _is_lossless(self) -> bool:
        return self.copy.file_format in LOSSLESS

    def _problems(self) -> Iterator[str]:
        if self._is_lossless and not self._has_same_samples:
            yield f"its samples are not those of the recorded sound {self.file}"
        recorded = read_tags(self._sound)
        for key, value in recorded.items():
            own = key.startswith(_OWN_TAGS) or key == SOURCE_TYPE_TAG
            if own and self.copy.tags.get(key) != value:
                yield f"its file metadata say {key}={self.copy.tags.get(key)!r}, recorded {value!r}"
        manifest = self.copy.manifest
        if manifest is None:
            if SIGNED_TAG in self.copy.tags:
                yield "its file metadata say that it was signed, but its manifest is gone"
            return
        for problem in manifest.problems:
            yield f"the signature does not hold: {problem}"
        if not manifest.problems:
            yield from self._wrong_statements(manifest.provenance)

    def _wrong_statements(self, provenance: Mapping[str, Any]) -> Iterator[str]:
        """Where the manifest speaks of another sound than the recorded one."""
        expected = {
            "record": self._reference,
            "file": self.file,
            "sha256": self.artifact.record.files[self.file][0],
        }
        for key, value in expected.items():
            if provenance.get(key) != value:
                yield f"its manifest is of another sound: {key} {provenance.get(key)}, not {value}"

    @property
    def _reference(self) -> str:
        return str(self.artifact.reference)

    def _description(self) -> str:
        if not self._is_lossless:
            return f"{self.copy.file_format}: lossy, so it cannot be compared sample by sample"
        state = "those" if self._has_same_samples else "NOT those"
        return f"{self.copy.file_format}: its samples are {state} of the recorded sound"

    def _signature(self) -> str:
        from melgraph.ml.credentials.certificates import SELF_MADE

        manifest = self.copy.manifest
        if manifest is None:
            return "none"
        if manifest.problems:
            return f"DOES NOT HOLD; the certificate names {manifest.signer}"
        if manifest.is_anchored:
            trust = "with the certificate that this home has made"
        elif SELF_MADE in manifest.signer:
            trust = "the certificate is self-made and proves no identity"
        else:
            trust = "melgraph has no trust list, so the identity of the signer is not verified"
        return f"holds; signed by {manifest.signer}; {trust}"
