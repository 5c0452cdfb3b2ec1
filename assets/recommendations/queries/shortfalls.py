"""Why an answer has fewer tracks than were asked for, or a path differs from what was asked for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from melgraph.assets.recommendations.queries.query import Query, Recommendation
from melgraph.ml.similarity.selection import COPIES, Selection

if TYPE_CHECKING:
    from melgraph.ml.similarity.paths import Path

_PASSED_OVER = {COPIES: "seeds and copies of a recording"}


def shortfall(query: Query, selection: Selection, n_allowed: int, n_live: int) -> str | None:
    """Why there are fewer tracks than were asked for; None if there are not.

    Args:
        query: the query.
        selection: the tracks of the answer, and what was passed over.
        n_allowed: tracks that the filters allow.
        n_live: tracks in the index.
    """
    n = len(selection.rows)
    if n == query.k:
        return None
    reasons = [f"the library has {_count(n_live, 'track')} in this index"]
    if n_allowed < n_live:
        reasons = [f"the filters allow {n_allowed:,} of {_count(n_live, 'track')}"]
    reasons += [
        f"{number:,} passed over: {_PASSED_OVER.get(reason, reason)}"
        for reason, number in selection.dropped.items()
        if number
    ]
    n_left = n_allowed - n - sum(selection.dropped.values())
    if n_left > 0:
        or_else = ", or nearer to what the answer must not be like" if query.unlike else ""
        reasons.append(f"{n_left:,} with no positive similarity{or_else}")
    return f"{n:,} of {_count(query.k, 'track')}: {'; '.join(reasons)}"


def path_shortfall(path: "Path", tracks: Sequence[Recommendation]) -> str | None:
    """In what a path differs from what was asked for; None if in nothing.

    Args:
        path: the path.
        tracks: its tracks, with the similarity of each to the one before.
    """
    n_steps = sum(track.similarity <= 0 for track in tracks[1:])
    unlike = f"{_count(n_steps, 'step')} without a positive similarity" if n_steps else None
    return "; ".join(filter(None, [path.reason, unlike])) or None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
