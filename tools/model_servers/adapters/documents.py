"""Documents: strict YAML, JSON Schema, and findings that say where and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from model_servers.adapters.schemas import SCHEMA_NUMBER, violations
from model_servers.adapters.strict_yaml import UnreadableError, parse
from model_servers.core.contribution import Document
from model_servers.core.findings import Code, Finding

__all__ = ["SCHEMA_NUMBER", "UnreadableError", "load", "parse", "violations"]


def load(
    text: str, *, schema: str, path: str, shown_as: str
) -> tuple[Document | None, list[Finding]]:
    """Read one document and check it against its schema.

    Args:
        text: of the file.
        schema: its name, such as ``model``.
        path: relative to the model's directory, for the document.
        shown_as: the path that findings name.

    Returns:
        The document, or None and what is wrong with it: all of it.
    """
    try:
        data, places = parse(text)
    except UnreadableError as error:
        return None, [
            Finding(
                path=shown_as,
                line=error.line,
                column=error.column,
                code=Code.UNREADABLE,
                message=str(error),
                fix=error.fix,
            )
        ]
    findings = [
        Finding(
            path=shown_as,
            where=where,
            line=_place(places, where)[0],
            column=_place(places, where)[1],
            code=code,
            message=message,
            fix=fix,
        )
        for code, where, message, fix in violations(data, schema=schema)
    ]
    if findings:
        return None, findings
    return Document(path=path, data=data, places=places), []


def _place(places: Mapping[str, tuple[int, int]], where: str) -> tuple[int, int]:
    """Find a place, or the nearest one around it that the document has."""
    while where not in places and where:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return places.get(where, (1, 1))
