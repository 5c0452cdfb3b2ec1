"""Clips shorter than a segment: what is said about them, and which are refused."""

import numpy as np
import pytest
import soundfile

from melgraph.ml.audio import BadAudio
from melgraph.ml.inference.short_clips import caution_of, read_clip
from melgraph.ml.representations.waveforms import WaveformTransform

WAVEFORM = {
    "representation": "waveforms",
    "channels": ["amplitude"],
    "crop_s": 29.0,
    "transform": WaveformTransform(16000).attributes(),
}


@pytest.mark.parametrize(
    ("clip_s", "segment_s", "least"),
    [(0.6, 29.0, "2.90"), (2.8, 29.0, "2.90"), (0.6, 3.0, "1.00"), (0.99, 3.0, "1.00")],
)
def test_less_than_a_second_or_a_tenth_of_a_segment_is_refused(clip_s, segment_s, least):
    with pytest.raises(BadAudio, match=f"at least {least} s are needed") as caught:
        caution_of(round(clip_s * 1000), round(segment_s * 1000), segment_s)
    assert caught.value.code == "too-short"


@pytest.mark.parametrize(
    ("clip_s", "segment_s", "share"), [(2.9, 29.0, "90%"), (10.0, 29.0, "66%"), (1.5, 3.0, "50%")]
)
def test_a_short_clip_is_used_and_its_repetition_is_stated(clip_s, segment_s, share):
    caution = caution_of(round(clip_s * 1000), round(segment_s * 1000), segment_s)
    assert caution == (
        f"the clip has {clip_s:.2f} s and the model takes {segment_s:.2f} s: {share} of what it "
        "was given is a repetition"
    )


def test_a_clip_that_fills_a_segment_needs_no_caution():
    assert caution_of(3000, 3000, 3.0) is None
    assert caution_of(1, 1, 3.0) is None  # tabular features have one frame, however long the clip
    assert caution_of(1600, 1600, 0.1) is None  # a segment may be shorter than a second


def test_files(tmp_path):
    rate = 16000
    noise = np.random.default_rng(0).normal(0, 0.1, 30 * rate)
    for name, seconds in (("long", 30), ("short", 5), ("tiny", 0.6)):
        soundfile.write(tmp_path / f"{name}.wav", noise[: int(seconds * rate)], rate)
    assert read_clip(tmp_path / "long.wav", WAVEFORM, 29 * rate).caution is None
    short = read_clip(tmp_path / "short.wav", WAVEFORM, 29 * rate)
    assert len(short.array) == 5 * rate
    assert "5.00 s" in short.caution
    with pytest.raises(BadAudio, match=r"0\.60 s"):
        read_clip(tmp_path / "tiny.wav", WAVEFORM, 29 * rate)
