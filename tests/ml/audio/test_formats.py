"""Every format comes back as it was written.

| format | written by | here |
|---|---|---|
| WAV, WAVE_EXTENSIBLE, RF64, W64, AIFF and AIFF-C, AU, CAF | libsndfile | PCM, float, mu-/A-law |
| ALAC in CAF | libsndfile | 16 bit; its encoder writes nonsense at 20 to 32 bit for loud noise |
| FLAC 8, 16, 24 bit | libsndfile | yes; 32 bit cannot be written |
| FLAC in Ogg, in Matroska, in mp4 | FFmpeg | no: PyAV leaves out the header these need |
| Ogg Vorbis | libsndfile | yes; in Matroska no: the encoder of FFmpeg is experimental |
| Opus in Ogg, webm, Matroska | libopus | yes; at 48 kHz, which is what it decodes to |
| mp3 | LAME | mono and stereo to 48 kHz, as the format has no more; layers I and II no |
| AAC in mp4 and raw (ADTS) | FFmpeg | LC only; HE-AAC (SBR) no |
| ALAC in mp4, PCM in mp4 and Matroska | FFmpeg | yes |
| WMA 1 and 2 | FFmpeg | mono and stereo to 48 kHz; WMA Pro and Lossless no |
| WavPack, alone and in Matroska | FFmpeg | lossless, 16 bit; hybrid no |
"""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import check, decode
from tests.ml.audio_files import encode, tone

SHAPES = {(44100, 2), (8000, 1), (192000, 8), (48000, 6), (96000, 3)}
STEP = {  # the coarsest step of a sample format, full scale 1.0
    "PCM_S8": 2.0**-7,
    "PCM_U8": 2.0**-7,
    "PCM_16": 2.0**-15,
    "PCM_24": 2.0**-23,
    "PCM_32": 2.0**-24,  # float32 has no more
    "FLOAT": 0.0,
    "DOUBLE": 0.0,
    "ULAW": 2.0**-5,
    "ALAW": 2.0**-5,
    "ALAC_16": 2.0**-15,
}
PCM = ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
BY_LIBSNDFILE = {
    ("WAV", "wav"): ("PCM_U8", *PCM),
    ("WAVEX", "wav"): ("PCM_U8", *PCM),
    ("RF64", "wav"): ("PCM_U8", *PCM),
    ("W64", "w64"): ("PCM_U8", *PCM),
    ("AIFF", "aiff"): ("PCM_S8", "PCM_U8", *PCM),
    ("AU", "au"): ("PCM_S8", *PCM),
    ("CAF", "caf"): ("PCM_S8", *PCM, "ALAC_16"),
    ("FLAC", "flac"): ("PCM_S8", "PCM_16", "PCM_24"),
}


