"""Updates of the page; images are decoded from the HTML and compared."""

import base64
import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.explore.conftest import labelled

from unbraid.data.images import ImageTable
from unbraid.errors import UserError
from unbraid.explore import downloads, html
from unbraid.explore.grid import CATEGORIES, NOTHING, matching_dimensions, traversal_grid
from unbraid.explore.opened_run import OpenedRun
from unbraid.explore.session import Session

KINDS = ("cascade-vae", "vae", "joint-vae", "qlae")


def pixels(html: str) -> list[np.ndarray]:
    """Decode the images in a piece of the page."""
    uris = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri)))) for uri in uris]


def as_bytes(image: np.ndarray) -> np.ndarray:
    return np.round(255 * image[0]).astype(np.uint8)


def values_of(session: Session, number: int, image: np.ndarray) -> list[Any]:
    """Return the values of a side's run, buttons and sliders after a start."""
    _, buttons, *sliders = session.side(number, image)
    return [number, buttons["value"], *[slider.get("value") for slider in sliders]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_shows_the_image_its_code_and_the_decoded_image(
    kind: str, runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    session, run = Session([runs[kind]]), runs[kind]
    settings = [2, 5, 7, 3, 30]
    image, original, status, decoded, buttons, *sliders = session.from_settings(0, *settings)
    item = table.factors.index_of(np.array([settings]))
    assert (image == table.images(item)[0]).all()
    assert (pixels(original)[0] == 255 * table.images(item)[0, 0]).all()
    assert f"image {item[0]:,} of dsprites" in status
    point = run.encode(image)
    assert (pixels(decoded)[0] == as_bytes(run.decode_point(point))).all()
    assert buttons["visible"] == (run.categories > 0)
    assert len(buttons["choices"]) == run.categories
    assert buttons["value"] == (point.category if run.categories else None)
    np.testing.assert_allclose([s["value"] for s in sliders], point.z, atol=1e-3)
    for slider, dimension in zip(sliders, run.dimensions, strict=True):
        assert slider["label"] == dimension.label
        assert slider["minimum"] <= slider["value"] <= slider["maximum"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_decodes_the_values_of_the_sliders(kind: str, runs: dict[str, OpenedRun]) -> None:
    session, run = Session([runs[kind]]), runs[kind]
    number, category, *z = values_of(session, 0, session.first_image()[1])
    z[1] = run.dimensions[1].high
    (moved,) = session.move(number, category, *z)
    expected = run.decode(np.array([z]), np.array([category or 0]))[0]
    assert (pixels(moved)[0] == as_bytes(expected)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_takes_less_than_20_ms(kind: str, runs: dict[str, OpenedRun]) -> None:
    """CPU time of one core, so that a busy machine does not fail the test."""
    session = Session([runs[kind]])
    values = values_of(session, 0, session.first_image()[1])
    seconds = []
    for _ in range(20):
        start = time.thread_time()
        session.move(*values)
        seconds.append(time.thread_time() - start)
    assert sorted(seconds)[10] < 0.02


def test_categories_have_different_images(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["cascade-vae"]])
    number, _, *z = values_of(session, 0, session.first_image()[1])
    decoded = [pixels(session.move(number, k, *z)[0])[0] for k in range(3)]
    assert (decoded[0] != decoded[1]).any()
    assert (decoded[1] != decoded[2]).any()


def test_a_random_start_is_the_item_of_its_settings(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["vae"], runs["qlae"]])
    updates = session.from_random(0, 1)
    settings, rest = updates[:5], updates[5:]
    assert len(rest) == 3 + 2 * session.side_length
    assert (rest[0] == session.from_settings(0, 1, *settings)[0]).all()
    seen = {tuple(session.from_random(0, 1)[:5]) for _ in range(6)}
    assert len(seen) > 1


def test_a_grid_varies_one_dimension_across_and_another_down(runs: dict[str, OpenedRun]) -> None:
    run = runs["cascade-vae"]
    point = run.encode(run.table.images(np.array([9]))[0].astype(np.float32))
    grid = traversal_grid(run, point, 1, CATEGORIES)
    assert grid.images.shape == (3, 11, 1, 64, 64)
    assert grid.rows == ["d = [1,0,0]", "d = [0,1,0]", "d = [0,0,1]"]
    z = np.array(point.z)
    z[1] = grid.values[4]
    np.testing.assert_allclose(grid.images[2, 4], run.decode(z[None], np.array([2]))[0], atol=1e-6)
    grid = traversal_grid(run, point, 1, 2, columns=3)
    assert grid.images.shape == (5, 3, 1, 64, 64)
    z[1], z[2] = run.dimensions[1].low, run.dimensions[2].high
    expected = run.decode(z[None].astype(np.float32), np.array([point.category]))[0]
    np.testing.assert_allclose(grid.images[4, 0], expected, atol=1e-5)
    for down in (NOTHING, 1):
        assert traversal_grid(run, point, 1, down).rows == [""]
    assert traversal_grid(
        runs["vae"],
        runs["vae"].encode(run.table.images(np.array([9]))[0].astype(np.float32)),
        0,
        CATEGORIES,
    ).rows == [""]
    for across, down in ((3, NOTHING), (0, 7), (-1, NOTHING)):
        with pytest.raises(
            UserError, match="not a dimension of cascade-vae; choose one of z1 to z3"
        ):
            traversal_grid(run, point, across, down)


def test_a_run_matches_itself(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["vae"], runs["vae"]._replace(name="again")])
    pairs = matching_dimensions(runs["vae"], runs["vae"])
    assert [pair.right for pair in pairs.values()] == [0, 1, 2, 3]
    image = session.first_image()[1]
    values = values_of(session, 0, image) + values_of(session, 1, image)
    left, right = session.grids(2, 3, *values)
    assert "r = +1.00 with the left run" in right
    for left_image, right_image in zip(pixels(left), pixels(right), strict=True):
        assert (left_image == right_image).all()


def test_a_dimension_without_a_match_shows_a_message(runs: dict[str, OpenedRun]) -> None:
    """A run of 4 dimensions next to one of 3: one of the four has no match."""
    session = Session([runs["vae"], runs["cascade-vae"]])
    image = session.first_image()[1]
    values = values_of(session, 0, image) + values_of(session, 1, image)
    assert values[-1] is None
    pieces = [session.grids(z, NOTHING, *values)[1] for z in range(4)]
    assert sum("no matching dimension" in piece for piece in pieces) == 1
    unmatched = ["no matching dimension" in session.scatters(z, 0, 1)[1] for z in range(4)]
    assert ["no matching dimension" in piece for piece in pieces] == unmatched
    (uri, _) = session.png(image, unmatched.index(True), NOTHING, *values)
    assert uri.startswith("data:image/png;base64,")


def test_the_scatter_has_a_chart_per_factor_and_a_colour_per_category(
    runs: dict[str, OpenedRun],
) -> None:
    run = runs["joint-vae"]
    session = Session([run])
    (piece,) = session.scatters(1, 0)
    assert piece.count("<figure>") == 5
    assert run.dimensions[1].label in piece
    assert piece.count("h0") == 5 * 60
    assert run.category is not None
    used = len(np.unique(run.category))
    assert len(set(re.findall(r'class="points" style="--hue:(\d+)" d="M', piece))) == used
    percent = 100 * run.mutual_information[1] / run.factor_entropy
    caption = f"{run.mutual_information[1, 3]:.2f} nats, {percent[3]:.0f} % of its entropy"
    assert f"<b>posX</b> {caption}" in piece


def test_the_grids_are_downloaded_as_png_and_gif(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["cascade-vae"], runs["qlae"]])
    image = session.first_image()[1]
    values = values_of(session, 0, image) + values_of(session, 1, image)
    across = next(z for z in range(3) if session._sides(z, NOTHING, values)[1].across is not None)
    for kind, download in (("png", session.png), ("gif", session.gif)):
        uri, name = download(image, across, CATEGORIES, *values)
        assert name == f"unbraid-cascade-vae-qlae-z{across + 1}.{kind}"
        head, text = uri.split(",")
        assert head == f"data:image/{kind};base64"
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            assert picture.format == kind.upper()
            assert getattr(picture, "n_frames", 1) == (20 if kind == "gif" else 1)
            grey = np.asarray(picture.convert("L"))
    # The start image is in the PNG, four times as wide and as high.
    uri, _ = session.png(image, across, CATEGORIES, *values)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("L"))
    start = as_bytes(image).repeat(4, axis=0).repeat(4, axis=1)
    assert any((sheet[y : y + 256, 12:268] == start).all() for y in range(100))
    assert grey.std() > 5


