"""What Prometheus reads is what was observed."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_requests_are_counted_by_status_and_rom() -> None:
    metrics = Metrics()
    for status, rom_id in ((200, "shapes"), (200, "shapes"), (429, "none")):
        metrics.observe_request(status, rom_id, 0.2)
    seen = samples(metrics)
    assert seen["cartridge_requests_total", (("rom", "shapes"), ("status", "200"))] == 2
    assert seen["cartridge_requests_total", (("rom", "none"), ("status", "429"))] == 1
    assert seen["cartridge_request_duration_seconds_count", (("rom", "shapes"),)] == 2


def test_batch_size_is_the_rows_of_each_forward() -> None:
    metrics = Metrics()
    for rows in (1, 3, 8):
        metrics.observe_step("shapes", rows, 0.01)
    seen = samples(metrics)
    assert seen["cartridge_batch_size_sum", (("rom", "shapes"),)] == 12
    assert seen["cartridge_batch_size_bucket", (("le", "4.0"), ("rom", "shapes"))] == 2
    assert seen["cartridge_denoise_step_seconds_count", (("rom", "shapes"),)] == 3


def test_waiting_and_loading_are_measured_in_seconds() -> None:
    metrics = Metrics()
    metrics.observe_queue_wait("shapes", 1.5)
    metrics.observe_load("shapes", 4.0)
    seen = samples(metrics)
    assert seen["cartridge_queue_wait_seconds_sum", (("rom", "shapes"),)] == 1.5
    assert seen["cartridge_rom_load_seconds_sum", (("rom", "shapes"),)] == 4.0


def test_gauges_show_the_last_value() -> None:
    metrics = Metrics()
    metrics.queue_depth.set(5)
    metrics.queue_depth.set(2)
    metrics.resident_bytes.set(1024)
    seen = samples(metrics)
    assert (seen["cartridge_queue_depth", ()], seen["cartridge_resident_bytes", ()]) == (2, 1024)


def test_two_services_in_one_process_do_not_count_for_each_other() -> None:
    first, second = Metrics(), Metrics()
    first.observe_request(200, "shapes", 0.1)
    assert not any(name == "cartridge_requests_total" for name, _ in samples(second))
