"""The arguments of ``ms``."""

from __future__ import annotations

import argparse
from typing import NoReturn, TypeAlias

from model_servers import __version__
from model_servers.cli import settings
from model_servers.errors import ExitStatus

_EPILOG = """\
exit status: 0 done or nothing to do, 1 findings, 2 usage, 3 the outside failed,
4 refused by a safety rule, 5 changes are pending (sync plan --exit-code), 70 a bug
"""
_GUIDE = (
    "./build.sh --model_name <model_name> --model_file <model_file>"
    " --config_file <config_file> --requirements_file <requirements_file>"
    " --checkpoint_file <checkpoint_file> --version <version>"
    " [--extra_files <extra_files>]"
)
"""The usage of the build script, as the hosting guide has it."""


class _Parser(argparse.ArgumentParser):
    """Names the next command in its errors, like everything here."""

    def error(self, message: str) -> NoReturn:
        self.exit(
            ExitStatus.USAGE, f"ms: {message}\nhint: {self.prog} --help tells more\n"
        )


def parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; ``options.command`` names the chosen one."""
    root = _Parser(
        prog="ms",
        description="A model registry that is a git repository, served by TorchServe.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"ms {__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    _doctor(commands)
    _init(commands)
    _changed(commands)
    _validate(commands)
    _lock(commands)
    _bump(commands)
    _diff(commands)
    _build(commands)
    _archive(commands)
    _test(commands)
    _publish(commands)
    _announce(commands)
    _summary(commands)
    _store_commands(commands)
    _sync(commands)
    _demo(commands)
    return root


_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _command(commands: _Commands, name: str, text: str) -> _Parser:
    return commands.add_parser(name, help=text, description=text)


def _doctor(commands: _Commands) -> None:
    command = _command(
        commands, "doctor", "check that this machine can test and serve models"
    )
    command.set_defaults(command="doctor")
    _json(command)
    _registry(command)
    _work(command)


def _init(commands: _Commands) -> None:
    command = _command(
        commands, "init", "make a new model that validates and serves at once"
    )
    command.set_defaults(command="init")
    command.add_argument("name", metavar="NAME", help="of the model and its directory")
    start = command.add_mutually_exclusive_group()
    start.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="a .pt, .pth or .safetensors file, which is copied; its tensors tell the"
        " network",
    )
    start.add_argument(
        "--from-example", metavar="MODEL", help="copy this model of the registry"
    )
    command.add_argument("--summary", metavar="TEXT", help="what the model does")
    command.add_argument("--license", metavar="ID", help="an SPDX expression")
    command.add_argument(
        "--maintainer",
        action="append",
        metavar="@ACCOUNT",
        help="who answers for the model; can be repeated (git's user)",
    )
    _registry(command)


def _changed(commands: _Commands) -> None:
    command = _command(
        commands, "changed", "list what a pipeline has to look at: models, in shares"
    )
    command.set_defaults(command="changed")
    what = command.add_mutually_exclusive_group(required=True)
    _base(what, "what differs from the merge base of HEAD and REF")
    what.add_argument("--all", action="store_true", help="every model")
    what.add_argument(
        "--unreleased", action="store_true", help="versions that the store lacks"
    )
    command.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default="text",
        help="github writes outputs of a step",
    )
    _registry(command)
    _store(command)


def _validate(commands: _Commands) -> None:
    command = _command(commands, "validate", "check models; show everything wrong")
    command.set_defaults(command="validate")
    _models(command, "*")
    command.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default="text",
        help="github writes annotations for a pull request",
    )
    command.add_argument("--all", action="store_true", help="every model")
    command.add_argument(
        "--static", action="store_true", help="run no code of the models"
    )
    command.add_argument(
        "--explain",
        metavar="CODE",
        help="tell what a code such as MS050 means, and nothing else; all for every",
    )
    _base(
        command,
        "compare versions with the merge base of HEAD and REF; only the models that"
        " changed since then, if none is named",
    )
    _registry(command)
    _store(command)


def _build(commands: _Commands) -> None:
    command = _command(commands, "build", "build the .mar of models, reproducibly")
    command.set_defaults(command="build")
    _models(command, "+")
    command.add_argument(
        "-o", "--output", metavar="DIR", default="dist", help="where to (%(default)s)"
    )
    command.add_argument(
        "--json", action="store_true", help="digests by file name, in one line"
    )
    _expect(command)
    _registry(command)


def _lock(commands: _Commands) -> None:
    command = _command(
        commands,
        "lock",
        "write down a model's checkpoint digest and exact versions of its requirements",
    )
    command.set_defaults(command="lock")
    command.add_argument("model", metavar="MODEL", help="the name of a model")
    command.add_argument(
        "--check",
        action="store_true",
        help="write nothing; end with status 1 if something would change",
    )
    _registry(command)


def _bump(commands: _Commands) -> None:
    command = _command(commands, "bump", "raise the version in a model's model.yaml")
    command.set_defaults(command="bump")
    command.add_argument("model", metavar="MODEL", help="the name of a model")
    part = command.add_mutually_exclusive_group()
    for name in ("major", "minor", "patch"):
        part.add_argument(
            f"--{name}",
            dest="part",
            action="store_const",
            const=name,
            help=f"raise the {name} number (the last number)",
        )
    _registry(command)
    _store(command)


def _diff(commands: _Commands) -> None:
    command = _command(commands, "diff", "show what a release of a model would change")
    command.set_defaults(command="diff")
    command.add_argument("model", metavar="MODEL", help="the name of a model")
    _base(command, "compare with the merge base of HEAD and REF, not with the store")
    _json(command)
    _registry(command)
    _store(command)


def _base(command: argparse._ActionsContainer, text: str) -> None:
    command.add_argument("--base", metavar="REF", help=text)


def _archive(commands: _Commands) -> None:
    text = "build a .mar from files outside the registry, as handler/build.sh"
    command = commands.add_parser(
        "archive", help=text, description=text, usage=_GUIDE, allow_abbrev=False
    )
    command.set_defaults(command="archive")
    for flag, told in (
        ("model_name", "the name of the model in TorchServe"),
        ("model_file", "the Python file that calls handler_factory"),
        ("config_file", "the TorchServe model config"),
        ("checkpoint_file", "the weights"),
        ("version", "such as 1.0"),
    ):
        place = f"<{flag}>"
        command.add_argument(f"--{flag}", required=True, metavar=place, help=told)
    command.add_argument(
        "--requirements_file",
        metavar="<requirements_file>",
        help="packages beside torch, if the model needs any",
    )
    command.add_argument(
        "--extra_files",
        metavar="<extra_files>",
        default="",
        help="an archive of sources, or files and directories with commas between",
    )
    command.add_argument(
        "-o", "--output", metavar="DIR", default=".", help="where to (%(default)s)"
    )


def _test(commands: _Commands) -> None:
    command = _command(
        commands, "test", "have a TorchServe of its own answer a model's golden cases"
    )
    command.set_defaults(command="test")
    _models(command, "+")
    _json(command)
    _registry(command)
    _torchserve(command)


def _publish(commands: _Commands) -> None:
    command = _command(
        commands, "publish", "release every version that the store does not have"
    )
    command.set_defaults(command="publish")
    _models(command, "*")
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be released"
    )
    _expect(command)
    _json(command)
    _registry(command)
    _store(command)


def _announce(commands: _Commands) -> None:
    command = _command(
        commands, "announce", "make tags and releases on GitHub of what is released"
    )
    command.set_defaults(command="announce")
    _models(command, "*")
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be announced"
    )
    _registry(command)
    _store(command)


def _summary(commands: _Commands) -> None:
    command = _command(
        commands, "summary", "write Markdown about models for the page of a pipeline"
    )
    command.set_defaults(command="summary")
    _models(command, "*")
    command.add_argument(
        "--report",
        metavar="FILE",
        help="what ms test --report wrote: tell of that, and nothing else",
    )
    command.add_argument(
        "--deleted",
        metavar="MODELS",
        default="",
        help="names of models that are there no more, with spaces between",
    )
    _base(command, "compare with the merge base of HEAD and REF, not with the store")
    _registry(command)
    _store(command)


def _expect(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--expect",
        metavar="DIGESTS",
        help="what ms build --json printed elsewhere; another archive is refused",
    )


def _store_commands(commands: _Commands) -> None:
    group = _command(commands, "store", "look at a store").add_subparsers(
        metavar="COMMAND", required=True
    )
    doctor = _command(
        group, "doctor", "find out what a store really enforces, by trying it"
    )
    doctor.set_defaults(command="store doctor")
    _json(doctor)
    _store(doctor)


def _sync(commands: _Commands) -> None:
    group = _command(
        commands, "sync", "make this host serve what its profile asks for"
    ).add_subparsers(metavar="COMMAND", required=True)
    plan = _command(group, "plan", "show what applying would do; touches nothing")
    plan.set_defaults(command="sync plan")
    plan.add_argument(
        "--exit-code",
        action="store_true",
        help="end with status 5 if there is something to do",
    )
    apply = _command(group, "apply", "do what the plan says")
    apply.set_defaults(command="sync apply")
    consent = apply.add_mutually_exclusive_group(required=True)
    consent.add_argument("--plan", metavar="DIGEST", help="the plan you reviewed")
    consent.add_argument("--yes", action="store_true", help="whatever the plan is")
    status = _command(group, "status", "show what the host serves")
    status.set_defaults(command="sync status")
    for command in (plan, apply):
        command.add_argument(
            "--allow-empty",
            action="store_true",
            help="let the profile take every model off the host",
        )
    for command in (plan, apply, status):
        _json(command)
        command.add_argument(
            "--profile",
            metavar="FILE",
            help=f"the host profile (${settings.PROFILE}, sync.yaml)",
        )
        _store(command)


def _demo(commands: _Commands) -> None:
    command = _command(
        commands,
        "demo",
        "the whole way: validate, build, publish, serve and ask every model",
    )
    command.set_defaults(command="demo")
    _registry(command)
    _torchserve(command)


def _models(command: argparse.ArgumentParser, count: str) -> None:
    text = (
        "names of models" if count == "+" else "names of models; all if none is given"
    )
    command.add_argument("models", metavar="MODEL", nargs=count, help=text)


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for a program to read")


def _registry(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--registry",
        metavar="DIR",
        help=f"the directory of the models (${settings.REGISTRY}, registry)",
    )


def _store(command: argparse.ArgumentParser) -> None:
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


def _torchserve(command: argparse.ArgumentParser) -> None:
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
    _work(command)


def _work(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--work",
        metavar="DIR",
        help=f"what a second run can use again (${settings.WORK}, .work)",
    )


def _port(text: str) -> int:
    port = int(text)
    if not 1024 <= port <= 65531:
        raise argparse.ArgumentTypeError(f"{port} is not between 1024 and 65531")
    return port
