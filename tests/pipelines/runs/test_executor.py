"""Executor and run launcher come from the environment and from the instance of Dagster."""

import json
from pathlib import Path

import pytest
from dagster import (
    DagsterRunStatus,
    ExecutorDefinition,
    execute_job,
    in_process_executor,
    reconstructable,
)
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import stages_of
from melgraph.ml.errors import UserError
from melgraph.pipelines.definitions import defs
from melgraph.pipelines.instance import DAGSTER_YAML, open_instance, prepare
from melgraph.pipelines.runs.executor import executor_of_environment
from melgraph.storage.home import Home
from tests.pipelines.runs import launcher, slow_run

ROOT = Path(__file__).parents[3]
LAUNCHER_YAML = f"""
run_launcher:
  module: {launcher.__name__}
  class: {launcher.RecordingLauncher.__name__}
"""
VARIABLE = "MELGRAPH_EXECUTOR"
OF_THE_UI = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("melgraph"), "repository"), "job"
)
my_executor = in_process_executor.configured({}, name="mine")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "songs").mkdir()
    return Home(tmp_path / "home", str(tmp_path / "songs")).create()


def test_the_environment_names_the_executor(monkeypatch):
    home = HomeResource()
    assert executor_of_environment(home).name == "in_process"
    monkeypatch.setenv(VARIABLE, "multiprocess")
    assert executor_of_environment(home).name == "multiprocess"
    monkeypatch.setenv(VARIABLE, f"{__name__}:my_executor")
    executor = executor_of_environment(home)
    assert isinstance(executor, ExecutorDefinition)
    assert executor.name == "mine"


@pytest.mark.parametrize("setting", ["ray", "no_such_module:executor", f"{__name__}:home", ":x"])
def test_a_setting_that_names_no_executor(monkeypatch, setting):
    monkeypatch.setenv(VARIABLE, setting)
    with pytest.raises(UserError, match=VARIABLE) as raised:
        executor_of_environment(HomeResource())
    assert repr(setting) in str(raised.value)
    assert "multiprocess" in str(raised.value)


def test_a_run_with_a_process_for_each_step(home, monkeypatch):
    monkeypatch.setenv(VARIABLE, "multiprocess")
    monkeypatch.chdir(ROOT)
    prepare(home)
    with open_instance(home) as instance:
        result = execute_job(reconstructable(slow_run.quick_job), instance=instance)
        assert result.success
        messages = [entry.message for entry in instance.all_logs(result.run_id)]
    assert any("Launching subprocess" in message for message in messages)
    assert list((home.locks / "runs").iterdir()) == []  # it was owned, and is no more


def test_a_launcher_of_the_instance_receives_the_tags_of_a_gpu_job(home):
    """As Kubernetes and Ray launchers do, it reads the tags of the run, not those of the op."""
    prepare(home)
    (home.dagster / "dagster.yaml").write_text(DAGSTER_YAML + LAUNCHER_YAML)
    job = defs.resolve_job_def("training")
    with open_instance(home) as instance:
        run = instance.create_run_for_job(job, tags=job.run_tags, remote_job_origin=OF_THE_UI)
        instance.launch_run(run.run_id, workspace=None)
    tags = json.loads((home.dagster / launcher.FILE).read_text())
    kubernetes = json.loads(tags["dagster-k8s/config"])
    assert kubernetes["container_config"]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert json.loads(tags["dagster-ray/config"]) == {"num_gpus": 1}


def pools(job: str) -> set[str]:
    return {stage.pool for stage in stages_of(job) if stage.pool}


def test_training_does_not_hold_up_the_embedding_of_new_tracks(home):
    """Neither through the pool, nor through the limit of concurrent runs."""

    def queue(job: str, status: DagsterRunStatus = DagsterRunStatus.QUEUED) -> str:
        definition = defs.resolve_job_def(job)
        run = instance.create_run_for_job(definition, status=status, remote_job_origin=OF_THE_UI)
        assert run.run_op_concurrency.all_pools == pools(job)  # what the queue looks at
        return run.run_id

    assert pools("training") == pools("studying") == {"gpu"}
    assert pools("embedding") == {"embedding"}
    with open_instance(home) as instance:
        events = instance.event_log_storage
        for pool in ("gpu", "embedding"):
            events.initialize_concurrency_limit_to_default(pool)
        training = queue("training", DagsterRunStatus.STARTED)
        assert events.claim_concurrency_slot("gpu", training, "step").is_claimed
        queue("training")
        embedding = queue("embedding")
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        config = instance.get_concurrency_config()
        launched = daemon._get_runs_to_dequeue(instance, config, None)
    assert [run.run_id for run in launched] == [embedding]
