import numpy as np
import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet

TRACK = np.zeros((9, 16), dtype=np.float32)


def test_a_set_holds_its_tracks_as_they_are():
    tracks = TrackSet([TRACK, TRACK[:1].astype(np.float16)], np.array([1, 0]))
    assert len(tracks) == 2
    assert tracks.arrays[0] is TRACK  # no copy: it may be a view of a memory map


@pytest.mark.parametrize(
    ("arrays", "labels", "message"),
    [
        ([], np.array([], dtype=np.int64), "no track"),
        ([TRACK], np.array([0, 1]), r"labels are int64 \(2,\) for 1 tracks"),
        ([TRACK], np.array([0.5]), "labels are float64"),
        ([TRACK, TRACK[:, :3]], np.array([0, 1]), r"track 1 has shape \(9, 3\)"),
        ([TRACK, TRACK[:0]], np.array([0, 1]), r"track 1 has shape \(0, 16\)"),
        ([TRACK, TRACK[None]], np.array([0, 1]), "track 1 has shape"),
    ],
)
def test_unusable_sets_are_told(arrays, labels, message):
    with pytest.raises(UserError, match=message) as caught:
        TrackSet(arrays, labels)
    assert caught.value.where.startswith("TrackSet")
