"""The end of a run, for people: done / skipped / failed, what was learned, where to look."""

from collections.abc import Iterator

from melgraph.assets.dataset.exploration.reports import EXPLORATION_REPORTS
from melgraph.assets.embeddings.clusters.reports import CLUSTER_REPORTS, figure_rows
from melgraph.assets.generation.dreams import DREAMS, sound_rows
from melgraph.assets.library import ingest
from melgraph.assets.library.duplicates import DUPLICATES, EVERYTHING
from melgraph.assets.materialize import shown_references
from melgraph.assets.models.evaluations import EVALUATIONS, fold_sentence, sentence
from melgraph.assets.recommendations.recommendations import RECOMMENDATIONS
from melgraph.assets.settings import is_sample_library
from melgraph.pipelines.runner import DONE, FAILED, SKIPPED, THERE, Report
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import Home


def summarise(home: Home, report: Report) -> str:
    """The summary of a run, ready to print."""
    counts = ", ".join(
        f"{report.count(status)} {status}" for status in (DONE, THERE, SKIPPED, FAILED)
    )
    lines = [f"\n{counts} in {report.seconds / 60:.1f} minutes"]
    problems = [o for o in report.outcomes if o.status in (SKIPPED, FAILED)]
    lines += [f"  {o.status}: {o.title}{o.note}" for o in problems]
    lines += ["", "What was learned", *(f"  {line}" for line in _learned(home))]
    lines += ["", "Where to look", *(f"  {line}" for line in _places(home))]
    return "\n".join(lines)


def _learned(home: Home) -> Iterator[str]:
    store = ArtifactStore(home)
    if is_sample_library(home.open_library()):
        yield "(sample library, synthetic: these figures say nothing about real music)"
    facts = [store.need(ingest.TRACKS, name).facts for name in store.partitions(ingest.TRACKS)]
    keys = ("files", "ok", "duplicates", "quarantined")
    total = {key: sum(fact[key] for fact in facts) for key in keys}
    told = "{files} files: {ok} good ({duplicates} of them duplicates), {quarantined} quarantined"
    yield f"library: {told.format(**total)}; {sum(fact['hours'] for fact in facts):.2f} hours"
    if same := store.current(DUPLICATES, EVERYTHING):
        told = (
            "{exact_copies} file(s) with the bytes of another, {near_duplicates} track(s) of a "
            "recording that is there several times, re-encoded or cut"
        )
        yield f"duplicates: {told.format(**same.facts)}"
        if caution := same.facts["caution"]:
            yield f"duplicates: caution: {caution}"
    for name in store.partitions(EXPLORATION_REPORTS):
        for caution in store.need(EXPLORATION_REPORTS, name).facts["cautions"]:
            yield f"{name}: caution: {caution}"
    for evaluation in shown_references(store, EVALUATIONS):
        name, results = evaluation.partition, store.get(evaluation).facts
        yield f"{name}: {sentence(results)}"
        if folds := fold_sentence(results):
            yield f"{name}: {folds}"
    for report in shown_references(store, CLUSTER_REPORTS):
        for row in figure_rows(store.get(report).facts)[:1]:
            found = f"Hungarian accuracy {row['Hungarian accuracy']}, NMI {row['NMI']}"
            yield f"clusters of {report.partition}, {row['tracks']} (n = {row['n']}): {found}"
    for name in store.partitions(RECOMMENDATIONS):
        facts_of = store.need(RECOMMENDATIONS, name).facts
        if "same_label" in facts_of:
            share, chance = facts_of["same_label"], facts_of["same_label_by_chance"]
            told = f"{share:.0%} share the track's label (by chance {chance:.0%})"
            note = "; training tracks included" if name in store.partitions(EVALUATIONS) else ""
            yield f"recommendations of {name}: {facts_of['tracks']} tracks, {told}{note}"
    for name in store.partitions(DREAMS):
        for sound in sound_rows(store.need(DREAMS, name).facts):
            yield f"{name}: {sound['track']}: {sound['heard before']} -> {sound['heard after']}"


def _places(home: Home) -> Iterator[str]:
    store = ArtifactStore(home)
    pages = store.current("pages", "all")
    if pages and pages.bucket is None:  # else only a server reaches what they link to
        yield f"pages    {(pages.folder / 'index.html').as_uri()}"
    for name in store.partitions(DREAMS):
        dream = store.need(DREAMS, name)
        sound = dream.facts["sounds"][0]["files"]["dream"] if dream.facts["sounds"] else ""
        yield f"sounds   {dream.location}"
        yield f"audit    melgraph audit {f'{dream.location}/{sound}'.rstrip('/')}"
    yield f"live     MELGRAPH_HOME={home.root} melgraph ui      (Dagster, MLflow, the pages)"
