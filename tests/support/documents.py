"""Documents as tables, and the code as calls with constants, so that each can be held against the other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from deploy.running import ROOT


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(document: str, section: str) -> list[list[str]]:
    """Cells of the tables under a heading, without their heads; those under smaller headings are not among them."""
    lines = f"\n{read(document)}".partition(f"\n{section}\n")[2].partition("\n#")[0].splitlines()
    heads = {index for index, line in enumerate(lines) if line.startswith("|---")}
    found = [line for index, line in enumerate(lines) if line.startswith("|") and not {index, index + 1} & heads]
    return [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in found]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def matches(told: str, text: str) -> bool:
    """Whether a document's words are in a text of the code; dots stand for anything."""
    return re.search(".*".join(map(re.escape, told.split("..."))), text, flags=re.DOTALL) is not None


def calls_in(*paths: Path) -> Iterator[ast.Call]:
    """All of these files and folders."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    for file in files:
        yield from (node for node in ast.walk(ast.parse(read(str(file)))) if isinstance(node, ast.Call))


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def text_of(node: ast.expr) -> str:
    """What is constant of a text; dots stand for the rest."""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "..."
