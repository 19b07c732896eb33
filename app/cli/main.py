"""`cartridge`: call a service, look at ROMs, run the server."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

import app as package
from app.client import Answer, Client, Event, ServiceError

app = typer.Typer(help="Many image-generation models behind one endpoint.", no_args_is_help=True, add_completion=False)
roms = typer.Typer(help="What a service, or a directory, has to offer.", no_args_is_help=True)
app.add_typer(roms, name="roms")

_DEFAULT_URL = "http://localhost:8080"
Url = Annotated[str, typer.Option(help="The service.", envvar="CARTRIDGE_URL")]


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
    url: Url = _DEFAULT_URL,
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
        answer = Answer.of(_or_exit(lambda: _follow(client.stream(**fields))))
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


@roms.command("list")
def list_roms(
    directory: Annotated[Path | None, typer.Argument(help="Look here instead of asking a service.")] = None,
    url: Url = _DEFAULT_URL,
) -> None:
    """ROMs with their family, size and state."""
    rows, broken = _from_directory(directory) if directory else _from_service(url)
    print(f"{'ID':<24}{'FAMILY':<20}{'PARAMETERS':>12}  STATE")
    for row in rows:
        print(f"{row['id']:<24}{row['family']:<20}{row['parameters']:>12,}  {row['state']}")
    for rom_id, reason in broken.items():
        print(f"{rom_id:<24}{'-':<20}{'-':>12}  broken: {reason}")


@roms.command("convert")
def convert_rom(
    file: Annotated[Path, typer.Argument(help="Pickled weights: .ckpt, .pt, .pth or .bin.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; beside it, unless told.")] = None,
) -> None:
    """Make safetensors of pickled weights, without running what is in them."""
    from app.backends.pickles import convert_pickle
    from app.errors import CartridgeError

    target = output or file.with_suffix(".safetensors")
    try:
        count = convert_pickle(file, target)
    except CartridgeError as error:
        _exit(error.message)
    print(f"{target}  {count} tensors")


@app.command()
def serve() -> None:
    """Run the service: nginx and one gunicorn worker."""
    script = Path(package.__file__).resolve().parent.parent / "serve"
    if not script.exists():
        _exit(f"{script} is missing: serve runs from a checkout or from the image")
    os.execv(sys.executable, [sys.executable, str(script)])


def _follow(events: Iterator[Event]) -> dict[str, Any]:
    """The response. A person who watches sees how far it is."""
    watched = sys.stderr.isatty()
    for event in events:
        if event.name == "step" and watched:
            print(f"\rstep {event.content['step']} of {event.content['steps']} ", end="", file=sys.stderr, flush=True)
    if watched:
        print(file=sys.stderr)
    return event.content


def _from_service(url: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    with Client(url) as client:
        info = _or_exit(client.info)
    rows = [{**rom, "state": "resident" if rom["resident"] else "on disk"} for rom in info["roms"]]
    return rows, info["quarantined"]


def _from_directory(directory: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    from app.errors import CartridgeError
    from app.roms.library import RomLibrary
    from app.roms.store import open_store

    try:
        catalog = RomLibrary([open_store(f"file://{directory.resolve()}")]).catalog
    except CartridgeError as error:
        _exit(error.message)
    rows = [
        {"id": rom.id, "family": rom.manifest.family, "parameters": rom.num_parameters, "state": "on disk"}
        for rom in catalog
    ]
    return rows, catalog.quarantined


def _or_exit(call: Any) -> Any:
    try:
        return call()
    except ServiceError as error:
        _exit(str(error))


def _exit(message: str) -> Any:
    print(message, file=sys.stderr)
    raise typer.Exit(1)
