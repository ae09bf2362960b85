"""Answers constant bytes: what TorchServe itself can do with this body at best."""

ANSWER = b"[" + b",".join([b"0.0123456789"] * 10) + b"]"


def handle(data, context):
    return None if data is None else [ANSWER] * len(data)
