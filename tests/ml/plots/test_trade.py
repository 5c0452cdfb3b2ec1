"""The chart of a trade between two figures."""

import io

from PIL import Image

from melgraph.ml.plots.trade import Curve, trade_chart

CURVES = [
    Curve("kept", ((0.1, 0.8), (0.3, 0.5), (0.7, 0.2)), ("10", "1", "0.1")),
    Curve("alone", ((0.2, 0.4),), ("1",)),
    Curve("empty", (), ()),
]


def test_it_is_a_png_and_the_same_bytes_again():
    chart = trade_chart(CURVES, xlabel="content", ylabel="style", title="The trade")
    assert Image.open(io.BytesIO(chart)).format == "PNG"
    assert chart == trade_chart(CURVES, xlabel="content", ylabel="style", title="The trade")
    assert chart != trade_chart(CURVES[1:], xlabel="content", ylabel="style", title="The trade")
