"""Mp3 files in memory: encoded by LAME, and decoded without the delay of encoder and decoder."""

import io

import numpy as np

RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def mp3_rate(rate: int) -> int:
    """The sample rate of an mp3 file for a sound: its own, or the next one that mp3 has."""
    return min((one for one in RATES if one >= rate), default=RATES[-1])


def encode_mp3(samples: np.ndarray, rate: int, kbit_s: int) -> bytes:
    """An mp3 file of a constant bit rate (LAME), without metadata.

    Args:
        samples: float32 `[sample, channel]`, one or two channels.
        rate: Hz; one that mp3 has (`mp3_rate`).
        kbit_s: bit rate. LAME takes the largest one that the sample rate allows, if it is less.
    """
    import av

    file = io.BytesIO()
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout=layout)
        stream.bit_rate = 1000 * kbit_s
        planes = np.ascontiguousarray(samples.T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def decode_mp3(file: bytes, channels: int) -> np.ndarray:
    """The samples of an mp3 file: float32 `[sample, channel]`.

    The delay of encoder and decoder is removed by the gapless information of the file.
    """
    import av

    with av.open(io.BytesIO(file), "r", format="mp3") as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate([np.zeros((channels, 0), np.float32), *blocks], axis=1).T
