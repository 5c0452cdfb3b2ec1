"""How the page of sounds shows the sounds of each generator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from melgraph.assets.stage import Stage


def shared_figures(row: Mapping[str, Any]) -> dict[str, str]:
    """The figures that the sounds of all generators have, as the page of sounds shows them."""
    names = {
        "snr_to_original_db": "SNR to the original",
        "identity_snr_db": "SNR without a change",
    }
    return {name: decibels(row[key]) for key, name in names.items() if key in row}


def decibels(value: float | None) -> str:
    """A signal-to-noise ratio for people; it is None where the two sounds are equal."""
    return "no difference" if value is None else f"{value:.2f} dB"


@dataclass(frozen=True)
class Presentation:
    """How the page of sounds shows the sounds of a generator.

    The module of a generator defines one as `PRESENTATION`.

    Attributes:
        heading: of its sounds: "Deep dreams".
        result: of one sound, above its player: "Dream".
        about: what the method does, and what its figures mean, for people.
        figures: the facts of a sound -> name and value of each figure, formatted.
    """

    heading: str
    result: str
    about: str = ""
    figures: Callable[[Mapping[str, Any]], dict[str, str]] = shared_figures


def presentation_of(stage: Stage) -> Presentation:
    """How the page shows the sounds of a generator, if its module does not say it: plainly."""
    heading = stage.name.replace("_", " ").capitalize()
    presentation: Presentation = stage.attribute("PRESENTATION", Presentation(heading, "Result"))
    return presentation
