"""Judge a ROM's images against their prompts; writes report.md, report.json and sheet.png."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from app.roms.manifest import read_manifest
from evaluation.alignment import evaluate
from evaluation.prompts import prompt_sets
from evaluation.report import RomReport
from evaluation.rom import load


def main(arguments: list[str]) -> None:
    """Evaluate the ROM that the command line names; exits with a message when its directory holds none."""
    options = _parse(arguments)
    directory: Path = options.rom.resolve()
    if not (directory / "model_index.json").is_file():
        sys.exit(f"{options.rom} is no ROM: it has no model_index.json")
    asked = {"num_inference_steps": options.steps, "guidance_scale": options.guidance_scale}
    given = {name: value for name, value in asked.items() if value is not None}
    preset = read_manifest(directory).presets["default"].model_copy(update=given)
    generate = load(directory, preset)
    started = time.monotonic()
    alignment = evaluate(generate, {name: prompts[: options.limit] for name, prompts in prompt_sets().items()})
    report = RomReport(directory.name, preset, time.monotonic() - started, alignment)
    report.write(options.output or Path("build/evaluation") / directory.name)
    print(report.table())


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("rom", type=Path, metavar="ROM_DIR", help="a diffusers directory, with or without rom.yaml")
    parser.add_argument("--steps", type=int, metavar="N", help="default: the ROM's default preset")
    parser.add_argument("--guidance-scale", type=float, metavar="G", help="default: the ROM's default preset")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N prompts of every set")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: build/evaluation/<ROM's name>")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
