"""What every move answers: pictures are read back from the answers and compared."""

import base64
import dataclasses
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
from unbraid.explore import html, images
from unbraid.explore.grid import (
    CATEGORIES,
    NOTHING,
    category_names,
    matching,
    traversal_grid,
)
from unbraid.explore.opened_run import OpenedRun
from unbraid.explore.session import Session

KINDS = ("cascade-vae", "vae", "joint-vae", "qlae")


def pixels(html: str) -> list[np.ndarray]:
    """The pictures in a piece of the page."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def as_bytes(image: np.ndarray) -> np.ndarray:
    return np.round(255 * image[0]).astype(np.uint8)


def values_of(session: Session, number: int, image: np.ndarray) -> list[Any]:
    """What a side's run, buttons and sliders hold after a start."""
    _, buttons, *sliders = session.side(number, image)
    return [number, buttons["value"], *[slider.get("value") for slider in sliders]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_shows_the_image_its_code_and_its_picture(
    kind: str, runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    session, run = Session([runs[kind]]), runs[kind]
    settings = [2, 5, 7, 3, 30]
    image, original, said, picture, buttons, *sliders = session.from_settings(0, *settings)
    item = table.factors.index_of(np.array([settings]))
    assert (image == table.images(item)[0]).all()
    assert (pixels(original)[0] == 255 * table.images(item)[0, 0]).all()
    assert f"item {item[0]:,} of dsprites" in said
    point = run.encode(image)
    assert (pixels(picture)[0] == as_bytes(run.picture(point))).all()
    assert buttons["visible"] == (run.discrete > 0)
    assert len(buttons["choices"]) == run.discrete
    assert buttons["value"] == (point.category if run.discrete else None)
    np.testing.assert_allclose([s["value"] for s in sliders], point.z, atol=1e-3)
    for slider, dimension in zip(sliders, run.dimensions, strict=True):
        assert slider["label"] == dimension.label
        assert slider["minimum"] <= slider["value"] <= slider["maximum"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_decodes_what_the_sliders_say(kind: str, runs: dict[str, OpenedRun]) -> None:
    session, run = Session([runs[kind]]), runs[kind]
    number, category, *z = values_of(session, 0, session.first_image()[1])
    z[1] = run.dimensions[1].high
    (moved,) = session.move(number, category, *z)
    wanted = run.decode(np.array([z]), np.array([category or 0]))[0]
    assert (pixels(moved)[0] == as_bytes(wanted)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_is_answered_in_far_less_than_50_ms(kind: str, runs: dict[str, OpenedRun]) -> None:
    """Of one core's time, so that a busy machine does not fail it."""
    session = Session([runs[kind]])
    values = values_of(session, 0, session.first_image()[1])
    spent = []
    for _ in range(20):
        start = time.thread_time()
        session.move(*values)
        spent.append(time.thread_time() - start)
    assert sorted(spent)[10] < 0.02


def test_a_category_is_another_picture(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["cascade-vae"]])
    number, _, *z = values_of(session, 0, session.first_image()[1])
    found = [pixels(session.move(number, k, *z)[0])[0] for k in range(3)]
    assert (found[0] != found[1]).any()
    assert (found[1] != found[2]).any()


def test_a_random_start_is_the_item_of_its_settings(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["vae"], runs["qlae"]])
    answer = session.at_random(0, 1)
    settings, rest = answer[:5], answer[5:]
    assert len(rest) == 3 + 2 * session.width
    assert (rest[0] == session.from_settings(0, 1, *settings)[0]).all()
    seen = {tuple(session.at_random(0, 1)[:5]) for _ in range(6)}
    assert len(seen) > 1


def test_a_grid_moves_one_dimension_and_what_is_down(runs: dict[str, OpenedRun]) -> None:
    run = runs["cascade-vae"]
    point = run.encode(run.table.images(np.array([9]))[0].astype(np.float32))
    grid = traversal_grid(run, point, 1, CATEGORIES)
    assert grid.images.shape == (3, 11, 1, 64, 64)
    assert grid.rows == ["d = 100", "d = 010", "d = 001"]
    z = np.array(point.z)
    z[1] = grid.values[4]
    np.testing.assert_allclose(grid.images[2, 4], run.decode(z[None], np.array([2]))[0], atol=1e-6)
    grid = traversal_grid(run, point, 1, 2, columns=3)
    assert grid.images.shape == (5, 3, 1, 64, 64)
    z[1], z[2] = run.dimensions[1].low, run.dimensions[2].high
    wanted = run.decode(z[None].astype(np.float32), np.array([point.category]))[0]
    np.testing.assert_allclose(grid.images[4, 0], wanted, atol=1e-5)
    for down in (NOTHING, 1):
        assert traversal_grid(run, point, 1, down).rows == [""]
    assert traversal_grid(
        runs["vae"],
        runs["vae"].encode(run.table.images(np.array([9]))[0].astype(np.float32)),
        0,
        CATEGORIES,
    ).rows == [""]
    for across, down in ((3, NOTHING), (0, 7), (-1, NOTHING)):
        with pytest.raises(UserError, match="cascade-vae has z1 to z3"):
            traversal_grid(run, point, across, down)


def test_many_categories_are_numbered(runs: dict[str, OpenedRun]) -> None:
    assert category_names(runs["vae"]) == []
    config = runs["cascade-vae"].trained.config
    method = dataclasses.replace(config.method, categories=10)
    trained = runs["cascade-vae"].trained._replace(
        config=dataclasses.replace(config, method=method)
    )
    many = runs["cascade-vae"]._replace(trained=trained)
    assert category_names(many) == [str(n) for n in range(1, 11)]


def test_beside_itself_a_run_shows_the_same(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["vae"], runs["vae"]._replace(name="again")])
    assert [pair.right for pair in matching(runs["vae"], runs["vae"]).values()] == [0, 1, 2, 3]
    image = session.first_image()[1]
    values = values_of(session, 0, image) + values_of(session, 1, image)
    left, right = session.grids(2, 3, *values)
    assert "r = +1.00 with the left" in right
    for one, other in zip(pixels(left), pixels(right), strict=True):
        assert (one == other).all()


def test_where_nothing_is_left_that_matches_the_page_says_so(runs: dict[str, OpenedRun]) -> None:
    """A run of 4 dimensions beside one of 3: one of the four has no partner."""
    session = Session([runs["vae"], runs["cascade-vae"]])
    image = session.first_image()[1]
    values = values_of(session, 0, image) + values_of(session, 1, image)
    assert values[-1] is None
    pieces = [session.grids(z, NOTHING, *values)[1] for z in range(4)]
    assert sum("No dimension of this run is left" in piece for piece in pieces) == 1
    alone = ["No dimension" in session.scatters(z, 0, 1)[1] for z in range(4)]
    assert ["No dimension" in piece for piece in pieces] == alone
    (uri, _) = session.png(image, alone.index(True), NOTHING, *values)
    assert uri.startswith("data:image/png;base64,")


def test_the_scatter_has_a_chart_a_factor_and_a_colour_a_category(
    runs: dict[str, OpenedRun],
) -> None:
    run = runs["joint-vae"]
    session = Session([run])
    (piece,) = session.scatters(1, 0)
    assert piece.count("<figure>") == 5
    assert run.dimensions[1].label in piece
    assert piece.count("h0") == 5 * 60
    assert run.categories is not None
    used = len(np.unique(run.categories))
    assert len(set(re.findall(r'class="points" style="--hue:(\d+)" d="M', piece))) == used
    share = 100 * run.informations[1] / run.entropies
    assert f"<b>posX</b> {run.informations[1, 3]:.2f} nats, {share[3]:.0f} % of H" in piece


def test_what_is_shown_is_saved_as_png_and_gif(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["cascade-vae"], runs["qlae"]])
    image = session.first_image()[1]
    values = values_of(session, 0, image) + values_of(session, 1, image)
    across = next(z for z in range(3) if session._halves(z, NOTHING, values)[1].across is not None)
    for kind, save in (("png", session.png), ("gif", session.gif)):
        uri, name = save(image, across, CATEGORIES, *values)
        assert name == f"unbraid-cascade-vae-qlae-z{across + 1}.{kind}"
        head, text = uri.split(",")
        assert head == f"data:image/{kind};base64"
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            assert picture.format == kind.upper()
            assert getattr(picture, "n_frames", 1) == (20 if kind == "gif" else 1)
            grey = np.asarray(picture.convert("L"))
    # The start's white pixels, four times as wide and as high, stand in the sheet as they are.
    uri, _ = session.png(image, across, CATEGORIES, *values)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("L"))
    start = as_bytes(image).repeat(4, axis=0).repeat(4, axis=1)
    assert any((sheet[y : y + 256, 12:268] == start).all() for y in range(100))
    assert grey.std() > 5


