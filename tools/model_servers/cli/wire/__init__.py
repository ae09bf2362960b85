"""Makes adapters from settings; the only place that does.

Adapters are imported where they are made, so that ``ms validate`` needs no S3
client and ``ms --help`` nothing at all.
"""

from model_servers.cli.wire.care import (
    admit,
    metrics_port,
    prune,
    verify,
    write_metrics,
)
from model_servers.cli.wire.hosts import (
    examine,
    model_store,
    model_store_path,
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
    "admit",
    "as_released",
    "build",
    "build_from",
    "channels",
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
    "metrics_port",
    "mirror",
    "model_store",
    "model_store_path",
    "model_texts",
    "plain_archive",
    "probing",
    "profile",
    "prune",
    "publish",
    "registry",
    "releases",
    "requirements",
    "server",
    "stamp",
    "store",
    "sync",
    "torchserve",
    "verify",
    "workbench",
    "write_metrics",
]
