"""WHEN it runs: definitions, jobs, sensors, the staged runner and the command line."""
