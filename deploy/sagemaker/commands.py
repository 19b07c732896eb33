"""The command line: `python -m deploy COMMAND`, or `cartridge deploy COMMAND`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import boto3
import typer
from botocore.exceptions import BotoCoreError

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile, read_config
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.plan import Plan, make_plan
from deploy.sagemaker.preflight.checks import has_failed, run_checks
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.timeouts import chosen_times
from deploy.sagemaker.waiting import Patience

T = TypeVar("T")
deploy = typer.Typer(help="Cartridge on SageMaker: image, ROMs, roles, endpoints.", no_args_is_help=True)
roms = typer.Typer(help="ROMs in S3.", no_args_is_help=True)
deploy.add_typer(roms, name="roms")

File = Annotated[Path, typer.Option("--file", "-f", help="The endpoint.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print every call that changes something, and make none.")]
Preflight = Annotated[bool, typer.Option(help="Look at everything first.")]
DEFAULT_FILE = Path("deploy/endpoint.yaml")


@deploy.command("push")
def push_command(
    file: File = DEFAULT_FILE,
    dockerfile: Annotated[Path | None, typer.Option(help="That of this checkout, unless told.")] = None,
    architecture: Annotated[str, typer.Option(help="amd64 or arm64.")] = "amd64",
    flavour: Annotated[
        str | None, typer.Option(help="Of torch: cpu, cu130, ... Unless told, what the instances need.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Build the image that the file names, and push it to ECR. Tells its digest."""
    from deploy.running import ROOT
    from deploy.sagemaker.image import ImageUri
    from deploy.sagemaker.registry import Push, flavour_for, push

    calls, config = _open(file, dry_run)
    uri = _or_leave(lambda: ImageUri.parse(config.image))
    if uri.id.startswith("sha256:"):
        _leave("the file names an image by its digest, which only a push can tell: name it by a tag")
    flavour = flavour or flavour_for(config)
    what = Push(uri.repository, uri.id, architecture, flavour, dockerfile or ROOT / "Dockerfile", config.kms_key)
    image = _or_leave(lambda: push(calls, what))
    if image is not None:
        print(f"image: {image.uri}")


@roms.command("push")
def push_roms_command(
    directory: Annotated[str, typer.Argument(help="Of ROMs, or one ROM.")] = "model_store",
    file: File = DEFAULT_FILE,
    dry_run: DryRun = False,
) -> None:
    """Bring ROMs to the prefix that the file names. What is there with the same digest is not sent again."""
    from deploy.sagemaker.rom_push import push_roms

    calls, config = _open(file, dry_run)
    pushed = _or_leave(lambda: push_roms(calls, directory, config.roms.source, config.kms_key))
    print(f"{len(pushed.uploaded)} files to upload" if dry_run else f"{len(pushed.uploaded)} files uploaded", end="")
    print(f", {pushed.skipped} were there")
    for key in pushed.stale:
        print(f"of no ROM any more, and left: {key}", file=sys.stderr)


