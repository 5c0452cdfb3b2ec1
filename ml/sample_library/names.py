"""Invented names of artists, albums and tracks, some with characters beyond ASCII (Unicode NFC)."""

import numpy as np

_PLAIN = (
    "Amber", "Copper", "Dusty", "Electric", "Golden", "Hollow", "Lucky", "Midnight",
    "Northern", "Paper", "Quiet", "Red", "Silver", "Velvet", "Wandering", "Winter",
)  # fmt: skip
_BEYOND_ASCII = ("Ålborg", "Zażółć", "Ελιά", "München", "Café", "Ñandú", "Ночной", "夜明け")
_ENSEMBLES = {
    "blues": "Delta Trio",
    "classical": "Chamber Players",
    "country": "Valley Ramblers",
    "disco": "Mirrorball",
    "hiphop": "Cypher",
    "jazz": "Quintet",
    "metal": "Anvil",
    "pop": "Parade",
    "reggae": "Roots Union",
    "rock": "Engines",
}
_THINGS = (
    "Garden", "Harbour", "Letter", "Mirror", "Morning", "Ocean", "River", "Road",
    "Shadow", "Signal", "Station", "Stone", "Street", "Summer", "Train", "Window",
)  # fmt: skip
_UNICODE_THINGS = ("Señal", "Straße", "Été", "Fjord på natten", "Дорога", "海", "Ώρα", "Żagiel")
_VERBS = ("After the", "Beyond the", "Leaving the", "Song for a", "Under the", "Waiting for a")


def artist_name(style: str, number: int, *, rng: np.random.Generator) -> str:
    """A name that no other artist of the library has; every fourth has characters beyond ASCII.

    Args:
        style: the style of the artist, which decides the word for the ensemble.
        number: number of the artist within the style.
        rng: a new generator with the same seed for all artists of a style; it shuffles the words.
    """
    plain, beyond = rng.permutation(_PLAIN), rng.permutation(_BEYOND_ASCII)
    words, place = (beyond, number // 4) if number % 4 == 1 else (plain, number - (number + 2) // 4)
    repetition = place // len(words)
    suffix = f" {repetition + 1}" if repetition else ""
    return f"{words[place % len(words)]} {_ENSEMBLES[style]}{suffix}"


def album_title(number: int, *, rng: np.random.Generator) -> str:
    """The title of an album."""
    return f"{rng.choice(_PLAIN)} {rng.choice(_THINGS)}"


def track_title(track: int, *, rng: np.random.Generator) -> str:
    """The title of a track; every third has characters beyond ASCII."""
    things = _UNICODE_THINGS if track % 3 == 1 else _THINGS
    return f"{rng.choice(_VERBS)} {rng.choice(things)}"
