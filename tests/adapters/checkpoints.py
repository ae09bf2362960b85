"""Checkpoints as torch writes them, and as nobody should."""

import io
import json
import pickle
import warnings
import zipfile

import torch

from model_servers.adapters import checkpoint_file


class Network(torch.nn.Module):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.first = torch.nn.Linear(3, 4, dtype=dtype)
        self.second = torch.nn.BatchNorm1d(4, dtype=dtype)

    def forward(self, x):
        return self.second(self.first(x))


def tied():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    network[1].weight = network[0].weight
    return network.state_dict()


STATES = {
    "float32": Network().state_dict(),
    "bfloat16": Network(torch.bfloat16).state_dict(),
    "tied": tied(),
    "empty": {},
    "a view": {"half": torch.arange(12.0).reshape(3, 4).t()[1:]},
    "no numbers": {"none": torch.empty(0, 3), "scalar": torch.tensor(1)},
    "parameters": dict(Network().named_parameters()),
    "other dtypes": {
        str(dtype): torch.zeros(2, dtype=dtype)
        for dtype in (torch.int8, torch.bool, torch.complex64, torch.uint16)
    },
    "float8": {"a": torch.zeros(2, dtype=torch.float8_e4m3fn)},
    "sparse": {"s": torch.eye(3).to_sparse()},
}


WRITERS = {
    "zip": {},
    "legacy": {"_use_new_zipfile_serialization": False},
    "protocol 4": {"pickle_protocol": 4},
    "legacy, protocol 3": {
        "pickle_protocol": 3,
        "_use_new_zipfile_serialization": False,
    },
}


def saved(path, value, writer="zip"):
    torch.save(value, path, **WRITERS[writer])
    return path


def loaded(path):
    """Give what torch reads with weights_only, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 - torch raises what comes
            return None


def facts_of(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    return checkpoint_file.read(path)


def zipped(data, *, compression=zipfile.ZIP_STORED, **more):
    buffer = io.BytesIO()
    members = {"data.pkl": data, "version": b"3\n", **more}
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def in_legacy(data):
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    return b"".join([*head, data, pickle.dumps([], 2)])


def header(document, data=b""):
    document = (
        document if isinstance(document, bytes) else json.dumps(document).encode()
    )
    return len(document).to_bytes(8, "little") + document + data
