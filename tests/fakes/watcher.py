"""A watcher that nobody asks."""

from __future__ import annotations

from collections.abc import Callable

from model_servers.core.objects import Moved
from model_servers.core.release import Release


class Quiet:
    """Watches publishing and remembers nothing."""

    def uploading(self, release: Release) -> Callable[[int], None]:
        return lambda count: None

    def released(self, release: Release, moved: Moved) -> None:
        pass
