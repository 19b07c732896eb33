"""`cartridge conformance`: every rule, kept or broken, for any container of SageMaker."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.command import add_limits, environment_of, limits_of
from deploy.local.conformance.report import as_json, judge_all, row, total
from deploy.local.conformance.rule import Outcome
from deploy.local.conformance.subject import Asked, Subject
from deploy.local.container import MODEL_DIR, ContainerError

_REQUEST = {"prompt": "a red circle", "num_inference_steps": 2}


def main(arguments: Sequence[str] | None = None, prog: str = "cartridge conformance") -> None:
    """Exits with 1 where a rule is broken, with 2 where the container cannot be looked at."""
    options = parser(prog).parse_args(arguments)
    outcomes: list[Outcome] = []
    try:
        for outcome in judge_all(Subject(options.target, asked_of(options))):
            outcomes.append(outcome)
            if not options.json:
                print(row(outcome), flush=True)
    except (ContainerError, OSError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print(as_json(outcomes) if options.json else total(outcomes))
    raise SystemExit(any(outcome.verdict == "broken" for outcome in outcomes))


def parser(prog: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=prog, description="Which of SageMaker's rules a container keeps.")
    made.add_argument(
        "target", nargs="?", help="an image, a URL, or the path of a program; without it, this checkout's ./serve"
    )
    made.add_argument("--body", type=Path, metavar="FILE", help=f"a request (default: {json.dumps(_REQUEST)})")
    made.add_argument("--content-type", default="application/json", help="of the request")
    made.add_argument("--stream-body", type=Path, metavar="FILE", help="a request whose response is streamed")
    made.add_argument("--model-url", help="a model to load into a multi-model container: a path as it sees it")
    made.add_argument("--model-data", type=Path, metavar="DIRECTORY", help=f"an image sees it as {MODEL_DIR}")
    made.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the container; repeatable")
    made.add_argument("--json", action="store_true", help="print the table as JSON")
    add_limits(made)
    return made


def asked_of(options: argparse.Namespace) -> Asked:
    """Raises ContainerError, OSError."""
    default = json.dumps(_REQUEST).encode()
    streamed = None if options.body else json.dumps(_REQUEST | {"stream": True}).encode()
    return Asked(
        body=options.body.read_bytes() if options.body else default,
        content_type=options.content_type,
        stream_body=options.stream_body.read_bytes() if options.stream_body else streamed,
        model_url=options.model_url,
        environment=environment_of(options.env),
        model_data=options.model_data,
        limits=limits_of(options),
    )
