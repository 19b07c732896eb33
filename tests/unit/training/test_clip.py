"""The CLIP's recipe, run with next to no work: what comes out is a CLIP that transformers reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from app.backends.clip import Clip
from app.roms.manifest import read_manifest
from app.roms.verification import VerifiedFiles
from evaluation.metrics.clip_score import clip_scores
from evaluation.metrics.zero_shot import accuracies, caption_accuracy
from training.attribute_heads import scale_pictures
from training.clip import info_nce, new_clip, sincos_positions
from training.domains.attributes import values_of_attributes
from training.domains.shapes import ShapesDomain
from training.negatives import Contradictions
from training.recipes.clip import CLIP
from training.tokenizer import learn_merges
from training.vae import to_tensor

_LARGEST_ROM = 25_000_000  # bytes
_TEXTS = ["a red star", "two large blue circles on a white background", "a tiny ring"]


@pytest.fixture(scope="module")
def rom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    CLIP.smoke().make(folder / "work", folder / "store")
    return folder / "store" / "clip"


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    domain, rng = ShapesDomain(), np.random.default_rng(0)
    return [domain.image(domain.random_spec(rng), rng) for _ in _TEXTS]


def test_the_rom_has_its_family_and_digests(rom: Path) -> None:
    manifest = read_manifest(rom)
    assert manifest.family == "clip"
    assert "model.safetensors" in {file.path for file in manifest.files}
    VerifiedFiles().check(rom, manifest.files)
    assert (rom / "loss.png").exists()


def test_embeddings_are_those_of_transformers(rom: Path, images: list[np.ndarray]) -> None:
    clip = Clip.load(rom)
    model = CLIPModel.from_pretrained(rom, dtype=torch.float32)
    processed = CLIPImageProcessorPil.from_pretrained(rom)(images=images, return_tensors="pt")
    tokens = CLIPTokenizer.from_pretrained(rom)(_TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**tokens, **processed)
        cosines = (output.logits_per_image / model.logit_scale.exp()).numpy()
    assert clip.images(images) @ clip.texts(_TEXTS).T == pytest.approx(cosines, abs=1e-5)
    assert clip_scores(clip, images, _TEXTS) == pytest.approx(2.5 * cosines.diagonal().clip(0), abs=1e-5)


def test_a_text_is_embedded_alike_alone_and_among_others(rom: Path) -> None:
    clip = Clip.load(rom)
    alone = np.concatenate([clip.texts([text]) for text in _TEXTS])
    assert clip.texts(_TEXTS) == pytest.approx(alone, abs=1e-6)
    assert clip.texts(["a red star " * 50]).shape == (1, 16)


def test_a_score_needs_a_prompt_a_picture(rom: Path, images: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="there are 3 and 2"):
        clip_scores(Clip.load(rom), images, _TEXTS[:2])


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no CLIP .* no config\.json"):
        Clip.load(tmp_path)


def test_accuracies_of_an_untrained_clip_are_shares(rom: Path) -> None:
    found = accuracies(Clip.load(rom), ShapesDomain(held_out=True), 6)
    assert found.keys() >= {"shape", "colour", "background", "size", "caption"}
    assert all(0 <= share <= 1 for share in found.values())


def test_a_clip_that_cannot_tell_captions_apart_is_wrong(rom: Path) -> None:
    """Ties are no answers: pictures that are equally far from every caption."""
    clip, texts = Clip.load(rom), ["a red star", "a blue ring"]

    away = np.zeros((2, 16))
    assert caption_accuracy(clip, away, texts, Contradictions([("red", "blue")]), np.random.default_rng(0)) == 0


def test_the_whole_model_is_small_enough(tmp_path: Path) -> None:
    tokenizer = learn_merges(_TEXTS, tmp_path)
    parameters = sum(one.numel() for one in new_clip(CLIP, tokenizer).parameters())
    assert 2 * parameters < _LARGEST_ROM


def test_training_scales_pictures_as_the_processor_does(rom: Path, images: list[np.ndarray]) -> None:
    processed = CLIPImageProcessorPil.from_pretrained(rom)(images=images, return_tensors="pt")["pixel_values"]
    scaled = scale_pictures(to_tensor(np.stack(images)).cpu(), processed.shape[-1])
    assert (scaled - processed).abs().mean() < 0.005


def test_every_place_has_a_position_of_its_own_and_neighbours_are_alike() -> None:
    positions = sincos_positions(8, 128)
    alike = torch.nn.functional.cosine_similarity(positions[0], positions, dim=1).reshape(8, 8)
    assert alike[0, 0] == pytest.approx(1)
    assert (alike.flatten()[1:] < 0.999).all()
    assert alike[0, 1] == pytest.approx(alike[1, 0])
    assert alike[0, 1] > alike[0, 4]


def test_info_nce_is_the_cross_entropy_of_pairs() -> None:
    images, texts = torch.eye(2), torch.eye(2)
    scale = torch.tensor(3.0)
    assert info_nce(images, texts, scale).item() == pytest.approx(np.log1p(np.exp(-3)))
    negative = torch.tensor([[1.0, 0.0]])  # as near to the first picture as its own caption
    by_picture = (np.log(2 + np.exp(-3)) + np.log(1 + 2 * np.exp(-3))) / 2
    expected = (by_picture + np.log1p(np.exp(-3))) / 2
    assert info_nce(images, torch.cat([texts, negative]), scale).item() == pytest.approx(expected)


def test_attributes_have_all_their_values() -> None:
    values = values_of_attributes(ShapesDomain())
    assert {name: len(found) for name, found in values.items()} == {
        "background": 6,
        "colour": 8,
        "count": 4,
        "relation": 2,
        "shape": 8,
        "size": 2,
    }
