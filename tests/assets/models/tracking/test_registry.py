"""The alias `champion` in a real registry: when it moves, and the reasons that are written."""

import pytest

from melgraph.assets.models.tracking.registry import (
    CHAMPION,
    CHAMPION_TAG,
    contenders,
    update_champion,
)

OLD, NEW = ("a" * 32, "2026-01-01T00:00:00+00:00"), ("b" * 32, "2026-02-01T00:00:00+00:00")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("registry")
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def add(client, name, accuracy, loss=1.0, snapshot=OLD, dataset=None, run_id=None) -> str:
    tags = {
        "dataset": dataset or name,
        "experiment": "small-cnn",
        "snapshot": snapshot[0],
        "snapshot_at": snapshot[1],
        "trained_at": "2026-03-01T00:00:00+00:00",
    }
    if accuracy is not None:
        tags |= {"validation_accuracy": str(accuracy), "validation_loss": str(loss)}
    mlflow_tags = {f"melgraph.{key}": value for key, value in tags.items()}
    return str(client.create_model_version(name, "/nowhere", run_id, tags=mlflow_tags).version)


def champion(client, name) -> str | None:
    version = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if version is None else str(version)


def test_the_champion_moves_by_the_rule_and_says_why(client):
    client.create_registered_model("genres")
    first = add(client, "genres", 0.5)
    update_champion(client, "genres")
    assert champion(client, "genres") == first
    description = client.get_model_version("genres", first).description
    assert description.startswith("Champion: small-cnn (version 1): validation accuracy 0.5000")

    add(client, "genres", 0.4)
    update_champion(client, "genres")
    assert champion(client, "genres") == first
    description = client.get_model_version("genres", first).description  # of two trainings now
    assert "the best of 2 trainings" in description

    better = add(client, "genres", 0.7)
    update_champion(client, "genres")
    assert champion(client, "genres") == better
    assert client.get_model_version("genres", first).description.startswith("Champion until 20")
    assert "0.7000" in client.get_model_version("genres", better).tags["melgraph.champion"]

    newer = add(client, "genres", 0.1, snapshot=NEW)  # trained on a newer snapshot
    update_champion(client, "genres")
    assert champion(client, "genres") == newer


def test_each_further_training_is_told_to_the_champion_and_to_its_run(client):
    runs = [client.create_run("0").info.run_id for _ in range(3)]

    def tell(accuracy: float, run_id: str) -> list[str | None]:
        """Log a training; the tag of each run afterwards."""
        update_champion(client, "told", int(add(client, "told", accuracy, run_id=run_id)))
        return [client.get_run(run).data.tags.get(CHAMPION_TAG) for run in runs]

    client.create_registered_model("told")
    first, *_ = tell(0.5, runs[0])
    assert "0.5000" in first
    assert "the only training" in first
    first, second, _ = tell(0.4, runs[1])
    assert "0.5000" in first
    assert "the best of 2 trainings" in first
    assert second.startswith("Not champion.")
    first, second, third = tell(0.7, runs[2])
    assert first.startswith("Champion until 20")
    assert "0.5000" not in first + second
    assert "0.7000" in third
    assert "the best of 3 trainings" in third
    versions = [client.get_model_version("told", number) for number in "123"]
    assert [version.tags[CHAMPION_TAG] for version in versions] == [first, second, third]
    assert [version.description for version in versions] == [first, second, third]


def test_a_run_that_the_user_deleted_is_no_obstacle(client):
    run_id = client.create_run("0").info.run_id
    client.create_registered_model("deleted")
    add(client, "deleted", 0.5, run_id=run_id)
    client.delete_run(run_id)
    assert update_champion(client, "deleted").champion.version == 1


def test_without_a_validation_split_there_is_no_champion(client):
    client.create_registered_model("moods")
    add(client, "moods", 0.9)
    update_champion(client, "moods")
    assert champion(client, "moods") == "1"
    add(client, "moods", None, snapshot=NEW)
    verdict = update_champion(client, "moods")
    assert verdict.champion is None
    assert champion(client, "moods") is None
    assert "no validation split" in client.get_registered_model("moods").description


def test_only_trainings_on_the_dataset_contend(client):
    """A dataset and an experiment on another dataset may have one name."""
    client.create_registered_model("small-cnn")
    add(client, "small-cnn", 0.99, dataset="genres")
    mine = add(client, "small-cnn", 0.5)
    update_champion(client, "small-cnn")
    assert [str(c.version) for c in contenders(client, "small-cnn")] == [mine]
    assert champion(client, "small-cnn") == mine


def test_all_pages_of_versions_are_read(client, monkeypatch):
    pages = client.search_model_versions
    monkeypatch.setattr(
        client, "search_model_versions",
        lambda text, page_token=None: pages(text, max_results=1, page_token=page_token),
    )  # fmt: skip
    client.create_registered_model("many")
    for accuracy in (0.1, 0.9, 0.3):
        add(client, "many", accuracy)
    assert len(contenders(client, "many")) == 3
    update_champion(client, "many")
    assert champion(client, "many") == "2"
