"""Writing the sample library: the tracks with their tags, and the faults real libraries have."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from mutagen.flac import FLAC
from mutagen.wave import WAVE

from ml.errors import UserError
from ml.sample_library.artists import draw_artist, style_number
from ml.sample_library.names import track_title
from ml.sample_library.rendering import render_track
from ml.sample_library.styles import STYLES

MARKER = ".melgraph-sample.json"
FORMAT = 1  # raise it when the music changes: then a library on disk is known to be older
SAMPLE_RATE = 22050  # Hz
HIGH_RATE = 44100  # Hz, of the one track that has another rate than the rest
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
    written into a folder beside, which is then renamed.

    Args:
        folder: where it shall be.
        seed: of everything in it.
        artists_per_style: each with instruments and habits of its own.
        tracks_per_artist: tracks of each.
        duration_s: length of a track, seconds.
        styles: which of the ten; all by default.
        with_faults: add what real libraries hold besides music.
        workers: processes; by default one per core, at most 4.
        progress: called with (tracks done, tracks in all).

    Raises:
        UserError: an unknown style, or a folder that holds something else.
    """
    chosen = list(styles or STYLES)
    unknown = sorted(set(chosen) - set(STYLES))
    if unknown:
        raise UserError(
            f"unknown style {unknown[0]!r}",
            where="styles of the sample library",
            remedy=f"choose of: {', '.join(STYLES)}",
        )
    parameters = {
        "format": FORMAT,
        "seed": seed,
        "artists_per_style": artists_per_style,
        "tracks_per_artist": tracks_per_artist,
        "duration_s": duration_s,
        "styles": chosen,
        "with_faults": with_faults,
    }
    jobs = list(_jobs(chosen, artists_per_style, tracks_per_artist, seed, duration_s))
    library = SampleLibrary(folder, len(jobs), len(_FAULTS) if with_faults else 0, seed)
    if _is_there(folder, parameters):
        return library
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.aside")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for done, _ in enumerate(_write_all(aside, jobs, workers), start=1):
            if progress is not None:
                progress(done, len(jobs))
        if with_faults:
            _add_faults(aside, jobs)
        (aside / MARKER).write_text(json.dumps(parameters, indent=1))
        if folder.exists():  # empty: `_is_there` refused anything else
            folder.rmdir()
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return library


def _is_there(folder: Path, parameters: dict[str, object]) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        found = None
    if found == parameters:
        return True
    what = "another sample library" if found else "something other than a sample library"
    raise UserError(
        f"the folder holds {what}",
        where=str(folder),
        remedy="remove it, or write the sample library to another folder",
    )


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


def _write_all(folder: Path, jobs: list[_Job], workers: int | None) -> Iterator[None]:
    for job in jobs:
        (folder / job.path).parent.mkdir(parents=True, exist_ok=True)
    count = workers or min(4, os.cpu_count() or 1)
    if count == 1 or len(jobs) < 8:  # a process costs a second to start
        for job in jobs:
            _write_track(folder, job)
            yield
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        yield from pool.map(_write_track, [folder] * len(jobs), jobs, chunksize=2)


def _write_track(folder: Path, job: _Job) -> None:
    samples = render_track(
        job.style,
        job.artist,
        job.track,
        seed=job.seed,
        duration_s=job.duration_s,
        sample_rate=job.rate,
    )
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
    from mutagen import id3

    wave = WAVE(path)
    wave.add_tags()  # in a chunk of the WAV file; tags of another kind would go before its header
    frames = {"artist": id3.TPE1, "album": id3.TALB, "title": id3.TIT2, "genre": id3.TCON}
    for name, value in tags.items():
        wave.tags.add(frames[name](encoding=3, text=[value]))  # type: ignore[attr-defined]
    wave.save()


# What a library holds besides music: audio files that cannot be used, by the code they get.
_FAULTS = ("truncated", "silent", "undecodable")


def _add_faults(folder: Path, jobs: list[_Job]) -> None:
    """An exact duplicate; a cut, a silent and a mislabelled file; and files that are no audio."""
    flac = next(job for job in jobs if job.path.endswith(".flac") and job.rate == SAMPLE_RATE)
    whole = (folder / flac.path).read_bytes()
    style = folder / flac.style
    (style / "Downloads").mkdir()
    (style / "Downloads" / "copy of a song.flac").write_bytes(whole)
    (style / "Downloads" / "broken off.flac").write_bytes(whole[: len(whole) // 2])
    silence = np.zeros((round(flac.duration_s * SAMPLE_RATE), 1), np.float32)
    soundfile.write(style / "Downloads" / "silence.wav", silence, SAMPLE_RATE, subtype="PCM_16")
    text = "This is a text file that somebody named .mp3.\n" * 40
    (style / "Downloads" / "not music.mp3").write_text(text)
    (folder / "notes.txt").write_text("Not audio: a scan passes it over.\n")
    (folder / flac.style / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really a picture")
    apple_double = (folder / flac.path).with_name(f"._{Path(flac.path).name}")
    apple_double.write_bytes(b"\x00\x05\x16\x07" + b"\x00" * 60)
