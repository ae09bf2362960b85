"""What several commands of ``ms`` take: names, places, forms of output."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias

from model_servers.cli import settings
from model_servers.core.guards import Override
from model_servers.core.spelling import did_you_mean, nearest
from model_servers.errors import ExitStatus


class Parser(argparse.ArgumentParser):
    """Names the next command in its errors, like everything here."""

    def error(self, message: str) -> NoReturn:
        """End with the status of a usage error."""
        self.exit(
            ExitStatus.USAGE, f"ms: {message}\nhint: {self.prog} --help tells more\n"
        )

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End because of arguments that nobody knows, and say what was meant."""
        known = {flag.lstrip("-"): flag for flag in self._option_string_actions}
        words = (word.partition("=")[0] for word in unknown if word.startswith("--"))
        near = (nearest(word.lstrip("-"), known) for word in words)
        meant = ", ".join(known[name] for name in near if name)
        suggestion = f"; did you mean {meant}?" if meant else ""
        self.error(f"unrecognized arguments: {' '.join(unknown)}{suggestion}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Say what was meant by a choice that there is not; argparse lists them all."""
        if action.choices is not None and value not in action.choices:
            meant = did_you_mean(str(value), map(str, action.choices), kind="ones")
            raise argparse.ArgumentError(action, f"there is no {value!r}; {meant}")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Run: TypeAlias = Callable[[argparse.Namespace, settings.Settings], ExitStatus]


def command(commands: Commands, name: str, run: Run, text: str, **more: Any) -> Parser:
    """Add a command that is done by *run*; *text* is its help and description."""
    added = commands.add_parser(name, help=text, description=text, **more)
    added.set_defaults(run=run, refuse=added.refuse)
    return added


def group(commands: Commands, name: str, text: str) -> Commands:
    """Add a command that has commands of its own."""
    added = commands.add_parser(name, help=text, description=text)
    return added.add_subparsers(metavar="COMMAND", required=True)


def model(command: argparse.ArgumentParser) -> None:
    """Take one model."""
    command.add_argument("model", metavar="MODEL", help="the name of a model")


def models(command: argparse.ArgumentParser, count: str) -> None:
    """Take several models; *count* is ``+``, or ``*`` where none means all."""
    text = (
        "names of models" if count == "+" else "names of models; all if none is given"
    )
    command.add_argument("models", metavar="MODEL", nargs=count, help=text)


def as_json(command: argparse.ArgumentParser) -> None:
    """Take ``--json``."""
    command.add_argument("--json", action="store_true", help="for a program to read")


def registry(command: argparse.ArgumentParser) -> None:
    """Take where the models are."""
    command.add_argument(
        "--registry",
        metavar="DIR",
        help=f"the directory of the models (${settings.REGISTRY}, registry)",
    )


def store(command: argparse.ArgumentParser) -> None:
    """Take where the releases are."""
    command.add_argument(
        "--store",
        metavar="URL",
        help=f"file:///folder or s3://bucket/prefix (${settings.STORE})",
    )
    command.add_argument(
        "--endpoint-url",
        metavar="URL",
        help=f"of an S3-compatible server (${settings.ENDPOINT_URL})",
    )


def profile(command: argparse.ArgumentParser) -> None:
    """Take what the host is to serve."""
    command.add_argument(
        "--profile",
        metavar="FILE",
        help=f"the host profile (${settings.PROFILE}, sync.yaml)",
    )


_OVERRIDES = {
    Override.EMPTY: "let the profile take every model off the host",
    Override.LARGE_CHANGE: "let more models go or change than the policy allows",
    Override.DOWNTIME: "let models that answer be silent for a while",
    Override.OLDER_CHANNELS: "follow channels that are older than those seen here",
}


def allowances(command: argparse.ArgumentParser) -> None:
    """Take what a person may agree to for a sync."""
    for override in _OVERRIDES:
        allowance(command, override)


def allowance(command: argparse.ArgumentParser, override: Override) -> None:
    """Take one thing that a person may agree to."""
    command.add_argument(override.value, action="store_true", help=_OVERRIDES[override])


def allowed(options: argparse.Namespace) -> set[Override]:
    """Give what a person has agreed to."""
    return {
        override
        for override in Override
        if getattr(options, override.value.lstrip("-").replace("-", "_"))
    }


def base(command: argparse.ArgumentParser, text: str) -> None:
    """Take a git reference to compare with."""
    command.add_argument("--base", metavar="REF", help=text)


def torchserve(command: argparse.ArgumentParser) -> None:
    """Take what starting a TorchServe needs."""
    command.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help="of TorchServe's inference API; it takes the next four too (free ones)",
    )
    command.add_argument(
        "--system-java",
        action="store_true",
        help="use the Java of JAVA_HOME or the PATH, not the installed wheel",
    )
    work(command)


def work(command: argparse.ArgumentParser) -> None:
    """Take the folder of what can be made again."""
    command.add_argument(
        "--work",
        metavar="DIR",
        help=f"what a second run can use again (${settings.WORK}, .work)",
    )


def whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error


def positive(text: str) -> int:
    """Read a whole number above nothing."""
    number = whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def _port(text: str) -> int:
    port = whole(text)
    if not 1024 <= port <= 65531:
        raise argparse.ArgumentTypeError(f"{port} is not between 1024 and 65531")
    return port
