"""A list with arbitrary bytes is read, or refused with a message for people."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from melgraph.ml.collections import find_metadata, read
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec
from tests.ml.collections.layouts import GENRES_CSV, fma_row, tracks, write_fma, write_jamendo

KEYS = {
    "gtzan": {},
    "fma": {"multi_label": True},
    "mtg_jamendo": {"multi_label": True},
    "table": {"multi_label": True},
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Pieces of real lists, to be cut and concatenated."""
    folder = tmp_path_factory.mktemp("real")
    write_fma(folder, [fma_row(2), fma_row(5, genres="[21]")])
    write_jamendo(folder, test=["215 14 genre---metal"])
    return {
        "tracks.csv": (folder / "tracks.csv").read_bytes(),
        "test.tsv": (folder / "autotagging_top50tags-test.tsv").read_bytes(),
    }


@pytest.mark.parametrize("labels", KEYS)
@given(
    data=st.binary(max_size=60),
    cut=st.integers(0, 900),
    base=st.sampled_from(["", "tracks.csv", "test.tsv", "genres", "table", "gtzan"]),
)
@example(data=b"\0", cut=0, base="")
@example(data=b'"', cut=0, base="table")
@example(data=b"x" * 140000, cut=12, base="table")
def test_read_or_refused(labels, data, cut, base, parts, tmp_path_factory):
    lists = {
        "genres": GENRES_CSV.encode(),
        "table": b"path,labels\na.mp3,calm\n",
        "gtzan": b"blues/blues.00029.wav\n",
        **parts,
    }
    whole = lists.get(base, b"")
    content = whole[:cut] + data + whole[cut:]
    folder = tmp_path_factory.mktemp("bytes")
    names = ["tracks.csv", "genres.csv", "mine.csv"]
    names += [f"{part}_filtered.txt" for part in ("train", "valid", "test")]
    names += [f"autotagging_top50tags-{part}.tsv" for part in ("train", "validation", "test")]
    for name in names:
        (folder / name).write_bytes(content)
    place = folder / "mine.csv" if labels == "table" else folder
    spec = DatasetSpec(title="x", labels=labels, metadata=str(place), **KEYS[labels])
    files = find_metadata(spec, folder, where="x")
    refused = None
    try:
        annotations = read(tracks("a.mp3", "blues/blues.00029.wav"), files, spec)
        assert len(annotations.rows) == 2
    except UserError as error:
        refused = error
    assert refused is None or str(folder) in refused.where
