"""``ms store``: what a store is worth."""

from __future__ import annotations

import argparse

from model_servers.cli import wire
from model_servers.cli.doctor import show
from model_servers.cli.settings import Settings
from model_servers.errors import ExitStatus
from model_servers.journeys.store_doctor import examine


def doctor(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what the store enforces, what a release needs of it, and the fix."""
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
    return show(examine(at), as_json=options.json)
