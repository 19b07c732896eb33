"""Why a ROM: the answer of `/v1/route` as bars and tables."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from app.ui.markup import NOTHING, joined, meter, paragraph, row, table

_NONE_OF_THESE = "none of these"


def show_route(answer: dict[str, Any]) -> Markup:
    """The chosen ROM and the reason, a bar a ROM, a bar a domain, and what fired."""
    return Markup('<section class="routing">{}{}{}{}</section>').format(
        show_choice(answer), _roms(answer), _domains(answer), _rules(answer["rules"])
    )


def show_choice(routing: dict[str, Any]) -> Markup:
    """`routing` of any response, in a line."""
    chosen = Markup('<p class="choice"><strong>{}</strong> {}</p>').format(routing["chosen"], routing["reason"])
    without_cost = routing.get("without_cost")
    if without_cost in (None, routing["chosen"]):
        return chosen
    return chosen + paragraph("note", f"If time were no matter: {without_cost}")


def _roms(answer: dict[str, Any]) -> Markup:
    """One a line, the best first; those that cannot answer last, with what is in the way."""
    if not answer["roms"]:
        return NOTHING
    scores = answer["scores"]
    ordered = sorted(answer["roms"], key=lambda rom: (bool(rom["obstacle"]), -rom["score"]))
    columns = ("ROM", "score", "", "likelihood", "adeptness", "ready", "queue", "run", "cost", "obstacle")
    rows = [_rom(rom, scores.get(rom["rom_id"], 0.0), rom["rom_id"] == answer["chosen"]) for rom in ordered]
    return table("ROMs", columns, rows)


def _rom(rom: dict[str, Any], score: float, is_chosen: bool) -> Markup:
    kind = "chosen" if is_chosen else "unable" if rom["obstacle"] else ""
    seconds = (f"{rom[name]:.2f} s" for name in ("ready_s", "queue_s", "run_s"))
    numbers = (f"{score:.3f}", f"{rom['likelihood']:.3f}", f"{rom['adeptness']:.2f}")
    cells = (rom["rom_id"], meter(rom["rom_id"], score), *numbers, *seconds, f"{rom['cost']:.2f}", rom["obstacle"])
    return row(kind, cells)


def _domains(answer: dict[str, Any]) -> Markup:
    """One a line, as all sources together have it and as each has it alone."""
    if not answer["domains"]:
        return NOTHING
    sources, rows = answer["sources"], []
    for domain, share in sorted(answer["domains"].items(), key=lambda item: -item[1]):
        alone = (f"{shares.get(domain, 0.0):.3f}" for shares in sources.values())
        rows.append(row("", (domain, meter(domain, share), f"{share:.3f}", *alone)))
    if (outside := answer["out_of_domain"]) is not None:
        rows.append(row("outside", (_NONE_OF_THESE, meter(_NONE_OF_THESE, outside), f"{outside:.3f}")))
    return table("Domains", ("domain", "probability", "", *(f"{name} alone" for name in sources)), rows)


def _rules(rules: list[str]) -> Markup:
    if not rules:
        return NOTHING
    items = joined(Markup("<li>{}</li>").format(rule) for rule in rules)
    return Markup('<ul class="rules" aria-label="Rules that fired"><li>Rules that fired:</li>{}</ul>').format(items)
