"""A chart of how well each tag is predicted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from melgraph.ml.plots.style import COLOURS, GREY, INK, LIGHT, add_axes, grid, new_figure, png

MOST_TAGS = 60  # of more tags, the best 30 and the worst 30 are drawn


def tag_chart(per_tag: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """PR-AUC and ROC-AUC of each tag with their chance levels, by decreasing PR-AUC.

    Args:
        per_tag: `name`, `positives`, `prevalence`, `roc_auc` and `pr_auc` of each tag, as
            `ml.evaluation.tagging.TagScores`; tags without an area are left out.
        title: of the chart.

    Raises:
        ValueError: there is no tag to draw.
    """
    rows = sorted(
        (row for row in per_tag if row["pr_auc"] is not None),
        key=lambda row: (-row["pr_auc"], row["name"]),
    )
    if not rows:
        raise ValueError("no tag to draw")
    if len(rows) > MOST_TAGS:
        half, n_tags = MOST_TAGS // 2, len(rows)
        rows = [*rows[:half], *rows[-half:]]
        title += f"; the best {half} and the worst {half} of {n_tags} tags"
    figure = new_figure(height=1.3 + 0.21 * len(rows))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold", color=INK)
    places = np.arange(len(rows))
    panels = (("PR-AUC", "pr_auc", "prevalence"), ("ROC-AUC", "roc_auc", None))
    for number, (name, key, chance_key) in enumerate(panels, start=1):
        ax = add_axes(figure, title=name, place=(1, 2, number), title_size=9.5)
        values = [row[key] for row in rows]
        chance = [0.5 if chance_key is None else row[chance_key] for row in rows]
        ax.hlines(places, chance, values, color=LIGHT, lw=2)
        label = "0.5: chance" if chance_key is None else "prevalence: chance"
        ax.plot(chance, places, ls="", marker="|", ms=8, color=GREY, label=label)
        ax.plot(values, places, ls="", marker="o", ms=4.5, color=COLOURS[0])
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0, labelsize=7.5)
        names = [f"{_short(row['name'])} ({row['positives']:,})" for row in rows]
        ax.set_yticks(places, names if number == 1 else [""] * len(rows))
        ax.legend(fontsize=7.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.02))
        ax.xaxis.tick_top()
        ax.spines["bottom"].set_visible(False)
        grid(ax, "x")
    return png(figure)


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."
