"""The page in Gradio (extra `explore`): its components and what each of them calls."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from unbraid.errors import ArgumentError, UserError
from unbraid.explore import html
from unbraid.explore.opened_run import OpenedRun, open_runs
from unbraid.explore.request_filter import LOCAL, RequestFilter
from unbraid.explore.session import Session
from unbraid.explore.upload import MAX_BYTES
from unbraid.runs.interrupt import deferred_signals

# Gradio reads these when it is imported. Its defaults report usage, look for updates, and keep
# uploads where every user of the machine can read them.
UPLOADS = tempfile.mkdtemp(prefix="unbraid-explore-")
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": UPLOADS}
try:
    import gradio as gr
    from gradio.themes import Base
    from starlette.middleware import Middleware
except ImportError as missing:
    raise UserError(
        "explore: requires Gradio; install it with pip install 'unbraid[explore]'"
    ) from missing

STYLE = Path(__file__).with_name("style.css")
# Moves of a slider are not queued: only the last of many is worth drawing.
EVENT_OPTIONS: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "api_visibility": "private",
}
SAVE = """(uri, name) => { const link = document.createElement('a');
link.href = uri; link.download = name; link.click(); return ['', '']; }"""


class Side:
    """The column of one run: a dropdown of runs, the decoded image, categories and sliders."""

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
        """Components that define the code."""
        return [self.run, self.category, *self.sliders]

    @property
    def outputs(self) -> list[Any]:
        """Components that change with a new start image."""
        return [self.picture, self.category, *self.sliders]


class Page:
    """The components of the page; `blocks` is the whole."""

    def __init__(self, runs: Sequence[OpenedRun]) -> None:
        self.session = session = Session(runs)
        settings, image = session.first_image()
        with gr.Blocks(
            title="unbraid explore", analytics_enabled=False, fill_width=True
        ) as self.blocks:
            _html(html.header(runs))
            with gr.Row(elem_classes="top"):
                with gr.Column(min_width=240, scale=1, elem_classes="start"):
                    self._add_start(settings, image)
                with gr.Column(min_width=300, scale=4), gr.Row():
                    self.sides = []
                    for number in range(session.num_sides):
                        with gr.Column(min_width=300, elem_classes="side"):
                            self.sides.append(Side(session, number, image))
            self._add_grids()
            self._connect()

    def _add_start(self, settings: list[int], image: Any) -> None:
        self.image = gr.State(image)
        self.original = _html(html.start_figure(image), elem_id="start")
        self.settings = [
            gr.Slider(0, size - 1, value, step=1, label=name, buttons=[], elem_id=f"factor-{name}")
            for (name, size), value in zip(self.session.settings(), settings, strict=True)
        ]
        with gr.Row():
            self.random = gr.Button("random image", size="sm", min_width=60)
            self.upload = gr.UploadButton("upload image", size="sm", min_width=60)
        self.status = _html("", "status")

    def _add_grids(self) -> None:
        across, down = self.session.choices(0)
        with gr.Column(elem_classes="below"):
            with gr.Row():
                self.across = gr.Radio(**across, label="across", elem_id="across", scale=4)
                self.down = gr.Dropdown(**down, label="down", elem_id="down", scale=1)
                with gr.Column(scale=1, min_width=120, elem_classes="save"):
                    self.png = gr.Button("save as PNG", size="sm", elem_id="png")
                    self.gif = gr.Button("save as GIF", size="sm", elem_id="gif")
            numbers = range(self.session.num_sides)
            codes = [component.value for side in self.sides for component in side.inputs]
            grids = self.session.grids(across["value"], down["value"], *codes)
            self.grids = _html_row([(grids[i], f"grid-{i}") for i in numbers])
            charts = self.session.scatters(across["value"], *numbers)
            self.scatters = _html_row([(charts[i], f"scatter-{i}") for i in numbers])
        self.download = [gr.Textbox(visible=False), gr.Textbox(visible=False)]

    def _connect(self) -> None:
        """Connect each component with what it calls."""
        session, runs = self.session, [side.run for side in self.sides]
        codes = [component for side in self.sides for component in side.inputs]
        shown = [self.across, self.down, *codes]
        grids = _event(session.grids, shown, self.grids)
        scatters = _event(session.scatters, [self.across, *runs], self.scatters)
        for side in self.sides:
            for component in [side.category, *side.sliders]:
                component.input(**_event(session.move, side.inputs, [side.picture]))
            for slider in side.sliders:
                slider.release(**grids)
            side.category.input(**grids)
            event = side.run.input(**_event(session.side, [side.run, self.image], side.outputs))
            if side is self.sides[0]:
                event = event.then(**_event(session.choices, [side.run], [self.across, self.down]))
            event.then(**grids).then(**scatters)
        for component in (self.across, self.down):
            component.input(**grids)
        self.across.input(**scatters)
        self._connect_start(runs, grids)
        for button, draw in ((self.png, session.png), (self.gif, session.gif)):
            event = button.click(**_event(draw, [self.image, *shown], self.download))
            event.then(None, self.download, self.download, js=SAVE)

    def _connect_start(self, runs: list[Any], grids: dict[str, Any]) -> None:
        """Connect what changes the start image: first all sides are updated, then the grids."""
        session = self.session
        outputs = [self.image, self.original, self.status]
        outputs += [component for side in self.sides for component in side.outputs]
        for slider in self.settings:
            inputs = [*runs, *self.settings]
            slider.input(**_event(session.from_settings, inputs, outputs)).then(**grids)
        random = _event(session.from_random, runs, [*self.settings, *outputs])
        self.random.click(**random).then(**grids)
        upload = _event(session.from_upload, [self.upload, *runs], outputs)
        self.upload.upload(**upload).then(**grids)


def serve(paths: Sequence[Path], *, host: str, port: int | None, browser: bool) -> None:
    """Serve a page on runs until Ctrl-C.

    Raises ArgumentError if `port` is out of range, and UserError if the server cannot listen there
    or the runs cannot be opened.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ArgumentError(
            "port", port, "must be between 1 and 65535", "set `port` in that range, or omit it"
        )
    page = Page(open_runs(paths))
    try:
        page.blocks.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=False,
            quiet=True,
            # Set so that Gradio does not read further paths from the environment.
            allowed_paths=[UPLOADS],
            max_file_size=MAX_BYTES,
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
            f"host={host}, port={port}: cannot listen there ({error}); set `port` to another"
            " number, or omit it"
        ) from error
    access = "" if host in LOCAL else " (reachable from other machines)"
    with deferred_signals() as stop:
        print(f"page at {page.blocks.local_url}{access}; press Ctrl-C to stop", flush=True)
        # The server's threads end with the process; closing it would wait for every open page.
        while not stop:
            time.sleep(0.1)
    print("stopped")


def _event(fn: Callable[..., list[Any]], inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    """Return the arguments of a Gradio event that calls a method of the session."""

    def answer(*values: Any) -> Any:
        updates = [
            gr.skip() if u is None else gr.update(**u) if isinstance(u, dict) else u
            for u in fn(*values)
        ]
        return updates[0] if len(updates) == 1 else updates

    return {"fn": answer, "inputs": inputs, "outputs": outputs, **EVENT_OPTIONS}


def _html(value: str = "", elem_id: str | None = None) -> gr.HTML:
    return gr.HTML(value, elem_id=elem_id, apply_default_css=False, js_on_load=None)


def _html_row(pieces: Sequence[tuple[str, str]]) -> list[gr.HTML]:
    """Return components side by side, or one below the other on a narrow page."""
    components = []
    with gr.Row():
        for value, elem_id in pieces:
            with gr.Column(min_width=340):
                components.append(_html(value, elem_id))
    return components
