"""Makes adapters from settings; the only place that does.

Adapters are imported where they are made, so that ``ms validate`` needs no S3
client and ``ms --help`` nothing at all.
"""

from model_servers.cli.wire.hosts import (
    diary,
    examine,
    model_store,
    now,
    plain_archive,
    profile,
    requirements,
    server,
    sync,
    torchserve,
    workbench,
)
from model_servers.cli.wire.models import (
    build,
    build_from,
    golden_files,
    history,
    init,
    lock,
    loose_files,
    machine,
    maintainer,
    model_texts,
    probing,
    registry,
    stamp,
)
from model_servers.cli.wire.stores import (
    as_released,
    channels,
    fetch,
    fsck,
    mirror,
    publish,
    releases,
    store,
)

__all__ = [
    "as_released",
    "build",
    "build_from",
    "channels",
    "diary",
    "examine",
    "fetch",
    "fsck",
    "golden_files",
    "history",
    "init",
    "lock",
    "loose_files",
    "machine",
    "maintainer",
    "mirror",
    "model_store",
    "model_texts",
    "now",
    "plain_archive",
    "probing",
    "profile",
    "publish",
    "registry",
    "releases",
    "requirements",
    "server",
    "stamp",
    "store",
    "sync",
    "torchserve",
    "workbench",
]
