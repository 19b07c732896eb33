"""What is computed once of a user's images, and when it is computed again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tests.support.own_data import write_captioned, write_image
from tests.support.tiny_clip import build_tiny_clip
from training.own.agreement import report
from training.own.base import open_base, open_clip
from training.own.captions import read_images
from training.own.embeddings import Embeddings, Encoder, embed
from training.own.errors import OwnDataError

TEXTS = {"a.png": "a cat", "b.png": "the cat", "c.png": "a dog"}


@pytest.fixture(scope="module")
def encoder(tiny_rom: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = build_tiny_clip(tmp_path_factory.mktemp("clip"))
    found = open_clip(folder.parent / "nothing", folder)
    assert found is not None
    vae = open_base(tiny_rom.parent, tiny_rom.name).conditions.vae
    return Encoder(vae, tiny_rom / "vae", 16, 16, *found)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_captioned(tmp_path / "data", TEXTS)


def embeddings_of(data: Path, encoder: Encoder) -> Embeddings:
    return embed(read_images(data), encoder, data.parent / "embeddings.safetensors")


def test_a_file_holds_a_row_for_every_image_under_its_name(data: Path, encoder: Encoder) -> None:
    made = embeddings_of(data, encoder)
    assert made.computed == 9
    with safe_open(data.parent / "embeddings.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["names"]) == list(TEXTS) == list(made.names)
        assert torch.equal(file.get_tensor("latents"), made.latents)
        assert file.get_tensor("clip_image").shape == file.get_tensor("clip_text").shape == (3, 8)
    assert made.latents.shape == (3, 4, 8, 8)
    assert made.clip_image is not None
    assert torch.allclose(made.clip_image.norm(dim=1), torch.ones(3))


def test_nothing_is_computed_twice(data: Path, encoder: Encoder) -> None:
    first, second = embeddings_of(data, encoder), embeddings_of(data, encoder)
    assert second.computed == 0
    assert torch.equal(first.latents, second.latents)
    assert first.digest == second.digest


def test_an_image_that_changes_is_computed_again_and_no_other(data: Path, encoder: Encoder) -> None:
    before = embeddings_of(data, encoder)
    write_image(data / "b.png", seed=77)
    after = embeddings_of(data, encoder)
    assert after.computed == 2
    assert [torch.equal(*pair) for pair in zip(before.latents, after.latents, strict=True)] == [True, False, True]
    assert after.digest != before.digest
    assert torch.equal(embed(read_images(data), encoder, data / "new").latents, after.latents)


def test_images_that_change_places_have_their_rows_changed_in_the_file(data: Path, encoder: Encoder) -> None:
    embeddings_of(data, encoder)
    (data / "a.png").rename(data / "x.png")
    (data / "b.png").rename(data / "a.png")
    (data / "x.png").rename(data / "b.png")
    after = embeddings_of(data, encoder)
    assert after.computed == 0
    with safe_open(data.parent / "embeddings.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("latents"), after.latents)


def test_a_caption_that_changes_is_read_again_alone(data: Path, encoder: Encoder) -> None:
    before = embeddings_of(data, encoder)
    (data / "a.txt").write_text("the mat")
    after = embeddings_of(data, encoder)
    assert after.computed == 1
    assert before.clip_text is not None
    assert after.clip_text is not None
    changed = [not torch.equal(*pair) for pair in zip(before.clip_text, after.clip_text, strict=True)]
    assert changed == [True, False, False]


def test_images_that_come_and_go(data: Path, encoder: Encoder) -> None:
    before = embeddings_of(data, encoder)
    write_captioned(data, {"0.png": "a mat"})
    (data / "a.png").unlink()
    (data / "a.txt").unlink()
    after = embeddings_of(data, encoder)
    assert after.names == ("0.png", "b.png", "c.png")
    assert after.computed == 1  # its caption; its pixels are those of a.png, of which everything is known
    assert torch.equal(after.latents[1:], before.latents[1:])


def test_what_was_computed_before_an_error_is_kept(tmp_path: Path, encoder: Encoder) -> None:
    data = write_captioned(tmp_path / "data", {f"{index:02}.png": "a cat" for index in range(40)})
    whole = (data / "35.png").read_bytes()
    (data / "35.png").write_bytes(b"no image")
    with pytest.raises(OwnDataError, match=r"35\.png"):
        embeddings_of(data, encoder)
    (data / "35.png").write_bytes(whole)
    latents = embeddings_of(data, replace(encoder, clip=None, clip_folder=None))
    assert latents.computed == 8  # the second batch
    assert torch.equal(latents.latents, embed(read_images(data), encoder, tmp_path / "new").latents)


def test_another_size_is_computed_anew(data: Path, encoder: Encoder) -> None:
    embeddings_of(data, encoder)
    assert embeddings_of(data, replace(encoder, width=32)).latents.shape == (3, 4, 8, 16)


def test_without_a_clip_there_are_latents_alone(data: Path, encoder: Encoder) -> None:
    made = embeddings_of(data, replace(encoder, clip=None, clip_folder=None))
    assert made.computed == 3
    assert made.clip_image is None
    assert report(made, list(TEXTS.values())) == ""


def test_embeddings_of_a_clip_that_is_gone_are_not_left_to_go_stale(data: Path, encoder: Encoder) -> None:
    embeddings_of(data, encoder)
    assert embeddings_of(data, replace(encoder, clip=None, clip_folder=None)).computed == 0
    assert embeddings_of(data, encoder).computed == 6


def test_the_captions_that_fit_worst_are_told() -> None:
    axes = torch.eye(7)
    texts = axes.clone()
    texts[3] = axes[5]
    names = tuple(f"{index}.png" for index in range(7))
    said = report(Embeddings(names, torch.zeros(7, 4, 1, 1), axes, texts), [f"caption {name}" for name in names])
    assert "7 images" in said
    assert "mean 0.857, median 1.000" in said
    assert "another's image: mean 0.024" in said
    assert said.splitlines()[3].split() == ["0.000", "3.png:", "caption", "3.png"]


def test_a_clip_is_found_in_the_store(tmp_path: Path) -> None:
    assert open_clip(tmp_path, None) is None
    folder = build_tiny_clip(tmp_path / "clip")
    (tmp_path / "broken").mkdir()
    assert open_clip(tmp_path, None) is None
    (folder / "rom.yaml").write_text("{id: clip, family: clip}")
    found = open_clip(tmp_path, None)
    assert found is not None
    assert found[1] == folder


def test_a_folder_that_is_no_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(OwnDataError, match="cannot be loaded as a CLIP"):
        open_clip(tmp_path, tmp_path)
