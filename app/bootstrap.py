"""The composition root: settings in, a running service out. Nobody else wires."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from app.core import Health
from app.errors import CartridgeError, ManifestError, SettingsError
from app.health import HealthMonitor
from app.invoker.invoker import Invoker, InvokerLimits
from app.invoker.jobs import Jobs
from app.invoker.service import Service, ServiceOptions
from app.logs import log_event
from app.metrics import Metrics
from app.model_cache import ModelCache
from app.residency import Footprint
from app.roms.catalog import Catalog, Rom, read_catalog, verify_digests
from app.roms.memory import MemoryNeed, predict_need
from app.roms.store import open_store
from app.settings import PLATFORM_MODEL_DIR, Settings

if TYPE_CHECKING:
    from app.backends.base import Backend
    from app.backends.options import LoadOptions
    from app.engine.engine import Engine

_DRAIN_TIMEOUT_S = 22.0  # the platform kills 30 s after asking
_RESPONSE_OVERHEAD_BYTES = 16 * 1024  # what a response holds besides images
_SPARE_WORKERS = 4  # threads that refuse what the queue has no room for


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    """A service that listens at once and becomes ready in the background."""
    _check_runtime(settings)
    health, metrics, catalog = HealthMonitor(settings.stall_after_s), Metrics(), _read_catalog(settings)
    cache = ModelCache(partial(_load, settings, metrics, health), partial(_footprint_of, settings))
    engine: Future[Engine] = Future()
    invoker = Invoker(catalog, cache, engine, health, metrics, _limits(settings))
    options = ServiceOptions(settings.max_request_bytes, _DRAIN_TIMEOUT_S, settings.log_prompts)
    workers = ThreadPoolExecutor(settings.max_queue_size + _SPARE_WORKERS, thread_name_prefix="request")
    with ExitStack() as stack:
        stack.callback(log_event, "stopped")
        stack.callback(cache.unload_idle)
        stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        set_up = partial(_set_up, settings, catalog, cache, engine, health, metrics)
        threading.Thread(target=set_up, name="set-up", daemon=True).start()
        stack.callback(invoker.drain, _DRAIN_TIMEOUT_S)
        jobs = Jobs(invoker.invoke, workers)
        yield Service(invoker, health, metrics, jobs, options, partial(_memory_of, settings, engine))


def _set_up(
    settings: Settings,
    catalog: Catalog,
    cache: ModelCache,
    engine: Future[Engine],
    health: HealthMonitor,
    metrics: Metrics,
) -> None:
    """Start the engine, preload ROMs and say when the service is ready. Runs on its own thread."""
    try:
        from app.backends.devices import memory_bytes, prepare_cpu
        from app.engine.care import DeviceCare
        from app.engine.engine import Engine

        prepare_cpu(settings.threads)
        cache.set_capacity(settings.memory_bytes or memory_bytes(settings.device))
        care = DeviceCare(cache.unload_idle, partial(health.become, Health.DEVICE_FAILED))
        started = Engine(settings.max_batch_size, metrics, care)
        started.start()
        health.watch(started.stalled_s)
        engine.set_result(started)
        _preload(settings, catalog, cache, health)
    except Exception as error:  # noqa: BLE001 - nothing may leave this thread unreported
        health.become(Health.SETUP_FAILED, f"set-up failed: {error}")
        log_event("setup_failed", error=error)


def _preload(settings: Settings, catalog: Catalog, cache: ModelCache, health: HealthMonitor) -> None:
    wanted = _wanted_roms(settings, catalog)
    for rom in wanted:
        if cache.resident_bytes() + _footprint_of(settings, rom).nbytes > cache.capacity_bytes and cache.resident():
            log_event("preload_stopped", rom=rom.id, reason="the memory budget is full")
            break
        try:
            with cache.lease(rom):
                pass
        except ManifestError as error:
            catalog.quarantine(rom.id, error.message)
            log_event("rom_quarantined", rom=rom.id, reason=error.message)
        except CartridgeError as error:
            log_event("preload_failed", rom=rom.id, reason=error.message)
        _update_health(settings, catalog, cache, health, finished=False)
    _update_health(settings, catalog, cache, health, finished=True)


def _wanted_roms(settings: Settings, catalog: Catalog) -> list[Rom]:
    if settings.preload == "all":
        return list(catalog)
    names = () if settings.preload == "none" else settings.preload
    return [catalog.roms[name] for name in names if name in catalog.roms]


def _update_health(
    settings: Settings, catalog: Catalog, cache: ModelCache, health: HealthMonitor, *, finished: bool
) -> None:
    """READY when CARTRIDGE_READY is satisfied; SETUP_FAILED when preloading is over and it cannot be."""
    resident = set(cache.resident())
    if settings.ready == "any":
        missing = set() if resident or (settings.preload == "none" and catalog.roms) else {"any ROM"}
    elif settings.ready == "all":
        missing = {rom.id for rom in _wanted_roms(settings, catalog)} - resident | set(catalog.quarantined)
    else:
        missing = set(settings.ready) - resident
    if not missing and health.read()[0] is Health.STARTING:
        health.become(Health.READY, "ready")
        log_event("ready", roms=sorted(resident))
    elif missing and finished:
        reasons = "; ".join(f"{rom_id}: {reason}" for rom_id, reason in catalog.quarantined.items())
        health.become(Health.SETUP_FAILED, f"not loaded: {', '.join(sorted(missing))} {reasons}".strip())
        log_event("setup_failed", missing=sorted(missing), quarantined=dict(catalog.quarantined))


def _read_catalog(settings: Settings) -> Catalog:
    sources = list(settings.rom_sources)
    if PLATFORM_MODEL_DIR.is_dir() and any(PLATFORM_MODEL_DIR.iterdir()):
        sources.append(f"file://{PLATFORM_MODEL_DIR}")
    catalog = read_catalog([open_store(source) for source in sources])
    for rom_id, reason in catalog.quarantined.items():
        log_event("rom_quarantined", rom=rom_id, reason=reason)
    _check_names(settings, catalog)
    return catalog


def _check_names(settings: Settings, catalog: Catalog) -> None:
    """Raises SettingsError where a setting names a ROM that no source has; a broken one is no wrong setting."""
    known = {*catalog.roms, *catalog.quarantined}
    named: dict[str, tuple[str, ...]] = {
        "PRELOAD": settings.preload if isinstance(settings.preload, tuple) else (),
        "READY": settings.ready if isinstance(settings.ready, tuple) else (),
        "DEFAULT_ROM": (settings.default_rom,) if settings.default_rom else (),
    }
    for name, rom_ids in named.items():
        if unknown := [rom_id for rom_id in rom_ids if rom_id not in known]:
            there = ", ".join(sorted(known)) or "none"
            raise SettingsError(f"CARTRIDGE_{name}: there is no ROM {unknown[0]!r}; there are: {there}")


def _check_runtime(settings: Settings) -> None:
    """Raises SettingsError where U-Nets cannot be computed as `CARTRIDGE_RUNTIME` says."""
    if settings.runtime == "openvino":
        from app.backends.openvino_package import check_openvino

        check_openvino(settings.device)


def _limits(settings: Settings) -> InvokerLimits:
    return InvokerLimits(
        max_queue_size=settings.max_queue_size,
        request_timeout_s=settings.request_timeout_s,
        max_image_bytes=(settings.max_response_bytes - _RESPONSE_OVERHEAD_BYTES) * 3 // 4,  # base64 adds a third
        default_rom=settings.default_rom,
    )


def _load(settings: Settings, metrics: Metrics, health: HealthMonitor, rom: Rom) -> Backend:
    from app.backends.registry import load_backend

    health.report_progress(f"loading ROM {rom.id}")
    log_event("rom_loading", rom=rom.id, parameters=rom.num_parameters)
    started = time.monotonic()
    verify_digests(rom)
    backend = load_backend(rom, _load_options(settings))
    seconds = time.monotonic() - started
    metrics.observe_load(rom.id, seconds)
    log_event("rom_loaded", rom=rom.id, bytes=backend.info.nbytes, seconds=round(seconds, 3))
    return backend


def _load_options(settings: Settings) -> LoadOptions:
    from app.backends.options import LoadOptions

    named = () if settings.optimizations == "none" else settings.optimizations
    chosen = None if named == "auto" else named
    return LoadOptions(settings.device, settings.dtype, chosen, settings.runtime, settings.cache_dir.expanduser())


def _footprint_of(settings: Settings, rom: Rom) -> Footprint:
    from app.backends.devices import pick_device, pick_dtype

    return Footprint({rom.id: rom.num_parameters * pick_dtype(settings.dtype, pick_device(settings.device)).itemsize})


def _memory_of(settings: Settings, engine: Future[Engine], rom: Rom) -> MemoryNeed | None:
    """What it will take, once torch is there to say in which precision."""
    if not engine.done():
        return None
    from app.backends.devices import pick_device, pick_dtype

    try:
        return predict_need(rom, pick_dtype(settings.dtype, pick_device(settings.device)).itemsize)
    except ManifestError:  # it will be told of when the ROM is loaded
        return None
