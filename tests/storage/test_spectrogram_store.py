import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.storage.errors import ArtifactCorrupt, NewerFormat, StorageError
from melgraph.storage.spectrogram_store import (
    CHUNK_FRAMES,
    FORMAT,
    SHARD_BYTES,
    SpectrogramStore,
    SpectrogramWriter,
)

BINS = 4
FREQUENCY = np.asarray([20.0, 100.0, 1000.0, 8000.0], np.float32)
CHUNK_BYTES = CHUNK_FRAMES * BINS * 2  # of float16


def track_id(number: int) -> str:
    return f"{number + 1:032x}"


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-40, 15, (frames, BINS)).astype(np.float16)


def write_store(folder: Path, tracks: list[np.ndarray], **options) -> SpectrogramStore:
    options = {"shard_bytes": CHUNK_BYTES, "attributes": {}} | options
    writer = SpectrogramWriter(folder, frequency=FREQUENCY, **options)
    for number, values in enumerate(tracks):
        writer.append(track_id(number), values)
    assert writer.frames_written == sum(map(len, tracks))
    writer.close()
    return SpectrogramStore(folder)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Three tracks in three shards of one chunk each."""
    write_store(tmp_path / "store", [noise(700), noise(0), noise(1500, seed=1)])
    return tmp_path / "store"


lengths = st.lists(
    st.sampled_from([0, 1, 2, CHUNK_FRAMES - 1, CHUNK_FRAMES, CHUNK_FRAMES + 1])
    | st.integers(0, 3 * CHUNK_FRAMES),
    max_size=4,
)


@settings(max_examples=30, deadline=None)
@given(lengths, st.sets(st.integers(0, 3)), st.integers(1, 3), st.sampled_from(["none", "zstd"]))
def test_tracks_of_any_length_come_back_the_same_everywhere(lengths, silent, chunks, codec):
    # Silence in both senses: all zero (Zarr's fill value), and all at the floor.
    tracks = [
        np.full((n, BINS), (0.0, -100.0)[number % 2], np.float16) if number in silent
        else noise(n, seed=number)
        for number, n in enumerate(lengths)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(
            Path(folder) / "store", tracks, shard_bytes=chunks * CHUNK_BYTES, codec=codec
        )
        everything = np.concatenate([np.empty((0, BINS), np.float16), *tracks])
        assert store.track_ids == [track_id(number) for number in range(len(tracks))]
        assert len(store) == len(tracks)
        assert store.offsets.tolist() == [0, *np.cumsum(lengths, dtype=int).tolist()]
        np.testing.assert_array_equal(store.frequency, FREQUENCY)
        for number, values in enumerate(tracks):
            read = store.track(track_id(number))
            assert read.dtype == np.float16
            np.testing.assert_array_equal(read, values, strict=True)
        np.testing.assert_array_equal(store.frames(0, len(everything)), everything, strict=True)
        # The same through Zarr and xarray, which know nothing of us.
        by_zarr = zarr.open_array(store.folder / "values", mode="r")
        np.testing.assert_array_equal(by_zarr[...], everything, strict=True)
        by_xarray = xarray.open_zarr(store.folder, consolidated=False)
        assert by_xarray["values"].dims == ("frame", "bin")
        np.testing.assert_array_equal(by_xarray["values"].to_numpy(), everything, strict=True)
        np.testing.assert_array_equal(by_xarray["offsets"].to_numpy(), store.offsets)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_any_frames_are_found(draw):
    total = 5 * CHUNK_FRAMES // 2
    values = noise(total)
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "store", [values])
        for _ in range(10):
            start = draw.draw(st.integers(0, total))
            stop = draw.draw(st.integers(start, total))
            np.testing.assert_array_equal(store.frames(start, stop), values[start:stop])


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_frames_that_are_not_there_are_refused(tmp_path, codec):
    store = write_store(tmp_path / "store", [noise(100)], codec=codec)
    for start, stop in [(-1, 5), (0, 101), (50, 40), (101, 102)]:
        with pytest.raises(IndexError, match="of 100"):
            store.frames(start, stop)


def is_mapped(values):
    while values is not None and not isinstance(values, np.memmap):
        values = getattr(values, "base", None)
    return values is not None


def test_a_track_within_one_shard_is_a_view_of_the_map(written):
    store = SpectrogramStore(written)
    values = store.track(track_id(0))
    assert is_mapped(values)
    assert not values.flags.writeable
    assert np.shares_memory(values, store.frames(10, 20))


def test_tracks_are_asked_for_by_id(written):
    store = SpectrogramStore(written)
    assert track_id(2) in store
    assert track_id(3) not in store
    with pytest.raises(KeyError):
        store.track(track_id(3))


def test_float32_is_rounded_to_float16(tmp_path):
    values = np.random.default_rng(0).normal(0, 30, (50, BINS)).astype(np.float32)
    store = write_store(tmp_path / "store", [values])
    np.testing.assert_array_equal(store.track(track_id(0)), values.astype(np.float16))


def test_the_same_tracks_give_the_same_bytes(tmp_path):
    tracks = [noise(1500), noise(10, seed=1)]
    for name in "ab":
        write_store(tmp_path / name, tracks, attributes={"hop": 512, "window": "hann"})
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*"))
    assert files == sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*"))
    for name in files:
        if (tmp_path / "a" / name).is_file():
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_shards_are_about_64_megabytes(tmp_path):
    for bins, dtype in ((128, "float16"), (1025, "float16"), (20, "float16"), (0, "int16")):
        writer = SpectrogramWriter(
            tmp_path / f"{bins}", bins=bins, attributes={}, arrays={"values": dtype}
        )
        values = zarr.open_array(writer.folder / "values", mode="r")
        shard_bytes = np.prod(values.shards) * values.dtype.itemsize
        assert 0.96 * SHARD_BYTES < shard_bytes <= SHARD_BYTES


def test_zstd_takes_less_space_and_no_map(tmp_path):
    values = np.repeat(noise(20), 100, axis=0)
    sizes = {}
    for codec in ("none", "zstd"):
        store = write_store(tmp_path / codec, [values], codec=codec)
        shards = (tmp_path / codec / "values" / "c").rglob("*")
        sizes[codec] = sum(p.stat().st_size for p in shards if p.is_file())
        assert codec == "none" or not is_mapped(store.track(track_id(0)))
        np.testing.assert_array_equal(store.track(track_id(0)), values)
    assert sizes["zstd"] < sizes["none"] / 5


@settings(max_examples=20, deadline=None)
@given(lengths, st.integers(1, 3))
def test_the_files_are_those_that_zarr_writes(lengths, chunks):
    tracks = [noise(n, seed=number) for number, n in enumerate(lengths)]
    with tempfile.TemporaryDirectory() as folder:
        ours = write_store(Path(folder) / "ours", tracks, shard_bytes=chunks * CHUNK_BYTES)
        whole = np.concatenate([np.empty((0, BINS), np.float16), *tracks])
        theirs = zarr.create_array(
            Path(folder) / "theirs",
            shape=whole.shape,
            chunks=(CHUNK_FRAMES, BINS),
            shards=(chunks * CHUNK_FRAMES, BINS),
            dtype="float16",
            compressors=None,
            config={"write_empty_chunks": True},
        )
        if len(whole):
            theirs[...] = whole
        names = [p.relative_to(Path(folder) / "theirs") for p in Path(folder, "theirs").rglob("*")]
        shards = [name for name in names if (Path(folder) / "theirs" / name).is_file()]
        for name in (name for name in shards if name.name != "zarr.json"):
            written = (ours.folder / "values" / name).read_bytes()
            assert written == (Path(folder) / "theirs" / name).read_bytes()


def test_several_arrays_share_their_rows(tmp_path):
    writer = SpectrogramWriter(
        tmp_path / "store",
        frequency=FREQUENCY,
        attributes={},
        arrays={"values": "float16", "phase": "float16"},
        shard_bytes=CHUNK_BYTES,
    )
    pairs = [(noise(n, seed=n), noise(n, seed=n + 1)) for n in (700, 0, 1500)]
    for number, (values, phase) in enumerate(pairs):
        writer.append(track_id(number), values, phase=phase)
    with pytest.raises(StorageError, match="does not fit"):
        writer.append(track_id(9), noise(5), phase=noise(6))
    with pytest.raises(ValueError, match="phase"):
        writer.append(track_id(9), noise(5))
    writer.close()
    store = SpectrogramStore(tmp_path / "store")
    assert store.arrays == ["values", "phase"]
    for number, (values, phase) in enumerate(pairs):
        np.testing.assert_array_equal(store.track(track_id(number)), values, strict=True)
        np.testing.assert_array_equal(store.track(track_id(number), "phase"), phase, strict=True)
    with pytest.raises(KeyError):
        store.track(track_id(0), "colour")
    (tmp_path / "store" / "phase" / "c" / "1" / "0").unlink()
    with pytest.raises(ArtifactCorrupt, match="0 bytes"):
        store.check_layout()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=4), st.sampled_from(["none", "zstd"]))
def test_waveforms_are_flat(lengths, codec):
    rng = np.random.default_rng(0)
    sounds = [rng.integers(-32768, 32768, n, dtype=np.int16) for n in lengths]
    with tempfile.TemporaryDirectory() as folder:
        writer = SpectrogramWriter(
            Path(folder) / "store", bins=0, attributes={}, arrays={"values": "int16"}, codec=codec
        )
        for number, sound in enumerate(sounds):
            writer.append(track_id(number), sound)
        writer.close()
        store = SpectrogramStore(Path(folder) / "store")
        assert store.frequency is None
        for number, sound in enumerate(sounds):
            np.testing.assert_array_equal(store.track(track_id(number)), sound, strict=True)
        by_xarray = xarray.open_zarr(store.folder, consolidated=False)
        assert by_xarray["values"].dims == ("sample",)


def test_a_track_larger_than_the_memory_is_copied_from_its_map(tmp_path):
    path = tmp_path / "scratch"
    np.save(path.with_suffix(".npy"), noise(3 * CHUNK_FRAMES))
    values = np.load(path.with_suffix(".npy"), mmap_mode="r")
    store = write_store(tmp_path / "store", [values])
    np.testing.assert_array_equal(store.track(track_id(0)), values)


# ---- what is refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e5, -70000.0])
def test_values_that_float16_cannot_hold_are_refused(tmp_path, bad):
    writer = SpectrogramWriter(tmp_path / "store", frequency=FREQUENCY, attributes={})
    values = noise(10).astype(np.float32)
    values[7, 2] = bad
    with pytest.raises(StorageError, match="NaN, infinite or too large") as caught:
        writer.append(track_id(0), values)
    assert track_id(0) in caught.value.what
    writer.append(track_id(0), noise(10))  # the refused one left no trace
    writer.close()
    assert len(SpectrogramStore(tmp_path / "store")) == 1


@pytest.mark.parametrize("shape", [(10,), (10, BINS + 1), (10, 1), (10, BINS, 1)])
def test_another_shape_is_refused(tmp_path, shape):
    writer = SpectrogramWriter(tmp_path / "store", frequency=FREQUENCY, attributes={})
    with pytest.raises(StorageError, match="does not fit a store of 4 bins"):
        writer.append(track_id(0), np.zeros(shape, np.float16))


@pytest.mark.parametrize("bad", ["", "ab", "zz" * 16, "AB" * 16, "ab" * 17])
def test_what_is_no_track_id_is_refused(tmp_path, bad):
    writer = SpectrogramWriter(tmp_path / "store", frequency=FREQUENCY, attributes={})
    with pytest.raises(StorageError, match="is not a track id"):
        writer.append(bad, noise(1))


def test_a_track_is_stored_once(tmp_path):
    writer = SpectrogramWriter(tmp_path / "store", frequency=FREQUENCY, attributes={})
    writer.append(track_id(0), noise(1))
    with pytest.raises(StorageError, match="already in the store"):
        writer.append(track_id(0), noise(1))


def test_an_unknown_codec_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(StorageError, match="'blosc' is not a codec") as caught:
        SpectrogramWriter(tmp_path / "x", frequency=FREQUENCY, attributes={}, codec="blosc")
    assert "none, zstd" in caught.value.remedy
    assert not (tmp_path / "x").exists()


# ---- what is damaged


def last_shard(folder: Path) -> Path:
    return sorted((folder / "values" / "c").rglob("0"))[-1]


@pytest.mark.parametrize("keep", [-1, -CHUNK_BYTES, 10, 0])
def test_the_layout_check_finds_a_truncated_shard(written, keep):
    store = SpectrogramStore(written)
    store.check_layout()
    path = last_shard(written)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactCorrupt, match="the shard has") as caught:
        store.check_layout()
    assert caught.value.where == str(path)
    assert "remove the artifact's folder" in caught.value.remedy


def test_the_layout_check_finds_a_missing_shard(written):
    last_shard(written).unlink()
    with pytest.raises(ArtifactCorrupt, match="the shard has 0 bytes"):
        SpectrogramStore(written).check_layout()


def test_the_layout_check_finds_chunks_in_another_order(tmp_path):
    store = write_store(tmp_path / "store", [noise(1500)], shard_bytes=2 * CHUNK_BYTES)
    path = last_shard(tmp_path / "store")
    data = bytearray(path.read_bytes())
    index = slice(2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 32)  # (offset, size) of two chunks
    data[index] = data[index][16:] + data[index][:16]
    path.write_bytes(bytes(data))
    with pytest.raises(ArtifactCorrupt, match="not in order"):
        store.check_layout()


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_reading_a_damaged_shard_names_it(written, damage):
    path = last_shard(written)
    path.unlink() if damage == "missing" else path.write_bytes(b"short")
    store = SpectrogramStore(written)
    with pytest.raises(ArtifactCorrupt, match="cannot be mapped") as caught:
        store.track(track_id(2))
    assert caught.value.where == str(path)


def test_a_newer_store_is_refused(written):
    path = written / "zarr.json"
    body = json.loads(path.read_text())
    body["attributes"]["melgraph_format"] = FORMAT + 1
    path.write_text(json.dumps(body))
    with pytest.raises(NewerFormat, match=f"format {FORMAT + 1}.* up to {FORMAT}"):
        SpectrogramStore(written)


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    zarr.create_group(tmp_path / "foreign", zarr_format=3)
    zarr.create_group(tmp_path / "marked", zarr_format=3, attributes={"melgraph_format": 1})
    for name in ("missing", "empty", "file", "foreign", "marked"):
        with pytest.raises(ArtifactCorrupt, match="not a spectrogram store"):
            SpectrogramStore(tmp_path / name)


@pytest.mark.parametrize("name", ["offsets", "track_id", "frequency", "values"])
def test_a_store_without_one_of_its_arrays_is_refused(written, name):
    (written / name / "zarr.json").unlink()
    with pytest.raises(ArtifactCorrupt, match="not a spectrogram store"):
        SpectrogramStore(written)


def test_lost_offsets_are_not_taken_for_empty_tracks(written):
    (written / "offsets" / "c" / "0").unlink()  # Zarr reads a missing chunk as zeros
    with pytest.raises(ArtifactCorrupt, match="shapes of its arrays do not match"):
        SpectrogramStore(written)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_wrong_byte_in_the_metadata_never_ends_in_another_error(metadata_folder, draw):
    files = sorted(metadata_folder.rglob("zarr.json"))
    path = draw.draw(st.sampled_from(files))
    good = path.read_bytes()
    bad = bytearray(good)
    bad[draw.draw(st.integers(0, len(bad) - 1))] ^= draw.draw(st.sampled_from([1, 2, 4, 8, 16, 32]))
    try:
        path.write_bytes(bytes(bad))
        with suppress(ArtifactCorrupt, NewerFormat):  # an attribute's value may have changed, too
            SpectrogramStore(metadata_folder)
    finally:
        path.write_bytes(good)
    assert len(SpectrogramStore(metadata_folder)) == 2


@pytest.fixture(scope="module")
def metadata_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("metadata") / "store"
    write_store(folder, [noise(5), noise(7, seed=1)], attributes={"hop": 512, "window": "hann"})
    return folder


# ---- a stranger, with Zarr and NumPy alone


def test_a_stranger_inverts_it_by_its_attributes(tmp_path):
    from melgraph.ml.spectral import MelTransform, log_mel, mel_frequencies, stft

    transform = MelTransform(n_mels=64)
    time = np.arange(transform.sample_rate) / transform.sample_rate
    tones = np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * 3000 * time)
    sound = tones / 2 + np.random.default_rng(0).normal(0, 0.01, len(time))
    spectrum = stft(sound.astype(np.float32), n_fft=transform.n_fft, hop=transform.hop)
    writer = SpectrogramWriter(
        tmp_path / "store",
        frequency=mel_frequencies(transform),
        attributes=transform.attributes(),
    )
    writer.append(track_id(0), log_mel(spectrum, transform))
    writer.close()

    # From here on, only what is on disk.
    group = zarr.open_group(tmp_path / "store", mode="r")
    about, offsets = dict(group.attrs), group["offsets"][...]
    decibels = group["values"][offsets[0] : offsets[1]].astype(np.float64)
    assert (about["mel_scale"], about["filter_norm"]) == ("htk", "none")
    assert about["unit"] == "dB of power, re 1.0"
    low, high = (1127.01048 * np.log1p(about[key] / 700) for key in ("f_min", "f_max"))
    edges = 700 * np.expm1(np.linspace(low, high, about["n_mels"] + 2) / 1127.01048)
    np.testing.assert_allclose(group["frequency"][...], edges[1:-1], rtol=1e-4)
    bins = np.arange(about["n_fft"] // 2 + 1) * about["sample_rate"] / about["n_fft"]
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    mel, power = 10 ** (decibels / 10), np.ones((len(decibels), len(bins)))
    for _ in range(100):  # Richardson-Lucy: the non-negative power with this mel spectrogram
        power *= (mel / (power @ filters.T + 1e-12)) @ filters / (filters.sum(axis=0) + 1e-12)

    filled = filters.sum(axis=1) > 0  # the lowest filters may lie between two bins
    error = 10 * np.log10(power @ filters.T + 1e-10) - decibels
    assert np.abs(error[:, filled]).mean() < 0.5  # dB
    true, middle = spectrum.abs().square().numpy().T, len(power) // 2
    for hertz in (440, 3000):  # the tones are where they were, to the width of a filter
        near = np.flatnonzero(np.abs(bins - hertz) < 300)
        assert abs(bins[near[np.argmax(power[middle, near])]] - hertz) < 100
        ratio = power[middle, near].sum() / true[middle, near].sum()
        assert 0.5 < ratio < 2  # and as loud
