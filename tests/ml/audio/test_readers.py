import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import AUDIO_SUFFIXES, check, decode, to_mono
from tests.ml.audio_files import RATE, SECONDS, encode, tone, with_total_samples

LIBSNDFILE = {
    "wav": "WAV/PCM_16",
    "flac": "FLAC/PCM_16",
    "aiff": "AIFF/PCM_16",
    "au": "AU/PCM_16",
    "w64": "W64/PCM_16",
    "caf": "CAF/PCM_16",
}


@pytest.mark.parametrize("suffix", LIBSNDFILE)
def test_lossless_formats_come_back_exactly(suffix: str, tmp_path: Path) -> None:
    integers = np.rint(tone() * 32767).astype(np.int16)
    path = tmp_path / f"tone.{suffix}"
    sf.write(path, integers, RATE)
    decoded = decode(path)
    assert f".{suffix}" in AUDIO_SUFFIXES
    assert (decoded.codec, decoded.sample_rate, decoded.warning) == (LIBSNDFILE[suffix], RATE, None)
    assert decoded.samples.dtype == np.float32
    np.testing.assert_array_equal(decoded.samples * 32768, integers)
    check(decoded)


LOSSY = {
    "ogg": ("soundfile", "ogg", RATE, "VORBIS"),
    "opus": ("libopus", "opus", 48000, "OPUS"),
    "mp3": ("libmp3lame", "mp3", RATE, "MP3"),
    "m4a": ("aac", "ipod", RATE, "AAC"),
    "aac": ("aac", "adts", RATE, "AAC"),
    "webm": ("libopus", "webm", 48000, "OPUS"),
    "mka": ("pcm_s16le", "matroska", RATE, "PCM_S16LE"),
    "m4b": ("alac", "ipod", RATE, "ALAC"),
}


@pytest.mark.parametrize("suffix", LOSSY)
def test_every_other_format_decodes_whatever_its_name(suffix: str, tmp_path: Path) -> None:
    encoder, container, rate, codec = LOSSY[suffix]
    path = encode(tmp_path / f"tone.{suffix}", encoder, container, rate=rate)
    decoded = decode(path)
    assert f".{suffix}" in AUDIO_SUFFIXES
    assert (decoded.codec, decoded.sample_rate, decoded.warning) == (codec, rate, None)
    assert decoded.samples.shape[1] == 2
    assert decoded.seconds == pytest.approx(SECONDS, abs=0.06)  # encoders pad
    peak_hz = np.abs(np.fft.rfft(to_mono(decoded.samples))).argmax() / decoded.seconds
    assert peak_hz == pytest.approx(440, abs=1)
    check(decoded)

    renamed = path.rename(tmp_path / "tone.wav")
    np.testing.assert_array_equal(decode(renamed).samples, decoded.samples)
    assert len(decode(renamed, max_seconds=1.5).samples) == int(1.5 * rate)


@pytest.mark.parametrize("claimed", [0, 1, 3], ids=["unknown", "too short", "too long"])
def test_a_complete_flac_with_a_wrong_length_is_accepted(claimed: int, tmp_path: Path) -> None:
    path = tmp_path / "tone.flac"
    sf.write(path, tone(), RATE)
    samples = decode(path).samples
    decoded = decode(with_total_samples(path, claimed * 2 * RATE))
    np.testing.assert_array_equal(decoded.samples, samples)
    if claimed:
        assert f"the file promises {2 * claimed:.2f} s, 4.00 s decode" in str(decoded.warning)
    else:
        assert decoded.warning is None  # encoders that write to a pipe leave it open


def test_an_mp3_without_a_length_is_decoded_to_its_end(tmp_path: Path) -> None:
    """Its length is estimated from the bit rate of the first frames, which is too short here."""
    noise = np.random.default_rng(1).standard_normal((2 * RATE, 2)) * 0.2
    loud, quiet = tmp_path / "loud.mp3", tmp_path / "quiet.mp3"
    for path, samples, bitrate in ((loud, noise, 320000), (quiet, 0.01 * noise, 32000)):
        with av.open(str(path), "w", format="mp3", options={"write_xing": "0"}) as out:
            stream = out.add_stream("libmp3lame", rate=RATE, layout="stereo")
            stream.bit_rate = bitrate
            planar = np.ascontiguousarray(samples.T.astype(np.float32))
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="stereo")
            frame.sample_rate = RATE
            split = av.AudioResampler(format="fltp", layout="stereo", rate=RATE, frame_size=1152)
            for piece in [*split.resample(frame), *split.resample(None)]:
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
    both = tmp_path / "both.mp3"
    audio = [path.read_bytes() for path in (loud, quiet)]
    start = [content.index(b"\xff\xfb") for content in audio]
    both.write_bytes(audio[0][start[0] :] + audio[1][start[1] :])
    assert sf.info(both).frames / RATE < 3.5
    assert decode(both).seconds == pytest.approx(4.0, abs=0.15)


def test_a_name_in_no_encoding_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"t\xff\xfene.wav")
    try:
        sf_path = tmp_path / "plain.wav"
        sf.write(sf_path, tone(), RATE)
        sf_path.rename(path)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert decode(path).seconds == SECONDS
    assert decode(encode(tmp_path / "x", "aac", "ipod").rename(path)).codec == "AAC"


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus", "flac"])
def test_concatenated_files_are_decoded_to_their_end(suffix: str, tmp_path: Path) -> None:
    """As `cat` concatenates them: the first header states the length of the first file only."""
    codec, rate = {"mp3": ("libmp3lame", RATE), "opus": ("libopus", 48000)}.get(
        suffix, ("soundfile", RATE)
    )
    parts = [
        encode(tmp_path / f"{n}.{suffix}", codec, suffix, rate=rate, samples=tone(seconds, rate))
        for n, seconds in enumerate((3.0, 2.0))
    ]
    both = tmp_path / f"both.{suffix}"
    for tag in (b"", b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)) if suffix == "mp3" else (b"",):
        both.write_bytes(tag + b"".join(path.read_bytes() for path in parts))
        decoded = decode(both)
        assert decoded.seconds == pytest.approx(5.0, abs=0.15)
        assert decoded.warning is not None or suffix == "opus"
        first = decode(parts[0]).samples
        np.testing.assert_allclose(decoded.samples[: len(first)], first, atol=1e-5)
    alone = decode(parts[0])
    assert (alone.seconds, alone.warning) == (3.0, None)
