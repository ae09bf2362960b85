"""A model.yaml, read as a document, and the findings that are expected of it."""

from model_servers.adapters.documents import load
from model_servers.core.findings import Code, Finding

MODEL = """\
schema: 1
name: tiny
version: "1.0.0"
summary: A model for tests.
license: Apache-2.0
maintainers: ["@model-servers"]
build:
  model_file: handler_model.py
  config_file: model-config.yaml
"""


def read(text, schema="model"):
    return load(text, schema=schema, path="model.yaml", shown_as="tiny/model.yaml")


def finding(where, line, column, message, *, fix="", code=Code.SHAPE):
    return Finding(
        path="tiny/model.yaml",
        where=where,
        line=line,
        column=column,
        code=code,
        message=message,
        fix=fix,
    )
