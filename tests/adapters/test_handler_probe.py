"""What loading a model in a process of its own tells, and what it cannot do."""

import importlib.util
import io
import os
import subprocess
import sys
import threading
import time

import pytest
import torch

import zoo
from model_servers.adapters import handler_probe
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.handler_probe import SubprocessProbe
from model_servers.core.findings import Code
from model_servers.core.probe import Failed, Loaded, NotChecked, ProbeOrder, Stage
from model_servers.errors import OutsideError
from model_servers.journeys.validate import Probing, validate

NETWORK = """\
import torch
from base_handler import handler_factory


def init_function():
    return torch.nn.Linear(2, 3)


handler = handler_factory(init_function=init_function)
"""


def saved(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture
def registry(tmp_path):
    return tmp_path / "registry"


@pytest.fixture
def probed(registry):
    """Probe a model of which some files are different."""

    def probe(*, time_limit_s=120, **parts):
        directory = zoo.make_model(registry, **parts)
        checkout = Checkout(registry)
        order = ProbeOrder.of(checkout.read(directory.name))
        return SubprocessProbe(time_limit_s).probe(
            order, locate=lambda path: checkout.path(directory.name, path)
        )

    return probe


def source(*, top="", init="return lambda batch: batch", more=""):
    return (
        f"from base_handler import handler_factory\n{top}\n"
        f"def init_function():\n    {init}\n"
        f"handler = handler_factory(init_function=init_function{more})\n"
    )


@pytest.mark.parametrize("variant", zoo.VARIANTS, ids=str)
def test_every_kind_of_valid_model_can_be_loaded(probed, variant):
    report = probed(files=variant.files, model=variant.model, config=variant.config)

    assert report == Loaded()


def test_a_packed_source_archive_is_unpacked_before_the_import(probed):
    files = {
        **zoo.SOURCES,
        "handler_model.py": source(top="import library.deep.numbers"),
    }

    report = probed(
        files=files,
        model={"build": {"extra_files": ["library"]}},
        config={"system": {"extraFiles": "library.tar.gz"}},
    )

    assert report == Loaded()


def test_a_module_that_is_not_packed_is_not_there(probed):
    """Though it stands in the model's directory."""
    files = {"network.py": "", "handler_model.py": source(top="import network")}

    report = probed(files=files)

    assert report.stage is Stage.IMPORT
    assert "No module named 'network'" in report.reason
    assert "requirements.txt" in report.reason


@pytest.mark.parametrize(
    ("parts", "stage", "reason"),
    [
        pytest.param({"top": "1 / 0"}, Stage.IMPORT, "ZeroDivisionError", id="raises"),
        pytest.param(
            {"top": "raise SystemExit(0)"}, Stage.IMPORT, "SystemExit", id="exits"
        ),
        pytest.param(
            {"top": "import os; os._exit(0)"}, Stage.IMPORT, "status 0", id="dies"
        ),
        pytest.param(
            {"top": "import os; os.abort()"}, Stage.IMPORT, "signal 6", id="aborts"
        ),
        pytest.param({"init": "return 3"}, Stage.INIT, "returned int", id="no model"),
        pytest.param({"init": "raise KeyError(1)"}, Stage.INIT, "KeyError", id="init"),
        pytest.param(
            {"more": ", size=3"},
            Stage.BIND,
            "init_function cannot be called",
            id="more",
        ),
        pytest.param(
            {"more": ", preprocess_function=lambda: 1"},
            Stage.BIND,
            "preprocess_function cannot be called",
            id="no sample",
        ),
    ],
)
def test_what_fails_is_told_in_the_handler_s_words(probed, parts, stage, reason):
    report = probed(files={"handler_model.py": source(**parts)})

    assert isinstance(report, Failed)
    assert report.stage is stage
    assert reason in report.reason


def test_every_difference_of_a_checkpoint_is_a_finding_of_its_own(registry):
    state = {"weihgt": torch.ones(3, 2), "bias": torch.ones(4)}
    zoo.make_model(
        registry, files={"handler_model.py": NETWORK, "checkpoint.pt": saved(state)}
    )

    found = found_in(registry)

    assert [(one.path, one.code) for one in found] == [
        ("registry/tiny/checkpoint.pt", Code.WRONG_WEIGHTS)
    ] * 3
    assert sorted(one.message.partition(": ")[2] for one in found) == [
        "missing weight (nearest: weihgt)",
        "shape of bias: expected [3], found [4]",
        "unexpected weihgt (nearest: weight)",
    ]


def found_in(registry, notes=None, **probing):
    names = Checkout(registry).names()
    return validate(
        Checkout(registry),
        names,
        probing=Probing(
            probe=SubprocessProbe(),
            processes=2,
            not_checked=pytest.fail if notes is None else notes.append,
        ),
    )


def test_weights_that_fit_are_loaded_also_where_the_dtype_is_converted(probed):
    state = torch.nn.Linear(2, 3, dtype=torch.bfloat16).state_dict()

    report = probed(files={"handler_model.py": NETWORK, "checkpoint.pt": saved(state)})

    assert report == Loaded()


def test_a_requirement_that_is_not_installed_here_is_no_finding(registry):
    zoo.make_model(
        registry,
        files={
            "requirements.txt": "not-installed-anywhere==1.0\n",
            "handler_model.py": source(top="import not_installed_anywhere"),
        },
        model={"build": {"requirements_file": "requirements.txt"}},
    )
    notes = []

    assert found_in(registry, notes) == []
    (note,) = notes
    assert note == (
        "tiny: its code is not checked: not-installed-anywhere of its requirements is"
        " not installed here"
    )


def test_what_the_author_would_install_is_not_installed(probed, tmp_path):
    marker = tmp_path / "installed"
    report = probed(
        files={
            "handler_model.py": source(
                top=f"def install():\n    open({str(marker)!r}, 'w')",
                init="import something_installed",
                more=", install_packages=install, unpack_dependencies=install",
            )
        }
    )

    assert report == NotChecked(
        "init_function may need what install_packages would install"
    )
    assert not marker.exists()


@pytest.mark.parametrize("where", ["top", "init"])
def test_a_gpu_that_is_not_here_is_no_finding(probed, where):
    where = {where: "raise RuntimeError('Found no NVIDIA driver')"}

    report = probed(files={"handler_model.py": source(**where)})

    assert report == NotChecked("it needs a GPU") or torch.cuda.is_available()


def test_without_torch_a_single_note_says_so(registry, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    for name in ("a", "b", "c", "d"):
        zoo.make_model(registry, name)
    notes = []

    assert found_in(registry, notes) == []
    assert notes == [
        (
            "a, b, c and 1 more: their code is not checked: torch is not installed"
            " here; install it, or leave this to --static"
        )
    ]


def test_no_credentials_and_no_home_can_be_seen(probed, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    home = os.environ["HOME"]
    top = (
        "import os, sys\n"
        "assert not [name for name in os.environ if name.startswith('AWS_')]\n"
        "assert 'PYTHONPATH' not in os.environ and '/somewhere' not in sys.path\n"
        f"assert os.path.expanduser('~') != {home!r}\n"
        "assert os.path.realpath(os.getcwd()) == os.path.realpath(sys.path[0])"
    )

    assert probed(files={"handler_model.py": source(top=top)}) == Loaded()


def test_the_tool_itself_is_not_there_as_hosts_need_not_have_it(probed):
    report = probed(files={"handler_model.py": source(top="import model_servers")})

    assert isinstance(report, Failed)
    assert "model_servers" in report.reason


@pytest.mark.parametrize(
    "instead",
    [
        pytest.param("os.mkfifo(report)", id="a pipe that nobody writes"),
        pytest.param("os.symlink('/dev/zero', report)", id="a link without end"),
        pytest.param("open(report, 'w').write('[' * 900_000)", id="deep JSON"),
        pytest.param("open(report, 'w').write('[]')", id="other JSON"),
        pytest.param("os.mkdir(report)", id="a directory"),
    ],
)
def test_something_else_in_the_report_s_place_is_no_report(probed, instead):
    top = (
        "import os, sys\n"
        "report = os.path.join(sys.argv[1], 'report.json')\n"
        f"os.unlink(report)\n{instead}\nos._exit(0)"
    )

    report = probed(files={"handler_model.py": source(top=top)})

    assert report == NotChecked("its process left no report")


def test_what_the_code_prints_is_not_taken_for_a_report(probed):
    told = '{"stage": "weights", "outcome": "loaded", "reason": ""}'
    top = f"print({told!r}, flush=True)\nraise ValueError(3)"

    report = probed(files={"handler_model.py": source(top=top)})

    assert isinstance(report, Failed)


def test_threads_of_the_model_are_not_waited_for(probed):
    top = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1000,)).start()"
    )

    assert probed(files={"handler_model.py": source(top=top)}) == Loaded()


