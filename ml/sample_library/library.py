"""Writing the sample library: the tracks with their tags, and the faults real libraries have."""

import json
import math
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from mutagen import id3
from mutagen.flac import FLAC
from mutagen.wave import WAVE

from melgraph.ml.errors import UserError
from melgraph.ml.sample_library.artists import draw_artist, style_number
from melgraph.ml.sample_library.faults import FAULTS, add_faults
from melgraph.ml.sample_library.names import track_title
from melgraph.ml.sample_library.rendering import render_track
from melgraph.ml.sample_library.styles import STYLES

MARKER = ".melgraph-sample.json"
FORMAT = 2  # raise it when any byte changes: then a library on disk is known to be older
SAMPLE_RATE = 22050  # Hz
HIGH_RATE = 44100  # Hz, of the one track that has another rate than the rest
_SHORTEST_S = 1.0  # below, half of a file would not be recognised as a file broken off
_FEW_TRACKS = 8  # so many are not worth the second that a process takes to start
_TITLE = 0x7171E  # stream of the titles, apart from those of the music


@dataclass(frozen=True)
class SampleLibrary:
    """A sample library on disk.

    Attributes:
        folder: where it is.
        n_tracks: good tracks.
        n_faulty: audio files that cannot be used; copies of good ones are not among them.
        seed: what it was drawn from.
    """

    folder: Path
    n_tracks: int
    n_faulty: int
    seed: int


@dataclass(frozen=True)
class _Job:
    """One track to write."""

    path: str  # below the library
    style: str
    artist: int
    track: int
    seed: int
    duration_s: float
    rate: int


def write_sample_library(
    folder: Path,
    *,
    seed: int = 7,
    artists_per_style: int = 4,
    tracks_per_artist: int = 3,
    duration_s: float = 12.0,
    styles: Sequence[str] | None = None,
    with_faults: bool = True,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SampleLibrary:
    """Write the library, unless it is there already: `STYLE/Artist/NN Title.flac`.

    The same arguments give the same bytes in every file, whatever the number of workers. All is
    written into a folder beside, which is then renamed: whatever happens, there is a whole library
    or none.

    Args:
        folder: where it shall be; missing parents are made.
        seed: of everything in it, 0 or more.
        artists_per_style: each with instruments and habits of its own, 1 or more.
        tracks_per_artist: tracks of each, 1 or more.
        duration_s: length of a track, seconds, 1 or more.
        styles: which of the ten, in any order; all by default.
        with_faults: add what real libraries hold besides music.
        workers: processes; by default one per core, at most 4. Several are spawned: a script that
            asks for them runs under `if __name__ == "__main__":`.
        progress: called with (tracks done, tracks in all).

    Raises:
        UserError: an argument out of its range, an unknown, repeated or missing style, a folder
            that cannot be made, or one that holds something else.
        FloatingPointError: a track has a sample that is no number (a mistake of ours).
    """
    parameters = _checked(
        seed=seed,
        artists_per_style=artists_per_style,
        tracks_per_artist=tracks_per_artist,
        duration_s=duration_s,
        styles=list(STYLES) if styles is None else list(styles),
        with_faults=with_faults,
        workers=workers,
    )
    jobs = list(_jobs(parameters["styles"], artists_per_style, tracks_per_artist, seed, duration_s))
    library = SampleLibrary(folder, len(jobs), len(FAULTS) if with_faults else 0, seed)
    target = folder.resolve()  # what a link points to is replaced, not the link
    if _is_there(target, parameters):
        return library
    with _aside(target) as aside:
        _write_tracks(aside, jobs, workers, progress)
        if with_faults:
            # the first track of the usual rate, if there is one; artist 0 always delivers FLAC
            track = min((j for j in jobs if j.path.endswith(".flac")), key=lambda job: job.rate)
            add_faults(aside, Path(track.path), duration_s=duration_s, sample_rate=SAMPLE_RATE)
        (aside / MARKER).write_text(json.dumps(parameters, indent=1))
        if not _is_there(target, parameters):  # nobody else was faster
            if target.exists():
                target.rmdir()
            aside.rename(target)
    return library


def _checked(*, workers: int | None, **parameters) -> dict:
    """The parameters as they stand in the marker."""

    def refuse(what: str, remedy: str) -> UserError:
        return UserError(what, where="arguments of the sample library", remedy=remedy)

    lowest = {"seed": 0, "artists_per_style": 1, "tracks_per_artist": 1, "workers": 1}
    for name, value in {**parameters, "workers": 1 if workers is None else workers}.items():
        if name in lowest and value < lowest[name]:
            raise refuse(f"{name} is {value}", f"give a whole number from {lowest[name]} up")
    duration_s, styles = parameters["duration_s"], parameters["styles"]
    if not (math.isfinite(duration_s) and duration_s >= _SHORTEST_S):
        raise refuse(f"duration_s is {duration_s}", f"give seconds, {_SHORTEST_S:g} or more")
    unknown = [style for style in styles if style not in STYLES]
    if unknown or not styles:
        what = f"unknown style {unknown[0]!r}" if unknown else "no style is chosen"
        raise refuse(what, f"choose of: {', '.join(STYLES)}")
    repeated = sorted(style for style in set(styles) if styles.count(style) > 1)
    if repeated:
        raise refuse(f"the style {repeated[0]!r} is named more than once", "name each style once")
    return {
        "format": FORMAT,
        **parameters,
        "duration_s": float(duration_s),
        "styles": [style for style in STYLES if style in styles],
    }


def _is_there(folder: Path, parameters: dict) -> bool:
    """Whether exactly this library is there; what else is there is refused."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        found = None
    if found == parameters:
        return True
    what = "something other than a sample library"
    if isinstance(found, dict):
        name = next((n for n in parameters if found.get(n) != parameters[n]), "format")
        what = f"another sample library: {name} {found.get(name)}, not {parameters.get(name)}"
    raise UserError(
        f"the folder holds {what}",
        where=str(folder),
        remedy="remove it, or write the sample library to another folder",
    )


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A fresh folder beside `target`; what is left of it goes, with the parents made for it."""
    missing = [parent for parent in target.parents if not parent.exists()]
    # not a folder of tempfile's: that would be closed to everyone else, and stay so when renamed
    aside = target.with_name(f".sample-library.{uuid.uuid4().hex}.aside")
    try:
        try:
            aside.mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"no folder can be made there: {error.strerror}",
                where=str(target),
                remedy="write the sample library to another folder",
            ) from error
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if not target.exists():
            for parent in missing:
                with suppress(OSError):  # somebody else uses it by now
                    parent.rmdir()


