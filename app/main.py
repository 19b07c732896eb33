"""What gunicorn serves: `app.main:app`."""

from __future__ import annotations

from app.api.app import create_app
from app.bootstrap import running
from app.logs import configure_logs
from app.settings import read_settings

configure_logs()
settings = read_settings()
app = create_app(lambda: running(settings))
