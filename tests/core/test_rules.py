"""Rules about meaning: each finding has its code, place, message and fix."""

import pytest

from core.contributions import (
    EXTRA,
    LETTERS,
    ROOT,
    SHA256,
    SIZE,
    SYSTEM,
    case,
    contribution,
    finding,
    found,
)
from model_servers.core.findings import Code


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param(
            {"model": {"name": "big"}},
            [
                finding(
                    Code.NAME,
                    "name is 'big', but the directory is 'tiny'",
                    where="name",
                    fix="write `name: tiny` or rename the directory",
                )
            ],
            id="another name than the directory's",
        ),
        pytest.param(
            {"name": "Tiny", "model": {"name": "Tiny"}},
            [
                finding(
                    Code.NAME,
                    f"'Tiny' cannot name a model: {LETTERS}",
                    where="name",
                    fix="choose another name, such as tiny, and rename the directory "
                    "to it",
                )
            ],
            id="a name that is not allowed",
        ),
        pytest.param(
            {"without": ["checkpoint.pt"]},
            [
                finding(
                    Code.MISSING_FILE,
                    f"'checkpoint.pt' does not exist in {ROOT}",
                    where="build.checkpoint_file",
                    fix="add the file, or correct the path",
                )
            ],
            id="a file that is not there",
        ),
        pytest.param(
            {"model": EXTRA},
            [
                finding(
                    Code.MISSING_FILE,
                    f"'library' does not exist in {ROOT}",
                    where="build.extra_files[0]",
                    fix="add the file, or correct the path",
                )
            ],
            id="an extra file that is not there",
        ),
        *(
            pytest.param(
                {"model": {"build": {"extra_files": [path]}}},
                [
                    finding(
                        Code.OUTSIDE_MODEL,
                        f"{path!r} leaves the model's directory",
                        where="build.extra_files[0]",
                        fix=f"copy the file into {ROOT}/ and name it here",
                    )
                ],
                id=f"the path {path} leaves",
            )
            for path in ("../other/a.py", "/etc/passwd", "..", ".", "a/../../b")
        ),
        *(
            pytest.param(
                {
                    "files": ["library/a.py"],
                    "model": {"build": {"extra_files": [path]}},
                },
                [
                    finding(
                        Code.SHAPE,
                        f"found the path {path!r}, expected 'library'",
                        where="build.extra_files[0]",
                        fix="write library",
                    )
                ],
                id=f"the path {path} is not plain",
            )
            for path in ("library/", "./library", "library/../library")
        ),
        pytest.param(
            {"model": {"golden": "golden/"}},
            [
                finding(
                    Code.SHAPE,
                    "found the path 'golden/', expected 'golden'",
                    where="golden",
                    fix="write golden",
                ),
            ],
            id="a golden directory with a slash",
        ),
        pytest.param(
            {"model_source": "print('hello')\n"},
            [
                finding(
                    Code.NO_HANDLER,
                    "the model file never calls handler_factory",
                    path="handler_model.py",
                    fix="end it with "
                    "`handler = handler_factory(init_function=init_function)`",
                )
            ],
            id="no handler",
        ),
        pytest.param(
            {"model_source": "x = 1\ndef f(:\n"},
            [
                finding(
                    Code.NO_HANDLER,
                    "the model file is not Python: invalid syntax",
                    path="handler_model.py",
                    line=2,
                    fix="correct the syntax",
                )
            ],
            id="no Python",
        ),
        pytest.param(
            {
                "model": {"build": {"requirements_file": "requirements.txt"}},
                "files": ["requirements.txt"],
                "requirements": "numpy==2.2.6\n torch >= 2\nTorchVision==1\n",
            },
            [
                finding(
                    Code.REQUIREMENTS,
                    f"{name} is brought by the serving environment",
                    path="requirements.txt",
                    line=line,
                    fix="remove the line",
                )
                for line, name in ((2, "torch"), (3, "torchvision"))
            ],
            id="requirements that the host brings",
        ),
        pytest.param(
            {"model": {"checkpoint": {"sha256": SHA256, "size": 11}}},
            [
                finding(
                    Code.CHECKPOINT,
                    "'checkpoint.pt' has 10 bytes, model.yaml declares 11",
                    where="checkpoint.size",
                    fix="restore the checkpoint, or declare its size: ms lock tiny",
                )
            ],
            id="a checkpoint of another size",
        ),
        pytest.param(
            {"model": {"checkpoint": {"sha256": "00" * 32, "size": SIZE}}},
            [
                finding(
                    Code.CHECKPOINT,
                    f"'checkpoint.pt' has sha256 {SHA256}, model.yaml declares "
                    + "00" * 32,
                    where="checkpoint.sha256",
                    fix="restore the checkpoint, or declare its sha256: ms lock tiny",
                )
            ],
            id="another checkpoint",
        ),
        pytest.param(
            {"without": ["golden/case.yaml"]},
            [
                finding(
                    Code.GOLDEN,
                    "there is no golden case in 'golden'",
                    fix="record a request and its answer in golden/<case>.yaml: "
                    "ms golden tiny --add CASE --body JSON",
                )
            ],
            id="no golden case",
        ),
        pytest.param(
            {"files": ["golden/other.yml"]},
            [
                finding(
                    Code.GOLDEN,
                    "the case does not end in .yaml, so nobody asks it",
                    path="golden/other.yml",
                    fix="rename it to golden/other.yaml",
                )
            ],
            id="a golden case with another ending",
        ),
        pytest.param(
            {"files": ["golden/deep/case.yaml"]},
            [
                finding(
                    Code.GOLDEN,
                    "the case is not directly in 'golden', so nobody asks it",
                    path="golden/deep/case.yaml",
                    fix=f"move it to {ROOT}/golden/",
                )
            ],
            id="a golden case that no host would see",
        ),
        pytest.param(
            {"golden": (case(json=None, file="cat.png"),)},
            [
                finding(
                    Code.GOLDEN,
                    "'cat.png' does not stand beside the case",
                    path="golden/case.yaml",
                    where="request.file",
                    line=4,
                    column=3,
                    fix=f"add {ROOT}/golden/cat.png, or correct the name",
                )
            ],
            id="a golden case without its request",
        ),
        pytest.param(
            {"config": SYSTEM},
            [
                finding(
                    Code.EXTRA_FILES,
                    "build.extra_files lists nothing for system.extraFiles "
                    "'library.tar.gz'",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="list the files of the archive in build.extra_files of "
                    "model.yaml",
                )
            ],
            id="an archive of nothing",
        ),
        pytest.param(
            {
                "files": ["library/a.py", "library.tar.gz"],
                "model": EXTRA,
                "config": SYSTEM,
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "'library.tar.gz' exists, but build.extra_files does not list it",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="list library.tar.gz in build.extra_files, or delete it to "
                    "have it built",
                )
            ],
            id="an archive that would be left out",
        ),
        pytest.param(
            {
                "files": ["library/a.py"],
                "model": EXTRA,
                "config": {"system": {"extraFiles": "library.zip"}},
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "the build cannot make 'library.zip'; it makes .tar.gz, .tgz, .tar",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="add library.zip to the directory, or name a .tar.gz",
                )
            ],
            id="an archive that cannot be made",
        ),
        pytest.param(
            {
                "files": ["library/a.py"],
                "model": EXTRA,
                "config": {"system": {"extraFiles": ["a.tar", "b.tar"]}},
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "a.tar, b.tar do not exist; the build makes at most one archive",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="name one archive for build.extra_files, or add the others",
                )
            ],
            id="two archives to be made",
        ),
        pytest.param(
            {
                "files": ["library.tar.gz"],
                "model": {"build": {"extra_files": ["library.tar.gz"]}},
                "config": {"system": {"extraFiles": "test.tar.gz"}},
            },
            [
                finding(
                    Code.EXTRA_FILES,
                    "'test.tar.gz' does not exist, and would be an archive of "
                    "library.tar.gz",
                    path="model-config.yaml",
                    where="system.extraFiles",
                    fix="name library.tar.gz in system.extraFiles",
                )
            ],
            id="an archive of another name",
        ),
        pytest.param(
            {"model": {"build": {"extra_files": ["handler_model.py"]}}},
            [
                finding(
                    Code.COLLISION,
                    "'handler_model.py' would stand 2 times in the archive: from "
                    "handler_model.py and handler_model.py",
                    where="build",
                    fix="rename one of the files",
                )
            ],
            id="two files in one place",
        ),
        pytest.param(
            {
                "files": ["base_handler.py", "mar-inf/MANIFEST.json", "source.py"],
                "model": {"build": {"extra_files": ["base_handler.py", "mar-inf"]}},
            },
            [
                finding(
                    Code.COLLISION,
                    "'MAR-INF/MANIFEST.json' would stand 2 times in the archive: from "
                    "the manifest and mar-inf/MANIFEST.json",
                    where="build",
                    fix="rename one of the files",
                ),
                finding(
                    Code.COLLISION,
                    "'base_handler.py' would stand 2 times in the archive: from "
                    "the shared handler and base_handler.py",
                    where="build",
                    fix="rename one of the files",
                ),
            ],
            id="places that are taken",
        ),
        pytest.param(
            {
                "files": ["model_servers_handler/errors.py"],
                "model": {"build": {"extra_files": ["model_servers_handler"]}},
            },
            [
                finding(
                    Code.COLLISION,
                    "'model_servers_handler' would stand 2 times in the archive: from "
                    "the shared handler and model_servers_handler/errors.py",
                    where="build",
                    fix="rename one of the files",
                )
            ],
            id="the shared handler's package",
        ),
        pytest.param(
            {
                "files": ["a/x.tar", "library/a.py"],
                "model": {
                    "build": {
                        "extra_files": ["library"],
                        "requirements_file": "a/x.tar",
                    }
                },
                "config": {"system": {"extraFiles": "x.tar"}},
            },
            [
                finding(
                    Code.COLLISION,
                    "'x.tar' would stand 2 times in the archive: from "
                    "a/x.tar and system.extraFiles",
                    where="build",
                    fix="rename one of the files",
                )
            ],
            id="the archive of sources and a file",
        ),
    ],
)
def test_what_makes_no_sense_is_found(parts, expected):
    assert found(contribution(**parts)) == expected
