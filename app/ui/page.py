"""The page: what is on it, and what its buttons do."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from markupsafe import Markup

from app.client import Client, ServiceError
from app.ui.drawing import ask_route, draw
from app.ui.form import Form
from app.ui.offer import AUTO, NOT_ENLARGED, Offer
from app.ui.report import show_error
from app.ui.stops import Stops

_AT_ONCE = 16  # requests of all who look at the page
_KEPT_S = 3600  # images
_FREE = {"allow_custom_value": True, "filterable": True}  # the service says what is wrong with a value


def build_page(client: Client, url: str) -> gr.Blocks:
    """A page for the service at `url`, which need not answer yet."""
    with gr.Blocks(
        title="Cartridge", analytics_enabled=False, fill_width=True, delete_cache=(_KEPT_S // 6, _KEPT_S)
    ) as page:
        head = gr.HTML(_head(url, ""), elem_id="head")
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=360):
                inputs = _form()
                with gr.Row():
                    generate = gr.Button("Generate", variant="primary", min_width=100)
                    ask = gr.Button("Which ROM?", min_width=100)
                    stop = gr.Button("Stop", min_width=80)
            with gr.Column(scale=5, min_width=360):
                status = gr.HTML(elem_id="status")
                gallery = gr.Gallery(
                    label="Images", show_label=False, elem_id="images", height=320, object_fit="contain",
                    interactive=False, buttons=["download", "fullscreen"],
                )  # fmt: skip
        routing = gr.HTML(elem_id="routing")
        with gr.Accordion("What the service answered", open=False):
            answer = gr.JSON(show_label=False)
        outputs = [status, gallery, routing, answer]
        _wire(client, generate, ask, stop, inputs, outputs)
        _keep_offer(page, client, url, head, inputs)
    page.queue(default_concurrency_limit=_AT_ONCE)
    return page


def _form() -> list[Any]:
    """In the order of `Form`."""
    offer = Offer.unknown()
    prompt = gr.Textbox(label="Prompt", lines=2, elem_id="prompt", placeholder="Shift+Enter draws it")
    negative = gr.Textbox(label="Negative prompt", lines=1, placeholder="What is not to be seen")
    with gr.Row():
        model = gr.Dropdown(offer.models(), value=AUTO, label="Model", min_width=140, **_FREE)
        preset = gr.Dropdown(offer.presets_of(AUTO), value="default", label="Preset", min_width=100, **_FREE)
        upscale = gr.Dropdown(offer.enlargements(), value=NOT_ENLARGED, label="Upscale", min_width=80, **_FREE)
    with gr.Row():
        # texts: an empty number would be sent as 0, and a large seed lose its last digits
        steps = gr.Textbox(label="Steps", placeholder="preset's", min_width=80, max_lines=1)
        guidance = gr.Textbox(label="Guidance scale", placeholder="preset's", min_width=80, max_lines=1)
        seed = gr.Textbox(label="Seed", placeholder="drawn", min_width=80, max_lines=1)
        number = gr.Textbox("1", label="Images", min_width=80, max_lines=1)
    return [prompt, negative, model, preset, steps, guidance, seed, number, upscale]


def _wire(client: Client, generate: Any, ask: Any, stop: Any, inputs: list[Any], outputs: list[Any]) -> None:
    """What the buttons do; also over the page's API, as /generate, /route and /stop."""
    _, gallery, *_ = outputs
    stops = Stops()

    def keep(data: bytes, name: str) -> str:
        return str(save_bytes_to_cache(data, name, gallery.GRADIO_CACHE))

    def drawn(visit: gr.Request, *values: Any) -> Generator[Any, None, None]:
        with stops.listening(str(visit.session_hash)) as stopped:
            for screen in draw(client, Form(*values), keep, stopped):
                yield screen.outputs()

    def routed(*values: Any) -> Any:
        return ask_route(client, Form(*values)).outputs()

    def stop_all(visit: gr.Request) -> None:
        stops.stop(str(visit.session_hash))

    hidden: dict[str, Any] = {"show_progress": "hidden"}
    begun = [generate.click, inputs[0].submit]
    gr.on(begun, drawn, inputs, outputs, api_name="generate", **hidden)
    ask.click(routed, inputs, outputs, api_name="route", **hidden)
    stop.click(stop_all, api_name="stop", **hidden)


def _keep_offer(page: gr.Blocks, client: Client, url: str, head: Any, inputs: list[Any]) -> None:
    """Whoever opens the page is offered what the service has then."""
    model, preset, upscale = inputs[2], inputs[3], inputs[8]
    offered = gr.State(Offer.unknown())

    def look() -> tuple[Any, ...]:
        try:
            info = client.info()
        except ServiceError as error:
            return _head(url, show_error(str(error))), gr.skip(), gr.skip(), gr.skip(), gr.skip()
        offer = Offer.of(info)
        said = f"{info['status']}, version {info['version']}, {len(offer.roms)} ROMs that make images"
        choices = (offer.models(), offer.presets_of(AUTO), offer.enlargements())
        return (_head(url, said), offer, *(gr.update(choices=one) for one in choices))

    def presets(offer: Offer, asked: str, now: str) -> Any:
        choices = offer.presets_of(asked)
        return gr.update(choices=choices, value=now if now in choices else "default")

    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    page.load(look, None, [head, offered, model, preset, upscale], **hidden)
    model.change(presets, [offered, model, preset], preset, **hidden)


def _head(url: str, said: str) -> str:
    return str(Markup("<h1>Cartridge</h1><span>{}</span><span>{}</span>").format(url, said))
