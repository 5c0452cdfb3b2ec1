"""The summary that a run prints at its end: counts, problems, results, and where they are."""

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from melgraph.assets.embeddings.clusters.reports import figure_rows
from melgraph.assets.generation.models.generative_evaluations import GenerativeEvaluation
from melgraph.assets.generation.presentation import presentation_of
from melgraph.assets.generation.sound_files import COMPOSITION
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.materialize import readable_references
from melgraph.assets.models.evaluation import Evaluation
from melgraph.assets.models.evaluations import fold_sentence, sentence
from melgraph.assets.recommendations.agreement import agreement_sentence, best_first
from melgraph.assets.recommendations.report.reports import RecommendationReport
from melgraph.assets.recommendations.report.tables import headlines
from melgraph.assets.settings import is_sample_library
from melgraph.assets.stage import ONE
from melgraph.assets.stages import (
    CLUSTER_REPORTS,
    DUPLICATES,
    EVALUATIONS,
    EXPLORATION_REPORTS,
    RECOMMENDATIONS,
    STAGES,
)
from melgraph.pipelines.runner import DONE, FAILED, SKIPPED, THERE, Report
from melgraph.pipelines.terminal import printable
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import Home


def summarise(home: Home, report: Report) -> str:
    """The summary of a run, ready to print: counts, problems, results, and where they are."""
    counts = ", ".join(
        f"{report.count(status)} {status}" for status in (DONE, THERE, SKIPPED, FAILED)
    )
    lines = [f"\n{counts} in {report.seconds / 60:.1f} minutes"]
    problems = [o for o in report.outcomes if o.status in (SKIPPED, FAILED)]
    lines += [f"  {o.status}: {o.title}{o.note}" for o in problems]
    lines += ["", "What was learned", *(f"  {printable(line)}" for line in _result_lines(home))]
    lines += ["", "Where to look", *(f"  {line}" for line in _location_lines(home))]
    return "\n".join(lines)


def _result_lines(home: Home) -> Iterator[str]:
    store = ArtifactStore(home)
    if is_sample_library(home.open_library()):
        yield "(sample library, synthetic: these figures say nothing about real music)"
    yield _library_line(store)
    yield from _duplicate_lines(store)
    for name in store.partitions(EXPLORATION_REPORTS.name):
        for caution in store.need(EXPLORATION_REPORTS.name, name).facts["cautions"]:
            yield f"{name}: caution: {caution}"
    for reference in readable_references(store, EVALUATIONS):
        evaluation = Evaluation.at(store, reference)
        yield f"{evaluation.name}: {sentence(evaluation.facts)}"
        if folds := fold_sentence(evaluation.facts):
            yield f"{evaluation.name}: {folds}"
    for report in readable_references(store, CLUSTER_REPORTS):
        for row in figure_rows(store.get(report).facts)[:1]:
            figures = f"Hungarian accuracy {row['Hungarian accuracy']}, NMI {row['NMI']}"
            yield f"clusters of {report.partition}, {row['tracks']} (n = {row['n']}): {figures}"
    yield from _recommendation_lines(store)
    for generative in GenerativeEvaluation.all_current(store):
        yield from (f"{generative.name}: {text}" for text in generative.sentences)
    for sounds in Sounds.of_all_generators(store):
        for row in sounds.rows:
            yield f"{sounds.name}: {row.get(COMPOSITION, row['path'])}: {_about_sound(sounds, row)}"


def _about_sound(sounds: Sounds, row: Mapping[str, Any]) -> str:
    """What changed in a sound: the predictions, or the figures of the method."""
    if "heard_before" in row:
        return f"predicted {' -> '.join(sounds.predictions(row))}"
    figures = presentation_of(STAGES[sounds.artifact.reference.asset]).figures(row)
    return ", ".join(f"{name} {value}" for name, value in figures.items())


def _library_line(store: ArtifactStore) -> str:
    batches = Tracks.all_current(store)
    files, good, duplicates, quarantined = (
        sum(getattr(batch, name) for batch in batches)
        for name in ("files", "good", "duplicates", "quarantined")
    )
    hours = sum(batch.hours for batch in batches)
    return (
        f"library: {files} files: {good} good ({duplicates} of them duplicates), "
        f"{quarantined} quarantined; {hours:.2f} hours"
    )


def _duplicate_lines(store: ArtifactStore) -> Iterator[str]:
    if duplicates := store.current(DUPLICATES.name, ONE):
        counts = (
            "{exact_copies} file(s) with exactly the sound of another file, {near_duplicates} "
            "track(s) of a recording that the library holds several times, re-encoded or cut"
        )
        yield f"duplicates: {counts.format(**duplicates.facts)}"
        if caution := duplicates.facts["caution"]:
            yield f"duplicates: caution: {caution}"


def _recommendation_lines(store: ArtifactStore) -> Iterator[str]:
    """The agreement of recommendations with labels, the best encoder first."""
    facts = {name: store.need(RECOMMENDATIONS.name, name).facts
             for name in store.partitions(RECOMMENDATIONS.name)}  # fmt: skip
    for name in sorted(facts, key=lambda name: best_first(facts[name])):
        if "held_out_tracks" in facts[name]:
            yield f"recommendations of {name}: {agreement_sentence(facts[name])}"
    for report in RecommendationReport.all_current(store):
        for section in report.sections:
            yield from (f"recommendation report: {text}" for text in headlines(section))


def _location_lines(home: Home) -> Iterator[str]:
    store = ArtifactStore(home)
    pages = store.current("pages", "all")
    if pages and pages.bucket is None:  # only a server can open pages in a bucket
        yield f"pages    {(pages.folder / 'index.html').as_uri()}"
    for sounds in Sounds.of_all_generators(store):
        location = sounds.artifact.location
        sound = sounds.new_file(sounds.rows[0]) if sounds.rows else ""
        yield f"sounds   {location}"
        yield f"audit    melgraph audit {quote(f'{location}/{sound}'.rstrip('/'))}"
    setting = f"MELGRAPH_HOME={quote(str(home.root))}"
    yield f"live     {setting} melgraph ui      (Dagster, MLflow, the pages)"
