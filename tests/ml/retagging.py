"""A tiny file of each format that can hold tags, and edits of its tags that keep the sound."""

import base64
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import mutagen.aac
import mutagen.aiff
import mutagen.apev2
import mutagen.asf
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.mp4
import mutagen.oggflac
import mutagen.oggopus
import mutagen.oggvorbis
import mutagen.wave
import mutagen.wavpack
import numpy as np
import soundfile

from tests.ml.audio_files import encode

RATE = 22050
_Edit = Callable[[Path, str, int, int | None], None]
PNG = b"\x89PNG\r\n\x1a\n"


def sound(hz: float = 440.0, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """float32 `[sample, 2]`: a tone with its octave."""
    t = np.arange(int(seconds * rate)) / rate
    mono = 0.3 * np.sin(2 * np.pi * hz * t) + 0.1 * np.sin(4 * np.pi * hz * t)
    return np.stack([mono, 0.5 * mono], axis=1).astype(np.float32)


def _by_ffmpeg(codec: str, container: str, rate: int, **options: Any) -> Callable[..., Path]:
    def write(path: Path, hz: float, seconds: float = 1.0) -> Path:
        samples = sound(hz, seconds, rate)
        return encode(path, codec, container, rate=rate, samples=samples, **options)

    return write


def _by_libsndfile(path: Path, hz: float, seconds: float = 1.0) -> Path:
    soundfile.write(path, sound(hz, seconds), RATE)
    return path


WRITERS: dict[str, Callable[..., Path]] = {
    "mp3": _by_ffmpeg("libmp3lame", "mp3", RATE, bit_rate=64000),
    "flac": _by_libsndfile,
    "ogg": _by_libsndfile,
    "opus": _by_ffmpeg("libopus", "ogg", 48000, bit_rate=64000),
    "m4a": _by_ffmpeg("aac", "ipod", RATE, bit_rate=64000, frame_size=1024),
    "alac.m4a": _by_ffmpeg("alac", "ipod", RATE),
    "wav": _by_libsndfile,
    "aiff": _by_libsndfile,
    "wv": _by_ffmpeg("wavpack", "wv", RATE, form="s16p"),
    "wma": _by_ffmpeg("wmav2", "asf", RATE, bit_rate=64000),
    "mka": _by_ffmpeg("libopus", "matroska", 48000, bit_rate=64000),
    "webm": _by_ffmpeg("libopus", "webm", 48000, bit_rate=64000),
    "aac": _by_ffmpeg("aac", "adts", RATE, bit_rate=64000, frame_size=1024),
}
"""Suffix -> a function that writes a tone of some pitch (Hz); absent: one second of it."""


def remux(source: Path, path: Path, container: str, tags: dict[str, str]) -> None:
    """Copy the packets of a file into another file, with these tags."""
    with av.open(str(source)) as old, av.open(str(path), "w", format=container) as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        new.metadata.update(tags)
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


def _id3(kind: Any) -> _Edit:
    def edit(path: Path, artist: str, picture: int, year: int | None) -> None:
        file = kind(path)
        if file.tags is None:
            file.add_tags()
        file.tags.add(mutagen.id3.TPE1(encoding=3, text=[artist]))
        if year is not None:
            file.tags.add(mutagen.id3.TDRC(encoding=3, text=[str(year)]))
        file.tags.delall("APIC")
        if picture:
            image = PNG + bytes(picture)
            file.tags.add(mutagen.id3.APIC(3, "image/png", 3, "cover", image))
        file.save(padding=lambda info: 777)

    return edit


def _id3_before(path: Path, artist: str, picture: int, year: int | None) -> None:
    """ADTS has no tags of its own: an ID3v2 tag stands before it."""
    tags = mutagen.id3.ID3()
    tags.add(mutagen.id3.TPE1(encoding=3, text=[artist]))
    if year is not None:
        tags.add(mutagen.id3.TDRC(encoding=3, text=[str(year)]))
    if picture:
        tags.add(mutagen.id3.APIC(3, "image/png", 3, "cover", PNG + bytes(picture)))
    tags.save(path)


def _flac(path: Path, artist: str, picture: int, year: int | None) -> None:
    file = mutagen.flac.FLAC(path)
    file["artist"] = artist
    if year is not None:
        file["date"] = f"{year}-04-12"
    file.clear_pictures()
    if picture:
        file.add_picture(_flac_picture(picture))
    file.save(padding=lambda info: 777)


def _flac_picture(size: int) -> mutagen.flac.Picture:
    image = mutagen.flac.Picture()
    image.type, image.mime, image.data = 3, "image/png", PNG + bytes(size)
    return image


def _ogg(kind: Any) -> _Edit:
    def edit(path: Path, artist: str, picture: int, year: int | None) -> None:
        file = kind(path)
        file["artist"] = artist
        if year is not None:
            file["year"] = str(year)
        file.pop("metadata_block_picture", None)
        if picture:
            block = base64.b64encode(_flac_picture(picture).write()).decode()
            file["metadata_block_picture"] = [block]
        file.save(padding=lambda info: 777)

    return edit


def _mp4(path: Path, artist: str, picture: int, year: int | None) -> None:
    file = mutagen.mp4.MP4(path)
    file["\xa9ART"] = [artist]
    if year is not None:
        file["\xa9day"] = [f"{year}-04-12T07:00:00Z"]
    cover = mutagen.mp4.MP4Cover(PNG + bytes(picture), mutagen.mp4.MP4Cover.FORMAT_PNG)
    file["covr"] = [cover] if picture else []
    file.save(padding=lambda info: 777)


def _wavpack(path: Path, artist: str, picture: int, year: int | None) -> None:
    file = mutagen.wavpack.WavPack(path)
    file["Artist"] = artist
    if year is not None:
        file["Year"] = str(year)
    cover = mutagen.apev2.APEValue(b"cover.png\0" + PNG + bytes(picture), mutagen.apev2.BINARY)
    file["Cover Art (Front)"] = cover
    file.save()


def _asf(path: Path, artist: str, picture: int, year: int | None) -> None:
    file = mutagen.asf.ASF(path)
    file["Author"] = artist
    if year is not None:
        file["WM/Year"] = str(year)
    head = struct.pack("<BI", 3, picture) + "image/png\0cover\0".encode("utf-16-le")
    file["WM/Picture"] = [mutagen.asf.ASFByteArrayAttribute(head + bytes(picture))]
    file.save(padding=lambda info: 777)


def _matroska(path: Path, artist: str, picture: int, year: int | None) -> None:
    """No tag editor in Python writes Matroska, but FFmpeg copies the packets."""
    aside = path.with_suffix(".aside")
    container = "webm" if path.suffix == ".webm" else "matroska"
    date = {} if year is None else {"DATE_RELEASED": f"{year}-04"}
    remux(path, aside, container, {"ARTIST": artist, "comment": "x" * picture} | date)
    aside.replace(path)


EDITS: dict[str, _Edit] = {
    "mp3": _id3(mutagen.mp3.MP3),
    "flac": _flac,
    "ogg": _ogg(mutagen.oggvorbis.OggVorbis),
    "opus": _ogg(mutagen.oggopus.OggOpus),
    "m4a": _mp4,
    "alac.m4a": _mp4,
    "wav": _id3(mutagen.wave.WAVE),
    "aiff": _id3(mutagen.aiff.AIFF),
    "wv": _wavpack,
    "wma": _asf,
    "mka": _matroska,
    "webm": _matroska,
    "aac": _id3_before,
}


def suffix_of(path: Path) -> str:
    """The key of `WRITERS` and `EDITS`: `alac.m4a` for `a.alac.m4a`."""
    return path.name.partition(".")[2]


def retag(path: Path, artist: str, *, picture: int = 0, year: int | None = None) -> None:
    """Write another artist, a picture of so many bytes, and a year. The file gets a new date."""
    before = path.stat()
    EDITS[suffix_of(path)](path, artist, picture, year)
    seconds = before.st_mtime + 1.0
    os.utime(path, (seconds, seconds))


if __name__ == "__main__":  # python -m tests.ml.retagging FOLDER: writes the samples of the tests
    folder = Path(sys.argv[1])
    for name, write in WRITERS.items():
        retag(write(folder / f"sample.{name}", 440.0, 0.1), "Björk", picture=100)
