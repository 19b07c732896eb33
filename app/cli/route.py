"""`cartridge route`: a routing decision as a table."""

from __future__ import annotations

from typing import Any

_COLUMNS = (("LIKELIHOOD", 11), ("ADEPTNESS", 10), ("READY", 8), ("QUEUE", 8), ("RUN", 8), ("COST", 7), ("SCORE", 8))


def print_route(answer: dict[str, Any]) -> None:
    """The answer of `/v1/route`."""
    print(f"{answer['chosen']}: {answer['reason']}")
    if answer["without_cost"] not in (None, answer["chosen"]):
        print(f"without the cost of time: {answer['without_cost']}")
    for warning in answer["warnings"]:
        print(f"{warning['param']}: {warning['detail']}")
    if answer["roms"]:
        _print_roms(answer["roms"])
    if answer["sources"]:
        _print_sources(answer)
    if answer["rules"]:
        print(f"\nrules: {'; '.join(answer['rules'])}")


def _print_roms(roms: list[dict[str, Any]]) -> None:
    print(f"\n{'ROM':<24}{'DOMAIN':<16}" + "".join(f"{name:>{width}}" for name, width in _COLUMNS))
    for rom in sorted(roms, key=lambda rom: (bool(rom["obstacle"]), -rom["score"])):
        seconds = "".join(f"{rom[name]:>7.2f}s" for name in ("ready_s", "queue_s", "run_s"))
        numbers = f"{rom['likelihood']:>11.3f}{rom['adeptness']:>10.2f}{seconds}{rom['cost']:>7.2f}{rom['score']:>8.2f}"
        obstacle = f"  {rom['obstacle']}" if rom["obstacle"] else ""
        print(f"{rom['rom_id']:<24}{rom['domain']:<16}{numbers}{obstacle}")


def _print_sources(answer: dict[str, Any]) -> None:
    """The domains as each source alone has them, and as they are together."""
    sources = answer["sources"]
    print(f"\n{'DOMAIN':<24}" + "".join(f"{name.upper():>12}" for name in sources) + f"{'TOGETHER':>12}")
    for domain, together in sorted(answer["domains"].items(), key=lambda item: -item[1]):
        alone = "".join(f"{domains.get(domain, 0.0):>12.3f}" for domains in sources.values())
        print(f"{domain:<24}{alone}{together:>12.3f}")
    if answer["out_of_domain"] is not None:
        print(f"{'none of these':<24}{'':>{12 * len(sources)}}{answer['out_of_domain']:>12.3f}")
