"""Queries: the tracks that are most similar to others, with the reasons.

from melgraph.assets.context import Context
from melgraph.assets.recommendations.queries import Query, Recommender
from melgraph.storage.home import open_home

recommender = Recommender.open(Context.open(open_home("FOLDER")))
answer = recommender.similar(Query(like=("rock/song.mp3",), unlike=("pop/other.mp3",), k=5))
"""

from melgraph.assets.recommendations.queries.query import (
    DEFAULT_PROBABILITY,
    MOST_TRACKS,
    Answer,
    Filters,
    Moment,
    Query,
    Recommendation,
    Seed,
    SharedTag,
    UnknownValue,
    tag_filters,
)
from melgraph.assets.recommendations.queries.recommender import Recommender

__all__ = [
    "DEFAULT_PROBABILITY",
    "MOST_TRACKS",
    "Answer",
    "Filters",
    "Moment",
    "Query",
    "Recommendation",
    "Recommender",
    "Seed",
    "SharedTag",
    "UnknownValue",
    "tag_filters",
]
