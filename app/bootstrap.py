"""The composition root: settings in, a running service out. Nobody else wires."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app import __version__
from app.core import Health
from app.errors import CartridgeError, SettingsError
from app.health import HealthMonitor
from app.invoker.domains import DomainReader
from app.invoker.embedder import RomEmbedder
from app.invoker.hosted import HostedModels
from app.invoker.invoker import Invoker, InvokerLimits
from app.invoker.jobs import Jobs
from app.invoker.router import Router, RouterOptions
from app.invoker.service import Service, ServiceOptions
from app.invoker.supply import Supply
from app.loader import RomLoader
from app.logs import log_event
from app.metrics import Metrics
from app.model_cache import ModelCache
from app.roms.catalog import Rom
from app.roms.disk import Hooks, RomDisk
from app.roms.library import RomLibrary
from app.roms.memory import MemoryNeed
from app.roms.s3 import S3Store
from app.roms.store import RomStore, open_store
from app.settings import Settings, bytes_of
from app.startup import Startup, Wishes

if TYPE_CHECKING:
    from app.backends.options import LoadOptions
    from app.engine.engine import Engine

_DRAIN_TIMEOUT_S = 22.0  # the platform kills 30 s after asking
_RESPONSE_OVERHEAD_BYTES = 16 * 1024  # what a response holds besides images
_SPARE_WORKERS = 4  # threads that refuse what the queue has no room for


def check(settings: Settings) -> None:
    """Raises SettingsError where the settings alone, or what local sources hold, show that they are wrong."""
    _check_runtime(settings)
    _check_names(settings, RomLibrary(_open_stores(settings)))


@contextmanager
def running(settings: Settings) -> Iterator[Service]:
    """A service that listens at once and becomes ready in the background."""
    log_event("starting", version=__version__, sources=settings.rom_sources)
    _check_runtime(settings)
    health, metrics = HealthMonitor(settings.stall_after_s), Metrics()
    library = _open_library(settings, metrics)
    loader = RomLoader(library, partial(_load_options, settings), metrics, health)
    cache = ModelCache(loader.load, loader.footprint_of)
    wishes = Wishes(settings.preload, settings.ready, settings.pin, settings.multi_model)
    engine: Future[Engine] = Future()
    supply = Supply(library, cache)
    embedder = RomEmbedder(supply)
    router = _router(settings, supply, engine, embedder)
    startup = Startup(library, cache, health, wishes, partial(_prepare, settings, library, loader, router))
    invoker = Invoker(supply, engine, router, health, metrics, _limits(settings))
    options = ServiceOptions(settings.max_request_bytes, _DRAIN_TIMEOUT_S, settings.log_prompts)
    hosted = HostedModels(library, cache, _unpack_dir(settings)) if settings.multi_model else None
    workers = ThreadPoolExecutor(settings.max_queue_size + _SPARE_WORKERS, thread_name_prefix="request")
    with ExitStack() as stack:
        stack.callback(log_event, "stopped")
        stack.callback(cache.unload_idle)
        stack.callback(library.close)
        stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        finish = partial(_add_similarity, settings, embedder, router)
        set_up = partial(_set_up, settings, cache, startup, engine, health, metrics, finish)
        threading.Thread(target=set_up, name="set-up", daemon=True).start()
        stack.callback(startup.stop)
        stack.callback(invoker.drain, _DRAIN_TIMEOUT_S)
        jobs = Jobs(invoker.invoke, workers)
        yield Service(invoker, health, metrics, jobs, options, hosted, partial(_need_of, loader, engine))


def _set_up(
    settings: Settings,
    cache: ModelCache,
    startup: Startup,
    engine: Future[Engine],
    health: HealthMonitor,
    metrics: Metrics,
    finish: Callable[[], None],
) -> None:
    """Start the engine, then what is wanted at the start; afterwards mend what is broken. Runs on its own thread."""
    try:
        from app.backends.devices import prepare_cpu
        from app.engine.care import DeviceCare
        from app.engine.engine import Engine

        prepare_cpu(settings.threads)
        cache.set_capacity(*_budgets(settings))
        care = DeviceCare(cache.unload_idle, health.lose_device)
        started = Engine(settings.max_batch_size, metrics, care)
        started.start()
        health.watch(started.stalled_s)
        engine.set_result(started)
        startup.run()
        finish()
        startup.keep(settings.idle_ttl_s)
    except Exception as error:  # noqa: BLE001 - nothing may leave this thread unreported
        health.become(Health.SETUP_FAILED, f"set-up failed: {error}")
        log_event("setup_failed", error=error)


def _open_library(settings: Settings, metrics: Metrics) -> RomLibrary:
    """Raises SettingsError where a source is no address or not there."""
    directory = settings.cache_dir.expanduser()
    stores, disk = _open_stores(settings, _unpack_dir(settings)), None
    if any(isinstance(store, S3Store) for store in stores):
        whole = shutil.disk_usage(next(path for path in (directory, *directory.parents) if path.exists())).total
        hooks = Hooks(metrics.observe_download, _tell_of_retry)
        disk = RomDisk(directory, bytes_of(settings.disk_bytes, whole, whole), hooks=hooks)
    library = RomLibrary(stores, disk)
    _check_names(settings, library)
    return library


def _tell_of_retry(reason: str) -> None:
    log_event("download_retry", level="warning", reason=reason)


def _open_stores(settings: Settings, unpack_dir: Path | None = None) -> list[RomStore]:
    try:
        return [open_store(source, unpack_dir) for source in _sources(settings)]
    except SettingsError as error:
        raise SettingsError(f"CARTRIDGE_ROM_SOURCES: {error.message}") from error


def _sources(settings: Settings) -> list[str]:
    model_dir = settings.model_dir
    has_more = model_dir.is_dir() and any(model_dir.iterdir())
    return [*settings.rom_sources, *([f"file://{model_dir}"] if has_more else [])]


def _unpack_dir(settings: Settings) -> Path:
    """Of archives."""
    return settings.cache_dir.expanduser() / "unpacked"


def _budgets(settings: Settings) -> tuple[int, int]:
    """Bytes of the device's memory, and of the host's where that is another."""
    from app.backends.devices import default_budget, device_memory_bytes, host_memory_bytes, pick_device

    device, host = device_memory_bytes(settings.device), host_memory_bytes()
    capacity = bytes_of(settings.memory_bytes, device, default_budget(settings.device))
    has_two = pick_device(settings.device).type == "cuda"
    return capacity, bytes_of(settings.host_memory_bytes, host, host // 2) if has_two else 0


def _check_names(settings: Settings, library: RomLibrary) -> None:
    """Raises SettingsError where a setting names a ROM that no source has; what buckets have is known later."""
    if not library.has_buckets and (unknown := _unknown_roms(settings, library)):
        setting, rom_id = unknown[0]
        known = ", ".join(sorted({*library.catalog.roms, *library.catalog.quarantined})) or "none"
        raise SettingsError(f"{setting}: there is no ROM {rom_id!r}; there are: {known}")


def _prepare(settings: Settings, library: RomLibrary, loader: RomLoader, router: Router) -> None:
    """When it is known which ROMs there are."""
    for setting, rom_id in _unknown_roms(settings, library):
        log_event("rom_unknown", level="warning", rom=rom_id, setting=setting)
    loader.prepare()
    router.prepare()


def _unknown_roms(settings: Settings, library: RomLibrary) -> list[tuple[str, str]]:
    """Settings that name ROMs which no source has; a broken one is no wrong setting."""
    named = {
        "PRELOAD": settings.preload,
        "READY": settings.ready,
        "PIN": settings.pin,
        "DEFAULT_ROM": (settings.default_rom,) if settings.default_rom else (),
    }
    known = {*library.catalog.roms, *library.catalog.quarantined}
    return [
        (f"CARTRIDGE_{name}", rom_id)
        for name, rom_ids in named.items()
        if isinstance(rom_ids, tuple)
        for rom_id in rom_ids
        if rom_id not in known
    ]


def _check_runtime(settings: Settings) -> None:
    """Raises SettingsError where U-Nets cannot be computed as `CARTRIDGE_RUNTIME` says."""
    if settings.runtime == "openvino":
        from app.backends.openvino_package import check_openvino

        check_openvino(settings.device)


def _add_similarity(settings: Settings, embedder: RomEmbedder, router: Router) -> None:
    """Where there is a CLIP, and it is to count."""
    if not settings.routing_similarity:
        return
    try:
        embedder.bring()
        router.prepare()
    except CartridgeError as error:
        log_event("similarity_failed", level="warning", reason=error.message)
    except Exception as error:  # noqa: BLE001 - rules and the classifier route without it
        log_event("similarity_failed", level="warning", error=error)


def _router(settings: Settings, supply: Supply, engine: Future[Engine], embedder: RomEmbedder) -> Router:
    weights = {
        "rules": settings.routing_rules,
        "classifier": settings.routing_classifier,
        "similarity": settings.routing_similarity,
    }
    options = RouterOptions(settings.default_rom, settings.routing_price)
    return Router(supply, engine, DomainReader(weights, embedder), options)


def _limits(settings: Settings) -> InvokerLimits:
    return InvokerLimits(
        max_queue_size=settings.max_queue_size,
        request_timeout_s=settings.request_timeout_s,
        max_image_bytes=(settings.max_response_bytes - _RESPONSE_OVERHEAD_BYTES) * 3 // 4,  # base64 adds a third
    )


def _load_options(settings: Settings) -> LoadOptions:
    from app.backends.options import LoadOptions

    named = () if settings.optimizations == "none" else settings.optimizations
    chosen = None if named == "auto" else named
    return LoadOptions(settings.device, settings.dtype, chosen, settings.runtime, settings.cache_dir.expanduser())


def _need_of(loader: RomLoader, engine: Future[Engine], rom: Rom) -> MemoryNeed | None:
    """What it will take, once torch is there to say in which precision."""
    return loader.need_of(rom) if engine.done() else None
