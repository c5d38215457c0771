"""JointVAE's KLs reach their capacities."""

import math

import pytest
from tests.learning.images import shapes, train_on

from unbraid.methods.joint_vae import JointVAE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("capacity", "capacity_discrete"), [(2.0, 0.8), (4.0, 0.4), (0.0, 1.1)])
def test_joint_vae_reaches_both_capacities(capacity: float, capacity_discrete: float) -> None:
    """With a large γ, KL(z) ends within 0.1 nats of C_z, and KL(d) within 0.05 nats of C_d.

    In E[−ln p(x|z,d)] + γ |KL(z) − C_z| + γ |KL(d) − C_d| (Dupont 2018, Eq. 7), γ times a change of
    a KL outweighs the reconstruction that the change costs or saves, as soon as γ exceeds the
    nats of reconstruction per nat of code. Then the minimum is at KL = C exactly, from both sides:
    a KL below C is raised even if it does not help, a KL above C is lowered. KL(d) of K categories
    is at most ln K, so that a C_d of 1.1 is clipped to ln 3 = 1.0986. It does not measure how many
    categories are used: it is ln K too if all images have the same category with certainty.
    """
    images, _ = shapes()
    method = JointVAE(
        latent_dim=2,
        gamma=100.0,
        capacity=capacity,
        capacity_discrete=capacity_discrete,
        capacity_steps=150,
        learning_rate=5e-4,
    )
    reported = train_on(images, method, steps=300, logged_steps=100).mean_losses()
    assert sum(reported["kl"]) == pytest.approx(capacity, abs=0.1)
    expected = min(capacity_discrete, math.log(3))
    assert reported["kl_discrete"] == pytest.approx(expected, abs=0.05)
