"""A Dagster run to be killed while it holds a slot of a pool.

Usage: python -m tests.pipelines.runs.slow_run HOME command|worker. It prints a line when the run
waits. `command` is a run of `melgraph run`; `worker` is one that the run worker of the UI executes.
"""

import sys
import time
from pathlib import Path

from dagster import Definitions, execute_job, job, op, reconstructable

from melgraph.assets.resources import HomeResource
from melgraph.pipelines.instance import open_instance, prepare
from melgraph.pipelines.plan import Step
from melgraph.pipelines.runner import _execute
from melgraph.pipelines.runs.executor import executor_of_environment
from melgraph.storage.home import open_home

POOL = "gpu"


@op(pool=POOL)
def wait():
    print("waiting", flush=True)
    time.sleep(600)


@job
def slow():
    wait()


@op(pool=POOL)
def nothing():
    pass


@job
def quick():
    nothing()


def definitions() -> Definitions:
    return Definitions(jobs=[slow, quick], executor=executor_of_environment(HomeResource()))


def slow_job():
    return definitions().resolve_job_def("slow")


def quick_job():
    return definitions().resolve_job_def("quick")


def main() -> None:
    home = open_home(Path(sys.argv[1]))
    prepare(home)
    with open_instance(home) as instance:
        if sys.argv[2] == "command":
            _execute(definitions(), instance, home, Step("slow", {}))
        else:
            execute_job(reconstructable(slow_job), instance=instance)


if __name__ == "__main__":
    main()
