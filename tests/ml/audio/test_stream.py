import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.audio import BadAudio, check, decode, open_audio
from melgraph.ml.audio import stream as audio_stream
from melgraph.ml.audio.source import Source
from tests.ml.audio_files import (
    RATE,
    code_of,
    cut,
    encode,
    tone,
    with_total_samples,
    with_zeros_inside,
)


def _flac_with_a_small_hole(path: Path) -> Path:
    sf.write(path, tone(12.0), RATE)
    return with_zeros_inside(path, 0.7, 0.7001)


def _flac_that_claims_less(path: Path) -> Path:
    sf.write(path, tone(), RATE)
    return with_total_samples(path, 2 * RATE)


FILES = {
    "wav": lambda path: encode(path, "soundfile", ""),
    "flac": lambda path: encode(path, "soundfile", ""),
    "ogg": lambda path: encode(path, "soundfile", ""),
    "mp3": lambda path: encode(path, "libmp3lame", "mp3"),
    "opus": lambda path: encode(path, "libopus", "opus", rate=48000),
    "m4a": lambda path: encode(path, "aac", "ipod"),
    "mka": lambda path: encode(path, "pcm_s16le", "matroska"),
    "hole.flac": _flac_with_a_small_hole,
    "longer.flac": _flac_that_claims_less,
}


@pytest.fixture(scope="module", params=FILES)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FILES[request.param](tmp_path_factory.mktemp("streams") / f"tone.{request.param}")


@settings(max_examples=6, deadline=None)
@given(block_s=st.floats(0.01, 40.0), seconds=st.none() | st.floats(0.1, 5.0))
def test_the_blocks_are_the_whole_however_long_they_are(
    file: Path, block_s: float, seconds: float | None
) -> None:
    whole = decode(file, max_seconds=seconds)
    with open_audio(file, block_s=block_s, max_seconds=seconds) as audio:
        properties = (audio.sample_rate, audio.channels, audio.codec, audio.container)
        blocks = list(audio.blocks())
    channels = whole.samples.shape[1]
    assert properties == (whole.sample_rate, channels, whole.codec, whole.container)
    assert (audio.samples_read, audio.warning) == (len(whole.samples), whole.warning)
    size = int(block_s * audio.sample_rate)
    assert {len(block) for block in blocks[:-1]} <= {size}
    assert 0 < len(blocks[-1]) <= size
    assert all(block.flags.c_contiguous and block.dtype == np.float32 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), whole.samples)


def test_ffmpeg_goes_on_from_the_sample_at_which_libsndfile_gave_up(tmp_path: Path) -> None:
    path = _flac_with_a_small_hole(tmp_path / "hole.flac")
    sf.write(tmp_path / "good.flac", tone(12.0), RATE)
    good, decoded = decode(tmp_path / "good.flac").samples, decode(path)
    assert "libsndfile failed after 7.43 s" in str(decoded.warning)  # five of its pieces
    lost = len(good) - len(decoded.samples)
    assert 0 < lost < 0.01 * len(good)
    hole = int(np.argmax((decoded.samples != good[: len(decoded.samples)]).any(axis=1)))
    assert hole > 5 * 65536  # behind the handover
    np.testing.assert_array_equal(decoded.samples[hole:], good[hole + lost :])

    listened = 0.0
    with open_audio(with_zeros_inside(path, 0.8, 0.9), block_s=1.0) as audio:
        try:
            for block in audio.blocks():
                listened += len(block) / audio.sample_rate
        except BadAudio as bad:
            assert re.match(r"damaged: the file promises 12\.00 s, 1", str(bad))  # noqa: PT017
    assert 8 < listened <= audio.seconds_read < 12  # the verdict comes at the end
    assert audio.warning is None


def test_a_failure_that_ffmpeg_cannot_take_over_is_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = sf.SoundFile.read

    def fail_later(self: sf.SoundFile, *arguments, **options) -> np.ndarray:
        if self.tell() > 0:
            raise sf.LibsndfileError(7)
        return read(self, *arguments, **options)

    sf.write(tmp_path / "tone.ogg", tone(), RATE)
    monkeypatch.setattr(sf.SoundFile, "read", fail_later)
    with pytest.raises(BadAudio, match=r"damaged: libsndfile failed after 1\.49 s"):
        decode(tmp_path / "tone.ogg")


CUTTABLE = {  # encoder of FFmpeg, or none: then libsndfile; container
    "wav": ("", "WAV"),
    "flac": ("", "FLAC"),
    "aiff": ("", "AIFF"),
    "au": ("", "AU"),
    "w64": ("", "W64"),
    "caf": ("", "CAF"),
    "rf64": ("", "RF64"),
    "wavex": ("", "WAVEX"),
    "mp3": ("libmp3lame", "mp3"),
    "m4a": ("alac", "ipod"),
    "mka": ("pcm_s16le", "matroska"),
    "wv": ("wavpack", "wv"),
    "wma": ("wmav2", "asf"),
}


