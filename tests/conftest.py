"""Guards: no test reaches a home, credentials or a network beyond loopback."""

from __future__ import annotations

import ipaddress
import os
import socket

import pytest
from hypothesis import settings

pytest_plugins = ["servers.fixtures", "servers.nvml"]

_FOREIGN = ("AWS_", "GITHUB_", "MODEL_SERVERS_", "XDG_")
"""Environment variables that would lead to credentials, or change what tests see."""

# The same examples in every run, and no time limit on a busy machine.
settings.register_profile(
    "model-servers", derandomize=True, deadline=None, max_examples=60
)
settings.load_profile("model-servers")


def pytest_addoption(parser):
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail tests that would be skipped: here everything must be installed",
    )

    parser.addoption(
        "--kills",
        type=int,
        default=4,
        help="how often tests kill what they run, at random points (make soak: 100)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _no_home_and_no_credentials(tmp_path_factory):
    """Give every test, and its subprocesses, an empty home and a bare environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_FOREIGN) or name == "PYTHONPATH":
                patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_network_beyond_loopback():
    """End a test that connects to another machine, whatever it would have caught."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        yield


def _guarded(method):
    def call(self, address, *rest):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_beyond_loopback(address)
        return method(self, address, *rest)

    return call


def _refuse_beyond_loopback(address):
    host, port = address[:2]
    try:
        is_near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_near = host == "localhost"
    if not is_near:
        # Not an OSError: an adapter would turn that into one of ours.
        pytest.fail(f"a test connects to {host} port {port}; only loopback is allowed")
