"""Which augmentations there are, and for which representations. Imports no torch."""

from typing import Literal

Augmentation = Literal["specaugment", "mixup", "equaliser", "transpose", "tempo", "image"]

_MEL, _MFCC, _STFT = "mel_spectrograms", "mfcc", "stft_spectrograms"
_ALL = (_MEL, _MFCC, _STFT, "waveforms", "audio_features")
TAKES: dict[str, tuple[str, ...]] = {
    "specaugment": (_MEL, _MFCC, _STFT),
    "mixup": _ALL,
    "equaliser": (_MEL,),  # a gain in dB is a sum in dB
    "transpose": (_MEL,),  # an interval is a shift where bands are nearly logarithmic
    "tempo": (_MEL, _MFCC),  # phase cannot be interpolated, nor a waveform without its pitch
    "image": (_MEL, _MFCC, _STFT),
}


def misfits(names: tuple[str, ...], representation: str) -> list[str]:
    """What is wrong with these augmentations of a representation, a sentence each."""
    return [
        f"{name} makes no sense of {representation}; it is for {', '.join(TAKES[name])}"
        for name in names
        if representation not in TAKES[name]
    ]
