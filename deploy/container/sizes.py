"""`python -m deploy.container.sizes IMAGE`: what of an image takes the room, by layer and by folder."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

_MB = 1_000_000
_FOLDERS = "/opt/venv/lib/python3*/site-packages/* /opt/cartridge/*"
_SHOWN = 16


@dataclass(frozen=True)
class Part:
    """A layer, or a folder."""

    name: str
    size: int  # bytes


def layers(image: str) -> list[Part]:
    """The newest first. Raises CalledProcessError where there is no such image."""
    lines = _docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    parts = [Part(_instruction(name), int(size)) for size, name in (line.split("\t", 1) for line in lines)]
    return [part for part in parts if part.size]


def folders(image: str) -> list[Part]:
    """The packages and what lies beside them, the largest first."""
    script = f"du --block-size=1 --summarize {_FOLDERS}"
    lines = _docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)
    parts = [Part(path.rsplit("/", 1)[-1], int(size)) for size, path in (line.split("\t", 1) for line in lines)]
    return sorted(parts, key=lambda part: part.size, reverse=True)


def report(image: str) -> str:
    """Both as Markdown tables, in MB."""
    own, inside = layers(image), folders(image)
    rest = Part(f"{len(inside) - _SHOWN} more", sum(part.size for part in inside[_SHOWN:]))
    whole = Part("**all**", sum(part.size for part in own))
    return "\n\n".join((_table("layer", [*own, whole]), _table("folder", [*inside[:_SHOWN], rest])))


def _table(heading: str, parts: list[Part]) -> str:
    rows = [f"| {part.name} | {part.size / _MB:.0f} |" for part in parts]
    return "\n".join((f"| {heading} | MB |", "|---|---|", *rows))


def _instruction(created_by: str) -> str:
    """As the Dockerfile has it, or `base` where the layer came from elsewhere."""
    text = created_by.removeprefix("/bin/sh -c ").removeprefix("#(nop) ").split(" # buildkit")[0].strip()
    return text[:60].replace("|", "\\|") or "base"


def _docker(*arguments: str) -> list[str]:
    done = subprocess.run(("docker", *arguments), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    print(report(sys.argv[1]))