@deploy.command("role")
def role_command(
    file: File = DEFAULT_FILE,
    documents: Annotated[
        Path | None, typer.Option(help="Write the documents to this directory, and call nothing.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Make the execution role, and policies for those who deploy and those who call. Tells why each may what."""
    from deploy.sagemaker.roles import all_statements, ensure_roles, scope_of, write_documents

    calls, config = _open(file, dry_run)
    scope = _or_leave(lambda: scope_of(calls, config))
    for name, statements in all_statements(scope).items():
        print(f"{name}:")
        for statement in statements:
            print(f"  {statement.sid:<14}{statement.reason}")
    if documents is not None:
        for path in write_documents(scope, documents):
            print(path)
    else:
        _or_leave(lambda: ensure_roles(calls, config))


@deploy.command("preflight")
def preflight_command(file: File = DEFAULT_FILE) -> None:
    """Look at everything that an endpoint needs, and create nothing."""
    calls, config = _open(file, dry_run=True)
    _preflight(Facts(calls, config))


@deploy.command("create")
def create_command(file: File = DEFAULT_FILE, preflight: Preflight = True, dry_run: DryRun = False) -> None:
    """Create the endpoint and wait until it serves. Run again after anything, it goes on."""
    from deploy.sagemaker.endpoint import create

    calls, config = _open(file, dry_run)
    plan = _planned(Facts(calls, config), preflight)
    _or_leave(lambda: create(calls, config, plan, Patience()))
    _done(f"endpoint {config.name} is in service", dry_run)


@deploy.command("update")
def update_command(file: File = DEFAULT_FILE, preflight: Preflight = True, dry_run: DryRun = False) -> None:
    """Bring the endpoint to what the file says, in steps, and back where an alarm fires."""
    from deploy.sagemaker.endpoint import update

    calls, config = _open(file, dry_run)
    plan = _planned(Facts(calls, config), preflight)
    _or_leave(lambda: update(calls, config, plan, Patience()))
    _done(f"endpoint {config.name} serves what the file says", dry_run)


@deploy.command("delete")
def delete_command(file: File = DEFAULT_FILE, dry_run: DryRun = False) -> None:
    """Delete the endpoint and what else carries its tag. ROMs, image, roles and logs stay."""
    from deploy.sagemaker.removal import delete

    calls, config = _open(file, dry_run)
    _or_leave(lambda: delete(calls, config, Patience()))
    _done(f"nothing of endpoint {config.name} is left", dry_run)


@deploy.command("status")
def status_command(file: File = DEFAULT_FILE) -> None:
    """Tell what is there of the endpoint."""
    from deploy.sagemaker.status import status_lines

    calls, config = _open(file, dry_run=True)
    for line in _or_leave(lambda: list(status_lines(calls, config))):
        print(line)


@deploy.command("batch")
def batch_command(file: File = DEFAULT_FILE, dry_run: DryRun = False) -> None:
    """Start the file's batch transform job, unless it runs or is done."""
    from deploy.sagemaker.batch import start_batch

    calls, config = _open(file, dry_run)
    facts = Facts(calls, config)
    name = _or_leave(lambda: start_batch(calls, config, facts.image, facts.scope.role_arn, Patience()))
    print(f"job {name}")


@deploy.command("logs")
def logs_command(
    file: File = DEFAULT_FILE,
    follow: Annotated[bool, typer.Option("--follow", help="Until Ctrl-C.")] = False,
    since_min: Annotated[float, typer.Option("--since", help="Minutes back.")] = 10,
    pattern: Annotated[
        str, typer.Option("--filter", help="Of CloudWatch Logs, such as '{ $.event = \"request\" }'.")
    ] = "",
) -> None:
    """Show what the containers wrote."""
    from deploy.sagemaker.logs import log_lines

    calls, config = _open(file, dry_run=True)
    try:
        for line in log_lines(calls, config.name, since_min * 60, follow=follow, pattern=pattern):
            print(line, flush=True)
    except DeployError as error:
        _leave(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@deploy.command("smoke")
def smoke_command(
    prompt: Annotated[str, typer.Argument()] = "a large red star on a black background",
    file: File = DEFAULT_FILE,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the picture goes.")] = Path("smoke.png"),
    model: Annotated[str, typer.Option(help="A ROM's id, or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 7,
    dry_run: DryRun = False,
) -> None:
    """Ask the endpoint for a picture, through SageMaker, and show it."""
    from deploy.picture import terminal_picture
    from deploy.sagemaker.smoke import smoke

    calls, config = _open(file, dry_run)
    fields = {"prompt": prompt, "model": model, "seed": seed}
    answer = _or_leave(lambda: smoke(calls, config, fields, Patience(poll_s=2, timeout_s=900)))
    if answer is not None:
        output.write_bytes(answer.image)
        if sys.stdout.isatty():
            print(terminal_picture(answer.image))
        print(f"{output}  {answer.model}  {answer.seconds:.2f} s")


@deploy.command("advice")
def advice_command(
    source: Annotated[str, typer.Argument(help="A directory of ROMs, or s3://bucket/prefix/.")] = "model_store",
) -> None:
    """Tell which instance suits these ROMs, and why. Asks nothing of SageMaker."""
    from deploy.sagemaker.advice import advice_lines
    from deploy.sagemaker.sizes import read_source

    found = _or_leave(lambda: read_source(source))
    for line in advice_lines(list(found.sizes.values())):
        print(line)
    for rom_id, reason in found.broken.items():
        print(f"{rom_id} is broken: {reason}", file=sys.stderr)


def main(arguments: list[str] | None = None, prog: str = "python -m deploy") -> None:
    deploy(arguments, prog_name=prog)


def _open(file: Path, dry_run: bool) -> tuple[Calls, EndpointFile]:
    config = _or_leave(lambda: read_config(file))
    try:
        calls = Calls(boto3.session.Session(region_name=config.region), dry_run=dry_run)
    except BotoCoreError as error:  # a profile that is not there
        _leave(str(error))
    _or_leave(lambda: calls.account)  # without credentials this is the one thing to say
    return calls, config


def _planned(facts: Facts, preflight: bool) -> Plan:
    if preflight:
        _preflight(facts)
    config = facts.config
    return _or_leave(lambda: make_plan(config, facts.image, facts.scope.role_arn, chosen_times(config, facts.roms)))


def _preflight(facts: Facts) -> None:
    """Show what was found; exits where something is in the way."""
    results = run_checks(facts)
    for result in results:
        print(result.line)
    if has_failed(results):
        _leave("preflight failed; nothing was created")


def _or_leave(call: Callable[[], T]) -> T:
    try:
        return call()
    except DeployError as error:
        _leave(str(error))


def _done(text: str, dry_run: bool) -> None:
    print("dry run: nothing was changed" if dry_run else text)


def _leave(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)