def test_a_python_that_cannot_be_started_is_an_outside_error(probed, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(OutsideError) as caught:
        probed()
    assert "--static" in caught.value.hint


def test_output_without_end_is_not_kept(probed):
    top = "import sys\nfor _ in range(2000): print('x' * 10000, file=sys.stderr)"

    assert probed(files={"handler_model.py": source(top=top)}) == Loaded()


def test_a_message_of_any_length_is_bounded(probed):
    top = "raise ValueError('x' * 10_000_000)"

    report = probed(files={"handler_model.py": source(top=top)})

    assert isinstance(report, Failed)
    assert len(report.reason) <= 100_000


def test_code_that_never_ends_is_ended_with_what_it_started(probed, tmp_path):
    pid = tmp_path / "pid"
    top = (
        "import subprocess\n"
        "sleeping = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(pid)!r}, 'w').write(str(sleeping.pid))\n"
        "sleeping.wait()"
    )

    report = probed(time_limit_s=5, files={"handler_model.py": source(top=top)})

    assert report == Failed(Stage.IMPORT, "it was not done after 5 s of import")
    assert has_ended(int(pid.read_text()))


def has_ended(pid):
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return state.stdout.strip() == "" or state.stdout.startswith("Z")


def test_stopping_ends_what_is_running(registry, tmp_path):
    started = tmp_path / "started"
    top = f"import time\nopen({str(started)!r}, 'w')\ntime.sleep(1000)"
    zoo.make_model(registry, files={"handler_model.py": source(top=top)})
    checkout, probe = Checkout(registry), SubprocessProbe()
    reports = []
    order = ProbeOrder.of(checkout.read("tiny"))
    thread = threading.Thread(
        target=lambda: reports.append(
            probe.probe(order, locate=lambda path: checkout.path("tiny", path))
        )
    )
    thread.start()
    while not started.exists():
        time.sleep(0.05)

    probe.stop()
    thread.join(30)

    assert isinstance(reports[0], NotChecked)
    assert probe.probe(order, locate=checkout.path) == NotChecked("it was interrupted")


def test_nothing_stays_behind(probed, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))

    assert probed() == Loaded()
    assert list(folder.iterdir()) == []
    assert not list((tmp_path / "registry").rglob("__pycache__"))


def test_findings_of_several_models_come_in_their_order(registry):
    for number in range(3):
        top = f"import nowhere_{number}, time; time.sleep({(2 - number) / 10})"
        zoo.make_model(
            registry, f"model_{number}", files={"handler_model.py": source(top=top)}
        )

    found = found_in(registry)

    assert [one.path.split("/")[1] for one in found] == [
        "model_0",
        "model_1",
        "model_2",
    ]
    assert {one.code for one in found} == {Code.NOT_IMPORTABLE}


def test_a_model_with_findings_is_not_imported(registry, tmp_path):
    marker = tmp_path / "imported"
    zoo.make_model(
        registry,
        files={"handler_model.py": source(top=f"open({str(marker)!r}, 'w')")},
        model={"license": None},
    )

    assert [one.code for one in found_in(registry)] == [Code.SHAPE]
    assert not marker.exists()


def test_the_program_needs_nothing_of_the_tool():
    spec = importlib.util.spec_from_file_location("probed", handler_probe._PROGRAM)
    assert "model_servers." not in spec.loader.get_source("probed")
