"""`cartridge eval-router` and `make eval-router`: how well prompts find their domains."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from app.roms.manifest import RomManifest
from app.routing.domain_model import MODES, DomainModel, Mode
from app.routing.similarity import Embed
from evaluation.router.prompts import LabelledPrompt, read_catalog, read_labelled
from evaluation.router.report import confusion_table, document, table, write
from evaluation.router.scores import Decision, RouterScores, score

_TEXT_ALONE = "auto, no similarity"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and the end."""
        print(f"{self.prog}: {message.removeprefix('argument ')}", file=sys.stderr)
        sys.exit(2)


def main(arguments: Sequence[str], prog: str = "python -m evaluation.router") -> None:
    """Evaluate what the command line names; exits with one line where that cannot be."""
    given = _parser(prog).parse_args(arguments)
    try:
        prompts, manifests = read_labelled(given.prompts), read_catalog(given.catalog)
        embed = _embedding(given.clip)
        model = DomainModel.fit(manifests, embed=embed)
        found: dict[str, RouterScores] = {given.mode: evaluate(model, prompts, given.mode)}
        if given.output is not None:
            found |= {mode: evaluate(model, prompts, mode) for mode in model.modes if mode != given.mode}
            if embed is not None:
                found[_TEXT_ALONE] = evaluate(DomainModel.fit(manifests), prompts)
        if given.output is not None:
            write(found, _title(given.prompts, prompts, manifests), given.output)
    except (ValueError, OSError) as error:
        sys.exit(f"{prog}: {str(error).splitlines()[0]}")
    if given.json:
        print(json.dumps(document(found[given.mode])))
    else:
        print(_title(given.prompts, prompts, manifests), table(found), confusion_table(found[given.mode]), sep="\n\n")


def evaluate(model: DomainModel, prompts: Sequence[LabelledPrompt], mode: Mode = "auto") -> RouterScores:
    """Every prompt by itself, timed one by one. ValueError where the model does not have the mode."""
    model.read(prompts[0].text, mode)  # the first call of anything is slower
    return score([_decide(model, prompt, mode) for prompt in prompts], model.domains)


def _decide(model: DomainModel, prompt: LabelledPrompt, mode: Mode) -> Decision:
    started = time.perf_counter()
    read = model.read(prompt.text, mode)
    seconds = time.perf_counter() - started
    ranked = sorted(read.probabilities, key=lambda name: -read.probabilities[name])
    return Decision(prompt.domain, tuple(ranked), read.confidence, read.out_of_domain, read.is_out_of_domain, seconds)


def _embedding(clip: Path | None) -> Embed | None:
    """ValueError or OSError naming the option where there is no CLIP."""
    if clip is None:
        return None
    from app.backends.clip import Clip

    try:
        return Clip.load(clip).texts
    except (OSError, ValueError) as error:
        raise ValueError(f"--clip: {error}") from error


def _title(path: Path, prompts: Sequence[LabelledPrompt], manifests: dict[str, RomManifest]) -> str:
    return f"{path.name}: {len(prompts)} prompts, {len(manifests)} ROMs"


def _parser(prog: str) -> _Parser:
    parser = _Parser(prog=prog, description="Measure how well prompts find their domains; manifests are enough.")
    parser.add_argument("--prompts", type=Path, required=True, help="JSON lines with `prompt` and `domain`")
    parser.add_argument("--catalog", type=Path, required=True, help="a folder with folders that have a rom.yaml")
    parser.add_argument("--mode", choices=MODES, default="auto", help="all sources together, or one (default: auto)")
    parser.add_argument("--clip", type=Path, help="the folder of a CLIP, which similarity needs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--output", type=Path, help="also write tables and the confusion matrix of every source here")
    return parser
