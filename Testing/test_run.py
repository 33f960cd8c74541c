"""What run.py decides, without installing anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import run

PYTEST = ["-m", "pytest", *run.PLUGINS, *run.IN_PROCESSES]


def fake_environment(folder):
    os.makedirs(os.path.dirname(run.python_of(folder)))
    os.symlink(sys.executable, run.python_of(folder))
    return folder


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An empty environment and requirements of its own, in place of the repository's."""
    for name in ("REQUIREMENTS", "CONSTRAINTS", "DESCRIPTION"):
        path = tmp_path / (name + ".txt")
        path.write_text("torch==1.2.3\n")
        monkeypatch.setattr(run, name, str(path))
    monkeypatch.setattr(run, "VENV", fake_environment(str(tmp_path / "venv")))
    return run.VENV


@pytest.fixture
def no_work(monkeypatch):
    """Nothing is installed, nothing runs; what would have been is listed."""
    done = []
    monkeypatch.setattr(run, "install", lambda: done.append("install"))
    monkeypatch.setattr(run, "link_command", lambda: done.append("link"))
    monkeypatch.setattr(run, "check_libraries", lambda: done.append("check"))
    monkeypatch.setattr(run.subprocess, "call", lambda command, **options: done.append(command[1:]) or 0)
    return done


def test_only_a_finished_installation_of_these_requirements_counts(environment, no_work):
    run.main(["test"])
    assert no_work == ["install", "link", "check", PYTEST]
    run.put_stamp(environment, run.INSTALLED)
    run.put_stamp(environment, run.LINKED)
    no_work.clear()
    run.main(["test"])
    assert no_work == ["check", PYTEST]
    run.put_stamp(environment, run.LOADED)
    no_work.clear()
    run.main(["test", "-k", "grid"])
    assert no_work == [[*PYTEST, "-k", "grid"]]
    with open(run.CONSTRAINTS, "a") as file:
        file.write("numpy==1.0\n")
    no_work.clear()
    run.main(["test"])
    assert no_work == ["install", "link", "check", PYTEST]


def test_a_moved_repository_or_a_new_description_links_the_command_again(environment, no_work, monkeypatch):
    for name in (run.INSTALLED, run.LINKED, run.LOADED):
        run.put_stamp(environment, name)
    run.main(["test"])
    assert no_work == [PYTEST]
    no_work.clear()
    with open(run.DESCRIPTION, "a") as file:
        file.write("# new\n")
    run.main(["test"])
    assert no_work == ["link", PYTEST]
    run.put_stamp(environment, run.LINKED)
    no_work.clear()
    monkeypatch.setattr(run, "ROOT", run.ROOT + "-moved")
    run.main(["test"])
    assert no_work == ["link", PYTEST]


def test_exploring_draws_new_examples_and_takes_arguments_of_pytest(environment, no_work):
    for name in (run.INSTALLED, run.LINKED, run.LOADED):
        run.put_stamp(environment, name)
    run.main(["explore", "-k", "grid"])
    assert no_work == [[*PYTEST, "--hypothesis-profile=explore", "-m", "hypothesis", "-k", "grid"]]


def test_an_environment_whose_python_is_gone_does_not_count(environment):
    run.put_stamp(environment, run.INSTALLED)
    assert run.has_stamp(environment, run.INSTALLED)
    os.remove(run.python_of(environment))
    assert not run.has_stamp(environment, run.INSTALLED)


def test_other_commands_are_explained(no_work, capsys):
    assert run.main([]) == 2
    assert run.main(["tset"]) == 2
    assert "run.py demo" in capsys.readouterr().err
    assert no_work == []


def test_the_exit_status_is_that_of_the_command(environment, no_work, monkeypatch):
    monkeypatch.setattr(run.subprocess, "call", lambda command, **options: 5)
    assert run.main(["demo"]) == 5


def test_the_running_python_is_found_once_with_its_version(monkeypatch):
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable))
    monkeypatch.setenv("PYENV_ROOT", os.devnull)
    here = ".".join(map(str, sys.version_info[:2]))
    assert [one.version for one in run.interpreters()] == [here]


def test_a_path_that_does_not_run_is_no_python(tmp_path):
    broken = tmp_path / "python3.11"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    assert run.examine(str(broken)) is None
    assert run.examine(str(tmp_path / "absent")) is None


