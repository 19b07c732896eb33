"""`python -m deploy.local`: an endpoint of SageMaker on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import uvicorn

from deploy.local.archives import ModelArchives
from deploy.local.asynchronous import AsyncConfig
from deploy.local.container import MODEL_DIR, MODELS_DIR, ContainerError, DockerImage, container_of
from deploy.local.endpoint import Endpoint, Status
from deploy.local.front import FrontOptions, create_front
from deploy.local.limits import Limits
from deploy.local.storage import Location, Storage, StorageError

_DEFAULTS = Limits()


def main(arguments: Sequence[str] | None = None, prog: str = "python -m deploy.local") -> None:
    """Exits with 1 where the endpoint fails to come into service."""
    options = parser(prog).parse_args(arguments)
    with ExitStack() as stack:
        models_dir = options.models_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="models-")))
        try:
            endpoint, front = assemble(options, models_dir)
        except (ContainerError, StorageError, OSError) as error:
            raise SystemExit(f"{prog}: {error}") from error
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):  # the server has stopped for it, in order, and raises it again
            asyncio.run(_serve(endpoint, front, options))
    if endpoint.reason:
        raise SystemExit(f"{prog}: {endpoint.reason}")


def parser(prog: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=prog, description="An endpoint of SageMaker on this machine, until Ctrl-C.")
    made.add_argument(
        "target", nargs="?", help="a URL, the path of a program, or an image; without it, this checkout's ./serve"
    )
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=int, default=8090, help="where callers find the endpoint (default: 8090)")
    made.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the container; repeatable")
    made.add_argument(
        "--model-data", type=Path, metavar="DIRECTORY", help=f"an image sees it, read-only, as {MODEL_DIR}"
    )
    add_limits(made)
    _add_asynchronous(made)
    models = made.add_argument_group("multi-model endpoints")
    models.add_argument("--models", metavar="SOURCE", help="a directory or s3://bucket/prefix with .tar.gz archives")
    models.add_argument(
        "--models-dir", type=Path, metavar="DIRECTORY", help="where they are unpacked; seen by the container"
    )
    return made


def add_limits(made: argparse.ArgumentParser) -> None:
    limits = made.add_argument_group("limits")
    for name, what in (
        ("ping-s", "seconds that an answer of /ping may take"),
        ("accept-s", "seconds until a connection must be accepted"),
        ("invocation-s", "seconds that a response may take"),
        ("stream-s", "seconds that a streamed response may take"),
        ("start-s", "seconds until the container must be ready"),
        ("load-s", "seconds that a call waits for a model of a multi-model endpoint"),
        ("stop-s", "seconds from SIGTERM to SIGKILL"),
        ("request-bytes", "largest request"),
        ("response-bytes", "largest response"),
    ):
        default = getattr(_DEFAULTS, name.replace("-", "_"))
        limits.add_argument(f"--{name}", type=type(default), default=default, help=f"{what} (default: {default})")


def _add_asynchronous(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("asynchronous invocations")
    group.add_argument("--async-output", metavar="S3_URI", help="where responses go; switches them on")
    group.add_argument("--async-failures", metavar="S3_URI", help="where failures go (default: the output's failures/)")
    group.add_argument("--async-concurrency", type=int, default=4, help="requests at once (default: 4)")
    group.add_argument("--notifications", type=Path, metavar="FILE", help="what SNS would get, a line each")
    group.add_argument("--s3-endpoint-url", metavar="URL", help="another S3 than that of AWS")


def assemble(options: argparse.Namespace, models_dir: Path) -> tuple[Endpoint, FrontOptions]:
    """Raises ContainerError, StorageError, OSError."""
    limits = limits_of(options)
    environment = environment_of(options.env)
    mounts = {options.model_data: MODEL_DIR} if options.model_data else {}
    if options.models:
        environment.setdefault("SAGEMAKER_MULTI_MODEL", "true")
        mounts[models_dir] = MODELS_DIR
    container = container_of(options.target, environment, mounts)
    storage = Storage(options.s3_endpoint_url)
    archives = None
    if options.models:
        seen_as = MODELS_DIR if isinstance(container, DockerImage) else str(models_dir.resolve())
        archives = ModelArchives(options.models, models_dir, seen_as, storage)
    return Endpoint(container, limits), FrontOptions(limits, archives, _async_config(options), storage)


def limits_of(options: argparse.Namespace) -> Limits:
    return Limits(**{name: getattr(options, name) for name in vars(_DEFAULTS)})


def environment_of(pairs: Sequence[str]) -> dict[str, str]:
    """Raises ContainerError naming a pair that is none."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ContainerError(f"--env {wrong[0]}: must be NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _async_config(options: argparse.Namespace) -> AsyncConfig | None:
    """Raises StorageError, OSError where the notifications cannot be written."""
    if not options.async_output:
        return None
    if options.notifications:
        options.notifications.touch()
    output = Location.parse(options.async_output)
    failures = Location.parse(options.async_failures) if options.async_failures else output / "failures"
    return AsyncConfig(output, failures, options.notifications, options.async_concurrency)


async def _serve(endpoint: Endpoint, front: FrontOptions, options: argparse.Namespace) -> None:
    """Until a signal, or until the endpoint has failed."""
    app = create_front(endpoint, front)
    server = uvicorn.Server(uvicorn.Config(app, options.host, options.port, log_level="warning", access_log=False))

    async def watch() -> None:
        status = await endpoint.settled()
        if status is Status.FAILED:
            server.should_exit = True
        else:
            print(
                f"InService: export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=http://{options.host}:{options.port}", flush=True
            )

    watching = asyncio.create_task(watch())
    await server.serve()
    watching.cancel()