def test_a_colour_image_is_enlarged_pixel_by_pixel() -> None:
    image = np.random.default_rng(0).uniform(size=(3, 4, 5)).astype(np.float32)
    enlarged = np.asarray(Image.open(io.BytesIO(downloads.image_png(image, 3))))
    assert enlarged.shape == (12, 15, 3)
    expected = np.round(255 * image).astype(np.uint8).transpose(1, 2, 0)
    for shift in range(9):
        assert (enlarged[shift // 3 :: 3, shift % 3 :: 3] == expected).all()


def test_an_upload_becomes_the_start_image_and_is_deleted(
    runs: dict[str, OpenedRun], tmp_path: Path
) -> None:
    session = Session([runs["vae"], runs["qlae"]])
    upload = tmp_path / "photo.png"
    Image.fromarray(np.full((80, 90), 255, np.uint8)).save(upload)
    image, original, status, *sides = session.from_upload(str(upload), 0, 1)
    assert not upload.exists()
    assert (image == 1).all()
    assert (pixels(original)[0] == 255).all()
    assert "photo.png, cropped to 64 × 64" in status
    assert len(sides) == 2 * session.side_length
    upload.write_text("<svg/>")
    image, original, status, *sides = session.from_upload(str(upload), 0, 1)
    assert not upload.exists()
    assert "rejected: photo.png: not an image in a supported format; upload a PNG" in status
    assert [image, original, *sides] == [None] * (2 + 2 * session.side_length)
    assert session.from_upload(None, 0, 1) == [None] * (3 + 2 * session.side_length)


def test_without_a_full_grid_images_are_chosen_by_number(
    runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    bare = labelled(table, (), np.zeros((40, 0), np.int64))
    session = Session([runs["vae"]._replace(table=bare, factors=None)])
    assert session.settings() == [("image", 40)]
    image, _, status, *_ = session.from_settings(0, 7)
    assert (image == bare.images(np.array([7]))[0]).all()
    assert "image 7 of dsprites<" in status
    assert session.from_random(0)[0] in range(40)
    assert "no factors to compare with" in session.scatters(0, 0)[0]
    values = np.stack([np.arange(40) % 5 - 2, np.arange(40)], axis=1)
    with_labels = labelled(table, ("digit", "writer"), values)
    assert (
        "image 7 of dsprites: digit 0, writer 7<"
        in Session([runs["vae"]._replace(table=with_labels)]).from_settings(0, 7)[2]
    )


def test_the_scatter_shows_the_eight_most_informative_factors(
    runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    names = tuple(f"f{i}" for i in range(20))
    values = np.random.default_rng(0).integers(0, 2, size=(300, 20))
    mutual_information = np.linspace(0, 0.5, 20) * np.ones((4, 1))
    run = runs["vae"]._replace(
        table=labelled(table, names, values),
        factors=values,
        mutual_information=mutual_information,
        factor_entropy=np.full(20, np.log(2)),
    )
    (piece,) = Session([run]).scatters(0, 0)
    assert re.findall(r"<b>(f\d+)</b>", piece) == [f"f{i}" for i in range(12, 20)]


def test_names_are_escaped(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["vae"]._replace(name="<b>")])
    assert "&lt;b&gt;" in html.header(session.runs)
    assert "<b>x" not in html.error_message("<b>x")
