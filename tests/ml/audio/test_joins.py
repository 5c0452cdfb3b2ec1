"""Files of several files one behind the other: all sound is used, in the form of the first."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import check, decode, open_audio
from melgraph.ml.audio.joins import in_the_first_form
from tests.ml.audio.ogg_files import flac_in_ogg, ogg_file
from tests.ml.audio_files import RATE, encode, tone

FORMS = {"a": (44100, 2), "b": (22050, 1), "c": (48000, 2), "d": (44100, 1)}


def _mp3(folder: Path, name: str, *, with_length: bool) -> bytes:
    rate, channels = FORMS[name]
    options = {} if with_length else {"write_xing": "0", "id3v2_version": "0"}
    path = encode(
        folder / f"{name}.mp3", "libmp3lame", "mp3", rate=rate, samples=tone(1.0, rate, channels),
        **options,
    )  # fmt: skip
    return path.read_bytes()


def _pitch(samples: np.ndarray, rate: int) -> float:
    """Frequency of the loudest partial of the first channel, Hz."""
    return float(np.abs(np.fft.rfft(samples[:, 0])).argmax() * rate / len(samples))


@pytest.mark.parametrize("with_length", [True, False], ids=["xing", "no xing"])
@pytest.mark.parametrize("second", "bcd")
@pytest.mark.parametrize("first", "ab")
def test_two_mp3_of_other_forms(first: str, second: str, with_length: bool, tmp_path: Path) -> None:
    if first == second:
        return
    path = tmp_path / "both.mp3"
    parts = [_mp3(tmp_path, name, with_length=with_length) for name in (first, second)]
    path.write_bytes(parts[0] + parts[1])
    decoded = decode(path)
    check(decoded)
    rate, channels = FORMS[first]
    assert (decoded.sample_rate, decoded.samples.shape[1]) == (rate, channels)
    assert decoded.seconds == pytest.approx(2.0, abs=0.2)
    assert "the sound changes at 1.0" in str(decoded.warning)
    other_rate, other_channels = FORMS[second]
    assert f"to {other_rate} Hz and {other_channels} channel" in str(decoded.warning)
    for start in (0.2, 1.2):  # the same tone before and after
        piece = decoded.samples[int(start * rate) : int((start + 0.5) * rate)]
        assert _pitch(piece, rate) == pytest.approx(440.0, abs=2.0)
        level = float(np.sqrt(np.mean(piece**2)))
        assert level == pytest.approx(0.22, abs=0.02)
    with open_audio(path, block_s=0.3) as audio:
        blocks = list(audio.blocks())
    np.testing.assert_array_equal(np.concatenate(blocks), decoded.samples)


def _vorbis(path: Path, rate: int, channels: int, _: int) -> bytes:
    sf.write(path, tone(1.0, rate, channels), rate, format="OGG")
    return path.read_bytes()


def _opus(path: Path, _: int, channels: int, __: int) -> bytes:
    samples = tone(1.0, 48000, channels)
    return encode(path, "libopus", "ogg", rate=48000, samples=samples).read_bytes()


def _flac(path: Path, rate: int, channels: int, serial: int) -> bytes:
    sf.write(path, tone(1.0, rate, channels), rate, format="FLAC")
    return flac_in_ogg(path, serial=serial)


@pytest.mark.parametrize("write", [_vorbis, _opus, _flac])
def test_a_chain_of_ogg_streams_of_other_forms(write, tmp_path: Path) -> None:
    forms = [(44100, 2), (22050, 1), (44100, 2)]
    parts = [write(tmp_path / f"{i}.ogg", *form, i + 1) for i, form in enumerate(forms)]
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(parts))
    decoded = decode(path)
    check(decoded)
    assert decoded.samples.shape[1] == 2
    assert decoded.seconds == pytest.approx(3.0, abs=0.01)
    assert "3 files, one behind the other" in str(decoded.warning)
    assert "the sound changes 2 times, first at 1.00 s to" in str(decoded.warning)
    (tmp_path / "0.ogg").write_bytes(parts[0])
    alone = decode(tmp_path / "0.ogg").samples
    np.testing.assert_array_equal(decoded.samples[: len(alone)], alone)
    rate = decoded.sample_rate
    assert _pitch(decoded.samples[int(1.2 * rate) : int(1.7 * rate)], rate) == pytest.approx(
        440, abs=2
    )


def test_the_same_ogg_file_twice(tmp_path: Path) -> None:
    """Both have the same serial number."""
    path = tmp_path / "twice.ogg"
    content = _vorbis(path, 44100, 2, 0)
    once = decode(path).samples
    path.write_bytes(content + content)
    np.testing.assert_array_equal(decode(path).samples, np.concatenate([once, once]))


def test_a_part_that_is_no_sound_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "chain.ogg"
    content = _vorbis(path, 44100, 2, 0)
    broken = ogg_file([b"nonsense"], [(bytes(100), 400)], serial=9)
    path.write_bytes(content + broken + content)
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(2.0, abs=0.01)
    assert "part 2 of 3 is left out: " in str(decoded.warning)


def test_two_files_of_wav_of_aiff_and_of_flac(tmp_path: Path) -> None:
    forms = ((RATE, 2), (22050, 1))
    for suffix, (rate, channels) in product(("wav", "aiff"), forms):
        path = tmp_path / f"both.{suffix}"
        sf.write(path, tone(1.0), RATE)
        first = path.read_bytes()
        sf.write(path, tone(0.5, rate, channels), rate)
        path.write_bytes(first + path.read_bytes())
        decoded = decode(path)
        assert (decoded.seconds, decoded.sample_rate, decoded.samples.shape[1]) == (1.5, RATE, 2)
        assert "2 files, one behind the other" in str(decoded.warning)
    path = tmp_path / "both.flac"
    for rate in (RATE, 22050):
        sf.write(path, tone(1.0), RATE)
        first = path.read_bytes()
        sf.write(path, tone(0.1, rate), rate)  # few bytes: less than libsndfile reads ahead
        path.write_bytes(first + path.read_bytes())
        decoded = decode(path)
        assert (decoded.seconds, decoded.sample_rate) == (pytest.approx(1.1), RATE)
        assert "2 files, one behind the other" in str(decoded.warning)


def test_pieces_become_the_first_form() -> None:
    notes: list[str] = []
    stereo = np.tile(np.float32([[0.25, 0.75]]), (1000, 1))
    mono = np.full((2000, 1), 0.5, np.float32)
    pieces = [(stereo, 8000), (mono, 16000), (mono, 16000), (mono, 8000), (stereo, 8000)]
    result = np.concatenate(list(in_the_first_form(pieces, 8000, 2, notes)))
    assert len(result) == 1000 + 2000 + 2000 + 1000
    np.testing.assert_array_equal(result[:1000], stereo)
    np.testing.assert_allclose(result[1200:2800], 0.5, atol=1e-3)
    np.testing.assert_array_equal(result[3000:5000], 0.5)
    assert notes == [
        "the sound changes 3 times, first at 0.12 s to 16000 Hz and 1 channel: "
        "resampled to 8000 Hz and 2 channels as at the beginning"
    ]
    quiet: list[str] = []
    same = list(in_the_first_form([(stereo, 8000)] * 2, 8000, 2, quiet))
    assert [piece is stereo for piece in same] == [True, True]
    assert quiet == []
