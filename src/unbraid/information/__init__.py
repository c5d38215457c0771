"""Information-theoretic terms of a VAE, in nats.

E_x KL(q(z|x) ‖ p(z)) = I(x;z) + TC(z) + Σ_i KL(q(z_i) ‖ p(z_i)): for an encoder and a dataset in
`terms`, estimated by a classifier in `density_ratio`, in closed form in `joints`.
"""

from unbraid.information.aggregate import (
    log_aggregate,
    log_minibatch,
    log_weights,
    pairwise_log_density,
)
from unbraid.information.density_ratio import kl_by_density_ratio, permute_dims
from unbraid.information.joints import (
    entropy,
    gaussian_mutual_information,
    gaussian_terms,
    gaussian_total_correlation,
    marginal,
    mutual_information,
    table_terms,
    total_correlation,
)
from unbraid.information.terms import (
    Decomposition,
    Terms,
    decompose,
    decompose_by_batches,
    kl_per_dimension,
)

__all__ = [
    "Decomposition",
    "Terms",
    "decompose",
    "decompose_by_batches",
    "entropy",
    "gaussian_mutual_information",
    "gaussian_terms",
    "gaussian_total_correlation",
    "kl_by_density_ratio",
    "kl_per_dimension",
    "log_aggregate",
    "log_minibatch",
    "log_weights",
    "marginal",
    "mutual_information",
    "pairwise_log_density",
    "permute_dims",
    "table_terms",
    "total_correlation",
]
