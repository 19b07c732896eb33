"""Where captions are: in text files beside the images, or in a table of texts or attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.own.attributes import AttributeCaptions
from training.own.errors import OwnDataError
from training.own.images import SUFFIXES, OwnImage, OwnImages, find_images, visible_files
from training.own.table import Table, read_table, read_text

TABLES = ("metadata.csv", "list_attr_celeba.txt")  # the first that the folder has
_TEXT_COLUMN = "text"
_TRUE, _FALSE = {"1", "true", "yes"}, {"-1", "0", "false", "no"}


@dataclass(frozen=True)
class CaptionOptions:
    """Where captions are and what becomes of them; what is None is found out."""

    table: Path | None = None
    file_column: str | None = None
    text_column: str | None = None  # "text", where there is one and no attributes are chosen
    chosen: tuple[str, ...] | None = None  # columns of attributes; None: all
    attributes: AttributeCaptions = field(default_factory=AttributeCaptions)


def read_images(folder: Path, options: CaptionOptions | None = None) -> OwnImages:
    """Images and their captions: of `options.table`, of a table in the folder, or of text files beside the images.

    Raises OwnDataError naming the file and the line: no image, an image or a caption that is missing, a name that comes
    twice, a column that is not there or holds what is no attribute.
    """
    options = options or CaptionOptions()
    names = find_images(folder)
    path = options.table or next((folder / name for name in TABLES if (folder / name).is_file()), None)
    images = _beside(folder, names) if path is None else _listed(folder, read_table(path), options)
    unlisted = sorted(set(names) - {image.name for image in images})
    if unlisted:
        print(f"{len(unlisted)} images are left out, of which {path} says nothing; the first: {unlisted[0]}")
    return OwnImages(tuple(sorted(images, key=lambda image: image.name)), options.attributes)


def _beside(folder: Path, names: Sequence[str]) -> list[OwnImage]:
    images: dict[str, OwnImage] = {}
    for name in names:
        path = folder / name
        text_file = path.with_suffix(".txt")
        stem = text_file.relative_to(folder).as_posix()
        if stem in images:
            raise OwnDataError(f"{text_file} is beside two images: {images[stem].path.name} and {path.name}")
        if not text_file.is_file():
            raise OwnDataError(f"{path} has no caption: there is no {text_file.name} beside it")
        text = " ".join(read_text(text_file).split())
        if not text:
            raise OwnDataError(f"{path} has no caption: {text_file.name} is empty")
        images[stem] = OwnImage(name, path, str(text_file), text)
    for name in visible_files(folder):
        if name.endswith(".txt") and name not in images:
            raise OwnDataError(f"{folder / name} has no image beside it ({', '.join(SUFFIXES)})")
    return list(images.values())


def _listed(folder: Path, table: Table, options: CaptionOptions) -> list[OwnImage]:
    file_index, text_index, attributes = _columns(table, options)
    images: dict[str, OwnImage] = {}
    for origin, cells in table.rows():
        name = Path(cells[file_index].strip()).as_posix()
        if name in images:
            raise OwnDataError(f"{origin}: {name} comes twice, first in {images[name].origin}")
        if not (folder / name).is_file():
            raise OwnDataError(f"{origin}: there is no image {folder / name}")
        text = None if text_index is None else " ".join(cells[text_index].split())
        if text == "":
            raise OwnDataError(f"{origin}: {name} has no caption")
        true = tuple(column for column, index in attributes.items() if _is_true(origin, column, cells[index]))
        images[name] = OwnImage(name, folder / name, origin, text, true)
    return list(images.values())


def _columns(table: Table, options: CaptionOptions) -> tuple[int, int | None, dict[str, int]]:
    """Places of the file names, of the texts, and of the attributes where there are no texts."""
    file_column = options.file_column or table.file_column()
    has_text = _TEXT_COLUMN in table.columns and options.chosen is None
    text_column = options.text_column or (_TEXT_COLUMN if has_text else None)
    if text_column:
        return table.column(file_column), table.column(text_column), {}
    names = options.chosen or [name for name in table.columns if name != file_column]
    if not names:
        raise OwnDataError(f"{table.path} has neither a column {_TEXT_COLUMN} nor attributes")
    return table.column(file_column), None, {name: table.column(name) for name in names}


def _is_true(origin: str, column: str, cell: str) -> bool:
    value = cell.strip().lower()
    if value not in _TRUE | _FALSE:
        raise OwnDataError(f"{origin}: column {column!r} holds {cell!r}, which is neither 1 nor -1 or 0")
    return value in _TRUE
