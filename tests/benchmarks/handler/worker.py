"""Runs one model as TorchServe's worker does, without the frontend, and times it.

A child process of `alone`: started in the model's directory, it takes commands as
lines of JSON and answers each with one. It uses TorchServe's own protocol, over a
socket that a whole batch is written to before the clock starts. The clock is the
process's CPU time, which other work on the machine does not add to.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

_BUFFER_BYTES = 4 * 2**20


def _field(value: bytes) -> bytes:
    return struct.pack("!i", len(value)) + value


def predict_message(body: bytes, content_type: str, count: int) -> bytes:
    """Write a batch as the frontend does (ts/protocol/otf_message_handler.py)."""
    headers = {
        "Host": "127.0.0.1:8080",
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
    }
    end = struct.pack("!i", -1)
    tail = b"".join(
        _field(name.encode()) + _field(value.encode())
        for name, value in headers.items()
    )
    tail += end + _field(b"body") + _field(content_type.encode()) + _field(body) + end
    requests = (_field(f"{index:036d}".encode()) + tail for index in range(count))
    return b"I" + b"".join(requests) + end


class Worker:
    """A loaded model, its socket, and the seconds spent in each stage."""

    def __init__(self, model: Path, body: bytes, content_type: str) -> None:
        import ts.service  # noqa: PLC0415 - the imports are measured
        from ts.metrics.metric_cache_yaml_impl import (  # noqa: PLC0415
            MetricsCacheYamlImpl,
        )
        from ts.model_loader import ModelLoaderFactory  # noqa: PLC0415
        from ts.protocol.otf_message_handler import retrieve_msg  # noqa: PLC0415

        self.modules_before = set(sys.modules)
        manifest = json.loads((model / "MAR-INF" / "MANIFEST.json").read_text())
        config = Path(ts.service.ts.__file__).parent / "configs" / "metrics.yaml"
        metrics = MetricsCacheYamlImpl(config_file_path=str(config))
        metrics.initialize_cache()
        metrics.model_name = model.name
        handler = manifest["model"]["handler"]
        loader = ModelLoaderFactory.get_model_loader()
        self.service = loader.load(
            model.name, str(model), handler, batch_size=1, metrics_cache=metrics
        )
        self.service.set_cl_socket(None)
        self.retrieve = retrieve_msg
        self.body, self.content_type = body, content_type
        self.spent = {"handler": 0.0, "encode": 0.0}
        self.returned: Any = None
        self.ours, self.theirs = socket.socketpair()
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self.ours.settimeout(0)
        self.service._entry_point = self._timed("handler", self.service._entry_point)
        ts.service.create_predict_response = self._timed(
            "encode", ts.service.create_predict_response
        )

    def _timed(self, stage: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            result = function(*args, **kwargs)
            self.spent[stage] += time.process_time() - started
            if stage == "handler":
                self.returned = result
            return result

        return call

    def run(self, count: int, batches: int) -> dict[str, float]:
        """Answer batches of *count* requests; microseconds a request by stage."""
        message = predict_message(self.body, self.content_type, count)
        self.spent = dict.fromkeys(self.spent, 0.0)
        decode = total = 0.0
        for _ in range(batches):
            self.ours.sendall(message)
            started = time.process_time()
            _, batch = self.retrieve(self.theirs)
            decoded = time.process_time()
            self.service.predict(batch)
            total += time.process_time() - started
            decode += decoded - started
        stages = {"decode": decode, **self.spent}
        stages["rest"] = total - sum(stages.values())
        stages["total"] = total
        return {name: s / batches / count * 1e6 for name, s in stages.items()}

    def answer(self) -> Any:
        """Give the first answer of the last batch as a client would read it."""
        first = self.returned[0]
        return json.loads(first) if isinstance(first, (bytes, bytearray)) else first

    def imported(self) -> list[str]:
        """List the packages, beside the standard library, that the model brought."""
        new = {
            name.partition(".")[0] for name in set(sys.modules) - self.modules_before
        }
        old = {name.partition(".")[0] for name in self.modules_before}
        own = {path.stem for path in Path().glob("*.py")}
        return sorted(new - old - own - sys.stdlib_module_names)


def main() -> None:
    model, body, content_type = Path.cwd(), Path(sys.argv[1]), sys.argv[2]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.path[0] = str(model)
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    worker = Worker(model, body.read_bytes(), content_type)
    for line in sys.stdin:
        command = json.loads(line)
        result: Any = worker.run(command["count"], command["batches"])
        if command.get("check"):
            result = {"answer": worker.answer(), "imported": worker.imported()}
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
