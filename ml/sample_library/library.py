"""Writes the sample library: the tracks with their metadata, and the faults of real libraries."""

import json
import math
import multiprocessing
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
from melgraph.ml.workers import default_workers

MARKER = ".melgraph-sample.json"
FORMAT = 3  # raise it when a byte changes, so that older libraries on disk are recognised
SAMPLE_RATE = 22050  # Hz
HIGH_RATE = 44100  # Hz, of the first track
_SHORTEST_S = 1.0  # half of a shorter file would not be recognised as truncated
_FEW_TRACKS = 8  # fewer are written faster than a process starts, which takes a second
_TITLE = 0x7171E  # separates the random stream of the titles from those of the music


@dataclass(frozen=True)
class SampleLibrary:
    """A sample library on disk.

    Attributes:
        folder: its folder.
        n_tracks: number of good tracks.
        n_faulty: number of audio files that cannot be used, without copies of good ones.
        seed: the seed of all its random draws.
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
    """Writes the library as `STYLE/Artist/NN Title.flac`, if the folder does not have it yet.

    The same arguments give the same bytes in every file, for any number of workers. The library is
    written to a temporary folder, which is then renamed, so that there is a complete library or
    none.

    >>> from tempfile import mkdtemp
    >>> write_sample_library(Path(mkdtemp()), styles=["jazz"], duration_s=1.0, workers=1).n_tracks
    12

    Args:
        folder: the folder to write; missing parents are created.
        seed: the seed of all random draws, 0 or more.
        artists_per_style: number of artists of each style, 1 or more.
        tracks_per_artist: number of tracks of each artist, 1 or more.
        duration_s: length of a track, seconds, 1 or more.
        styles: some of the ten styles, in any order; all by default.
        with_faults: add the faults of real libraries.
        workers: number of processes; by default one for each core, at most 4. They are spawned: a
            script that uses several needs `if __name__ == "__main__":`.
        progress: called with (finished tracks, all tracks).

    Raises:
        UserError: an argument is out of range; a style is unknown, repeated or missing; the folder
            cannot be created, or has other content.
        FloatingPointError: a track has a sample that is not finite, which is a bug.
    """
    parameters = _check_parameters(
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
    target = folder.resolve()  # of a link, the folder that it points to
    if _is_complete(target, parameters):
        return library
    with _temporary_folder(target) as temporary:
        _write_tracks(temporary, jobs, workers, progress)
        if with_faults:
            # The first track of the usual rate, if any. Tracks of artist 0 are always FLAC.
            track = min((j for j in jobs if j.path.endswith(".flac")), key=lambda job: job.rate)
            add_faults(temporary, Path(track.path), duration_s=duration_s, sample_rate=SAMPLE_RATE)
        (temporary / MARKER).write_text(json.dumps(parameters, indent=1))
        if not _is_complete(target, parameters):  # no other process was faster
            if target.exists():
                target.rmdir()
            temporary.rename(target)
    return library


def _check_parameters(*, workers: int | None, **parameters) -> dict:
    """The checked parameters, as the marker has them."""

    def refusal(problem: str, remedy: str) -> UserError:
        return UserError(problem, where="arguments of the sample library", remedy=remedy)

    lowest = {"seed": 0, "artists_per_style": 1, "tracks_per_artist": 1, "workers": 1}
    for name, value in {**parameters, "workers": 1 if workers is None else workers}.items():
        if name in lowest and value < lowest[name]:
            raise refusal(f"{name} is {value}", f"give a whole number of at least {lowest[name]}")
    duration_s, styles = parameters["duration_s"], parameters["styles"]
    if not (math.isfinite(duration_s) and duration_s >= _SHORTEST_S):
        raise refusal(f"duration_s is {duration_s}", f"give seconds, {_SHORTEST_S:g} or more")
    unknown = [style for style in styles if style not in STYLES]
    if unknown or not styles:
        problem = f"unknown style {unknown[0]!r}" if unknown else "no style is chosen"
        raise refusal(problem, f"choose from: {', '.join(STYLES)}")
    repeated = sorted(style for style in set(styles) if styles.count(style) > 1)
    if repeated:
        raise refusal(f"the style {repeated[0]!r} is named more than once", "name each style once")
    return {
        "format": FORMAT,
        **parameters,
        "duration_s": float(duration_s),
        "styles": [style for style in STYLES if style in styles],
    }


def _is_complete(folder: Path, parameters: dict) -> bool:
    """Whether the folder has exactly this library.

    Raises:
        UserError: the folder has other content.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        marker = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        marker = None
    if marker == parameters:
        return True
    content = "something other than a sample library"
    if isinstance(marker, dict):
        name = next((n for n in parameters if marker.get(n) != parameters[n]), "format")
        old, new = marker.get(name), parameters.get(name)
        content = f"another sample library: {name} {old}, not {new}"
    raise UserError(
        f"the folder has {content}",
        where=str(folder),
        remedy="remove it, or write the sample library to another folder",
    )


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`; it and the parents created for it are removed at the end."""
    new_parents = [parent for parent in target.parents if not parent.exists()]
    # Not a folder of tempfile, which only its owner may read, even after it is renamed.
    temporary = target.with_name(f".sample-library.{uuid.uuid4().hex}.aside")
    try:
        try:
            temporary.mkdir(parents=True)
        except OSError as error:
            raise UserError(
                f"the folder cannot be created: {error.strerror}",
                where=str(target),
                remedy="write the sample library to another folder",
            ) from error
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.exists():
            for parent in new_parents:
                with suppress(OSError):  # another process uses it by now
                    parent.rmdir()


def _jobs(
    styles: Sequence[str], artists: int, tracks: int, seed: int, duration_s: float
) -> Iterator[_Job]:
    for style in styles:
        for artist in range(artists):
            name = draw_artist(style, artist, seed=seed).name
            for track in range(tracks):
                # Most tracks are FLAC; those of the last artist of each style are WAV. The first
                # track has the sample rate of a CD.
                suffix = "wav" if artists > 1 and artist == artists - 1 else "flac"
                is_first = style == styles[0] and artist == 0 and track == 0
                title = _title(style, artist, track, seed)
                path = f"{style}/{name}/{track + 1:02d} {title}.{suffix}"
                rate = HIGH_RATE if is_first else SAMPLE_RATE
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
    report = progress or (lambda number, total: None)
    for job in jobs:
        (folder / job.path).parent.mkdir(parents=True, exist_ok=True)
    count = workers or min(4, default_workers())
    if count == 1 or len(jobs) < _FEW_TRACKS:
        for number, job in enumerate(jobs, start=1):
            _write_track(folder, job)
            report(number, len(jobs))
        return
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures = [pool.submit(_write_track, folder, job) for job in jobs]
        for number, future in enumerate(as_completed(futures), start=1):
            future.result()
            report(number, len(jobs))
    finally:  # no process may write any more after this function, not even after an error
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
    if not np.isfinite(samples).all():  # libsndfile's FLAC encoder would fail at random
        n_bad = np.count_nonzero(~np.isfinite(samples))
        raise FloatingPointError(f"{n_bad} of {samples.size} samples of {job} are not finite")
    path = folder / job.path
    soundfile.write(path, samples, job.rate, subtype="PCM_16")
    artist = draw_artist(job.style, job.artist, seed=job.seed)
    metadata = {
        "artist": artist.name,
        "album": artist.album,
        "title": path.stem.split(" ", 1)[1],
        "genre": job.style,
        "date": str(artist.year),
    }
    _write_metadata(path, metadata)


def _write_metadata(path: Path, metadata: dict[str, str]) -> None:
    if path.suffix == ".flac":
        flac = FLAC(path)
        flac.update(metadata)
        flac.save()
        return
    wave = WAVE(path)
    wave.add_tags()  # an ID3 chunk in the WAV file; plain ID3 tags would be before its header
    frames = {
        "artist": id3.TPE1,
        "album": id3.TALB,
        "title": id3.TIT2,
        "genre": id3.TCON,
        "date": id3.TDRC,
    }
    for name, value in metadata.items():
        wave.tags.add(frames[name](encoding=3, text=[value]))  # type: ignore[attr-defined]
    wave.save()
