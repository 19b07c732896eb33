"""How a request is doing and how it ended, in words."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from app.client import Event
from app.ui.markup import joined, meter, paragraph

STOPPED = paragraph("note", "Stopped.")
ASKING = paragraph("note", "Asking which ROM ...")
SENT = paragraph("note", "Sent ...")


def show_error(message: str) -> Markup:
    return Markup('<p class="error" role="alert">{}</p>').format(message)


def show_progress(event: Event, waited_s: float) -> Markup:
    """`queued` or `step`, and how long nothing else has happened."""
    since = f", {waited_s:.0f} s ago" if waited_s >= 1 else ""
    if event.name == "queued":
        position, predicted = event.content["position"], event.content["predicted_s"]
        return paragraph("note", f"Accepted{since}: {position} before it, {predicted:.1f} s at most")
    step, steps = event.content["step"], event.content["steps"]
    text = f"Step {step} of {steps}{since}, {event.content['elapsed_s']:.1f} s in all"
    return paragraph("note", text) + meter("progress", step / steps)


def show_answer(response: dict[str, Any]) -> Markup:
    """Which ROM, how long, with what; and everything that was changed."""
    effective, total_s = response["effective"], response["timings"]["total_s"]
    seeds = [str(image["seed"]) for image in response["images"]]
    sizes = dict.fromkeys(f"{image['width']} x {image['height']}" for image in response["images"])
    facts = [
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}",
        f"{effective['num_inference_steps']} steps of {effective['scheduler']}",
        f"guidance {effective['guidance_scale']:g}",
        ", ".join(sizes),
    ]
    head = Markup("<p><strong>{}</strong> drew in <strong>{:.2f} s</strong>: {}</p>")
    return head.format(response["model"], total_s, "; ".join(facts)) + show_warnings(response["warnings"])


def show_warnings(warnings: list[dict[str, Any]]) -> Markup:
    return joined(paragraph("warning", f"{warning['param']}: {warning['detail']}") for warning in warnings)
