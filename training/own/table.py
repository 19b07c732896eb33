"""A table of images: a CSV, or CelebA's list of attributes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.own.errors import OwnDataError

FILE_COLUMNS = ("file_name", "filename", "file", "image", "image_id", "path", "name")  # the first that is there


@dataclass(frozen=True)
class Table:
    """Rows of a file with the numbers of their lines."""

    path: Path
    columns: list[str]
    numbered: list[tuple[int, list[str]]]

    def column(self, name: str) -> int:
        """Its place. Raises OwnDataError where there is none of that name."""
        if name not in self.columns:
            raise OwnDataError(f"{self.path} has no column {name!r}; it has: {', '.join(self.columns)}")
        return self.columns.index(name)

    def file_column(self) -> str:
        """The one whose name tells that it holds file names. Raises OwnDataError."""
        found = next((name for name in FILE_COLUMNS if name in self.columns), None)
        if found is None:
            known = ", ".join(FILE_COLUMNS)
            raise OwnDataError(f"{self.path} has no column of file names ({known}), only {', '.join(self.columns)}")
        return found

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Where each row is, and its cells. Raises OwnDataError for a row of another length."""
        for number, cells in self.numbered:
            origin = f"{self.path}, line {number}"
            if len(cells) != len(self.columns):
                raise OwnDataError(f"{origin}: has {len(cells)} cells, and there are {len(self.columns)} columns")
            yield origin, cells


def read_table(path: Path) -> Table:
    """A CSV or, by its suffix .txt, a list in CelebA's format. Raises OwnDataError naming the file and the line."""
    text = read_text(path)
    table = _celeba(path, text.splitlines()) if path.suffix == ".txt" else _csv(path, text)
    if not table.numbered:
        raise OwnDataError(f"{path} lists no image")
    return table


def read_text(path: Path) -> str:
    """A file in UTF-8. Raises OwnDataError naming it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise OwnDataError(f"{path} cannot be read: {error}") from error


def _csv(path: Path, text: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        return Table(path, columns, [(reader.line_num, cells) for cells in reader if cells])
    except csv.Error as error:
        raise OwnDataError(f"{path}, line {reader.line_num}: {error}") from error


def _celeba(path: Path, lines: list[str]) -> Table:
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise OwnDataError(f"{path}, line 1: not CelebA's format: a count, a line of attribute names, then rows")
    numbered = [(number, line.split()) for number, line in enumerate(lines[2:], start=3) if line.strip()]
    if len(numbered) != int(lines[0]):
        raise OwnDataError(f"{path}, line 1: says {int(lines[0])} rows, and there are {len(numbered)}")
    return Table(path, [FILE_COLUMNS[0], *lines[1].split()], numbered)
