"""The engine: steps, checkpoints, logs; it owns device, precision, batches and optimisers."""

from unbraid.engine.configure import configure
from unbraid.engine.population import member, seeds_of, train_population
from unbraid.engine.run import Budget, Config, Run
from unbraid.engine.trainer import train

__all__ = [
    "Budget",
    "Config",
    "Run",
    "configure",
    "member",
    "seeds_of",
    "train",
    "train_population",
]
