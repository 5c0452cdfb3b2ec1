"""A run launcher that launches nothing: it writes the tags of the run into a file."""

import json
from pathlib import Path

from dagster._core.launcher.base import LaunchRunContext, RunLauncher
from dagster._serdes import ConfigurableClass

FILE = "launched.json"


class RecordingLauncher(RunLauncher, ConfigurableClass):
    def __init__(self, inst_data=None):
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self):
        return self._inst_data

    @classmethod
    def config_type(cls):
        return {}

    @classmethod
    def from_config_value(cls, inst_data, config_value):
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        folder = Path(self._instance.root_directory)
        (folder / FILE).write_text(json.dumps(dict(context.dagster_run.tags)))

    def terminate(self, run_id):
        return False
