"""Encoding in batches compared with one image at a time."""

from collections.abc import Callable

import numpy as np
import torch

from unbraid.data.images import ImageTable
from unbraid.nets import ConvDecoder
from unbraid.runs import Config
from unbraid.runs.encode import CATEGORY_BATCH, ENCODE_BATCH, Trained, encode
from unbraid.runs.weights import initial_parts


def test_batches_give_the_codes_of_single_images(
    tiny_config: Callable[..., Config], table: ImageTable
) -> None:
    config = tiny_config()
    parts = initial_parts(config, table.shape).eval()
    decoder = parts["decoder"]
    assert isinstance(decoder, ConvDecoder)
    with torch.no_grad():  # Images of the categories differ, so that more than one is predicted.
        decoder.entry.weight[:, config.method.latent_dim :] *= 3
    index = np.random.default_rng(0).permutation(len(table))[
        : ENCODE_BATCH + 2 * CATEGORY_BATCH + 5
    ]
    codes = encode(Trained(config, parts, 1), table, index=index)
    assert codes.category is not None
    assert codes.std is not None
    assert len(np.unique(codes.category)) > 1
    for n, item in enumerate(index):
        x = torch.from_numpy(table.images(index[n : n + 1])).float()
        with torch.no_grad():
            mean, std = config.method.posterior(parts, x)
            assert std is not None
            assert codes.category[n] == config.method.predict_category(parts, x, mean), item
        np.testing.assert_allclose(codes.mean[n], mean[0], atol=1e-5)
        np.testing.assert_allclose(codes.std[n], std[0], atol=1e-5)
