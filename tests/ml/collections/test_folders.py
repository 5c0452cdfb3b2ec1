import pytest

from melgraph.ml.collections.folders import folder_label


@pytest.mark.parametrize(
    ("path", "level", "label"),
    [
        ("rock/a.mp3", 1, "rock"),
        ("rock/b/a.mp3", 1, "rock"),
        ("rock/b/a.mp3", 2, "b"),
        ("rock/a.mp3", 2, None),
        ("a.mp3", 1, None),
        ("été/日本/a.mp3", 2, "日本"),
        ("rock/a.mp3", None, None),
    ],
)
def test_folder_label(path, level, label):
    assert folder_label(path, level) == label
