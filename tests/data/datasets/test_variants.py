"""dSprites in colour, with noise and on a background: each image by its definition."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unbraid.data.datasets import dsprites_variants as variants
from unbraid.data.images import ImageTable
from unbraid.errors import UserError

INDEX = np.array([0, 5_000, 300_000, 737_279])


def sprites(table: ImageTable) -> np.ndarray:
    return table.images(INDEX).astype(np.float32)


@pytest.mark.parametrize("kind", ["colour", "noisy"])
def test_an_image_is_the_same_at_every_access(kind: str, table: ImageTable) -> None:
    variant = variants.make_variant(table, kind)
    images = variant.images(INDEX)
    assert images.shape == (4, 3, 64, 64)
    assert images.dtype == np.float32
    assert np.array_equal(variant.images(INDEX[2:3])[0], images[2])
    assert np.array_equal(pickle.loads(pickle.dumps(variant)).images(INDEX), images)
    assert len(pickle.dumps(variant)) < 3_000
    # Bytes, as stored on a GPU, represent the same values.
    assert np.array_equal(np.round(images * 255).astype(np.uint8) / np.float32(255), images)
    assert len({image.tobytes() for image in images}) == 4


def test_each_sprite_has_one_bright_colour(table: ImageTable) -> None:
    images, on = variants.make_variant(table, "colour").images(INDEX), sprites(table)
    colours = images.max(axis=(2, 3))
    assert np.array_equal(images, on * colours[:, :, None, None])
    assert colours.min() >= 0.5 - 1 / 510
    assert len(np.unique(colours)) == 12


def test_noise_is_uniform_and_sprites_stay_white(table: ImageTable) -> None:
    images, on = variants.make_variant(table, "noisy").images(INDEX), sprites(table)
    on = np.broadcast_to(on, images.shape)
    assert (images[on == 1] == 1).all()
    noise = images[on == 0]
    # 48,000 values: the mean of U(0, 1) to four standard errors, and each tenth of the range.
    assert noise.mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * len(noise)))
    shares = np.histogram(noise, 10, (0, 1))[0] / len(noise)
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.008)
    assert abs(np.corrcoef(images[0, 0].ravel(), images[0, 1].ravel())[0, 1]) < 0.5


def test_sprites_invert_the_background(
    table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNBRAID_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="unbraid data dsprites-scream --picture FILE"):
        variants.load_scream()
    monkeypatch.setattr(variants.dsprites, "load", lambda: table)
    Image.new("RGB", (700, 400), (255, 0, 51)).save(tmp_path / "plain.png")
    assert "737,280 images" in variants.prepare("scream", tmp_path / "plain.png")
    variant = variants.load_scream()
    assert isinstance(variant, variants.VariantTable)
    assert variant.picture is not None
    assert variant.picture.shape == (3, 200, 350)
    images, on = variant.images(INDEX), sprites(table)
    # With the colour c and the tint t: (c + t)/2 outside the sprite, 1 − (c + t)/2 inside.
    around = np.where(on == 0, images, np.nan)
    behind = np.nanmax(around, axis=(2, 3))
    np.testing.assert_allclose(np.nanmin(around, axis=(2, 3)), behind, atol=1e-6)
    within = np.nanmax(np.where(on == 1, images, np.nan), axis=(2, 3))
    np.testing.assert_allclose(within, 1 - behind, atol=0.005)
    tints = 2 * behind - np.array([1, 0, 0.2])
    assert tints.min() > -0.01
    assert tints.max() < 1.01
    assert np.ptp(tints) > 0.2
    Image.new("RGB", (700, 40)).save(tmp_path / "flat.png")
    with pytest.raises(UserError, match="resizing to fit into 350×274, but has 350×20"):
        variants.store_picture(tmp_path / "flat.png")
    with pytest.raises(UserError, match="No such file"):
        variants.store_picture(tmp_path / "nowhere.png")


def test_the_background_determines_the_images(table: ImageTable) -> None:
    pictures = [np.full((3, 64, 64), value, np.uint8) for value in (0, 255)]
    tables = [variants.make_variant(table, "scream", picture) for picture in pictures]
    dark, bright = (t.images(INDEX) for t in tables)
    on = np.broadcast_to(sprites(table), dark.shape)
    np.testing.assert_allclose((bright - dark)[on == 0], 0.5, atol=0.005)
    np.testing.assert_allclose((bright - dark)[on == 1], -0.5, atol=0.005)
    assert dataclasses.replace(tables[0], fingerprint="x").generated_on_access
