"""`cartridge eval` and `make eval`: what the command line asks for, from pictures to reports."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from app.backends.clip import Clip
from app.roms.manifest import Preset
from evaluation.alignment import AlignmentReport, evaluate
from evaluation.features.find import find_features
from evaluation.folder import picture_files, read_pictures
from evaluation.generator import Generator, RomUnusable, Sampling
from evaluation.measurements import Measurements
from evaluation.metrics.measure import NEED_REFERENCE, SET_METRICS, Instruments, Values, measure
from evaluation.options import Options, parse
from evaluation.prompts import EvaluationPrompt
from evaluation.report import RomReport
from evaluation.samples import Asked, Samples, asked_of, drawn, own_prompts, read_prompts
from evaluation.side_by_side import TimedRom, document, speed_table, write
from evaluation.sweep import SweepPoint, plot, sweep, table

EMBEDDED_CLIP = Path(__file__).resolve().parent.parent / "model_store" / "clip"
_SWEEP_PICTURES, _SIDE_BY_SIDE_PROMPTS, _SPEED_ROUNDS = 64, 6, 5


def main(arguments: list[str], prog: str = "python -m evaluation", embedded_clip: Path = EMBEDDED_CLIP) -> None:
    """Evaluate what the command line names; exits with one line where that cannot be.

    Where it names no CLIP, `embedded_clip` is used if it is there.
    """
    options = parse(arguments, prog)
    if options.clip is None and embedded_clip.is_dir():
        options = replace(options, clip=embedded_clip)
    try:
        found = _run(options)
    except (RomUnusable, ValueError, OSError) as error:
        sys.exit(f"{prog}: {str(error).splitlines()[0]}")
    print(json.dumps(found.document, indent=2) if options.json else found.text)


@dataclass(frozen=True)
class _Found:
    """What is printed."""

    text: str
    document: dict[str, Any]


def _run(options: Options) -> _Found:
    if len(options.sources) > 1:
        return _compare(options)
    source = options.sources[0]
    if source.is_dir() and not _is_rom(source):
        if not picture_files(source):
            raise ValueError(f"ROM: {source} holds neither rom.yaml nor model_index.json, and no pictures")
        return _measure_folder(options, source)
    with Generator(source, options.dtype) as generator:
        return _sweep(options, generator) if options.sweep else _measure_rom(options, generator)


def _measure_rom(options: Options, generator: Generator) -> _Found:
    started = time.monotonic()
    texts, content = [], {}
    asked = _asked(options, options.limit)
    reference = _reference(options, asked)  # what is missing is said before any work
    instruments = _instruments(options) if set(SET_METRICS) & set(options.metrics) else None
    sets = own_prompts(options.limit, options.subject) if options.prompts is None else {}
    images: list[np.ndarray] = []
    if "alignment" in options.metrics:
        alignment = _align(options, generator, sets)
        report = RomReport(generator.rom.id, _preset(generator, options), time.monotonic() - started, alignment)
        report.write(options.output)
        texts.append(report.table())
        content = {"alignment": alignment.rates()}
        images = _in_order(alignment, asked)
    results: dict[str, Values] = {}
    if instruments is not None:
        samples = Samples(images or _generate(generator, asked, options.sampling), asked.prompts)
        results = _measure(options, samples, reference, instruments)
    if "speed" in options.metrics:
        speed = generator.speed(asked.prompts[0], options.sampling, _SPEED_ROUNDS)
        results["speed"] = {**vars(speed), "dtype": options.dtype}
    measured = Measurements(generator.rom.id, results)
    if results:
        measured.write(options.output)
        texts.append(measured.table())
    found = measured.document()
    return _Found("\n".join(texts), {**found, "metrics": {**content, **found["metrics"]}})


def _measure(
    options: Options, samples: Samples, reference: list[np.ndarray], instruments: Instruments
) -> dict[str, Values]:
    try:
        return measure(options.metrics, samples, reference, instruments)
    except ValueError as error:
        raise ValueError(f"--metrics: {error}") from error


def _align(options: Options, generator: Generator, sets: dict[str, list[EvaluationPrompt]]) -> AlignmentReport:
    try:
        return evaluate(lambda texts, seeds: generator.generate(texts, seeds, options.sampling), sets)
    except ValueError as error:
        raise ValueError(f"--metrics: alignment judges pictures of scenes: {error}") from error


def _measure_folder(options: Options, folder: Path) -> _Found:
    if options.sweep or {"alignment", "speed"} & set(options.metrics):
        raise ValueError(f"--metrics: {folder} holds pictures, which have {', '.join(SET_METRICS)} only")
    if "clip_score" in options.metrics and options.prompts is None:
        raise ValueError("--prompts: the clip_score of a folder needs a file with a prompt a picture")
    asked = Asked([], [], []) if options.prompts is None else _asked(options, options.limit)
    reference, instruments = _reference(options, asked), _instruments(options)
    samples = Samples(read_pictures(folder, options.limit), asked.prompts)
    measured = Measurements(str(folder), _measure(options, samples, reference, instruments))
    measured.write(options.output)
    return _Found(measured.table(), measured.document())


def _sweep(options: Options, generator: Generator) -> _Found:
    asked = _asked(options, options.limit or _SWEEP_PICTURES // 4)
    instruments, reference = _instruments(options), _reference(options, asked)

    def point(sampling: Sampling) -> SweepPoint:
        started = time.perf_counter()
        images = generator.generate(asked.prompts, asked.seeds, sampling)
        image_s = (time.perf_counter() - started) / len(images)
        found = measure(("fid", "clip_score"), Samples(images, asked.prompts), reference, instruments)
        steps, scale = sampling.num_inference_steps or 0, sampling.guidance_scale or 0.0
        return SweepPoint(scale, steps, found["fid"]["fid"], found["clip_score"]["clip_score"], image_s)

    for steps in options.sweep_steps:  # what the ROM does not allow is said before any work
        generator.resolve(asked.prompts[0], 0, Sampling(steps, options.sweep_scales[0]))
    options.output.mkdir(parents=True, exist_ok=True)
    points = sweep(point, options.sweep_scales, options.sweep_steps, options.output / "sweep.csv")
    title = f"{generator.rom.id}: FID ({instruments.features.name}) / CLIP score, {len(asked.prompts)} pictures"
    text = f"{title}\n\n{table(points)}"
    (options.output / "sweep.md").write_text(text, encoding="utf-8")
    plot(points, title, options.output / "sweep.png")
    return _Found(text, {"source": generator.rom.id, "sweep": [vars(point) for point in points]})


def _compare(options: Options) -> _Found:
    asked = _asked(options, options.limit)
    prompts = asked.prompts[: options.limit or _SIDE_BY_SIDE_PROMPTS]
    pairs = list(zip(prompts, asked.seeds[: len(prompts)], strict=True))
    roms = []
    for source in options.sources:
        with Generator(source, options.dtype) as generator:
            speed = generator.speed(prompts[0], options.sampling, rounds=1)
            made = [generator.timed(prompt, seed, options.sampling) for prompt, seed in pairs]
            roms.append(TimedRom(generator.rom.id, [image for image, _ in made], [s for _, s in made], speed.step_s))
    write(roms, prompts, options.output)
    return _Found(speed_table(roms), document(roms))


def _generate(generator: Generator, asked: Asked, sampling: Sampling, batch: int = 32) -> list[np.ndarray]:
    images: list[np.ndarray] = []
    with tqdm(total=len(asked.prompts), desc="generate", unit="image", dynamic_ncols=True) as progress:
        for start in range(0, len(asked.prompts), batch):
            part = slice(start, start + batch)
            images += generator.generate(asked.prompts[part], asked.seeds[part], sampling)
            progress.update(len(images) - progress.n)
    return images


def _asked(options: Options, limit: int | None) -> Asked:
    if options.prompts is None:
        return asked_of(own_prompts(limit, options.subject))
    try:
        return read_prompts(options.prompts, limit)
    except ValueError as error:
        raise ValueError(f"--prompts: {error}") from error


def _in_order(alignment: AlignmentReport, asked: Asked) -> list[np.ndarray]:
    """The judged images in the order of `asked`."""
    images = {(item.prompt.text, item.prompt.seed): item.image for part in alignment.sets for item in part.images}
    return [images[key] for key in zip(asked.prompts, asked.seeds, strict=True)]


def _reference(options: Options, asked: Asked) -> list[np.ndarray]:
    """What fid and prdc compare with, where they are asked for: given pictures, or drawn ones."""
    if not (options.sweep or set(NEED_REFERENCE) & set(options.metrics)):
        return []
    if options.reference is None and not asked.scenes:
        raise ValueError("--reference: fid and prdc need pictures to compare with, but for prompts of our own")
    try:
        return drawn(asked.scenes) if options.reference is None else read_pictures(options.reference)
    except ValueError as error:
        raise ValueError(f"--reference: {error}") from error


def _instruments(options: Options) -> Instruments:
    folder = options.clip
    if folder is None and (options.sweep or "clip_score" in options.metrics):
        raise ValueError("--clip: a CLIP score needs the folder of a CLIP")
    try:
        clip = None if folder is None else Clip.load(folder)
    except (OSError, ValueError) as error:
        raise ValueError(f"--clip: {error}") from error
    try:
        return Instruments(find_features(options.features, clip), clip)
    except ValueError as error:
        raise ValueError(f"--features: {error}") from error


def _preset(generator: Generator, options: Options) -> Preset:
    asked = {name: value for name, value in vars(options.sampling).items() if value is not None}
    return generator.rom.manifest.presets["default"].model_copy(update=asked)


def _is_rom(directory: Path) -> bool:
    return any((directory / name).exists() for name in ("rom.yaml", "model_index.json"))
