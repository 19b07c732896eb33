"""Prompt to ROM: who may answer, what speaks for each, what it costs, and the reason of the choice."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core import GenerationRequest, Notice, RomScore, RouteDecision, RouteExplanation
from app.errors import CartridgeError, InvalidRequest, NotReady
from app.imaging import Pixels
from app.invoker.domains import DomainReader
from app.invoker.expectation import Expectations
from app.invoker.obstacles import find_obstacle
from app.invoker.supply import Supply
from app.roms.catalog import Catalog, Rom
from app.roms.traits import Traits, read_traits
from app.routing.decision import Choice, Option, Terms, Weighed, choose

if TYPE_CHECKING:
    from app.engine.engine import Engine
    from app.routing.domain_model import DomainVector
    from app.routing.rules import FiredRule

_RULES_TOLD = 4


@dataclass(frozen=True)
class RouterOptions:
    default_rom: str | None  # for prompts whose domain cannot be told
    price: float  # nats for an answer that takes all the time that a request has


class Router:
    def __init__(self, supply: Supply, engine: Future[Engine], reader: DomainReader, options: RouterOptions) -> None:
        self._supply = supply
        self._catalog: Catalog = supply.library.catalog
        self._engine = engine
        self._reader = reader
        self._options = options
        self._traits: dict[str, tuple[Rom, Traits]] = {}

    def explain(self, request: GenerationRequest, timeout_s: float, image: Pixels | None = None) -> RouteExplanation:
        """The choice for a request that has so many seconds left, with all that led to it. Nothing is run.

        Raises UnknownRom, RomUnavailable, InvalidRequest for a ROM that no request can be for, or NotReady when there
        is none that could answer.
        """
        if request.model != "auto":
            rom = _find(request.model, self._catalog)
            decision = RouteDecision(rom.id, {rom.id: 1.0}, "named by the request", self._is_resident(rom.id))
            return RouteExplanation(decision, timeout_s=timeout_s)
        roms = self._candidates(request)
        reading = self._reader.read(self._routable(), roms.values(), request, image) if len(roms) > 1 else None
        is_certain = reading is not None and not (reading.is_uncertain or reading.is_out_of_domain)
        if not is_certain:
            self._require_default(request)
        options = self._options_of(roms, request, reading)
        terms = Terms(
            time_left_s=timeout_s,
            price=self._options.price,
            default=self._default(roms, reading),
            is_certain=is_certain,
            temperature=request.routing.temperature,
            seed=request.params.seed,
        )
        choice = choose(options, terms)
        return self._told(choice, reading, timeout_s, is_only=len(roms) == 1)

    def prepare(self) -> None:
        """Learn the domains before anybody waits for it."""
        if len(roms := self._routable()) > 1:
            self._reader.learn(roms)

    def _candidates(self, request: GenerationRequest) -> dict[str, Rom]:
        if request.routing.candidates is not None:
            return {rom_id: self._candidate(rom_id) for rom_id in request.routing.candidates}
        with_image = request.params.image is not None
        roms = {rom.id: rom for rom in self._catalog if rom.makes_images or (rom.is_upscaler and with_image)}
        if not any(rom.makes_images for rom in roms.values()):
            broken = "; ".join(f"{rom_id}: {reason}" for rom_id, reason in self._catalog.quarantined.items())
            raise NotReady(f"no ROM can be served{f' ({broken})' if broken else ''}")
        return roms

    def _routable(self) -> list[Rom]:
        return [rom for rom in self._catalog if not rom.is_instrument]

    def _candidate(self, rom_id: str) -> Rom:
        try:
            return _find(rom_id, self._catalog)
        except CartridgeError as error:
            raise type(error)(error.message, param="routing.candidates") from error

    def _require_default(self, request: GenerationRequest) -> None:
        """A default that is broken is not silently replaced. Raises RomUnavailable or UnknownRom."""
        if self._options.default_rom is not None and request.routing.candidates is None:
            _find(self._options.default_rom, self._catalog)

    def _default(self, roms: Mapping[str, Rom], reading: DomainVector | None) -> str | None:
        """The configured one; where nothing tells the ROMs apart the first that is resident, or the first."""
        if self._options.default_rom is not None or reading is not None:
            return self._options.default_rom
        resident = self._supply.cache.resident()
        return next((rom_id for rom_id in roms if rom_id in resident), next(iter(roms)))

    def _options_of(
        self, roms: Mapping[str, Rom], request: GenerationRequest, reading: DomainVector | None
    ) -> list[Option]:
        known = {rom_id: (rom, self._traits_of(rom)) for rom_id, rom in roms.items()}
        expectations = Expectations(self._supply, self._engine.result().outlook(), known)
        options = []
        for rom_id, (rom, traits) in known.items():
            domain, params = rom.manifest.domain_name, request.params
            expected = expectations.of(rom, params)
            options.append(
                Option(
                    rom_id,
                    domain,
                    likelihood=1 / len(roms) if reading is None else reading.probabilities.get(domain, 0.0),
                    adeptness=rom.manifest.domain.adeptness,
                    ready_s=expected.ready_s,
                    queue_s=expected.queue_s,
                    run_s=expected.run_s,
                    obstacle=find_obstacle(params, rom, traits, self._supply.cache.footprint_of),
                )
            )
        return options

    def _traits_of(self, rom: Rom) -> Traits:
        known = self._traits.get(rom.id)
        if known is None or known[0] is not rom:
            known = self._traits[rom.id] = (rom, read_traits(rom))
        return known[1]

    def _is_resident(self, rom_id: str) -> bool:
        return rom_id in self._supply.cache.resident()

    def _told(
        self, choice: Choice, reading: DomainVector | None, timeout_s: float, *, is_only: bool
    ) -> RouteExplanation:
        roms = tuple(_score(weighed) for weighed in choice.weighed)
        reason = "the only ROM" if is_only else _reason(choice, reading)
        notices = _notices(choice, reading)
        scores = {one.option.rom_id: one.worth for one in choice.weighed}
        decision = RouteDecision(choice.rom_id, scores, reason, self._is_resident(choice.rom_id), notices)
        if reading is None:
            return RouteExplanation(decision, roms, without_cost=choice.without_cost, timeout_s=timeout_s)
        return RouteExplanation(
            decision,
            roms,
            domains=reading.probabilities,
            out_of_domain=reading.out_of_domain,
            sources=reading.sources,
            rules=tuple(map(_describe, reading.fired)),
            without_cost=choice.without_cost,
            timeout_s=timeout_s,
        )


def _find(rom_id: str, catalog: Catalog) -> Rom:
    rom = catalog.get(rom_id)
    if rom.is_instrument:
        raise InvalidRequest(f"ROM {rom_id!r} makes no images: it is of family {rom.manifest.family}", param="model")
    return rom


def _describe(rule: FiredRule) -> str:
    return f"{rule.domain}: {'not ' if rule.against else ''}{rule.name}, to {rule.degree:.2g}"


def _score(weighed: Weighed) -> RomScore:
    option = weighed.option
    return RomScore(
        option.rom_id,
        option.domain,
        option.likelihood,
        option.adeptness,
        option.ready_s,
        option.queue_s,
        option.run_s,
        weighed.cost,
        weighed.score,
        weighed.obstacle,
    )


def _reason(choice: Choice, reading: DomainVector | None) -> str:
    """In one line."""
    if reading is None:
        return choice.why
    chosen = next(one.option for one in choice.weighed if one.option.rom_id == choice.rom_id)
    fired = [rule.name for rule in reading.fired if chosen.rom_id in rule.rom_ids and not rule.against]
    rules = f", by {', '.join(fired[:_RULES_TOLD])}" if fired else ""
    doubt = "; the domain is uncertain" if reading.is_uncertain else ""
    return f"{choice.why}: {chosen.domain} at {chosen.likelihood:.0%}{rules}{doubt}"


def _notices(choice: Choice, reading: DomainVector | None) -> tuple[Notice, ...]:
    if reading is None or not reading.is_out_of_domain:
        return ()
    detail = f"is like nothing that the ROMs were made for; {choice.rom_id!r} answers"
    return (Notice("out_of_domain", "prompt", detail),)
