"""TorchServe 0.12's management and inference API, with its traps taken care of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import urllib3

from model_servers.adapters.key_file import KeyFile
from model_servers.core.golden import Request
from model_servers.core.host import ServedVersion
from model_servers.core.names import Ref
from model_servers.core.soak import Counts, counts_of
from model_servers.core.tokens import Kind
from model_servers.errors import OutsideError

_PAGE = 100
"""The most models that TorchServe lists at once."""

_CONNECTIONS = 32
"""Kept open for those who ask many things at once."""

_TIMEOUT = urllib3.Timeout(connect=5, read=130)
"""Unregistering may take TorchServe's own ``unregister_model_timeout``, 120 s."""

_METRICS_TIMEOUT = urllib3.Timeout(connect=2, read=10)


class TorchServeApi:
    """A running TorchServe behind its two addresses."""

    def __init__(
        self,
        *,
        management: str,
        inference: str,
        ending: str = "",
        keys: KeyFile | None = None,
    ) -> None:
        """Take the addresses, and what the model store's entries end in.

        ``.mar`` for plain archives, which TorchServe unpacks itself; nothing for
        directories. Without *keys*, token authorization must be off.
        """
        self.address = management
        self._keys = keys
        self._ending = ending
        self._management = management.rstrip("/")
        self._inference = inference.rstrip("/")
        self._http = urllib3.PoolManager(
            timeout=_TIMEOUT,
            maxsize=_CONNECTIONS,
            # A repeated GET is harmless; a POST that was sent is never repeated.
            retries=urllib3.Retry(connect=0, read=0, redirect=0, status=0, other=0),
        )

    def served(self) -> dict[str, tuple[ServedVersion, ...]]:
        """Describe every registered version of every model."""
        names: list[str] = []
        start = "0"
        while start:
            page = self._get(
                f"/models?limit={_PAGE}&next_page_token={start}",
                "the models cannot be listed",
            )
            names += [model["modelName"] for model in page["models"]]
            start = page.get("nextPageToken", "")
        return {name: self.describe(name) for name in sorted(names)}

    def describe(self, name: str) -> tuple[ServedVersion, ...]:
        """Describe every registered version of one model; empty if there is none.

        TorchServe marks no version as the default; asked for a model without a
        version it describes that one.
        """
        path = f"/models/{quote(name, safe='')}"
        what = f"{name} cannot be described"
        every = self._get(f"{path}/all", what, absent=[])
        if not every:
            return ()
        default = self._get(path, what, absent=[{}])[0].get("modelVersion")
        return tuple(
            sorted(
                (_served(version, default) for version in every),
                key=lambda version: version.version,
            )
        )

    def register(self, ref: Ref) -> None:
        """Register the entry of *ref*, without waiting for its workers.

        Asynchronously, because TorchServe loads synchronous models on the threads
        that answer predictions; with query parameters, because a JSON body sets
        ``maxBatchDelay`` to -10000 (RegisterModelRequest.java:88). One worker
        starts where the model config does not say how many.
        """
        entry = quote(f"{ref.entry}{self._ending}", safe="")
        query = (
            f"url={entry}&model_name={quote(ref.name, safe='')}"
            "&initial_workers=1&synchronous=false"
        )
        self._send("POST", f"/models?{query}", f"cannot register {ref}")

    def scale(self, name: str, version: str, workers: int) -> None:
        """Ask for a number of workers; returns once those that must end have."""
        self._send(
            "PUT",
            f"{_path(name, version)}?min_worker={workers}&max_worker={workers}"
            f"&synchronous={'true' if workers == 0 else 'false'}",
            f"cannot scale {name}@{version}",
        )

    def set_default(self, ref: Ref) -> None:
        """Let *ref* answer requests that name no version."""
        self._send(
            "PUT",
            f"{_path(ref.name, str(ref.version))}/set-default",
            f"cannot make {ref} the default",
        )

    def unregister(self, name: str, version: str) -> None:
        """Take a version off the server; done if it is not there."""
        self._send(
            "DELETE",
            _path(name, version),
            f"cannot unregister {name}@{version}",
            accept=(404,),
        )

    def predict(self, ref: Ref, request: Request) -> tuple[int, bytes]:
        """Send a request to exactly this version: HTTP status and body.

        Raises:
            OutsideError: nothing answers at that address, or it is no inference API.
        """
        url = (
            f"{self._inference}/predictions/{quote(ref.name, safe='')}/"
            f"{quote(str(ref.version), safe='')}"
        )
        answer = self._request(
            "POST",
            url,
            kind=Kind.INFERENCE,
            body=request.body,
            headers={"Content-Type": request.content_type},
        )
        # Its other APIs say so, where the addresses in a host profile are mixed up.
        if answer.status == 404 and b'"ResourceNotFoundException"' in answer.data:
            raise OutsideError(
                f"{self._inference} is no inference API of TorchServe: "
                "it does not know /predictions",
                hint="correct torchserve.inference in the host profile",
            )
        return answer.status, answer.data

    def _get(self, path: str, what: str, *, absent: Any = None) -> Any:
        answer = self._request("GET", f"{self._management}{path}")
        if answer.status == 404 and absent is not None:
            return absent
        if answer.status == 404:
            raise OutsideError(
                f"{what}: nothing is known as {path} at {self._management}",
                hint=_OTHER_SERVER,
            )
        if answer.status != 200:
            raise _refusal(what, answer)
        return _json(answer.data, path)

    def _send(
        self, method: str, path: str, what: str, *, accept: tuple[int, ...] = ()
    ) -> None:
        answer = self._request(method, f"{self._management}{path}")
        if not 200 <= answer.status < 300 and answer.status not in accept:
            raise _refusal(what, answer)

    def _request(
        self,
        method: str,
        url: str,
        *,
        kind: Kind = Kind.MANAGEMENT,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Ask with a token if there are keys, and once more if it was refused.

        What was refused for its token has done nothing.
        """
        if self._keys is None:
            return self._exchange(method, url, body=body, headers=headers)
        token = self._keys.token(kind, renew=self._renew)
        sent = {**(headers or {}), **_bearer(token)}
        answer = self._exchange(method, url, body=body, headers=sent)
        if not _is_refused_token(answer):
            return answer
        token = self._keys.token_instead(kind, token, renew=self._renew)
        sent = {**(headers or {}), **_bearer(token)}
        return self._exchange(method, url, body=body, headers=sent)

    def _renew(self, kind: Kind, api_key: str) -> None:
        """Have TorchServe write a new key into its file; the old one is void."""
        url = f"{self._management}/token?type={kind.value}"
        answer = self._exchange("GET", url, headers=_bearer(api_key))
        if answer.status != 200:
            raise _refusal(f"cannot renew the {kind.value} key", answer)

    def _exchange(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._http.request(method, url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise OutsideError(
                f"TorchServe does not answer at {_origin(url)}: {_reason(error)}",
                hint="start TorchServe, or correct torchserve: in the host profile; "
                "`ms sync doctor` looks at both",
            ) from error


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _is_refused_token(answer: urllib3.BaseHTTPResponse) -> bool:
    """Tell a wrong or expired token, which is a 400 too, from a wrong request."""
    return answer.status == 400 and b"InvalidKeyException" in answer.data


class TorchServeMetrics:
    """What a TorchServe counts, behind its metrics address."""

    def __init__(self, address: str) -> None:
        self._url = f"{address.rstrip('/')}/metrics"
        self._http = urllib3.PoolManager(timeout=_METRICS_TIMEOUT, retries=False)

    def counts(self) -> Counts | None:
        """Count its requests; None if it does not tell, or is not there."""
        try:
            answer = self._http.request("GET", self._url)
        except urllib3.exceptions.HTTPError:
            return None
        if answer.status != 200:
            return None
        return counts_of(answer.data.decode(errors="replace"))


def _served(described: Mapping[str, Any], default: str | None) -> ServedVersion:
    workers = described.get("workers", [])
    return ServedVersion(
        version=described["modelVersion"],
        location=described["modelUrl"],
        is_default=described["modelVersion"] == default,
        workers_ready=sum(worker["status"] == "READY" for worker in workers),
        workers=int(described["minWorkers"]),
        batch_size=described["batchSize"],
        max_batch_delay_ms=described["maxBatchDelay"],
        response_timeout_s=described["responseTimeout"],
        pending_requests=described.get("jobQueueStatus", {}).get("pendingRequests", 0),
        pids=tuple(worker["pid"] for worker in workers if worker.get("pid", -1) > 0),
        device="gpu" if any(worker.get("gpu") for worker in workers) else "cpu",
        device_ids=tuple(described.get("deviceIds") or ()),
    )


def _path(name: str, version: str) -> str:
    return f"/models/{quote(name, safe='')}/{quote(version, safe='')}"


def _refusal(what: str, answer: urllib3.BaseHTTPResponse) -> OutsideError:
    try:
        message = json.loads(answer.data)["message"]
    except (ValueError, KeyError, TypeError):
        message = answer.data.decode(errors="replace")[:300]
    return OutsideError(
        f"{what}: TorchServe answered {answer.status}, {message.strip()}",
        hint=_HINTS.get(answer.status, "read TorchServe's log, ts_log.log"),
    )


_OTHER_SERVER = (
    "correct torchserve.management in the host profile; something else answers at that "
    "address"
)
_HINTS = {
    400: "token authorization may be on; name its key_file in the host profile, or "
    "start TorchServe with --disable-token-auth",
    404: "check that model_store in the host profile is the one TorchServe uses",
    405: "start TorchServe with --enable-model-api",
}


def _json(data: bytes, path: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise OutsideError(
            f"TorchServe answered {path} with no JSON", hint=_OTHER_SERVER
        ) from error


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    return str(inner).rpartition(": ")[2] or type(inner).__name__
