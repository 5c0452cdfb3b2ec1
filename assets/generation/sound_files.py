"""The files of generated sounds: excerpts, results and pictures, with their provenance."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from melgraph.assets.generation.marks.source_types import (
    FILE_TAG,
    RECORD_TAG,
    SOURCE_TYPE_TAG,
    digital_source_type,
)
from melgraph.assets.generation.sources import Source
from melgraph.assets.stages import GENERATIVE_MODELS, TRAINED_MODELS
from melgraph.storage.artifacts import Work
from melgraph.storage.records import Recording

if TYPE_CHECKING:
    from melgraph.ml.specs.methods.post_processing import PostStep

ORIGINAL, GUIDE, PICTURE = "original", "guide", "picture"
COMPOSITION = "composed"  # key of the facts of a sound that was not made from its source
UNPROCESSED = "unprocessed"  # the sound without the post-processing of the recipe
SHARED_FILES = frozenset({ORIGINAL, GUIDE, PICTURE, UNPROCESSED})  # beside the sound itself


@dataclass(frozen=True)
class Generated:
    """A generated sound.

    Attributes:
        samples: of the same shape and sample rate as the source.
        picture: PNG with the spectrograms before and after.
        facts: figures of the generator, ready for JSON.
        composition: the name of a sound that was not made from the source: "rock 1". The source is
            then a real recording beside it, for comparison. None for an edit of the source.
    """

    samples: np.ndarray
    picture: bytes
    facts: dict[str, Any]
    composition: str | None = None


Make = Callable[[Source, Source | None], Generated]


@dataclass(frozen=True)
class SoundWriter:
    """Writes the sounds of one recipe, one after the other.

    Attributes:
        work: of the sounds.
        make: the generator.
        kind: of the sounds; it is part of the names of their files.
        title: of the sounds, in the file metadata.
        licences: of the weights that the sounds follow from, in one line.
        trained_on: how many recordings generative models have learned from, in one line.
    """

    work: Work
    make: Make
    kind: str
    title: str
    licences: str
    trained_on: str = ""

    @cached_property
    def _post(self) -> tuple["PostStep", ...]:
        """The post-processing of the recipe, which the configuration has only if there is any."""
        from pydantic import TypeAdapter

        from melgraph.ml.specs.methods.post_processing import PostStep

        steps: TypeAdapter[tuple[PostStep, ...]] = TypeAdapter(tuple[PostStep, ...])
        return steps.validate_python(self.work.spec.config.get("post", ()))

    @cached_property
    def _networks(self) -> str:
        """The networks that the sounds are made with: trained models, and published weights."""
        kinds = (TRAINED_MODELS, GENERATIVE_MODELS)
        inputs = self.work.spec.inputs
        models = [str(one) for one in inputs if any(kind.owns(one) for kind in kinds)]
        weights = [f"{one['of']} (sha256 {one['sha256']})" for one in self.work.licences]
        return ", ".join(models + weights)

    def write(self, number: int, source: Source, guide: Source | None) -> dict[str, Any]:
        """Generate one sound, write its files, and return its facts."""
        generated = self.make(source, guide)
        composition = generated.composition
        name = f"{number:02d}-{_slug(composition or Path(source.track['path']).stem)}"
        excerpts: dict[str, Source] = {ORIGINAL: source}
        if guide is not None:
            excerpts[GUIDE] = guide
        sounds, steps = self._process(generated.samples, source.sample_rate)
        lufs: dict[str, float | None] = {}
        for key, song in excerpts.items():
            lufs[key] = self._write(name, key, song, song.samples)
        for key, samples in sounds.items():
            lufs[key] = self._write(name, key, source, samples, guide, composition)
        picture = f"{name}.png"
        (self.work.folder / picture).write_bytes(generated.picture)
        files = {key: f"{name}.{key}.flac" for key in lufs} | {PICTURE: picture}
        from_source = tuple(file for key, file in files.items() if key != GUIDE)
        if composition is not None:
            from_source = (files[ORIGINAL],)
        from_guide = tuple(files[key] for key in (*sounds, GUIDE) if key in files)
        for key, names in ((ORIGINAL, from_source), (GUIDE, from_guide)):
            if key in excerpts:
                track, sha256 = excerpts[key].track, excerpts[key].sha256
                recording = Recording(track["track_id"], sha256, track["path"], names)
                self.work.recordings.append(recording)
        return {
            **_about(source),
            "files": files,
            "loudness_lufs": lufs,
            **({} if guide is None else {"guide": _about(guide)}),
            **({"post": steps} if steps else {}),
            **({} if composition is None else {COMPOSITION: composition}),
            **generated.facts,
        }

    def _process(
        self, samples: np.ndarray, rate: int
    ) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
        """The sound as the recipe wants it, and the unprocessed one if that is another."""
        if not self._post:
            return {self.kind: samples}, []
        from melgraph.ml.generation.post_processing import apply

        processed, steps = apply(samples, rate, self._post)
        return {self.kind: processed, UNPROCESSED: samples}, steps

    def _write(
        self,
        name: str,
        key: str,
        song: Source,
        samples: np.ndarray,
        guide: Source | None = None,
        composition: str | None = None,
    ) -> float | None:
        """Write one FLAC file, and return its loudness in LUFS; None for silence."""
        from melgraph.ml.audio.loudness import loudness_lufs

        file = f"{name}.{key}.flac"
        is_excerpt = key in (ORIGINAL, GUIDE)
        extra = {} if is_excerpt else self._provenance(file, guide)
        title = "excerpt" if is_excerpt else self.title
        title += ", before post-processing" if key == UNPROCESSED else ""
        write_flac(self.work, file, song, samples, title, extra, composition=composition)
        return finite(loudness_lufs(samples, song.sample_rate))

    def _provenance(self, file: str, guide: Source | None) -> dict[str, str]:
        """File metadata of generated sounds only: the mark that they are synthetic, and how."""
        of_guide = {} if guide is None else {
            "melgraph_guide": guide.track["path"],
            "melgraph_guide_track_id": guide.track["track_id"],
        }  # fmt: skip
        method = self.work.spec.config["method"]
        return {
            **of_guide,
            SOURCE_TYPE_TAG: digital_source_type(method, self._networks),
            FILE_TAG: file,
            "melgraph_method": method,
            "melgraph_network": self._networks,
            "melgraph_weights_licence": self.licences,
            "melgraph_trained_on": self.trained_on,
        }


def _about(song: Source) -> dict[str, Any]:
    """Which song, and which excerpt of it."""
    about = {key: song.track.get(key) for key in ("track_id", "path", "label", "split")}
    return {**about, "start_s": round(song.start_s, 2), "seconds": round(song.seconds, 2)}


def new_file(row: Mapping[str, Any]) -> str:
    """The name of the FLAC file with the generated sound, by the facts of the sound."""
    (name,) = (row["files"][kind] for kind in row["files"].keys() - SHARED_FILES)
    return str(name)


def finite(value: float | None) -> float | None:
    """A figure with two decimals, ready for JSON; None for infinity and NaN."""
    return None if value is None or not np.isfinite(value) else round(float(value), 2)


def write_flac(
    work: Work,
    name: str,
    source: Source,
    samples: np.ndarray,
    title: str,
    provenance: Mapping[str, str],
    *,
    composition: str | None = None,
    bit_depth: str = "PCM_16",
) -> None:
    """Write a FLAC file with its title and provenance as file metadata, reproducibly.

    Args:
        work: of the artifact that the file belongs to.
        name: of the file.
        source: the song that the samples are of, or were generated from.
        samples: `[sample, channel]`; what exceeds full scale is clipped.
        title: what the samples are: "deep dream".
        provenance: further file metadata; empty values are left out.
        composition: the name of a sound that was not made from the song; None for other sounds.
        bit_depth: as libsndfile calls it.
    """
    from mutagen import flac

    track = source.track
    sound = BytesIO(flac_bytes(samples, source.sample_rate, bit_depth))
    open_flac: Any = flac.FLAC  # it has no annotations
    file = open_flac(sound)
    name_of_sound = composition or track.get("title") or Path(track["path"]).stem
    file["title"] = f"{name_of_sound} ({title})"
    if track.get("artist") and composition is None:
        file["artist"] = track["artist"]
    file["comment"] = "made by melgraph"
    file[RECORD_TAG] = str(work.spec.reference)
    if composition is None:
        file["melgraph_track_id"] = track["track_id"]
        file["melgraph_source"] = track["path"]
    for key, text in provenance.items():
        if text:
            file[key] = text
    sound.seek(0)
    file.save(sound)
    (work.folder / name).write_bytes(sound.getvalue())


def flac_bytes(samples: np.ndarray, rate: int, bit_depth: str = "PCM_16") -> bytes:
    """A FLAC file in memory.

    libsndfile and mutagen hide why they could not write a file. Written from here, a full disk is
    an `OSError` that says so.

    Args:
        samples: `[sample, channel]`; what exceeds full scale is clipped.
        rate: samples per second.
        bit_depth: as libsndfile calls it.
    """
    import soundfile

    memory = BytesIO()
    soundfile.write(memory, samples, rate, subtype=bit_depth, format="FLAC")
    return memory.getvalue()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.casefold()).strip("-")[:40] or "track"
