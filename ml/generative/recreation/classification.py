"""Genres of songs and of recreations by the networks that recreate them.

The source classifies recreations with the networks that made them. An autoencoder is no classifier:
the genre here is the one whose network recreates a song with the smallest error. This rule favours
genres whose songs are easy to recreate, and genres whose network had more training steps because
they have more recordings. A network also learns what is special to the artists of its recordings:
songs of other artists can be recreated best by the network of another genre.
"""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.errors import UserError
from melgraph.ml.generative.recreation.networks import Recreations


@dataclass(frozen=True)
class ErrorClassification:
    """The genre of a song by the errors of its recreations.

    Attributes:
        genre: whose network recreates the song with the smallest error.
        errors: mean squared error of the network of each genre, of standardised MFCC.
        margin: by which share the smallest error is smaller than the second smallest, from 0 to 1.
            It is no probability: no data were used to learn how often a margin is right.
    """

    genre: str
    errors: dict[str, float]
    margin: float


def classify(network: Recreations, values: np.ndarray) -> ErrorClassification:
    """Classify a song, a part of it, or a recreation by the smallest error.

    Equal errors are decided by the order of the genres.

    Args:
        network: the networks of at least two genres.
        values: float `[frame, coefficient]`, MFCC as stored; at least 1 frame.

    Raises:
        UserError: there is one genre only, so there is nothing to tell apart.
        ValueError: the values have another shape.
    """
    if len(network.genres) < 2:
        raise UserError(
            f"there is one genre only ({network.genres[0]}), so there is nothing to tell apart",
            where="genres of the generative model",
            remedy="train networks for at least two genres",
        )
    errors = network.errors(values)
    order = np.argsort(errors, kind="stable")
    smallest, second = errors[order[:2]]
    return ErrorClassification(
        genre=network.genres[int(order[0])],
        errors=dict(zip(network.genres, map(float, errors), strict=True)),
        margin=float(1 - smallest / second) if second > 0 else 0.0,
    )
