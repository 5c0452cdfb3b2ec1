"""The MLflow run of a training that is under way: it receives the figures of each epoch."""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from melgraph.assets.models.tracking.runs import RECORD_TAG, log_metrics, metrics_of
from melgraph.storage.artifacts import Work
from melgraph.storage.records import Reference

CURVE = "curve/"  # prefix of the figures of each epoch
_LOG = logging.getLogger("melgraph")
# A run with one of these states belongs to a training that did not end: the process was killed.
_UNFINISHED = ("RUNNING", "KILLED")


class LiveRun:
    """The MLflow run of one training, or of none.

    After the first failure of MLflow no more requests are made while the training runs, because a
    server that does not answer would delay every epoch. `log_curves` then logs what is missing.

    Attributes:
        run_id: the MLflow run id; None until a run exists.
        is_described: whether the run has its settings, tags and dataset.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self.is_described = False
        self._client: Any = None  # None: nothing is logged while the training runs
        self._logged: dict[str, set[int]] = {}  # prefix -> epochs that MLflow has

    def begin(self, client: Any, experiment_id: str, work: Work) -> str:
        """Create the MLflow run, unless it exists; resume that of a training that was killed.

        Returns:
            The MLflow run id.
        """
        if self.run_id is None:
            self.run_id = _resume(client, experiment_id, work) or _create(
                client, experiment_id, work
            )
        return self.run_id

    def follow(self, client: Any) -> None:
        """Log the figures of each epoch from now on."""
        self._client = client

    def stop(self, error: Exception) -> None:
        """Log nothing more while the training runs, because MLflow failed."""
        self._client = None
        reason = first_line(error)
        _LOG.warning("MLflow failed, so it will show the training only at its end: %s", reason)

    def log_epoch(self, row: Mapping[str, Any], prefix: str = CURVE) -> None:
        """Log the figures of an epoch. A failure of MLflow does not affect the training.

        Args:
            row: figures by name, with the number of the `epoch`.
            prefix: of the names.
        """
        if self._client is None:
            return
        try:
            self.log_curves(self._client, {prefix: [row]})
        except Exception as error:  # whatever MLflow raises: the training must go on
            self.stop(error)

    def log_curves(
        self, client: Any, curves: Mapping[str, Sequence[Mapping[str, Any]]], at_ms: int = 0
    ) -> None:
        """Log the figures of all epochs that MLflow does not have yet.

        Args:
            client: an `MlflowClient`.
            curves: prefix of the names -> one mapping of figures per epoch.
            at_ms: time of the figures, in milliseconds; 0 for now.
        """
        assert self.run_id is not None, "a run was begun"
        for prefix, rows in curves.items():
            logged = self._epochs_logged(client, prefix)
            missing = [row for row in rows if row["epoch"] not in logged]
            log_metrics(client, self.run_id, metrics_of(missing, prefix, at_ms or now_ms()))
            logged |= {row["epoch"] for row in missing}

    def log_picture(self, path: Path, folder: str) -> None:
        """Log a picture of an epoch. A failure of MLflow does not affect the training.

        Args:
            path: of the file.
            folder: in which MLflow shows it.
        """
        if self._client is None:
            return
        try:
            self._client.log_artifact(self.run_id, str(path), folder)
        except Exception as error:  # whatever MLflow raises: the training must go on
            self.stop(error)

    def _epochs_logged(self, client: Any, prefix: str) -> set[int]:
        if prefix not in self._logged:
            history = client.get_metric_history(self.run_id, f"{prefix}train_loss")
            self._logged[prefix] = {metric.step for metric in history}
        return self._logged[prefix]

    def end(self, status: str) -> None:
        """Give the run its final status, such as `FAILED`, if MLflow answers."""
        if self._client is None or self.run_id is None:
            return
        try:
            self._client.set_terminated(self.run_id, status)
        except Exception as error:
            self.stop(error)


def fold_prefix(fold: int) -> str:
    """The prefix of the figures of each epoch of a fold."""
    return f"fold{fold}/"


def logged_runs(
    client: Any, experiment_id: str, reference: Reference, statuses: Sequence[str] = ("FINISHED",)
) -> list[Any]:
    """The MLflow runs of an artifact that have one of the statuses, the newest first."""
    same_record = f"tags.`{RECORD_TAG}` = '{reference}'"
    return [
        run
        for run in client.search_runs([experiment_id], same_record)
        if run.info.status in statuses
    ]


def first_line(error: Exception) -> str:
    """The first line of an error message, without a name if the message is empty."""
    return (str(error).strip() or repr(error)).split("\n")[0][:300]


def milliseconds(iso: str) -> int:
    """A time in ISO 8601 as MLflow writes times: milliseconds since 1970."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def now_ms() -> int:
    """The time now, in milliseconds since 1970."""
    return round(time.time() * 1000)


def _resume(client: Any, experiment_id: str, work: Work) -> str | None:
    """The run of a killed training of the same artifact, which resumes; None if there is none."""
    for run in logged_runs(client, experiment_id, work.spec.reference, _UNFINISHED):
        client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)
    return None


def _create(client: Any, experiment_id: str, work: Work) -> str:
    tags = {RECORD_TAG: str(work.spec.reference)}
    started_ms = milliseconds(work.started_at)
    run = client.create_run(experiment_id, started_ms, tags, run_name=work.spec.partition)
    return str(run.info.run_id)
