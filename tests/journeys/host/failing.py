"""An apply that fails for one model."""

from __future__ import annotations

import pytest

from fakes.host import Host, Models, Recorder
from model_servers.errors import OutsideError


def failure(host: Host, models: Models, name: str = "cat") -> str:
    """Apply, which has to fail for *name*; give the error that was shown for it."""
    recorder = Recorder()
    with pytest.raises(OutsideError, match=rf"^1 of \d models failed: {name}$"):
        host.apply(models, recorder)
    assert list(recorder.failures) == [name]
    return str(recorder.failures[name])
