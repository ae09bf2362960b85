"""The model ``tiny`` of a checkout: as it is read, and what is found wrong."""

from model_servers.adapters.checkout import Checkout
from model_servers.core.findings import Finding
from model_servers.journeys.validate import validate


def read(directory):
    return Checkout(directory.parent).read(directory.name)


def findings(directory):
    return validate(Checkout(directory.parent), [directory.name])


def finding(code, path, message, *, where="", fix="", **place):
    return Finding(
        path=f"registry/tiny/{path}",
        where=where,
        code=code,
        message=message,
        fix=fix,
        **place,
    )
