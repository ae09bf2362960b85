"""Failures of the disk are told with who can mend them."""

from __future__ import annotations

import errno
import getpass
from pathlib import Path

import pytest

from model_servers.adapters import disk
from model_servers.errors import OutsideError


@pytest.mark.parametrize("name", ["memory.json", "not/there/memory.json"])
def test_whose_folder_it_is_is_told_where_permission_is_denied(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(OutsideError) as caught, disk.failures("the model store"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / name))

    assert str(caught.value) == (
        f"the model store failed: [Errno 13] Permission denied: '{tmp_path / name}'"
    )
    user = getpass.getuser()
    assert caught.value.hint == f"run it as {user}, or correct the folder's permissions"


def test_nobody_is_named_for_a_file_whose_folder_is_not_known() -> None:
    with pytest.raises(OutsideError) as caught, disk.failures("the model store"):
        raise PermissionError(errno.EACCES, "Permission denied", "checkpoint.pt")

    assert caught.value.hint == (
        "run it as the folder's owner, or correct the folder's permissions"
    )


def test_a_full_disk_is_told_with_how_to_make_room() -> None:
    with pytest.raises(OutsideError) as caught, disk.failures("the model store"):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert "`ms sync prune` shows how" in caught.value.hint
