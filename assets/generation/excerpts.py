"""`excerpts`: the part of a recording that a sound is generated from on request.

The excerpt is what is kept of the recording. The sounds are made from it, so that they can be made
again when the recording itself is gone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from melgraph.assets.generation.sound_files import write_flac
from melgraph.assets.generation.sources import SHORTEST_S, Source, open_track
from melgraph.assets.library.identity import identity_of
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import EXCERPTS
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore, Work, file_sha256
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.home import Home
from melgraph.storage.outside import is_outside, remembered_place
from melgraph.storage.records import Recording, Spec

FILE = "excerpt.flac"
FULL_SCALE = 0.9999
CLIPPED_SHARE = 0.001  # of the samples at full scale, from which a sound counts as clipped
_FLAC_CHANNELS = 8
_MARGIN_S = 0.01  # decoded beyond the end, so that rounding cannot cost a sample
_DIGITS = 12  # of the digest that names a partition
_BIT_DEPTH = "PCM_24"


class Excerpt(Reader):
    """A committed `excerpts`."""

    stage: ClassVar[Stage] = EXCERPTS

    def source(self, labels: Mapping[str, Any]) -> Source:
        """The excerpt, from which a sound is generated.

        Args:
            labels: what a dataset knows of the recording: `label`, `group` and `split`.

        Raises:
            ArtifactCorrupt: its bytes are not those of the record. Sounds of several recipes share
                an excerpt, so a wrong one would be heard in all of them.
        """
        import soundfile

        if problems := self.store.verify(self.artifact):
            raise ArtifactCorrupt(
                f"the excerpt is damaged: {problems[0]}",
                where=str(self.artifact.location),
                remedy="remove this folder; `melgraph generate` with the same recording then "
                "writes it again",
            )
        samples, rate = soundfile.read(self.artifact.folder / FILE, dtype="float32", always_2d=True)
        return _source({**self.spec.config, **labels}, samples, rate)


@dataclass(frozen=True)
class Cut:
    """The decoded part of a recording.

    Attributes:
        samples: float32 `[sample, channel]`, within full scale.
        sample_rate: Hz.
        start_s: where it starts in the recording, seconds.
        whole_s: length of the recording, seconds; None if its file does not state it.
        cautions: what a person may want to know of it, a sentence each.
    """

    samples: np.ndarray
    sample_rate: int
    start_s: float
    whole_s: float | None
    cautions: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the part."""
        return len(self.samples) / self.sample_rate


def cut_recording(path: Path, start_s: float, seconds: float, *, where: str) -> Cut:
    """Decode a part of a recording of any length, in memory bounded by the part.

    Args:
        path: the file.
        start_s: where the part starts, seconds.
        seconds: its length; the part is shorter if the recording ends before.
        where: names the file in messages.

    Raises:
        UserError: the file is no audio, cannot be read, has more channels than FLAC, or ends before
            the part starts; or the part is silent or shorter than 0.1 s.
    """
    from melgraph.ml.audio import BadAudio

    try:
        return _cut(path, start_s, seconds, where)
    except BadAudio as error:
        raise UserError(
            f"no sound can be generated from this file: {error.code}: {error.reason}",
            where=where,
            remedy="name another recording, or another part of it: --start S --seconds S",
        ) from None


def _cut(path: Path, start_s: float, seconds: float, where: str) -> Cut:
    from melgraph.ml.audio import Levels, check_levels, open_audio

    measured, parts, position = Levels(), [], 0
    with open_audio(path, max_seconds=start_s + seconds + _MARGIN_S) as audio:
        rate = audio.sample_rate
        start, end = round(start_s * rate), round((start_s + seconds) * rate)
        for piece in audio.pieces():
            part = piece[max(0, start - position) : max(0, end - position)]
            position += len(piece)
            if len(part):
                parts.append(part.copy())
                measured.add(parts[-1])
        whole_s = position / rate if position < end else audio.promised_s
        cautions = [] if audio.warning is None else [audio.warning]
    if 0 < position <= start:
        raise UserError(
            f"the recording is {position / rate:.1f} s long, and the excerpt would start at "
            f"{start_s:g} s",
            where=where,
            remedy="choose an earlier start: --start S",
        )
    check_levels(measured, rate, min_seconds=SHORTEST_S)
    samples = np.concatenate(parts)
    if samples.shape[1] > _FLAC_CHANNELS:
        raise UserError(
            f"the recording has {samples.shape[1]} channels, and FLAC holds {_FLAC_CHANNELS}",
            where=where,
            remedy="mix it down to fewer channels first",
        )
    clipped = float(np.mean(np.abs(samples) >= FULL_SCALE))
    if clipped >= CLIPPED_SHARE:
        cautions.append(
            f"the excerpt is clipped: {clipped:.1%} of its samples are at full scale, and the "
            "sounds made from it keep that"
        )
    return Cut(np.clip(samples, -1.0, 1.0), rate, start / rate, whole_s, tuple(cautions))


