import io

import numpy as np
import pytest
from PIL import Image

from melgraph.ml import plots
from melgraph.ml.plots.thumbnails import COLUMNS, HEIGHT, ROWS, WIDTH


class TestContingency:
    table = np.array([[5, 1, 0], [0, 7, 2], [1, 0, 3], [2, 2, 0]])

    def test_is_a_picture_and_the_same_again(self):
        arguments = (self.table, [f"cluster {n}" for n in range(4)], ["a", "b", "c"], "title")
        data = plots.contingency_matrix(*arguments)
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.mode, picture.size[0]) == ("PNG", "P", 840)
        assert data == plots.contingency_matrix(*arguments)

    def test_inputs_that_do_not_fit_are_refused(self):
        with pytest.raises(ValueError, match=r"shape \(4, 3\) for 3 clusters, 4 labels"):
            plots.contingency_matrix(self.table, ["1", "2", "3"], ["a", "b", "c", "d"], "")


class TestDistances:
    def test_a_row_for_each_kind_that_there_is(self):
        rng = np.random.default_rng(0)
        arguments = {"train": rng.random(50), "none": np.zeros(0), "outside": 2 * rng.random(9)}
        with_line, without = (
            plots.distance_histograms(arguments, at, "title") for at in (0.5, None)
        )
        heights = []
        for data in (with_line, without, plots.distance_histograms({"a": np.ones(3)}, 9.0, "")):
            with Image.open(io.BytesIO(data)) as picture:
                heights.append(picture.size[1])
        assert with_line != without
        assert heights[0] == heights[1] > heights[2]

    def test_no_track(self):
        with pytest.raises(ValueError, match="no distances"):
            plots.distance_histograms({"train": np.zeros(0)}, None, "")


class TestThumbnails:
    def test_time_goes_across_and_pitch_up(self):
        values = np.full((500, 128), -90.0, np.float16)
        values[400:, :32] = -10  # late and low
        picture = plots.thumbnail(values)
        assert (picture.shape, picture.dtype) == ((HEIGHT, WIDTH), np.uint8)
        assert picture[-1, -1] == 255
        assert picture[0, -1] == picture[-1, 0] == picture[0, 0] == 0

    @pytest.mark.parametrize("shape", [(1, 1), (3, 40), (90_000, 128), (1536, 200)])
    def test_any_length_and_any_bands(self, shape):
        values = np.random.default_rng(0).normal(-40, 8, shape).astype(np.float16)
        assert plots.thumbnail(values).shape == (HEIGHT, WIDTH)

    def test_silence_is_dark(self):
        assert not plots.thumbnail(np.full((9, 128), -100.0)).any()

    @pytest.mark.parametrize("shape", [(0, 128), (5, 0), (5,)])
    def test_nothing_to_show(self, shape):
        with pytest.raises(ValueError, match="a spectrogram of shape"):
            plots.thumbnail(np.zeros(shape))

    def test_a_sheet_holds_each_in_its_place(self):
        grey = [np.full((HEIGHT, WIDTH), 255 * (n % 2), np.uint8) for n in range(COLUMNS + 3)]
        data = plots.thumbnail_sheet(grey)
        assert data == plots.thumbnail_sheet(grey)
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.format == "WEBP"
            assert picture.size == (COLUMNS * WIDTH, 2 * HEIGHT)
            bright = np.asarray(picture.convert("L"))
        middles = bright[HEIGHT // 2 :: HEIGHT, WIDTH // 2 :: WIDTH]
        assert (middles.ravel()[: COLUMNS + 3] > 128).tolist() == [n % 2 == 1 for n in range(11)]

    @pytest.mark.parametrize("count", [0, COLUMNS * ROWS + 1])
    def test_a_sheet_has_its_size(self, count):
        with pytest.raises(ValueError, match=f"{count} thumbnails"):
            plots.thumbnail_sheet([np.zeros((HEIGHT, WIDTH), np.uint8)] * count)
