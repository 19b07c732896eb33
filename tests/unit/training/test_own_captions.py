"""A user's captions: every place they may be in, and every way in which they may be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.own_data import write_captioned, write_celeba, write_image
from training.own.attributes import AttributeCaptions
from training.own.captions import CaptionOptions, read_images
from training.own.errors import OwnDataError
from training.own.images import load_images
from training.own.words import domain_of

TEXTS = {"b.png": "a cat on a mat\n", "a.jpg": "a dog", "more/c.webp": "two  cats", "d.JPEG": "a cat asleep"}


def table(folder: Path, text: str, name: str = "metadata.csv") -> Path:
    """Three images and a table of them."""
    for index in range(3):
        write_image(folder / f"{index}.png", index)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def captions(folder: Path, **options: object) -> dict[str, str]:
    own = read_images(folder, CaptionOptions(**options))  # type: ignore[arg-type]
    return dict(zip((image.name for image in own.images), own.captions(), strict=True))


def test_texts_beside_images(tmp_path: Path) -> None:
    expected = {"a.jpg": "a dog", "b.png": "a cat on a mat", "d.JPEG": "a cat asleep", "more/c.webp": "two cats"}
    write_captioned(tmp_path / ".hidden", {"x.png": "a ghost"})
    (tmp_path / ".hidden" / "y.txt").write_text("another")
    assert captions(write_captioned(tmp_path, TEXTS)) == expected


def test_a_table_of_texts(tmp_path: Path) -> None:
    table(tmp_path, 'file_name,text\n0.png,"a cat, asleep"\n./1.png,a dog\n2.png, a mouse\n')
    assert captions(tmp_path) == {"0.png": "a cat, asleep", "1.png": "a dog", "2.png": "a mouse"}


def test_columns_of_other_names(tmp_path: Path) -> None:
    table(tmp_path, "picture,said\n0.png,a cat\n", name="mine.csv")
    asked = {"table": tmp_path / "mine.csv", "file_column": "picture", "text_column": "said"}
    assert captions(tmp_path, **asked) == {"0.png": "a cat"}


def test_images_that_a_table_does_not_list_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_images(table(tmp_path, "file_name,text\n0.png,a cat\n"))
    assert "2 images are left out" in capsys.readouterr().out


def test_celebas_list_becomes_captions(tmp_path: Path) -> None:
    said = captions(write_celeba(tmp_path))
    assert said["000000.jpg"] == "photo of person"
    assert said["000001.jpg"] == "photo of person, bushy eyebrows"
    assert said["000005.jpg"] == "photo of person, bushy eyebrows, no beard"


def test_a_table_of_attributes(tmp_path: Path) -> None:
    table(tmp_path, "image_id,Old,Happy,Age\n0.png,1,-1,7\n1.png,0,1,8\n2.png,true,no,9\n")
    said = captions(tmp_path, chosen=("Happy", "Old"), attributes=AttributeCaptions("a {attributes} man"))
    assert said == {"0.png": "a old man", "1.png": "a happy man", "2.png": "a old man"}


def test_attributes_while_training_come_in_any_order_and_some_are_left_out(tmp_path: Path) -> None:
    own = read_images(write_celeba(tmp_path, images=8))
    said = {own.caption(7, np.random.default_rng(seed)) for seed in range(200)}
    assert {"photo of person, smiling, no beard, bushy eyebrows", "photo of person, no beard, smiling"} <= said
    again = [own.caption(7, np.random.default_rng(3)) for _ in range(2)]
    assert again[0] == again[1]


def test_a_template_needs_a_place_for_attributes() -> None:
    with pytest.raises(OwnDataError, match=r"has no \{attributes\}"):
        AttributeCaptions("photo of person")


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (lambda folder: None, "is no folder"),
    "no image": (lambda folder: (folder / "sub").mkdir(parents=True), "holds no image"),
    "no caption": (lambda folder: write_image(folder / "a.png"), "a.png has no caption: there is no a.txt"),
    "empty caption": (lambda folder: write_captioned(folder, {"a.png": " \n"}), "a.png has no caption: a.txt is empty"),
    "two images": (
        lambda folder: write_captioned(folder, {"a.png": "one", "a.jpg": "two"}),
        "a.txt is beside two images: a.jpg and a.png",
    ),
    "no such image": (
        lambda folder: (write_captioned(folder, {"a.png": "one"}) / "b.txt").write_text("two"),
        "b.txt has no image beside it",
    ),
    "not UTF-8": (
        lambda folder: (write_captioned(folder, {"a.png": "one"}) / "a.txt").write_bytes(b"\xff\xfe\xff"),
        "a.txt cannot be read",
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folders(tmp_path: Path, case: str) -> None:
    write, message = BAD_FOLDERS[case]
    write(tmp_path / "data")
    with pytest.raises(OwnDataError, match=message):
        read_images(tmp_path / "data")


BAD_TABLES = {
    "file_name,text\n": "metadata.csv lists no image",
    "file_name,text\n0.png,a cat\n9.png,a dog\n": "line 3: there is no image .*9.png",
    "file_name,text\n0.png,a cat\n1.png,\n": "line 3: 1.png has no caption",
    "file_name,text\n0.png,a cat\n1.png,a dog\n0.png,cats\n": "line 4: 0.png comes twice, first in .*line 2",
    "file_name,text\n0.png,a cat,a dog\n": "line 2: has 3 cells, and there are 2 columns",
    "what,text\n0.png,a cat\n": "no column of file names .*only what, text",
    "file_name,Age\n0.png,37\n": "line 2: column 'Age' holds '37'",
    "file_name\n0.png\n": "neither a column text nor attributes",
}


@pytest.mark.parametrize("text", BAD_TABLES)
def test_bad_tables(tmp_path: Path, text: str) -> None:
    with pytest.raises(OwnDataError, match=BAD_TABLES[text]):
        read_images(table(tmp_path, text))


@pytest.mark.parametrize("option", ["file_column", "text_column", "chosen"])
def test_columns_that_are_not_there(tmp_path: Path, option: str) -> None:
    table(tmp_path, "file_name,text\n0.png,a cat\n")
    asked = ("nothing",) if option == "chosen" else "nothing"
    with pytest.raises(OwnDataError, match="no column 'nothing'; it has: file_name, text"):
        captions(tmp_path, **{option: asked})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.png 1\n", "line 1: not CelebA's format"),
        ("2\nOld\n0.png 1\n", "line 1: says 2 rows, and there are 1"),
        ("1\nOld Happy\n0.png 1\n", "line 3: has 2 cells, and there are 3 columns"),
    ],
)
def test_bad_lists_of_celeba(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OwnDataError, match=message):
        read_images(table(tmp_path, text, name="list_attr_celeba.txt"))


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    with pytest.raises(OwnDataError, match=r"mine\.csv cannot be read"):
        captions(tmp_path, table=tmp_path / "mine.csv")


def test_images_are_resized_and_cut_at_their_centres(tmp_path: Path) -> None:
    """A wide one keeps its middle; what is transparent is white."""
    wide = np.zeros((10, 30, 4), np.uint8)
    wide[:, 10:20] = (255, 0, 0, 255)
    wide[5:, 10:20, 3] = 0
    Image.fromarray(wide).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("red above white")
    pixels = load_images(read_images(tmp_path).images, 8, 8)
    assert pixels.shape == (1, 8, 8, 3)
    assert pixels[0, 1, 4].tolist() == [255, 0, 0]
    assert pixels[0, 6, 4].tolist() == [255, 255, 255]


def test_an_image_that_cannot_be_read_is_named_with_its_row(tmp_path: Path) -> None:
    table(tmp_path, "file_name,text\n0.png,a cat\n1.png,a dog\n")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OwnDataError, match=r"1.png \(.*metadata.csv, line 3\) cannot be read"):
        load_images(read_images(tmp_path).images, 8, 8)


def test_the_domain_is_drawn_from_the_captions() -> None:
    domain = domain_of(["a cat on a mat", "the cat sleeps", "a cat and a dog", "the cat sleeps"])
    assert domain.keywords[:2] == ("cat", "sleeps")
    assert not {"a", "on", "the", "and"} & set(domain.keywords)
    assert domain.examples == ("a cat on a mat", "the cat sleeps", "a cat and a dog")
    assert "cat" in domain.description
