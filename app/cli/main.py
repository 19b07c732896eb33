"""`cartridge`: call a service, look at ROMs, run the server."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

import app as package
from app.cli.common import DEFAULT_URL, Url, leave, or_leave
from app.cli.roms import roms
from app.cli.rooms import run_room
from app.client import Answer, Client, Event

app = typer.Typer(help="Many image-generation models behind one endpoint.", no_args_is_help=True, add_completion=False)
app.add_typer(roms, name="roms")


def _room_command(name: str) -> Callable[[Callable[[typer.Context], None]], Callable[[typer.Context], None]]:
    """A command whose options another room reads."""
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return app.command(name, context_settings=settings, add_help_option=False)


@app.command()
def invoke(  # noqa: PLR0913 - an argument is an option
    prompt: str,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the image goes; more get -1, -2, ...")] = Path(
        "image.png"
    ),
    model: Annotated[str, typer.Option(help="A ROM's id, or auto.")] = "auto",
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same image.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="How closely to follow the prompt.")] = None,
    image: Annotated[Path | None, typer.Option(help="An image to redraw.", exists=True, dir_okay=False)] = None,
    mask_image: Annotated[
        Path | None, typer.Option(help="White where it is to be redrawn.", exists=True, dir_okay=False)
    ] = None,
    strength: Annotated[float | None, typer.Option(help="How much of it is redrawn, up to 1.")] = None,
    number: Annotated[int, typer.Option("--number", "-n", help="How many images.")] = 1,
    timeout_s: Annotated[float | None, typer.Option(help="Seconds that it may take.")] = None,
    on_deadline: Annotated[
        str | None, typer.Option(help="Where that is too short: partial (what is there), degrade or fail.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Ask a service for images and save them. Ctrl-C cancels the request."""
    asked: dict[str, Any] = {
        "prompt": prompt,
        "model": model,
        "seed": seed,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "image": _base64(image),
        "mask_image": _base64(mask_image),
        "strength": strength,
        "num_images_per_prompt": number,
        "timeout_s": timeout_s,
        "on_deadline": on_deadline,
        "output_format": {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}.get(output.suffix.lower(), "png"),
    }
    with Client(url) as client:
        fields = {name: value for name, value in asked.items() if value is not None}
        answer = Answer.of(or_leave(lambda: _follow(client.stream(**fields))))
    _save(answer, output)


def _save(answer: Answer, output: Path) -> None:
    """Write the images and say where they are, with the warnings and which ROM answered."""
    for index, data in enumerate(answer.images):
        path = output if index == 0 else output.with_stem(f"{output.stem}-{index}")
        path.write_bytes(data)
        print(f"{path}  seed {answer.response['images'][index]['seed']}")
    for warning in answer.response["warnings"]:
        print(f"{warning['param']}: {warning['detail']}", file=sys.stderr)
    timings = answer.response["timings"]
    print(f"{answer.response['model']}: {answer.response['routing']['reason']}; {timings['total_s']:.2f} s")


def _base64(path: Path | None) -> str | None:
    return None if path is None else base64.b64encode(path.read_bytes()).decode()


@app.command()
def route(
    prompt: str,
    candidates: Annotated[
        list[str] | None, typer.Option("--candidate", help="Only this ROM, and others told so.")
    ] = None,
    mode: Annotated[str, typer.Option(help="auto, rules, classifier or similarity.")] = "auto",
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    timeout_s: Annotated[float | None, typer.Option(help="Seconds that it may take.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Ask a service which ROM would answer a prompt now, and why. Nothing is drawn."""
    from app.cli.route import print_route

    asked = {"prompt": prompt, "num_inference_steps": steps, "timeout_s": timeout_s}
    routing = {"mode": mode, "candidates": candidates or None}
    fields = {name: value for name, value in asked.items() if value is not None}
    with Client(url) as client:
        print_route(
            or_leave(lambda: client.route(**fields, routing={k: v for k, v in routing.items() if v is not None}))
        )


@app.command()
def ui(
    url: Url = DEFAULT_URL,
    host: Annotated[str, typer.Option(help="Where the page listens; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="On which port.", min=1, max=65535)] = 7860,
) -> None:
    """Open a page for the browser, to draw and to see which ROM a prompt gets. Needs Gradio."""
    from app.cli.ui import open_page

    open_page(url, host, port)


@app.command()
def serve() -> None:
    """Run the service: nginx and one gunicorn worker."""
    script = Path(package.__file__).resolve().parent.parent / "serve"
    if not script.exists():
        leave(f"{script} is missing: serve runs from a checkout or from the image")
    os.execv(sys.executable, [sys.executable, str(script)])


@_room_command("eval")
def evaluate(context: typer.Context) -> None:
    """Measure a ROM's pictures: prompt alignment, CLIP score, FID, precision and recall, speed."""
    run_room(context.args, "eval", "evaluation.command")


@_room_command("eval-router")
def evaluate_router(context: typer.Context) -> None:
    """Measure how well prompts find their domains: accuracy, calibration, what is out of domain."""
    run_room(context.args, "eval-router", "evaluation.router.command")


@_room_command("front")
def front(context: typer.Context) -> None:
    """Put SageMaker's side before a container on this machine, for unmodified boto3 clients."""
    run_room(context.args, "front", "deploy.local.command")


@_room_command("deploy")
def deploy(context: typer.Context) -> None:
    """Take the service to SageMaker: image, ROMs, roles, endpoints, logs."""
    run_room(context.args, "deploy", "deploy.sagemaker.commands")


@_room_command("conformance")
def conformance(context: typer.Context) -> None:
    """Look whether an image, a URL or a program keeps SageMaker's rules; a table of every rule."""
    run_room(context.args, "conformance", "deploy.local.conformance.command")


def _follow(events: Iterator[Event]) -> dict[str, Any]:
    """The response. A person who watches sees how far it is."""
    watched = sys.stderr.isatty()
    for event in events:
        if event.name == "step" and watched:
            print(f"\rstep {event.content['step']} of {event.content['steps']} ", end="", file=sys.stderr, flush=True)
    if watched:
        print(file=sys.stderr)
    return event.content
