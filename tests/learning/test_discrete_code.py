"""CascadeVAE's discrete code finds the components of a separable mixture."""

import pytest
import torch
from tests.learning.images import shapes, train_on

from unbraid.methods.cascade_vae import CascadeVAE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pair_penalty", [1e-3, 0.1])
def test_the_discrete_code_of_cascade_vae_is_the_shape(pair_penalty: float) -> None:
    """Each shape gets a category of its own: accuracy 1, and a third of the images per category.

    With `warmup_stages=0`, d opens first and every β is β_h = 10. A continuous dimension then
    has to save 10 nats of reconstruction per nat, while d costs nothing: choosing d and fitting the
    decoder alternate as in K-means, with one mean image per category. The mixture is separable:
    every image is nearer to the mean image of its shape than to the others, so that the
    partition by shape is a fixed point. It also has the least pair penalty λ′ Σ_{a<b} 1[d_a = d_b],
    because the shapes are equally frequent. The share of a category over 100 batches of 32 is that
    of its shape among the images sampled, 1/3 with a standard deviation of 0.008.
    """
    images, shape = shapes()
    means = torch.stack([images[shape == k].mean(dim=0) for k in range(3)])
    distance = (images[:, None] - means).square().flatten(2).sum(dim=2)
    assert torch.equal(distance.argmin(dim=1), shape)
    method = CascadeVAE(
        latent_dim=2,
        warmup_stages=0,
        stage_steps=150,
        learning_rate=1e-3,
        pair_penalty=pair_penalty,
    )
    state = train_on(images, method, steps=300, logged_steps=100)
    with torch.no_grad():
        mean, _ = method.posterior(state.parts, images)
        category = method.predict_category(state.parts, images, mean)
    counts = torch.zeros(3, 3, dtype=torch.int64)
    counts.index_put_((shape, category), torch.tensor(1), accumulate=True)
    assert sorted(counts.tolist()) == [[0, 0, 9], [0, 9, 0], [9, 0, 0]]
    assert state.mean_losses()["share"] == pytest.approx([1 / 3] * 3, abs=0.03)
