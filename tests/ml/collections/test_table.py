import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.collections import find_metadata, read
from melgraph.ml.collections.table import read_rows
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec
from tests.ml.collections.layouts import tracks

SPEC = DatasetSpec(title="x", labels="table", metadata="mine.csv")
SEVERAL = SPEC.model_copy(update={"multi_label": True})
FILES = ("live/one.mp3", "live/two.flac", "studio/three.wav")


@pytest.fixture
def table(tmp_path):
    """`table(text)` reads a CSV over three files."""

    def annotate(text, spec=SPEC, files=FILES):
        (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
        return read(tracks(*files), find_metadata(spec, tmp_path, where="dataset x"), spec)

    return annotate


def labels_of(annotations):
    return [row.labels if row else None for row in annotations.rows]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\nlive/one.mp3,calm\n./live/two.flac,wild\nstudio\\three.wav,calm\n",
        "\ufeffpath,label\r\nlive/one.mp3,calm\r\nlive/two.flac,wild\r\nstudio/three.wav,calm\r\n",
        "label;comment;path\ncalm;a, b;live/one.mp3\nwild;;live/two.flac\ncalm;;studio/three.wav\n",
        "path\tlabel\nlive/one.mp3\tcalm\nlive/two.flac\twild\nstudio/three.wav\tcalm\n",
        "stem,label\none,calm\ntwo.flac,wild\nthree,calm\n",
        f"track_id,label\n{0:032x},calm\n{1:032X},wild\n{2:032x},calm\n",
    ],
)
def test_the_ways_to_name_a_file(table, text):
    assert labels_of(table(text)) == [("calm",), ("wild",), ("calm",)]


def test_split_artist_group_are_understood(table):
    annotations = table(
        "path,label,split,artist,group,album,title\n"
        "live/one.mp3,calm,Training,A,g1,B,One\nlive/two.flac,wild,val,,,,\n"
        "studio/three.wav,,TEST,,,,\n"
    )
    first, second, third = annotations.rows
    assert (first.split, first.artist, first.group, first.title) == ("train", "A", "g1", "One")
    assert (second.split, second.artist) == ("validation", None)
    assert (third.split, third.labels, third.reason) == ("test", (), "no label in the table")
    assert annotations.split_sizes == {"train": 1, "validation": 1, "test": 1}


def test_several_labels(table):
    text = 'path,labels\nlive/one.mp3,calm; slow ;calm\nlive/two.flac,"wild"\n'
    assert labels_of(table(text, SEVERAL)) == [("calm", "slow"), ("wild",), None]
    with pytest.raises(UserError, match=r"several labels .*row 2 \(calm, slow\)"):
        table(text)


def test_parquet_with_a_list(tmp_path):
    frame = pl.DataFrame({"path": FILES, "labels": [["calm", "slow"], ["wild"], []]})
    frame.write_parquet(tmp_path / "mine.parquet")
    spec = SEVERAL.model_copy(update={"metadata": "mine.parquet"})
    files = find_metadata(spec, tmp_path, where="dataset x")
    assert list(files) == ["table.parquet"]
    assert labels_of(read(tracks(*FILES), files, spec)) == [("calm", "slow"), ("wild",), ()]


@pytest.mark.parametrize(
    ("header", "parts"),
    [
        ("file,genre", ["path, track_id, stem (found none", "label, labels (found none", "file"]),
        ("path,stem,label", ["path, track_id, stem (found path, stem"]),
        ("path,label,labels", ["label, labels (found label, labels"]),
        ("", ["path, track_id, stem (found none"]),
    ],
)
def test_missing_and_doubtful_columns(table, header, parts):
    with pytest.raises(UserError) as caught:
        table(f"{header}\na,b,c\n")
    assert all(words in caught.value.what for words in parts)
    assert "docs/collections.md" in caught.value.remedy


def test_every_problem_with_its_row_number(table, tmp_path):
    with pytest.raises(UserError) as caught:
        table(
            "path,label,split\nlive/one.mp3,calm,train\nlive/one.mp3,wild,train\n"
            "live/two.flac,calm,dev\n,calm,train\nstudio/three.wav,calm,hold out\n"
            "live/four.mp3,calm,train,surplus\n"
        )
    message = caught.value.what
    assert "4 problem(s) in mine.csv" in message
    assert "contradicts another row: row 2 and row 3: live/one.mp3" in message
    assert "2 row(s): unknown split" in message
    assert "row 4 (dev), row 6 (hold out)" in message
    assert "no path: row 5" in message
    assert "more fields than columns: row 7" in message
    assert str(tmp_path / "mine.csv") in caught.value.where


def test_an_official_split_needs_its_column(table):
    with pytest.raises(UserError, match="needs the column split"):
        table("path,label\na,b\n", SPEC.model_copy(update={"split": "official"}))


def test_what_matches_nothing_is_counted(table):
    rows = "".join(f"gone/{n}.mp3,calm\n" for n in range(7))
    annotations = table(f"path,label\nlive/one.mp3,calm\nlive/one.mp3,calm\n{rows}")
    messages = [finding.what for finding in annotations.findings]
    assert messages[0] == "2 file(s) without a row: live/two.flac, studio/three.wav"
    assert messages[1].startswith("7 of 8 row(s) without a file: gone/0.mp3, gone/1.mp3")
    assert messages[1].endswith("gone/4.mp3, ... and 2 more")
    assert messages[2] == "1 row(s) repeat another row"


def test_a_table_of_another_library_is_an_error(table):
    (finding,) = table("path,label\nother/one.mp3,calm\n").findings
    assert finding.severity == "error"
    assert "live/one.mp3" in finding.what
    assert "other/one.mp3" in finding.what