def test_a_picture_in_colour_is_enlarged_pixel_by_pixel() -> None:
    image = np.random.default_rng(0).uniform(size=(3, 4, 5)).astype(np.float32)
    drawn = np.asarray(Image.open(io.BytesIO(images.png(image, 3))))
    assert drawn.shape == (12, 15, 3)
    wanted = np.round(255 * image).astype(np.uint8).transpose(1, 2, 0)
    for place in range(9):
        assert (drawn[place // 3 :: 3, place % 3 :: 3] == wanted).all()


def test_a_picture_that_was_sent_is_a_start_and_is_removed(
    runs: dict[str, OpenedRun], tmp_path: Path
) -> None:
    session = Session([runs["vae"], runs["qlae"]])
    sent = tmp_path / "photo.png"
    Image.fromarray(np.full((80, 90), 255, np.uint8)).save(sent)
    image, original, said, *sides = session.from_upload(str(sent), 0, 1)
    assert not sent.exists()
    assert (image == 1).all()
    assert (pixels(original)[0] == 255).all()
    assert "photo.png, cut to 64 × 64" in said
    assert len(sides) == 2 * session.width
    sent.write_text("<svg/>")
    image, original, said, *sides = session.from_upload(str(sent), 0, 1)
    assert not sent.exists()
    assert "refused: photo.png: not a picture that is read here; give a PNG" in said
    assert [image, original, *sides] == [None] * (2 + 2 * session.width)
    assert session.from_upload(None, 0, 1) == [None] * (3 + 2 * session.width)


def test_what_is_no_grid_is_chosen_by_number(runs: dict[str, OpenedRun], table: ImageTable) -> None:
    bare = labelled(table, (), np.zeros((40, 0), np.int64))
    session = Session([runs["vae"]._replace(table=bare, factors=None)])
    assert session.settings() == [("item", 40)]
    image, _, said, *_ = session.from_settings(0, 7)
    assert (image == bare.images(np.array([7]))[0]).all()
    assert "item 7 of dsprites<" in said
    assert session.at_random(0)[0] in range(40)
    assert "no factors to compare with" in session.scatters(0, 0)[0]
    values = np.stack([np.arange(40) % 5 - 2, np.arange(40)], axis=1)
    some = labelled(table, ("digit", "writer"), values)
    assert (
        "item 7 of dsprites: digit 0, writer 7<"
        in Session([runs["vae"]._replace(table=some)]).from_settings(0, 7)[2]
    )


def test_of_many_factors_those_are_shown_that_a_dimension_holds(
    runs: dict[str, OpenedRun], table: ImageTable
) -> None:
    names = tuple(f"f{i}" for i in range(20))
    values = np.random.default_rng(0).integers(0, 2, size=(300, 20))
    told = np.linspace(0, 0.5, 20) * np.ones((4, 1))
    run = runs["vae"]._replace(
        table=labelled(table, names, values),
        factors=values,
        informations=told,
        entropies=np.full(20, np.log(2)),
    )
    (piece,) = Session([run]).scatters(0, 0)
    assert re.findall(r"<b>(f\d+)</b>", piece) == [f"f{i}" for i in range(12, 20)]


def test_names_are_escaped(runs: dict[str, OpenedRun]) -> None:
    session = Session([runs["vae"]._replace(name="<b>")])
    assert "&lt;b&gt;" in html.head(session.runs)
    assert "<b>x" not in html.refused("<b>x")
