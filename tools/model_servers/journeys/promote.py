"""Let a channel point to another version, in the text of ``channels.yaml``."""

from __future__ import annotations

from model_servers.core.channels import CHANNELS_FILE, is_channel
from model_servers.core.names import Ref
from model_servers.core.yaml_text import with_key, with_scalar
from model_servers.errors import RequestError
from model_servers.ports import ModelTexts

_NEW = """\
schema: 1
channels:
  {channel}: "{version}"
"""


def promote(texts: ModelTexts, ref: Ref, channel: str, *, is_new: bool) -> str | None:
    """Write where *channel* points to; give the version it pointed to, or None.

    Comments, quotes and order stay as they are.

    Args:
        texts: of the registry's models.
        ref: what the channel is to point to.
        channel: its name.
        is_new: the model has no ``channels.yaml``.

    Raises:
        RequestError: the file cannot be edited; nothing is changed.
    """
    if not is_channel(channel):
        raise RequestError(
            f"{channel!r} is no channel that can be moved",
            hint="use lower-case letters and digits, such as stable; latest is "
            "computed",
        )
    if is_new:
        text = _NEW.format(channel=channel, version=ref.version)
        texts.replace(ref.name, CHANNELS_FILE, text)
        return None
    return _edited(texts, ref, channel)


def _edited(texts: ModelTexts, ref: Ref, channel: str) -> str | None:
    text = texts.read(ref.name, CHANNELS_FILE)
    data, places = texts.parse(ref.name, CHANNELS_FILE, text)
    version = ref.version.text
    try:
        channels = data["channels"]
        old: str | None = channels.get(channel)
        place = f"channels.{channel}"
        if old is None:
            line = channel, f'"{version}"'
            edited = with_key(text, places, "channels", line)
        else:
            edited = with_scalar(text, places, place, version)
        found, _ = texts.parse(ref.name, CHANNELS_FILE, edited)
    except (RequestError, AttributeError, KeyError, TypeError, ValueError):
        found = None
    if found is None or found != {**data, "channels": {**channels, channel: version}}:
        raise RequestError(
            f"{ref.name}/{CHANNELS_FILE} is written in a way that is not edited",
            hint=f'write `{channel}: "{version}"` below `channels:` yourself',
        )
    if old != version:
        texts.replace(ref.name, CHANNELS_FILE, edited)
    return old
