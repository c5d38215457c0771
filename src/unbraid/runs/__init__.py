"""Runs: configuration, directory, checkpoints and codes of a trained model."""

from unbraid.runs.config import Budget, Config
from unbraid.runs.configure import configure
from unbraid.runs.run import Run

__all__ = ["Budget", "Config", "Run", "configure"]
