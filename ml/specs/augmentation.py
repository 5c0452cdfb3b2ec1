"""The augmentations, and the representations that each can be applied to. Imports no torch."""

from typing import Literal

Augmentation = Literal["specaugment", "mixup", "equaliser", "transpose", "tempo", "image"]

_MEL, _MFCC, _STFT = "mel_spectrograms", "mfcc", "stft_spectrograms"
_ALL = (_MEL, _MFCC, _STFT, "waveforms", "waveforms_32k", "audio_features", "vectors")
TAKES: dict[str, tuple[str, ...]] = {
    "specaugment": (_MEL, _MFCC, _STFT),
    "mixup": _ALL,
    "equaliser": (_MEL,),  # a gain in dB is added to values in dB
    "transpose": (_MEL,),  # an interval is a shift of bands that are nearly logarithmic
    "tempo": (_MEL, _MFCC),  # phase cannot be interpolated, and a waveform would change its pitch
    "image": (_MEL, _MFCC, _STFT),
}


def misfits(names: tuple[str, ...], representation: str) -> list[str]:
    """One sentence for each of these augmentations that cannot be applied to a representation."""
    return [
        f"{name} cannot be applied to {representation}, only to {', '.join(TAKES[name])}"
        for name in names
        if representation not in TAKES[name]
    ]
