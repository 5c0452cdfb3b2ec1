"""The Dagster runs of a home: which process executes them, and what Dagster's database knows."""