def _jobs(
    styles: Sequence[str], artists: int, tracks: int, seed: int, duration_s: float
) -> Iterator[_Job]:
    for style in styles:
        for artist in range(artists):
            name = draw_artist(style, artist, seed=seed).name
            for track in range(tracks):
                # Mostly FLAC; the last artist of each style delivers WAV. The very first track
                # comes at the rate of a CD.
                suffix = "wav" if artists > 1 and artist == artists - 1 else "flac"
                first = style == styles[0] and artist == 0 and track == 0
                title = _title(style, artist, track, seed)
                path = f"{style}/{name}/{track + 1:02d} {title}.{suffix}"
                rate = HIGH_RATE if first else SAMPLE_RATE
                yield _Job(path, style, artist, track, seed, duration_s, rate)


def _title(style: str, artist: int, track: int, seed: int) -> str:
    rng = np.random.default_rng([_TITLE, seed, style_number(style), artist, track])
    return track_title(track, rng=rng)


def _write_tracks(
    folder: Path,
    jobs: list[_Job],
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    report = progress or (lambda done, total: None)
    for job in jobs:
        (folder / job.path).parent.mkdir(parents=True, exist_ok=True)
    count = workers or min(4, os.cpu_count() or 1)
    if count == 1 or len(jobs) < _FEW_TRACKS:
        for done, job in enumerate(jobs, start=1):
            _write_track(folder, job)
            report(done, len(jobs))
        return
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = [pool.submit(_write_track, folder, job) for job in jobs]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            report(done, len(jobs))
    finally:  # nobody writes any more once this is over, however it ends
        pool.shutdown(wait=True, cancel_futures=True)


def _write_track(folder: Path, job: _Job) -> None:
    samples = render_track(
        job.style,
        job.artist,
        job.track,
        seed=job.seed,
        duration_s=job.duration_s,
        sample_rate=job.rate,
    )
    if not np.isfinite(samples).all():  # libsndfile's FLAC encoder then fails, or not, at random
        bad = np.count_nonzero(~np.isfinite(samples))
        raise FloatingPointError(f"{bad} of {samples.size} samples of {job} are not finite")
    path = folder / job.path
    soundfile.write(path, samples, job.rate, subtype="PCM_16")
    artist = draw_artist(job.style, job.artist, seed=job.seed)
    tags = {
        "artist": artist.name,
        "album": artist.album,
        "title": path.stem.split(" ", 1)[1],
        "genre": job.style,
    }
    _tag(path, tags)


def _tag(path: Path, tags: dict[str, str]) -> None:
    if path.suffix == ".flac":
        flac = FLAC(path)
        flac.update(tags)
        flac.save()
        return
    wave = WAVE(path)
    wave.add_tags()  # in a chunk of the WAV file; tags of another kind would go before its header
    frames = {"artist": id3.TPE1, "album": id3.TALB, "title": id3.TIT2, "genre": id3.TCON}
    for name, value in tags.items():
        wave.tags.add(frames[name](encoding=3, text=[value]))  # type: ignore[attr-defined]
    wave.save()
