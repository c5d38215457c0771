"""The page itself, by Gradio (extra `explore`): what is on it and what calls what."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unbraid.errors import UserError
from unbraid.explore import html
from unbraid.explore.opened_run import OpenedRun, open_runs
from unbraid.explore.request_filter import LOCAL, RequestFilter
from unbraid.explore.session import Session
from unbraid.explore.upload import MOST_BYTES
from unbraid.runs.interrupt import stoppable

# Read when Gradio is imported: it would count its users and ask for its updates, and put what is
# uploaded where every user of this machine can read it.
UPLOADS = tempfile.mkdtemp(prefix="unbraid-explore-")
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": UPLOADS}
try:
    import gradio as gr
    from gradio.themes import Base
    from starlette.middleware import Middleware
except ImportError as missing:
    raise UserError(
        "explore: the page needs Gradio; install it with pip install 'unbraid[explore]'"
    ) from missing

STYLE = Path(__file__).with_name("style.css")
# A move does not wait in a queue, and of many only the last is worth drawing.
LIVE: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "api_visibility": "private",
}
SAVE = """(uri, name) => { const link = document.createElement('a');
link.href = uri; link.download = name; link.click(); return ['', '']; }"""


class Side:
    """One run's column: which run it is, its picture, its category's buttons, its sliders."""

    def __init__(self, session: Session, number: int, image: Any) -> None:
        picture, buttons, *sliders = session.side(number, image)
        titles = [(run.title, i) for i, run in enumerate(session.runs)]
        self.run = gr.Dropdown(
            titles,
            value=number,
            show_label=False,
            container=False,
            interactive=True,
            visible=len(titles) > 1,
            elem_id=f"run-{number}",
        )
        with gr.Row(elem_classes="body"):
            with gr.Column(min_width=200, scale=2):
                self.picture = _html(picture, elem_id=f"decoded-{number}")
                self.category = gr.Radio(**buttons, elem_classes="codes", elem_id=f"d-{number}")
            with gr.Column(min_width=240, scale=3, elem_classes="dimensions"):
                self.sliders = [
                    gr.Slider(**slider, buttons=[], interactive=True, elem_id=f"z{i + 1}-{number}")
                    for i, slider in enumerate(sliders)
                ]

    @property
    def inputs(self) -> list[Any]:
        """What a code is read from."""
        return [self.run, self.category, *self.sliders]

    @property
    def outputs(self) -> list[Any]:
        """What a new start changes."""
        return [self.picture, self.category, *self.sliders]


class Page:
    """The parts of the page; `blocks` is the whole."""

    def __init__(self, runs: Sequence[OpenedRun]) -> None:
        self.session = session = Session(runs)
        settings, image = session.first_image()
        with gr.Blocks(
            title="unbraid explore", analytics_enabled=False, fill_width=True
        ) as self.blocks:
            _html(html.head(runs))
            with gr.Row(elem_classes="top"):
                with gr.Column(min_width=240, scale=1, elem_classes="start"):
                    self._start(settings, image)
                with gr.Column(min_width=300, scale=4), gr.Row():
                    self.sides = []
                    for number in range(session.sides):
                        with gr.Column(min_width=300, elem_classes="side"):
                            self.sides.append(Side(session, number, image))
            self._below()
            self._wire()

    def _start(self, settings: list[int], image: Any) -> None:
        self.image = gr.State(image)
        self.original = _html(html.picture(image, "start"), elem_id="start")
        self.settings = [
            gr.Slider(0, size - 1, value, step=1, label=name, buttons=[], elem_id=f"factor-{name}")
            for (name, size), value in zip(self.session.settings(), settings, strict=True)
        ]
        with gr.Row():
            self.random = gr.Button("random", size="sm", min_width=60)
            self.upload = gr.UploadButton("upload an image", size="sm", min_width=60)
        self.status = _html("", "status")

    def _below(self) -> None:
        across, down = self.session.choices(0)
        with gr.Column(elem_classes="below"):
            with gr.Row():
                self.across = gr.Radio(**across, label="across", elem_id="across", scale=4)
                self.down = gr.Dropdown(**down, label="down", elem_id="down", scale=1)
                with gr.Column(scale=1, min_width=120, elem_classes="save"):
                    self.png = gr.Button("save as PNG", size="sm", elem_id="png")
                    self.gif = gr.Button("save as GIF", size="sm", elem_id="gif")
            numbers = range(self.session.sides)
            codes = [part for side in self.sides for part in _values(side.inputs)]
            first = self.session.grids(across["value"], down["value"], *codes)
            self.grids = _beside([(first[i], f"grid-{i}") for i in numbers])
            charts = self.session.scatters(across["value"], *numbers)
            self.scatters = _beside([(charts[i], f"scatter-{i}") for i in numbers])
        self.saved = [gr.Textbox(visible=False), gr.Textbox(visible=False)]

    def _wire(self) -> None:
        """What each part calls when it is moved."""
        session, runs = self.session, [side.run for side in self.sides]
        codes = [part for side in self.sides for part in side.inputs]
        chosen = [self.across, self.down, *codes]
        grids = _call(session.grids, chosen, self.grids)
        scatters = _call(session.scatters, [self.across, *runs], self.scatters)
        for side in self.sides:
            for part in [side.category, *side.sliders]:
                part.input(**_call(session.move, side.inputs, [side.picture]))
            for part in side.sliders:
                part.release(**grids)
            side.category.input(**grids)
            new = side.run.input(**_call(session.side, [side.run, self.image], side.outputs))
            if side is self.sides[0]:
                new = new.then(**_call(session.choices, [side.run], [self.across, self.down]))
            new.then(**grids).then(**scatters)
        for part in (self.across, self.down):
            part.input(**grids)
        self.across.input(**scatters)
        self._wire_start(runs, grids)
        for button, draw in ((self.png, session.png), (self.gif, session.gif)):
            drawn = button.click(**_call(draw, [self.image, *chosen], self.saved))
            drawn.then(None, self.saved, self.saved, js=SAVE)

    def _wire_start(self, runs: list[Any], grids: dict[str, Any]) -> None:
        """What a new start calls: every side follows, then the grids."""
        session = self.session
        changed = [self.image, self.original, self.status]
        changed += [part for side in self.sides for part in side.outputs]
        for part in self.settings:
            given = [*runs, *self.settings]
            part.input(**_call(session.from_settings, given, changed)).then(**grids)
        by_chance = _call(session.at_random, runs, [*self.settings, *changed])
        self.random.click(**by_chance).then(**grids)
        sent = _call(session.from_upload, [self.upload, *runs], changed)
        self.upload.upload(**sent).then(**grids)


def serve(paths: Sequence[Path], *, host: str, port: int | None, browser: bool) -> None:
    """Serve a page on runs until Ctrl-C; UserError as `open_runs`, or if the port cannot be had."""
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"port={port}: a port is 1 to 65535; give --port in there, or leave it out")
    page = Page(open_runs(paths))
    try:
        page.blocks.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=False,
            quiet=True,
            # The gate keeps files in; this keeps Gradio from being told of more by the environment.
            allowed_paths=[UPLOADS],
            max_file_size=MOST_BYTES,
            app_kwargs={"middleware": [Middleware(RequestFilter, host=host, uploads=UPLOADS)]},
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            run_history=False,
            footer_links=[],
            theme=Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css_paths=STYLE,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise UserError(
            f"host={host}, port={port}: cannot be had ({error}); give --port another number, or"
            " leave it out"
        ) from error
    open_to = "" if host in LOCAL else ", open to every machine that reaches this one"
    with stoppable() as stop:
        print(f"explore at {page.blocks.local_url}{open_to}; Ctrl-C closes it", flush=True)
        # The server's threads end with the process; closing it would wait for every open page.
        while not stop:
            time.sleep(0.1)
    print("closed")


def _call(fn: Callable[..., list[Any]], inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    """An event that asks the session, its answer as Gradio takes it."""

    def answer(*values: Any) -> Any:
        parts = [
            gr.skip() if part is None else gr.update(**part) if isinstance(part, dict) else part
            for part in fn(*values)
        ]
        return parts[0] if len(parts) == 1 else parts

    return {"fn": answer, "inputs": inputs, "outputs": outputs, **LIVE}


def _html(value: str = "", elem_id: str | None = None) -> gr.HTML:
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False, js_on_load=None)


def _beside(pieces: Sequence[tuple[str, str]]) -> list[gr.HTML]:
    """Pieces in a row, one below the other where the page is narrow."""
    made = []
    with gr.Row():
        for value, elem_id in pieces:
            with gr.Column(min_width=340):
                made.append(_html(value, elem_id))
    return made


def _values(parts: Sequence[Any]) -> list[Any]:
    return [part.value for part in parts]
