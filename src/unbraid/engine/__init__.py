"""The engine: trains a run, or a population of runs that differ only in their seed."""

from unbraid.engine.population import member, seeds_of, train_population
from unbraid.engine.trainer import train

__all__ = ["member", "seeds_of", "train", "train_population"]
