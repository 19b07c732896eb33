"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.estimates import RecentRate

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60)
_STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One registry a service, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter("cartridge_requests", "Answered requests", ("status", "rom"), registry=registry)
        self._duration = Histogram(
            "cartridge_request_duration_seconds", "Arrival to answer", ("rom",), buckets=_SECONDS, registry=registry
        )
        self._queue_wait = Histogram(
            "cartridge_queue_wait_seconds", "Arrival to first step", ("rom",), buckets=_SECONDS, registry=registry
        )
        self._step = Histogram(
            "cartridge_denoise_step_seconds",
            "One forward of a batch",
            ("rom",),
            buckets=_STEP_SECONDS,
            registry=registry,
        )
        self._upscale = Histogram(
            "cartridge_upscale_seconds", "Enlarging a request's images", ("rom",), buckets=_SECONDS, registry=registry
        )
        self._batch_size = Histogram(
            "cartridge_batch_size", "Rows in a forward", ("rom",), buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self.queue_depth = Gauge("cartridge_queue_depth", "Requests accepted and not yet answered", registry=registry)
        self.resident_bytes = Gauge("cartridge_resident_bytes", "Weights in memory", registry=registry)
        self.waiting_for_room = Gauge(
            "cartridge_waiting_for_room", "Requests whose ROM does not fit beside those in use", registry=registry
        )
        self._load = Histogram(
            "cartridge_rom_load_seconds", "Loading a ROM's weights", ("rom",), buckets=_SECONDS, registry=registry
        )
        self._downloaded = Counter("cartridge_download_bytes", "Brought from buckets", registry=registry)
        self._download_rate = RecentRate()
        Gauge(
            "cartridge_download_bytes_per_second",
            "Brought from buckets, over the latest ten seconds",
            registry=registry,
        ).set_function(self._download_rate.per_second)

    def observe_download(self, nbytes: int) -> None:
        self._downloaded.inc(nbytes)
        self._download_rate.add(nbytes)

    def observe_request(self, status: int, rom_id: str, seconds: float) -> None:
        self._requests.labels(str(status), rom_id).inc()
        self._duration.labels(rom_id).observe(seconds)

    def observe_load(self, rom_id: str, seconds: float) -> None:
        self._load.labels(rom_id).observe(seconds)

    def observe_queue_wait(self, rom_id: str, seconds: float) -> None:
        self._queue_wait.labels(rom_id).observe(seconds)

    def observe_upscale(self, rom_id: str, seconds: float) -> None:
        self._upscale.labels(rom_id).observe(seconds)

    def observe_step(self, rom_id: str, rows: int, seconds: float) -> None:
        self._step.labels(rom_id).observe(seconds)
        self._batch_size.labels(rom_id).observe(rows)

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