def test_one_stem_in_two_folders(table):
    annotations = table("stem,label\none,calm\n", files=("a/one.mp3", "b/one.mp3"))
    assert labels_of(annotations) == [("calm",), ("calm",)]
    assert "files of several folders" in annotations.findings[0].what


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_tables_that_spreadsheets_save(tmp_path, encoding, separator):
    """Excel's first line, a byte order mark, UTF-16, empty columns and blank rows at the end."""
    lines = [
        f"sep={separator}", "path,label,,", "live/one.mp3,calm,,", "", "live/two.flac,wild,,",
        ",,,", " , ,,", "",
    ]  # fmt: skip
    text = "\r\n".join(line.replace(",", separator) for line in lines)
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    annotations = read(tracks(*FILES), {"table.csv": tmp_path / "mine.csv"}, SPEC)
    assert labels_of(annotations) == [("calm",), ("wild",), None]
    assert [row.place for row in annotations.rows if row] == ["row 3", "row 5"]
    assert len(annotations.findings) == 1  # the file without a row


def test_cells_with_an_error_count_as_empty(table):
    annotations = table(
        "path,label,artist\nlive/one.mp3,#N/A,#REF!\nlive/two.flac,#¡VALOR!,Ada\n"
        "studio/three.wav,#1 hits,#NAME?\n"
    )
    assert labels_of(annotations) == [(), (), ("#1 hits",)]
    assert [row.artist for row in annotations.rows] == [None, "Ada", None]
    assert annotations.rows[0].reason == "no label in the table"
    (finding,) = annotations.findings
    assert finding.what.startswith(
        "4 cell(s) with an error of the spreadsheet count as empty: row 2,"
    )
    assert "row 3, label (#¡VALOR!)" in finding.what
    with pytest.raises(UserError, match=r"no path: row 2"):
        table("path,label\n#N/A,calm\n")


@pytest.mark.parametrize(("first", "suffix"), [("{}", ""), ("{}.0", ""), ("{}", ".mp3")])
def test_keys_that_lost_their_zeros_are_named(table, first, suffix):
    files = [f"000/{n:06d}.mp3" for n in range(2, 26)]
    lines = "".join(f"{first.format(n)}{suffix},{'ab'[n % 2]}\n" for n in range(2, 26))
    annotations = table(f"stem,label\n{lines}", files=files)
    assert set(labels_of(annotations)) == {None}
    error, warning = annotations.findings
    assert error.severity == "error"
    assert "24 of 24 row(s) would match with leading zeros" in warning.what
    assert "as 000002" in warning.what
    assert "format the column stem as text" in warning.what
    paths = "".join(f"000/{n}.mp3,a\n" for n in range(2, 26))
    assert (
        "000/2.mp3 as 000/000002.mp3" in table(f"path,label\n{paths}", files=files).findings[1].what
    )


def test_zeros_are_named_only_where_they_decide(table):
    files = ("000002.mp3", "02.mp3", "x3.mp3")
    assert len(table("stem,label\n000002,a\n02,b\nx3,a\n", files=files).findings) == 0
    findings = table("stem,label\n2,a\nx3,b\n", files=files).findings
    assert not any("zeros" in finding.what for finding in findings)


def test_a_file_that_is_no_text_or_no_parquet(tmp_path):
    for name, message in (("mine.csv", "not UTF-8"), ("mine.parquet", "not valid Parquet")):
        (tmp_path / name).write_bytes(b"path,label\n\xff\xfe,x\n")
        spec = SPEC.model_copy(update={"metadata": name})
        with pytest.raises(UserError, match=message):
            read(tracks(*FILES), find_metadata(spec, tmp_path, where="x"), spec)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\\;\x1c\x1d\x1e\x1f\x85"
                              "\u2028\u2029\x0b\x0c"), min_size=1, max_size=8)  # fmt: skip
cells = words.map(str.strip).filter(bool)


@given(
    rows=st.dictionaries(cells, st.tuples(st.lists(cells, max_size=3, unique=True), st.sampled_from(
        ["", "train", "validation", "test"])), max_size=8),
    delimiter=st.sampled_from(",;\t"),
)  # fmt: skip
def test_what_is_written_is_read(tmp_path_factory, rows, delimiter):
    """CSV and Parquet give back any text unchanged, without extra or missing rows."""
    import unicodedata

    def plain(text):
        return unicodedata.normalize("NFC", text).strip()

    folder = tmp_path_factory.mktemp("table")
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["path", "labels", "split"])
    for path, (labels, split) in rows.items():
        writer.writerow([path, ";".join(labels), split])
    (folder / "t.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    frame = pl.DataFrame(
        {"path": list(rows), "labels": [v[0] for v in rows.values()],
         "split": [v[1] for v in rows.values()]},
        schema={"path": pl.String, "labels": pl.List(pl.String), "split": pl.String},
    )  # fmt: skip
    frame.write_parquet(folder / "t.parquet")
    expected = {}
    for path, (labels, split) in rows.items():
        key = plain(path).removeprefix("./")
        spellings = tuple(dict.fromkeys(plain(label) for label in labels if plain(label)))
        expected.setdefault(key, set()).add((spellings, split or None))
    for name in ("t.csv", "t.parquet"):
        contradiction = any(len(values) > 1 for values in expected.values()) or "" in expected
        if contradiction:
            with pytest.raises(UserError):
                read_rows(folder / name, SEVERAL)
            continue
        rows = read_rows(folder / name, SEVERAL).rows
        assert {row.key: {(row.labels, row.split)} for row in rows} == expected
