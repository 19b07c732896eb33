"""The catalog of public models: manifests that are sound, and prompts that tell its models from each other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from app.roms.library import RomLibrary
from app.roms.manifest import RomManifest, read_manifest
from app.roms.store import open_store

ROOT = Path(__file__).resolve().parents[3]
CATALOG = ROOT / "model_store" / "catalog"
MANIFESTS = {path.name: read_manifest(path) for path in sorted(CATALOG.iterdir())}
DOMAINS = {"general", "anime", "midjourney", "ghibli", "inpaint", "upscale"}
FAMILIES = {"stable_diffusion", "stable_diffusion_xl", "upscaler"}
BACKGROUND = ROOT / "app" / "routing" / "background.txt"
each_model = pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)


@each_model
def test_model_is_described_to_people(manifest: RomManifest) -> None:
    assert MANIFESTS[manifest.id] is manifest, "the folder is called as the model"
    assert manifest.title
    assert manifest.license in {"CreativeML OpenRAIL-M", "CreativeML Open RAIL++-M", "Apache-2.0"}
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", manifest.source)
    assert manifest.domain.description
    assert manifest.family in FAMILIES
    assert manifest.files == ()


@each_model
def test_model_is_in_the_documents(manifest: RomManifest) -> None:
    row = f"| `{manifest.id}` | `{manifest.domain.name}` | {manifest.source} | {manifest.license} |"
    assert row in (ROOT / "docs" / "roms.md").read_text(encoding="utf-8").splitlines()


@each_model
def test_model_has_the_usual_presets_within_its_limits(manifest: RomManifest) -> None:
    assert {"default", "fast", "quality"} <= set(manifest.presets)
    steps = [manifest.presets[name].num_inference_steps for name in ("fast", "default", "quality")]
    assert steps == sorted(set(steps))
    for preset in manifest.presets.values():
        assert preset.num_inference_steps <= manifest.limits.max_steps
        assert (preset.width or 0) * (preset.height or 0) <= manifest.limits.max_pixels


@each_model
def test_faster_twin_is_of_the_same_domain_and_is_faster(manifest: RomManifest) -> None:
    for twin in {preset.twin for preset in manifest.presets.values() if preset.twin}:
        assert MANIFESTS[twin].domain.name == manifest.domain.name
        assert (MANIFESTS[twin].expected.speed_ratio or 0) > (manifest.expected.speed_ratio or 0) > 0
        assert set(manifest.presets) <= set(MANIFESTS[twin].presets)


@each_model
def test_model_has_examples_and_rules(manifest: RomManifest) -> None:
    assert len(manifest.domain.examples) >= 30
    assert manifest.domain.keywords
    assert manifest.domain.avoid
    names = [rule.name for rule in manifest.domain.rules]
    assert names
    assert len(set(names)) == len(names)


@each_model
def test_model_tells_what_memory_it_takes(manifest: RomManifest) -> None:
    assert manifest.expected.memory_bytes
    assert 10**9 < manifest.expected.memory_bytes < 10**10


def test_every_domain_has_a_model_and_no_other_has() -> None:
    assert {manifest.domain.name for manifest in MANIFESTS.values()} == DOMAINS


def test_models_of_one_domain_have_the_same_rules() -> None:
    for domain in DOMAINS:
        of_it = [manifest.domain for manifest in MANIFESTS.values() if manifest.domain.name == domain]
        assert all(
            (one.rules, one.keywords, one.avoid) == (of_it[0].rules, of_it[0].keywords, of_it[0].avoid) for one in of_it
        )


def test_no_example_is_there_twice() -> None:
    examples = [example.casefold().strip() for manifest in MANIFESTS.values() for example in manifest.domain.examples]
    assert [example for example, count in Counter(examples).items() if count > 1] == []


def test_general_models_have_many_examples_together() -> None:
    general = [manifest for manifest in MANIFESTS.values() if manifest.domain.name == "general"]
    assert sum(len(manifest.domain.examples) for manifest in general) >= 120


def fires(domain: str, prompt: str) -> bool:
    """Whether a pattern speaks for the domain, and none against it."""
    rules = next(manifest.domain.rules for manifest in MANIFESTS.values() if manifest.domain.name == domain)
    found = [rule.against for rule in rules if rule.pattern and re.search(rule.pattern, prompt, re.IGNORECASE)]
    return bool(found) and not any(found)


@pytest.mark.parametrize(
    ("prompt", "domain", "not_it"),
    [
        ("an anime girl on a swing, ghibli style", "ghibli", "anime"),
        ("3girls, green hair, sitting, looking at viewer", "anime", "general"),
        ("a desert palace, mdjrny-v4 style", "midjourney", "general"),
        ("a teapot --ar 3:2 --v 4", "midjourney", "general"),
        ("remove the lamp post", "inpaint", "general"),
        ("a lamp post", "general", "inpaint"),
        ("a gas mask hanging on a nail, photograph", "general", "inpaint"),
        ("a fountain where the mask is", "inpaint", "general"),
        ("upscale this drawing 4x", "upscale", "general"),
        ("highly detailed 8k photo of a glacier", "general", "upscale"),
        ("a photo of osaka castle in the rain", "general", "anime"),
        ("portrait of a duke, oil painting, highly detailed, masterpiece, rich colours", "general", "anime"),
    ],
)
def test_rules_tell_border_cases_apart(prompt: str, domain: str, not_it: str) -> None:
    assert fires(domain, prompt)
    assert not fires(not_it, prompt)


def test_background_is_many_texts_none_of_which_is_an_example() -> None:
    lines = BACKGROUND.read_text(encoding="utf-8").splitlines()
    examples = {example for manifest in MANIFESTS.values() for example in manifest.domain.examples}
    assert len(lines) >= 250
    assert len(set(lines)) == len(lines)
    assert all(line.strip() for line in lines)
    assert not examples.intersection(lines)


def test_catalog_in_the_model_store_is_no_rom_and_breaks_none() -> None:
    found = RomLibrary([open_store(f"file://{CATALOG.parent}")]).catalog
    assert "shapes" in found.roms
    assert not {*MANIFESTS, "catalog"} & {*found.roms, *found.quarantined}
