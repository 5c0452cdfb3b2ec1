"""Renders the inputs of a spec with the templates into one folder.

The same inputs, templates and scripts give the same bytes.
"""

import hashlib
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from melgraph.assets.generation.report.reports import sound_reports
from melgraph.assets.pages import results, sounds
from melgraph.assets.pages.clusters import clusters as clusters_of
from melgraph.assets.pages.clusters import comparison
from melgraph.assets.pages.evaluations import WRONG_ANSWERS
from melgraph.assets.pages.exploration import explorations
from melgraph.assets.pages.generative import generative_models
from melgraph.assets.pages.library import Library, read_library
from melgraph.assets.pages.links import LIBRARY, audit_command
from melgraph.assets.pages.studies import board, studies
from melgraph.assets.stages import SHOWN_STAGES
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.records import Reference, Spec

HERE = Path(__file__).parent
TEMPLATES, STATIC = HERE / "templates", HERE / "static"
PAGES = {
    "index": "Overview",
    "tracks": "Tracks",
    "exploration": "Exploration",
    "leaderboard": "Leaderboard",
    "models": "Models",
    "studies": "Studies",
    "clusters": "Clusters",
    "recommendations": "Recommendations",
    "sounds": "Sounds",
    "report": "Report on sounds",
}


def write_pages(store: ArtifactStore, work: Work) -> None:
    """Write every page, the style sheet and the scripts."""
    contents = page_contents(store, work.spec)
    environment = _environment()
    for name, title in PAGES.items():
        template = environment.get_template(f"{name}.html")
        html = template.render(contents, page=name, title=title)
        (work.folder / f"{name}.html").write_text(html, encoding="utf-8")
    for source in sorted(STATIC.iterdir()):
        shutil.copyfile(source, work.folder / source.name)
    library: Library = contents["library"]
    work.facts.update(
        pages=[f"{name}.html" for name in PAGES],
        tracks=len(library.tracks),
        hours=round(library.hours, 4),
        quarantined=len(contents["quarantined"]),
        absent=contents["absent"],
    )


def page_contents(store: ArtifactStore, spec: Spec) -> dict[str, Any]:
    """Everything that the templates show, by name."""
    library = read_library(store, spec)
    clusters, maps = clusters_of(store, spec, library)
    recommendations, neighbours = results.recommendations(store, spec, library)
    datasets = results.datasets(store, spec)
    generators = sounds.generators(store, spec, library)
    requested = sounds.requested(store, spec, library)
    kinds = {
        "datasets": datasets,
        "explorations": explorations(store, spec, library),
        "models": results.models(store, spec, library),
        "leaderboard": board(store, spec),
        "studies": studies(store, spec),
        "clusters": clusters,
        "recommendations": recommendations,
        "sounds": [recipe for one in generators for recipe in one["recipes"]] + requested,
    }
    return {
        "pages": PAGES,
        "library_name": spec.config["library"],
        "sample": spec.config["sample"],
        "to_library": LIBRARY,
        "limit": results.LIMIT,
        "wrong_limit": WRONG_ANSWERS,
        "library": library,
        "quarantined": library.with_status("quarantined"),
        "duplicates": library.with_status("duplicate"),
        "gone": library.with_status("gone"),
        **kinds,
        "generators": generators,
        "requested": requested,
        "generative_models": generative_models(store, spec),
        "absent": results.absences(kinds, datasets),
        "track_rows": results.track_rows(library),
        "maps": maps,
        "compared": comparison(clusters),
        "sound_reports": sound_reports(store, spec),
        "recommendation_reports": results.recommendation_reports(store, spec),
        "neighbours": neighbours,
        "audits": _audits(spec),
    }


def _audits(spec: Spec) -> dict[str, list[tuple[str, str]]]:
    """Asset -> its partitions, each with the command that audits it."""
    audits: dict[str, list[tuple[str, str]]] = {}
    for reference in sorted(spec.inputs, key=lambda r: (list(SHOWN_STAGES).index(r.asset), r)):
        command = audit_command(reference)
        audits.setdefault(reference.asset, []).append((reference.partition, command))
    itself = Reference(spec.asset, spec.partition, spec.version)
    return audits | {spec.asset: [(spec.partition, audit_command(itself))]}


@lru_cache(maxsize=1)
def look() -> str:
    """Digest of all templates, styles and scripts. It is part of the version of the pages."""
    digest = hashlib.sha256()
    for path in sorted([*TEMPLATES.iterdir(), *STATIC.iterdir()]):
        digest.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # `tojson` writes <, >, & and ' as escapes, so no text can end its script element.
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "separators": (",", ":"),
        "ensure_ascii": False,
        "allow_nan": False,
    }
    environment.filters.update(percent=_percent, plain=_plain)
    return environment


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _plain(value: object) -> str:
    """A figure with two decimals; a dash for None."""
    if isinstance(value, float):
        return f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no "-0.00"
    return "-" if value is None else str(value)
