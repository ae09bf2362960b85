"""TorchServe's key file, read anew whenever it may have changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from model_servers.core.tokens import Keys, Kind
from model_servers.errors import OutsideError


class KeyFile:
    """The keys of one TorchServe.

    It writes new ones at every start, and again when it is asked to; so they are
    read at every request, which costs less than one that is refused.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self, kind: Kind, *, renew: Callable[[Kind, str], None]) -> str:
        """Give a token that is good now.

        Args:
            kind: what it opens.
            renew: asks TorchServe for a new key of a kind, with the API key; called
                if the one in the file has expired.
        """
        keys = self._read()
        if keys.keys[kind].is_expired(_now()):
            renew(kind, keys.api)
            keys = self._read()
        return keys.keys[kind].text

    def token_instead(
        self, kind: Kind, refused: str, *, renew: Callable[[Kind, str], None]
    ) -> str:
        """Give a token after *refused* was not accepted.

        Another process, or a start of TorchServe, may have changed the file since
        it was read; only if not, a new key is asked for.
        """
        keys = self._read()
        if keys.keys[kind].text == refused:
            renew(kind, keys.api)
            keys = self._read()
        return keys.keys[kind].text

    def _read(self) -> Keys:
        try:
            return Keys.from_mapping(json.loads(self._path.read_text("utf-8")))
        except OSError as error:
            raise OutsideError(
                f"TorchServe's key file {self._path} cannot be read: {error.strerror}",
                hint="it is in the folder that TorchServe was started in, and only its "
                "own user may read it",
            ) from error
        except ValueError as error:
            raise OutsideError(
                f"TorchServe's key file {self._path} is damaged: {error}",
                hint="start TorchServe anew; it writes another one",
            ) from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
