"""What routing is worth: `python -m evaluation.routed model_store`.

Prompts of all domains in turn are answered by each ROM alone, by the invoker, and by one who is told the domain; each
in a process of its own, with memory for as many ROMs as `--memory` says.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from app.backends.clip import Clip
from app.bootstrap import running
from app.core import GenerationParams, GenerationRequest, Health, RoutingOptions
from app.invoker.jobs import Job
from app.invoker.service import Service
from app.roms.catalog import read_rom
from app.settings import Settings
from deploy.running import wait_until
from evaluation.features.find import find_features
from evaluation.metrics.measure import Instruments, measure
from evaluation.prompts import EvaluationPrompt, prompt_sets
from evaluation.samples import Samples, asked_of
from evaluation.subjects.embedded import SUBJECTS

_PATIENCE_S = 600.0
_MIB = 2**20


@dataclass(frozen=True)
class Contender:
    """Who answers: `candidates` by the domain of the prompt; none are all ROMs."""

    name: str
    candidates: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Answers:
    images: list[np.ndarray]  # uint8 [H, W, 3] each
    rom_ids: list[str]
    image_s: float  # a picture, with all loading of ROMs
    weights_bytes: int  # in memory at most
    peak_bytes: int  # of the process


@dataclass(frozen=True)
class Row:
    """Of the table."""

    name: str
    alignment: float  # 0..1: pictures that show what was asked for
    by_domain: dict[str, float]
    right_domain: float  # 0..1: prompts that a ROM of their domain answered
    clip_score: float
    diversity: float  # Vendi score
    image_s: float
    weights_mib: float
    peak_mib: float


def contenders(roms: dict[str, str]) -> list[Contender]:
    """Of ROMs by id, with their domains: each alone, the invoker, and one who knows the domain."""
    domains = dict.fromkeys(roms.values())
    alone = [Contender(rom_id, dict.fromkeys(domains, (rom_id,))) for rom_id in roms]
    of_domain = {name: tuple(rom_id for rom_id, own in roms.items() if own == name) for name in domains}
    return [*alone, Contender("the invoker", {}), Contender("told the domain", of_domain)]


def answer(store: Path, contender: Contender, asked: Sequence[tuple[str, EvaluationPrompt]], memory: str) -> Answers:
    """One prompt after the other, by a service of its own."""
    settings = Settings(
        rom_sources=(f"file://{store.resolve()}",), memory_bytes=memory, preload="none", model_dir=Path("/nowhere")
    )
    images, rom_ids, weights_bytes = [], [], 0
    with running(settings) as service:
        wait_until(lambda: service.health.read()[0] is Health.READY, _PATIENCE_S)
        started = time.monotonic()
        for domain, prompt in tqdm(asked, desc=contender.name, unit="image", dynamic_ncols=True):
            image, rom_id = _draw(service, prompt, contender.candidates.get(domain))
            images.append(image)
            rom_ids.append(rom_id)
            weights_bytes = max(weights_bytes, service.invoker.cache.resident_bytes())
        image_s = (time.monotonic() - started) / len(asked)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Answers(images, rom_ids, image_s, weights_bytes, peak_bytes)


def judge(
    contender: Contender,
    answers: Answers,
    asked: Sequence[tuple[str, EvaluationPrompt]],
    roms: dict[str, str],
    instruments: Instruments,
) -> Row:
    right: dict[str, list[bool]] = {}
    for (domain, prompt), image in zip(asked, answers.images, strict=True):
        right.setdefault(domain, []).append(prompt.subject.judge(prompt.spec, image).all_right)
    hits = [roms[rom_id] == domain for rom_id, (domain, _) in zip(answers.rom_ids, asked, strict=True)]
    samples = Samples(answers.images, [prompt.text for _, prompt in asked])
    measured = measure(("clip_score", "diversity"), samples, [], instruments)
    return Row(
        contender.name,
        float(np.mean([answer for answers in right.values() for answer in answers])),
        {domain: float(np.mean(answers)) for domain, answers in right.items()},
        float(np.mean(hits)),
        measured["clip_score"]["clip_score"],
        measured["diversity"]["vendi_score"],
        answers.image_s,
        answers.weights_bytes / _MIB,
        answers.peak_bytes / _MIB,
    )


def table(rows: Sequence[Row]) -> str:
    """In Markdown."""
    domains = list(rows[0].by_domain)
    head = [
        "answered by",
        "right",
        *domains,
        "domain hit",
        "CLIP score",
        "diversity",
        "s an image",
        "weights, MiB",
        "process, MiB",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        shares = [row.alignment, *(row.by_domain[name] for name in domains), row.right_domain]
        numbers = [f"{row.clip_score:.1f}", f"{row.diversity:.1f}", f"{row.image_s:.2f}"]
        cells = [*(f"{share:.1%}" for share in shares), *numbers, f"{row.weights_mib:.0f}", f"{row.peak_mib:.0f}"]
        lines.append(f"| {row.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evaluation.routed", description=__doc__)
    parser.add_argument("store", type=Path, help="a folder of ROMs")
    parser.add_argument("--limit", type=int, default=32, help="prompts of each domain (default: 32)")
    parser.add_argument("--memory", default="48MB", help="for weights (default: 48MB, any one ROM)")
    parser.add_argument("--output", type=Path, default=Path("build/routed"))
    given = parser.parse_args()
    roms = _roms_of(given.store)
    asked = _asked(sorted(set(roms.values())), given.limit)
    clip = Clip.load(given.store / "clip")
    instruments, rows = Instruments(find_features("auto", clip), clip), []
    for contender in contenders(roms):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            answers = process.submit(answer, given.store, contender, asked, given.memory).result()
        rows.append(judge(contender, answers, asked, roms, instruments))
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "routed.md").write_text(table(rows), encoding="utf-8")
    (given.output / "routed.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print(table(rows))


def _roms_of(store: Path) -> dict[str, str]:
    """The domains of the ROMs that draw what can be judged, by id."""
    found = [read_rom(path.parent) for path in sorted(store.glob("*/rom.yaml"))]
    return {rom.id: rom.manifest.domain_name for rom in found if rom.manifest.domain_name in SUBJECTS}


def _asked(domains: Sequence[str], limit: int) -> list[tuple[str, EvaluationPrompt]]:
    """As many prompts of each domain, in turn."""
    scenes = {name: asked_of(prompt_sets(SUBJECTS[name])).scenes[:limit] for name in domains}
    return [(name, scenes[name][index]) for index in range(limit) for name in domains]


def _draw(service: Service, prompt: EvaluationPrompt, candidates: tuple[str, ...] | None) -> tuple[np.ndarray, str]:
    params = GenerationParams(prompt.text, seed=prompt.seed)
    request = GenerationRequest(f"{prompt.seed}", params, routing=RoutingOptions(candidates=candidates))
    result = service.invoker.invoke(Job(request))
    with Image.open(io.BytesIO(result.images[0].data)) as image:
        return np.asarray(image.convert("RGB")), result.route.rom_id


if __name__ == "__main__":
    main()
