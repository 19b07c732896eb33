"""What gunicorn serves: `app.main:app`."""

from __future__ import annotations

from app.api.app import create_app
from app.bootstrap import running
from app.logs import configure_logs, log_event
from app.settings import read_settings, unknown_variables

configure_logs()
settings = read_settings()
for variable, meant in unknown_variables().items():
    log_event("setting_unknown", level="warning", variable=variable, meant=meant)
app = create_app(lambda: running(settings))