@pytest.mark.parametrize("kind", CUTTABLE)
def test_a_short_missing_end_is_a_warning_and_a_long_one_an_error(
    kind: str, tmp_path: Path
) -> None:
    path, (encoder, container) = tmp_path / f"tone.{kind}", CUTTABLE[kind]
    if encoder:
        options = {"movflags": "faststart"} if kind == "m4a" else {}  # its index in front
        form = "s16p" if kind == "wv" else ""
        rate = 128_000 if kind == "wma" else 0
        encode(path, encoder, container, samples=tone(8.0), bit_rate=rate, form=form, **options)
    else:
        sf.write(path, tone(8.0), RATE, format=container)
    content, whole = path.read_bytes(), decode(path)
    assert whole.warning is None

    path.write_bytes(content[: int(0.97 * len(content))])
    short = decode(path)
    check(short)
    promise = r"the end is missing: the file promises 8\.\d\d s, 7\.\d\d s decode"
    assert short.warning is not None
    assert re.search(promise, short.warning)
    got = len(short.samples)
    np.testing.assert_array_equal(short.samples[: got - 4096], whole.samples[: got - 4096])

    path.write_bytes(content[: int(0.80 * len(content))])
    assert code_of(path) == "truncated"
    first = decode(path, max_seconds=1.0)  # the first second is complete
    assert (first.seconds, "missing" in str(first.warning)) == (1.0, False)
    with pytest.raises(
        BadAudio, match="truncated"
    ):  # compared with the whole length, not with the limit
        decode(path, max_seconds=7.0)


@pytest.mark.parametrize("codec", ["vorbis", "opus"])
def test_a_cut_ogg_lacks_its_last_page_and_a_hole_is_detected(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "tone.ogg"
    if codec == "vorbis":
        sf.write(path, tone(8.0), RATE)
    else:
        encode(path, "libopus", "ogg", rate=48000, samples=tone(8.0, 48000))
    content = path.read_bytes()
    assert decode(path).warning is None
    path.write_bytes(content + b"TAG" + bytes(125))  # a stranger's tag behind the last page
    assert decode(path).warning is None
    path.write_bytes(content)
    decoded = decode(cut(path, 0.7))
    assert 4.0 < decoded.seconds < 6.0
    assert "no page marks the end of the Ogg stream" in str(decoded.warning)
    path.write_bytes(content)
    assert code_of(with_zeros_inside(path, 0.5, 0.7)) == "damaged"


def test_a_cut_caf_of_packets_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "tone.caf"
    sf.write(path, tone(), RATE, subtype="ALAC_16")
    assert code_of(cut(path, 0.7)) == "truncated"


def test_too_long_by_the_header_or_when_it_is_reached(tmp_path: Path) -> None:
    wav = encode(tmp_path / "tone.wav", "soundfile", "")
    raw = encode(tmp_path / "tone.aac", "aac", "adts")
    limit = 3 / 3600
    with pytest.raises(BadAudio, match="too-long: the header promises") as caught:
        open_audio(wav, max_hours=limit).__enter__()
    assert caught.value.code == "too-long"
    with open_audio(raw, max_hours=limit, block_s=1.0) as audio:
        assert audio.promised_s is None
        blocks = audio.blocks()
        next(blocks)
        with pytest.raises(BadAudio, match=r"too-long: .* decode"):
            list(blocks)
    assert decode(wav, max_seconds=2.0, max_hours=limit).seconds == 2.0
    assert decode(wav, max_hours=5 / 3600).seconds == 4.0


def test_a_stream_is_read_once_and_in_blocks_that_exist(tmp_path: Path) -> None:
    path = encode(tmp_path / "tone.wav", "soundfile", "")
    with open_audio(path) as audio:
        assert sum(map(len, audio.blocks())) == audio.samples_read
        with pytest.raises(ValueError, match="read already"):
            next(audio.blocks())
    for block_s in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="block_s"):
            open_audio(path, block_s=block_s).__enter__()


def test_only_errors_of_reading_are_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "tone.wav", "soundfile", "")

    def write_to_a_full_disk() -> None:
        with open_audio(path) as audio:
            for _ in audio.blocks():
                raise OSError("the caller's disk is full")

    with pytest.raises(OSError, match="the caller's disk is full"):
        write_to_a_full_disk()

    def failing() -> Iterator[np.ndarray]:
        yield np.zeros((9, 1), np.float32)
        raise OSError(5, "Input/output error")

    source = Source(failing(), 8000, 1, "X", "X", None)
    monkeypatch.setattr(audio_stream, "open_source", lambda *_: source)
    with pytest.raises(BadAudio, match="unreadable: reading failed: Input/output error"):
        decode(path)


MEASURE = """
import resource, sys
from pathlib import Path
from melgraph.ml.audio import Levels, open_audio

def listen(path):
    with open_audio(Path(path), block_s=60.0) as audio:
        found = Levels()
        for block in audio.blocks():
            found.add(block)
    return audio.samples_read

listen(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
samples = listen(sys.argv[2])
print(samples, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["flac", "mka"])
def test_an_hour_takes_no_more_memory_than_two_minutes(kind: str, tmp_path: Path) -> None:
    """An hour of 8 kHz mono is 115 MB of float32."""
    minute = tone(60.0, 8000, 1)
    paths = {minutes: tmp_path / f"{minutes}.{kind}" for minutes in (2, 60)}
    for minutes, path in paths.items():
        samples = np.tile(minute, (minutes, 1))
        if kind == "mka":
            encode(path, "pcm_s16le", "matroska", rate=8000, samples=samples, frame_size=8000)
        else:
            sf.write(path, samples, 8000)
    command = [sys.executable, "-c", MEASURE, str(paths[2]), str(paths[60])]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    samples, kilobytes = map(int, ran.stdout.split())
    assert samples == 3600 * 8000
    assert kilobytes < 20_000
