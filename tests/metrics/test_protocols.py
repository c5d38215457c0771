"""Protocols are frozen: a name always stands for the same parameters."""

import pytest

from unbraid.metrics import METRICS
from unbraid.metrics.protocols import format_fields

# From the sources that docs/protocols.md names; a change here makes old scores incomparable.
FROZEN = {
    "factor-vae/jeong2019": (
        "images=100, votes=800, held_out=0, stratified=True, min_kl=0.1, min_std=0.0, "
        "min_entropy=0.1"
    ),
    "factor-vae/kim2018": (
        "images=100, votes=800, held_out=800, stratified=False, min_kl=0.1, min_std=0.0, "
        "min_entropy=0.1"
    ),
    "factor-vae/locatello2019": (
        "images=64, votes=10000, held_out=5000, stratified=False, min_kl=0.0, min_std=0.05, "
        "min_entropy=0.1"
    ),
    "factor-vae/lecture": (
        "images=1000, votes=800, held_out=0, stratified=True, min_kl=0.0, min_std=0.0, "
        "min_entropy=0.1"
    ),
    "classification/one_to_one": "",
    "classification/majority": "",
    "classification/nmi": "",
    "beta-vae/locatello2019": "pairs=64, votes=10000, held_out=5000, C=1.0",
    "mig/chen2018": "items=10000, code=posterior, bins=0, extent=0.0",
    "mig/locatello2019": "items=10000, code=mean, bins=20, extent=0.0",
    "mig/do2020": "items=100000, code=posterior, bins=100, extent=4.0",
    "sap/locatello2019": "train=10000, test=5000, predictor=svm, C=0.01",
    "sap/kumar2018": "train=10000, test=0, predictor=r2, C=0.0",
    "dci/locatello2019": "train=10000, test=5000, predictor=trees, rounds=100, alpha=0.0",
    "dci/eastwood2018": "train=10000, test=5000, predictor=lasso, rounds=0, alpha=0.02",
    "modularity/ridgeway2018": (
        "train=10000, test=5000, bins=20, idle=False, normalised=True, C=1.0"
    ),
    "modularity/locatello2019": (
        "train=10000, test=5000, bins=20, idle=True, normalised=False, C=1.0"
    ),
    "irs/suter2019": "items=100000, quantile=1.0",
    "irs/locatello2019": "items=10000, quantile=0.99",
    "infomec/hsu2023": "items=10000, neighbours=3, active=0.125, C=1.0",
    "unsupervised/locatello2019": "items=10000, bins=20",
    "probes/locatello2019-logistic": "train=10000, test=5000, probe=logistic",
    "probes/locatello2019-trees": "train=10000, test=5000, probe=trees",
    "udr/duan2020": "items=10000, similarity=spearman, min_kl=0.01, alpha=0.0",
    "udr/duan2020-lasso": "items=10000, similarity=lasso, min_kl=0.01, alpha=0.1",
}


def test_every_protocol_is_frozen() -> None:
    protocols = {
        f"{m}/{name}": p for m, metric in METRICS.items() for name, p in metric.PROTOCOLS.items()
    }
    assert protocols.keys() == FROZEN.keys()


@pytest.mark.parametrize("protocol", FROZEN)
def test_the_parameters_of_a_protocol_do_not_change(protocol: str) -> None:
    metric, name = protocol.split("/")
    assert format_fields(METRICS[metric].PROTOCOLS[name]) == FROZEN[protocol]
