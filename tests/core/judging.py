"""Models of the zoo, judged by the rules."""

import zoo
from model_servers.adapters.checkout import Checkout
from model_servers.journeys.validate import validate


def found(tmp_path, *, released=(), **parts):
    """Validate one model: (code, path in it, line, message) of each finding."""
    zoo.make_model(tmp_path / "registry", **parts)
    findings = validate(Checkout(tmp_path / "registry"), ["tiny"], released=released)
    return [
        (one.code, one.path.removeprefix("registry/tiny/"), one.line, one.message)
        for one in findings
    ]


def codes(tmp_path, **parts):
    return [one[0] for one in found(tmp_path, **parts)]
