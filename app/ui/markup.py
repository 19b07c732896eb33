"""Pieces of HTML. Whatever is put into one is escaped, unless it is a piece itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

NOTHING = Markup("")


def joined(pieces: Iterable[Markup]) -> Markup:
    return NOTHING.join(pieces)


def paragraph(kind: str, content: str) -> Markup:
    return Markup('<p class="{}">{}</p>').format(kind, content)


def meter(label: str, share: float) -> Markup:
    """A bar, filled up to `share` of its length."""
    percent = 100 * min(max(share, 0.0), 1.0)
    return Markup(
        '<div class="bar" role="meter" aria-label="{}" aria-valuemin="0" aria-valuemax="1" aria-valuenow="{:.4f}">'
        '<div class="fill" style="width: {:.2f}%"></div></div>'
    ).format(label, share, percent)


def table(title: str, columns: Sequence[str], rows: Iterable[Markup]) -> Markup:
    """The first column is of names, the second of bars."""
    heads = joined(Markup("<th>{}</th>").format(name) for name in columns)
    return Markup('<table class="routes" aria-label="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(
        title, heads, joined(rows)
    )


def row(kind: str, cells: Iterable[str]) -> Markup:
    return Markup('<tr class="{}">{}</tr>').format(kind, joined(Markup("<td>{}</td>").format(cell) for cell in cells))
