"""Dagster and MLflow keep their databases in the home, whatever its path."""

from pathlib import Path

import pytest

from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.pipelines.instance import open_instance
from melgraph.storage.home import Home


@pytest.mark.parametrize("name", ["what? now", "100%25 & 100%?x=1"])
def test_databases_lie_in_a_home_with_an_unusual_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    (tmp_path / "tmp").mkdir()
    (tmp_path / "music?").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    home = Home(tmp_path / name, str(tmp_path / "music?")).create()
    for batch in ("a", "b"):
        with open_instance(home) as instance:
            instance.add_dynamic_partitions("batch", [batch])
            known = instance.get_dynamic_partitions("batch")
    assert list(known) == ["a", "b"]
    home.mlflow.mkdir(exist_ok=True)
    client = MlflowClient(Tracker().uri(home))
    location = (home.mlflow / "artifacts").as_uri()
    experiment = client.create_experiment("e", artifact_location=location)
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "text", "file.txt")
    assert [file.path for file in client.list_artifacts(run)] == ["file.txt"]
    databases = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.db")}
    texts = {path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("file.txt")}
    assert databases == {name}
    assert texts == {(name, "mlflow", "artifacts")}
    assert {path.name for path in tmp_path.iterdir()} == {name, "music?", "tmp"}