def excerpt_spec(track: Mapping[str, Any], sha256: str, cut: Cut) -> Spec:
    """The spec of an excerpt: everything that determines its bytes.

    The partition is named after the sound and the part of it, so that a retagged file is the same
    partition.

    Args:
        track: `track_id`, `path`, `title` and `artist`.
        sha256: of the file.
        cut: the decoded part.
    """
    config = {
        **{key: track.get(key) for key in ("track_id", "path", "title", "artist")},
        "sha256": sha256,
        "duration_s": None if cut.whole_s is None else round(cut.whole_s, 3),
        "start_s": cut.start_s,
        "seconds": cut.seconds,
    }
    return EXCERPTS.spec(digest_of([part_of(config)]), (), config)


def part_of(config: Mapping[str, Any]) -> list[Any]:
    """Which sound, and which part of it."""
    return [config["track_id"], config["start_s"], config["seconds"]]


def digest_of(parts: list[Any]) -> str:
    """A short digest that names a partition."""
    import hashlib

    from melgraph.storage.records import canonical_json

    return hashlib.sha256(canonical_json(parts)).hexdigest()[:_DIGITS]


def write_excerpt(store: ArtifactStore, work: Work) -> None:
    """Decode the excerpt of a recording, wherever the recording is now, and write it.

    Raises:
        ArtifactCorrupt: the recording is nowhere, or has another sound.
    """
    config = work.spec.config
    with _recording(store.home, config) as path:
        cut = cut_recording(path, config["start_s"], config["seconds"], where=config["path"])
        write_cut(work, cut)


def write_cut(work: Work, cut: Cut) -> None:
    """Write an excerpt that is decoded already."""
    config = work.spec.config
    source = _source(config, cut.samples, cut.sample_rate)
    write_flac(work, FILE, source, cut.samples, "excerpt", {}, bit_depth=_BIT_DEPTH)
    work.recordings.append(Recording(config["track_id"], config["sha256"], config["path"], (FILE,)))
    work.facts.update(config, sample_rate_hz=cut.sample_rate, cautions=list(cut.cautions))


def _source(config: Mapping[str, Any], samples: np.ndarray, rate: int) -> Source:
    names = ("track_id", "path", "title", "artist", "duration_s", "label", "group", "split")
    track = {key: config.get(key) for key in names}
    return Source(track, samples, rate, config["sha256"], config["start_s"])


@contextmanager
def _recording(home: Home, config: Mapping[str, Any]) -> Iterator[Path]:
    """A local file with the sound that an excerpt was cut from."""
    if is_outside(config["path"]):
        place = remembered_place(home, config["sha256"])
        if place is not None and _holds(place, config):
            yield place
            return
    else:
        with open_track(home, config["track_id"], config["path"]) as file:
            if file is not None:
                yield file.local
                return
    raise ArtifactCorrupt(
        "the recording is no longer there, or has another sound",
        where=config["path"],
        remedy="its excerpt is kept: the sounds made from it can be made again without it",
    )


def _holds(path: Path, config: Mapping[str, Any]) -> bool:
    """Whether a file has the sound of an excerpt's recording, whatever its metadata."""
    try:
        if not path.is_file():  # a pipe would be read for ever
            return False
        sha256 = file_sha256(path)
        if sha256 == config["sha256"]:  # most often, and identifying the sound takes longer
            return True
        return bool(identity_of(path, sha256).track_id == config["track_id"])
    except OSError:
        return False
