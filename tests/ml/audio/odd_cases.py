"""The odd files by name: what each is, what became of it before, and what must become of it.

`benchmarks/files.py` ingests them and prints the table of docs/results/files.md.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from mutagen.apev2 import APEv2

from tests.ml.audio import odd_files
from tests.ml.audio.ogg_files import flac_in_ogg, moved_on
from tests.ml.audio_files import RATE, encode, tone, with_total_samples


class Case(NamedTuple):
    """A file.

    Attributes:
        what: it is, for people.
        before: what became of it in melgraph before it was handled.
        outcome: what must become of it now: `ok` or a quarantine code; `not listed`.
        seconds: of sound that must be used; 0 if there is none.
        write: writes it.
    """

    what: str
    before: str
    outcome: str
    seconds: float
    write: Callable[[Path], object]


NOT_LISTED = "not listed"


def _sound(
    path: Path, seconds: float = 2.0, rate: int = RATE, channels: int = 2, **options: str
) -> bytes:
    sf.write(path, tone(seconds, rate, channels), rate, **options)
    return path.read_bytes()


def _mp3(
    path: Path, seconds: float = 1.0, rate: int = RATE, channels: int = 2, **options: str
) -> bytes:
    samples = tone(seconds, rate, channels)
    return encode(path, "libmp3lame", "mp3", rate=rate, samples=samples, **options).read_bytes()


def _with_size(kind: str, share: float) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(odd_files.with_size(_sound(path, format=kind.upper()), kind, share))

    return write


def _with_wrong_length(kind: str) -> Callable[[Path], object]:
    encoder, container, options, change = odd_files.WRONG_LENGTHS[kind]

    def write(path: Path) -> None:
        form, rate = ("s16p" if kind == "wv" else ""), (128_000 if kind in ("wma", "mp3") else 0)
        encode(path, encoder, container, samples=tone(2.0), form=form, bit_rate=rate, **options)
        path.write_bytes(odd_files.changed(path.read_bytes(), *change))

    return write


def _words(path: Path, words: np.ndarray, zeros: int = 0) -> None:
    words = np.concatenate([np.zeros(zeros, "<i2"), words])
    sf.write(path, words[: len(words) // 2 * 2].reshape(-1, 2), RATE)


def _dts(path: Path, zeros: int = 0, *, small: bool = False) -> None:
    data = odd_files.dts(1792 if small else 2048)
    words = np.frombuffer(data, ">i2").astype("<i2")
    _words(path, odd_files.in_14_bits(data) if small else words, zeros)


def _ac3(path: Path) -> None:
    data = odd_files.ac3_in_iec61937(path.with_suffix(".spdif"))
    path.with_suffix(".spdif").unlink()
    _words(path, np.frombuffer(data[: len(data) // 2 * 2], "<i2"))


def _joined(*parts: Callable[[Path], bytes]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(b"".join([part(path) for part in parts]))

    return write


def _twice(path: Path) -> None:
    path.write_bytes(2 * _sound(path))


def _short_flac(path: Path) -> None:
    sf.write(path, 0.01 * tone(4.56, 8000, 1), 8000, subtype="PCM_S8")
    with_total_samples(path, int(1.66 * 8000))


def _flac_between(path: Path) -> None:
    content = _sound(path)
    path.write_bytes(odd_files.id3(2_000_000) + content + b"TAG" + bytes(125))


def _captured(path: Path) -> None:
    path.write_bytes(_sound(path, format="FLAC"))
    path.write_bytes(moved_on(flac_in_ogg(path), 7206 * RATE))


def _encrypted_mp4(path: Path) -> None:
    key = odd_files.KEY
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    encode(path, "aac", "mp4", samples=tone(1.0), **options)


def _encrypted_wma(path: Path) -> None:
    encode(path, "wmav2", "asf", samples=tone(1.0), bit_rate=64_000)
    object_ = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") + struct.pack("<Q", 40) + bytes(16)
    path.write_bytes(odd_files.with_object(path.read_bytes(), object_))


def _tagged_wav(path: Path) -> None:
    content = _sound(path) + odd_files.info_list(IART=b"Artist\0", INAM=b"Title\0")
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])


def _tagged_aiff(path: Path) -> None:
    content = _sound(path)
    for name, text in ((b"NAME", b"Title"), (b"AUTH", b"Artist")):
        content += name + struct.pack(">I", len(text)) + text + bytes(len(text) % 2)
    path.write_bytes(content[:4] + struct.pack(">I", len(content) - 8) + content[8:])


def _tagged_mp3(path: Path) -> None:
    path.write_bytes(_mp3(path, id3v2_version="0"))
    tags = APEv2()
    tags["Artist"], tags["Title"] = "The Extraordinarily Long Name of an Orchestra", "Title"
    tags.save(path)
    cut = b"The Extraordinarily Long Name "
    id3v1 = b"TAG" + b"Title".ljust(30, b"\0") + cut + bytes(30) + bytes(34) + b"\x08"
    path.write_bytes(path.read_bytes() + id3v1)


def _encoded(encoder: str, container: str) -> Callable[[Path], object]:
    return lambda path: encode(path, encoder, container, samples=tone(2.0))


_WHITE_NOISE = "ok: white noise passed as music"
_TOO_SHORT = "truncated"
CASES = {
    "tags/list-info.wav": Case("LIST-INFO", "no artist, no title", "ok", 2, _tagged_wav),
    "tags/name-auth.aiff": Case("NAME and AUTH", "no artist, no title", "ok", 2, _tagged_aiff),
    "tags/ape.mp3": Case(
        "APEv2 and ID3v1", "the artist cut at 30 letters", "ok", 1.03, _tagged_mp3
    ),
    "coded/dts.wav": Case("DTS in a WAV", _WHITE_NOISE, "bitstream", 0, _dts),
    "coded/zeros-dts.wav": Case(
        "DTS behind 2 s of zeros", _WHITE_NOISE, "bitstream", 0,
        lambda path: _dts(path, 2 * 2 * RATE),
    ),
    "coded/dts-14-bit.wav": Case(
        "DTS in 14 bits", _WHITE_NOISE, "bitstream", 0, lambda path: _dts(path, small=True)
    ),
    "coded/ac3.wav": Case("AC-3 in IEC 61937", _WHITE_NOISE, "bitstream", 0, _ac3),
    "containers/a.stem.mp4": Case("AAC in mp4", NOT_LISTED, "ok", 2, _encoded("aac", "mp4")),
    "containers/a.mov": Case("PCM in mov", NOT_LISTED, "ok", 2, _encoded("pcm_s16le", "mov")),
    "containers/a.mkv": Case(
        "PCM in Matroska", NOT_LISTED, "ok", 2, _encoded("pcm_s16le", "matroska")
    ),
    "containers/a.3gp": Case("AAC in 3gp", NOT_LISTED, "ok", 2, _encoded("aac", "3gp")),
    "containers/a.mp2": Case("MPEG layer II", NOT_LISTED, "ok", 2, _encoded("mp2", "mp2")),
    "containers/a.mp1": Case(
        "MPEG layer I", NOT_LISTED, "ok", 2, lambda p: p.write_bytes(odd_files.layer_one(2.0))
    ),
    "containers/a.spx": Case(
        "Speex in Ogg", NOT_LISTED, "ok", 2, lambda p: p.write_bytes(odd_files.speex(2.0))
    ),
    "containers/a.ape": Case(
        "a name of Monkey's Audio", "counted as .ape", NOT_LISTED, 0,
        lambda path: path.write_bytes(b"MAC "),
    ),
    "encrypted/cenc.m4a": Case(
        "Common Encryption", "undecodable: Invalid data", "encrypted", 0, _encrypted_mp4
    ),
    "encrypted/a.mka": Case(
        "ContentEncryption", "undecodable", "encrypted", 0, odd_files.encrypted_matroska
    ),
    "encrypted/a.wma": Case(
        "DRM of WMA", "decoded without its key", "encrypted", 0, _encrypted_wma
    ),
    "headers/size-0.wav": Case("data size 0", "empty", "ok", 2, _with_size("wav", 0.0)),
    "headers/size-half.wav": Case(
        "data size of half", "1 of 2 s used, without a word", "ok", 2, _with_size("wav", 0.5)
    ),
    "headers/size-half.aiff": Case(
        "SSND size of half", "1 of 2 s used, without a word", "ok", 2, _with_size("aiff", 0.5)
    ),
    "headers/less.flac": Case(
        "states 1.66 of 4.56 s", "1.66 of 4.56 s used, without a word", "ok", 4.56, _short_flac
    ),
    "headers/between.flac": Case(
        "2 MB of ID3v2 in front, bytes behind", "undecodable", "ok", 2, _flac_between
    ),
    "headers/no-index.m4a": Case(
        "no index, a wrong length", _TOO_SHORT, "ok", 2, _with_wrong_length("m4a")
    ),
    "headers/doubled.wma": Case("a doubled length", _TOO_SHORT, "ok", 2, _with_wrong_length("wma")),
    "headers/doubled.mka": Case("a doubled length", _TOO_SHORT, "ok", 2, _with_wrong_length("mka")),
    "headers/doubled.wv": Case("a doubled length", _TOO_SHORT, "ok", 2, _with_wrong_length("wv")),
    "joins/captured.ogg": Case(
        "FLAC in Ogg that begins at 2 h", "damaged: promises 7208 s", "ok", 2, _captured
    ),
    "joins/rates.mp3": Case(
        "two mp3 of other rates and channels", "damaged", "ok", 2.1,
        _joined(_mp3, lambda path: _mp3(path, rate=22050, channels=1)),
    ),
    "joins/chain.ogg": Case(
        "an Ogg chain of other rates", "2 of 4 s used", "ok", 4,
        _joined(_sound, lambda path: _sound(path, rate=22050, channels=1)),
    ),
    "joins/twice.ogg": Case("an Ogg file twice", "2 of 4 s used, without a word", "ok", 4, _twice),
    "joins/two.wav": Case(
        "two WAV files", "2 of 4 s used", "ok", 4,
        _joined(_sound, lambda path: _sound(path, rate=22050)),
    ),
}  # fmt: skip


def write_cases(folder: Path) -> None:
    """Write all files below a folder."""
    for name, case in CASES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        case.write(folder / name)