def test_pythons_are_tried_in_order_and_unfit_ones_left_out(monkeypatch):
    paths = ["old", "310", "312", "311", "311"]
    known = {
        "old": run.Interpreter("3.9", True, "old"),
        "310": run.Interpreter("3.10", True, "310"),
        "311": run.Interpreter("3.11", True, "311"),
        "312": run.Interpreter("3.12", False, "312"),
    }
    monkeypatch.setattr(run, "candidate_paths", lambda: paths)
    monkeypatch.setattr(run, "examine", known.get)
    assert [one.executable for one in run.fitting(run.interpreters())] == ["311", "310"]


def test_no_fitting_python_names_what_was_seen_and_what_is_needed():
    with pytest.raises(run.TroubleError, match=r"3\.10, 3\.11, 3\.12 or 3\.13.*\n?.*3\.8 \(/usr/bin/python3\)"):
        run.fitting([run.Interpreter("3.8", True, "/usr/bin/python3")])


def test_a_python_without_venv_names_the_package_that_brings_it():
    with pytest.raises(run.TroubleError, match=r"apt-get install .*python3-venv"):
        run.fitting([run.Interpreter("3.11", False, "/usr/bin/python3")])


def pip_that_says(monkeypatch, complaint):
    script = f"import sys; sys.stderr.write({complaint!r}); sys.exit(1)"
    start = subprocess.Popen
    monkeypatch.setattr(
        run.subprocess, "Popen", lambda command, **options: start([sys.executable, "-c", script], **options)
    )


def test_no_network_stops_at_once(environment, monkeypatch):
    pip_that_says(
        monkeypatch,
        "WARNING: Retrying after connection broken by 'NewConnectionError(...): Temporary failure in name resolution'\n"
        "ERROR: No matching distribution found for torch==1.2.3\n",
    )
    with pytest.raises(run.TroubleError, match=r"network[\s\S]*Temporary failure"):
        run.pip_install(environment, ["torch==1.2.3"])


def test_a_missing_build_moves_on_to_the_next_python(environment, monkeypatch):
    pip_that_says(monkeypatch, "ERROR: No matching distribution found for torch==1.2.3+cpu\n")
    assert run.pip_install(environment, []) == "there is no build of torch==1.2.3+cpu"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_processor_build_of_torch_is_preferred_where_there_are_others(monkeypatch, platform):
    pythons = [run.Interpreter(version, True, version) for version in ("3.11", "3.12")]
    tried = []

    def build(interpreter, processor_only):
        tried.append((interpreter.version, processor_only))
        return None if (interpreter.version, processor_only) == ("3.12", False) else "there is no build of torch"

    monkeypatch.setattr(run, "interpreters", lambda: pythons)
    monkeypatch.setattr(run, "build", build)
    monkeypatch.setattr(run.sys, "platform", platform)
    run.install()
    general = [("3.11", False), ("3.12", False)]
    assert tried == ([("3.11", True), ("3.12", True), *general] if platform == "linux" else general)


def test_when_no_python_works_every_reason_is_told(monkeypatch):
    monkeypatch.setattr(run, "interpreters", lambda: [run.Interpreter("3.13", True, "/opt/python")])
    monkeypatch.setattr(run, "build", lambda interpreter, processor_only: "there is no build of slicer-core")
    with pytest.raises(run.TroubleError, match=r"3\.13: there is no build of slicer-core"):
        run.install()


def test_an_interrupted_installation_leaves_no_stamp(environment, monkeypatch):
    monkeypatch.setattr(run, "output_of", lambda command, **options: (0, ""))

    def interrupted(where, arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "pip_install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.build(run.Interpreter("3.11", True, sys.executable), False)
    assert not run.has_stamp(environment, run.INSTALLED)


def test_a_missing_library_names_the_command_that_installs_it():
    said = "ImportError: libEGL.so.1: cannot open shared object file: No such file or directory"
    advice = run.library_advice(said, True)
    assert "libEGL.so.1" in advice
    assert all(package in advice for package in ("apt-get install", "libegl1", "libgl1", "libxkbcommon0"))
    assert "apt-get" not in run.library_advice(said, False)
    assert "package manager" in run.library_advice(said, False)


def test_another_failure_of_qt_is_shown_as_it_is():
    assert "Illegal instruction" in run.library_advice("Illegal instruction", True)


def test_the_command_gets_root_rights_only_where_it_needs_them(monkeypatch):
    monkeypatch.setattr(run.os, "geteuid", lambda: 0, raising=False)
    assert "sudo" not in run.install_command(["libegl1"])
    monkeypatch.setattr(run.os, "geteuid", lambda: 1000, raising=False)
    assert run.install_command(["libegl1"]).startswith("sudo ")