@pytest.mark.parametrize(
    ("form", "suffix", "subtype"),
    [(*form, subtype) for form, subtypes in BY_LIBSNDFILE.items() for subtype in subtypes],
)
def test_lossless_files_of_libsndfile(form: str, suffix: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / f"tone.{suffix}"
    for rate, channels in SHAPES:
        if form == "CAF" and subtype == "ALAC_16" and channels > 2:
            continue  # libsndfile asks for another order of channels
        samples = tone(0.1, rate, channels)
        sf.write(path, samples, rate, format=form, subtype=subtype)
        decoded = decode(path)
        assert (decoded.codec, decoded.container) == (f"{form}/{subtype}", form)
        assert (decoded.sample_rate, decoded.samples.shape) == (rate, samples.shape)
        assert (decoded.samples.dtype, decoded.warning) == (np.float32, None)
        np.testing.assert_allclose(decoded.samples, samples, rtol=0, atol=STEP[subtype])
        check(decoded, min_seconds=0.1)


BY_FFMPEG = {  # encoder, container, suffix: codec, container, largest error
    ("alac", "ipod", "m4a"): ("ALAC", "MOV", 2.0**-23),
    ("pcm_s16le", "mov", "m4a"): ("PCM_S16LE", "MOV", 2.0**-15),
    ("pcm_s24le", "matroska", "mka"): ("PCM_S24LE", "MATROSKA", 2.0**-23),
    ("pcm_f32le", "matroska", "mka"): ("PCM_F32LE", "MATROSKA", 0.0),
    ("wavpack", "wv", "wv"): ("WAVPACK", "WV", 2.0**-15),
    ("wavpack", "matroska", "mka"): ("WAVPACK", "MATROSKA", 2.0**-15),
    ("flac", "flac", "flac"): ("FLAC/PCM_16", "FLAC", 2.0**-15),
}


@pytest.mark.parametrize("kind", BY_FFMPEG, ids=" ".join)
def test_lossless_files_of_ffmpeg(kind: tuple[str, str, str], tmp_path: Path) -> None:
    encoder, container, suffix = kind
    codec, container, error = BY_FFMPEG[kind]
    for rate, channels in SHAPES:
        if channels == 8 and encoder == "alac":
            continue  # another arrangement of eight loudspeakers than 7.1
        samples = tone(0.1, rate, channels)
        path = tmp_path / f"t.{suffix}"
        form = "s16p" if encoder == "wavpack" else ""  # else 8 bit
        encode(path, encoder, container, rate=rate, samples=samples, form=form)
        decoded = decode(path)
        assert (decoded.codec, decoded.container, decoded.warning) == (codec, container, None)
        assert (decoded.sample_rate, decoded.samples.shape) == (rate, samples.shape)
        np.testing.assert_allclose(decoded.samples, samples, rtol=0, atol=error)


LOSSY = {  # encoder, container, suffix: codec, shapes, kbit/s per channel, least SNR (dB)
    ("soundfile", "", "ogg"): ("VORBIS", {(44100, 2), (8000, 1), (48000, 2)}, 0, 6.0),
    ("libopus", "ogg", "opus"): ("OPUS", {(48000, 2), (48000, 1), (48000, 6)}, 96, 12.0),
    ("libopus", "webm", "webm"): ("OPUS", {(48000, 2), (48000, 1), (48000, 6)}, 96, 12.0),
    ("libopus", "matroska", "mka"): ("OPUS", {(48000, 2), (48000, 8)}, 96, 12.0),
    ("libmp3lame", "mp3", "mp3"): ("MP3", {(44100, 2), (8000, 1), (48000, 1)}, 96, 12.0),
    ("aac", "ipod", "m4a"): ("AAC", {(44100, 2), (16000, 1), (48000, 6)}, 96, 12.0),
    ("aac", "adts", "aac"): ("AAC", {(44100, 2), (16000, 1), (48000, 6)}, 96, 12.0),
    ("wmav1", "asf", "wma"): ("WMAV1", {(44100, 2), (22050, 1)}, 64, 6.0),
    ("wmav2", "asf", "wma"): ("WMAV2", {(44100, 2), (22050, 1)}, 64, 6.0),
}


@pytest.mark.parametrize("kind", LOSSY, ids=" ".join)
def test_lossy_files_sound_as_they_were_written(kind: tuple[str, str, str], tmp_path: Path) -> None:
    encoder, container, suffix = kind
    codec, shapes, kilobits, least_snr_db = LOSSY[kind]
    for rate, channels in shapes:
        samples = tone(1.0, rate, channels)
        path = encode(
            tmp_path / f"t.{suffix}",
            encoder,
            container,
            rate=rate,
            samples=samples,
            bit_rate=1000 * kilobits * channels,
        )
        decoded = decode(path)
        assert (decoded.codec, decoded.sample_rate, decoded.warning) == (codec, rate, None)
        assert decoded.samples.shape[1] == channels
        assert abs(len(decoded.samples) - rate) <= 2 * 2048  # encoders pad, or leave out the last
        assert _snr_db(samples, decoded.samples) > least_snr_db
        check(decoded)


def _snr_db(original: np.ndarray, decoded: np.ndarray) -> float:
    """Error of the median channel (5.1 has one for bass only), without the encoder's delay."""
    margin = len(original) // 4
    inner = original[margin:-margin]
    ends = [margin + delay + len(inner) for delay in range(2200) if margin > delay]
    errors = [np.mean((decoded[end - len(inner) : end, 0] - inner[:, 0]) ** 2) for end in ends]
    start = margin + int(np.argmin(errors))
    error = np.mean((decoded[start : start + len(inner)] - inner) ** 2, axis=0)
    return float(np.median(10 * np.log10(np.mean(inner**2, axis=0) / error)))


@pytest.mark.parametrize(
    ("encoder", "container", "options", "delay"),
    [
        ("libmp3lame", "mp3", {"write_xing": "0"}, 1105),
        ("libmp3lame", "mp3", {}, 0),
        ("aac", "adts", {}, 1024),
        ("aac", "ipod", {}, 0),
    ],
)
def test_the_delay_of_an_encoder_that_no_header_states(
    encoder: str, container: str, options: dict[str, str], delay: int, tmp_path: Path
) -> None:
    """As docs/error-codes.md says; where a header states the delay it is taken off."""
    samples = np.zeros((44100, 1), np.float32)
    samples[20_000:20_400] = tone(1.0, 44100, 1)[:400]
    path = encode(tmp_path / "t", encoder, container, samples=samples, bit_rate=192_000, **options)
    if container == "ipod":  # PyAV leaves out the delay in the edit list
        content = path.read_bytes()
        at = content.index(b"elst") + 16
        path.write_bytes(content[:at] + struct.pack(">I", 1024) + content[at + 4 :])
    decoded = decode(path).samples[:, 0]
    pattern = samples[19_000:22_000, 0]
    matches = [float(decoded[19_000 + d : 22_000 + d] @ pattern) for d in range(2000)]
    assert abs(int(np.argmax(matches)) - delay) <= 1
