"""The files that make a machine a host: TorchServe's config, and systemd's units.

Every line that is not obvious says why it is there, for those who will change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model_servers.core.doctor import LONGEST_TEMP_BYTES
from model_servers.core.profile import HostProfile

CONFIG = "/etc/torchserve/config.properties"
STATE = "/var/lib/torchserve"
TEMP = "/run/torchserve"
_USER = "torchserve"

BOOT_CONFIG = ".model-servers/host/config.properties"
"""Below the model store: the config with what TorchServe is to serve at its start."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where things are on the machine."""

    profile: str
    """The absolute path of the host profile."""

    ms: str
    """The command that is this tool."""

    torchserve: str
    """The command that starts TorchServe."""

    model_store: str


def files(host: HostProfile, place: Place) -> dict[str, str]:
    """Give every file's text, by the path where it belongs."""
    units = "/etc/systemd/system"
    return {
        CONFIG: config_properties(host, place),
        f"{units}/torchserve.service": torchserve_service(place),
        f"{units}/ms-sync.service": sync_service(place),
        f"{units}/ms-sync-verify.service": verify_service(place),
        f"{units}/ms-sync-verify.timer": _VERIFY_TIMER,
    }


def settings(host: HostProfile, place: Place) -> Mapping[str, tuple[str, str]]:
    """Give TorchServe's settings: each with its value and why it has it."""
    guarded = host.key_file is not None
    return {
        "model_store": (place.model_store, "where ms sync installs models"),
        "load_models": ("none", "ms sync says what is served"),
        "inference_address": (
            host.inference,
            "what clients ask; put a proxy with TLS before it for other machines",
        ),
        "management_address": (
            host.management,
            "who reaches this can run any code here: loopback only",
        ),
        "metrics_address": (host.metrics, "there is no token before it"),
        "grpc_inference_address": ("127.0.0.1", "gRPC would listen elsewhere too"),
        "grpc_management_address": ("127.0.0.1", "as management_address"),
        "enable_model_api": (
            "true",
            "without it nothing can be registered",
        ),
        "disable_token_authorization": (
            "false" if guarded else "true",
            f"keys are in {host.key_file} and expire after an hour; ms sync renews "
            "them, clients must read the file again"
            if guarded
            else "all inference would stop an hour after the start, when the keys "
            "expire; name key_file in the host profile to have them renewed",
        ),
        "allowed_urls": (
            "none://.*",
            "nothing is registered from elsewhere, where nobody has verified it",
        ),
        "install_py_dep_per_model": (
            "false",
            (
                "ms sync installs requirements; TorchServe would do it on the threads "
                "that answer, and hang once pip prints 64 KiB"
            ),
        ),
        "default_workers_per_model": ("1", "as ms sync registers"),
        "blacklist_env_vars": (
            "AWS_.*|.*TOKEN.*|.*SECRET.*|.*PASSWORD.*",
            "models do not see credentials",
        ),
        "metrics_mode": ("prometheus", "requests and errors, for monitoring"),
    }


def config_properties(host: HostProfile, place: Place) -> str:
    """Write TorchServe's ``config.properties``."""
    lines = ["# TorchServe 0.12, for ms sync", ""]
    for key, (value, why) in settings(host, place).items():
        lines += [f"# {why}", f"{key}={value}"]
    return "\n".join([*lines, ""])


def torchserve_service(place: Place) -> str:
    """Write the unit of TorchServe."""
    boot = f"{place.model_store}/{BOOT_CONFIG}"
    return f"""\
[Unit]
Description=TorchServe
After=network.target

[Service]
User={_USER}
# Its key_file.json is written here.
StateDirectory=torchserve
WorkingDirectory={STATE}
LogsDirectory=torchserve
Environment=LOG_LOCATION=/var/log/torchserve METRICS_LOCATION=/var/log/torchserve
# Sockets of workers are here: a path of at most {LONGEST_TEMP_BYTES} bytes. systemd
# empties it at every stop, so that what a killed TorchServe leaves is gone. With
# plain .mar files, which are unpacked here, name a folder on a disk instead.
RuntimeDirectory=torchserve
Environment=TEMP={TEMP} TMPDIR={TEMP}
# CUDA then counts GPUs as the driver and ms sync do. CUDA_VISIBLE_DEVICES, if it is
# set, must be numbers: with UUIDs or MIG instances TorchServe 0.12 does not start.
Environment=CUDA_DEVICE_ORDER=PCI_BUS_ID
# What was served before is served again, also while the store is away. A snapshot
# would bring back what was taken off, and a missing file in it ends the start: --ncs.
# What is damaged is left out first; if that cannot be said, it starts all the same.
ExecStartPre=-{place.ms} sync boot --profile {place.profile}
ExecStart=/bin/sh -c 'boot={boot}; test -f "$boot" || boot={CONFIG}; \\
    exec {place.torchserve} --start --foreground --ncs --ts-config "$boot"'
Restart=always
RestartSec=5
# A worker that is out of memory must not take the others down with it.
OOMPolicy=continue
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def sync_service(place: Place) -> str:
    """Write the unit that keeps the host as its profile says."""
    return f"""\
[Unit]
Description=Model servers: sync this host
# Not bound to it: a stopped TorchServe is waited for.
After=network-online.target torchserve.service
Wants=network-online.target

[Service]
# The same user: it reads the keys, and the environment of the workers.
User={_USER}
Environment=CUDA_DEVICE_ORDER=PCI_BUS_ID
ExecStart={place.ms} sync watch --profile {place.profile} --metrics-port 9646
Restart=on-failure
RestartSec=30
# The change at work is done before it stops; a killed one is gone on with.
KillMode=mixed
TimeoutStopSec=15min

[Install]
WantedBy=multi-user.target
"""


def verify_service(place: Place) -> str:
    """Write the unit that hashes what is on the disk."""
    return f"""\
[Unit]
Description=Model servers: hash what is installed, mend what has rotted

[Service]
Type=oneshot
User={_USER}
ExecStart={place.ms} sync verify --profile {place.profile}
# Predictions come first.
Nice=19
IOSchedulingClass=idle
"""


_VERIFY_TIMER = """\
[Unit]
Description=Model servers: hash what is installed once a week

[Timer]
OnCalendar=weekly
# Not all hosts at once.
RandomizedDelaySec=1d
Persistent=true

[Install]
WantedBy=timers.target
"""


def is_loopback(address: str) -> bool:
    """Say whether only this machine can reach an address.

    >>> is_loopback("http://127.0.0.1:8081"), is_loopback("http://0.0.0.0:8081")
    (True, False)
    """
    host = address.partition("://")[2].rpartition(":")[0] or address
    return host in ("localhost", "[::1]") or host.startswith("127.")
