#!/usr/bin/env python3
"""See it work, or test it, with one command:

    python3 Testing/run.py demo [demo arguments]
    python3 Testing/run.py test [pytest arguments]
    python3 Testing/run.py explore [pytest arguments]

`test` draws the same examples each time; `explore` runs the tests that draw some, with new ones and many more of them.
The first call makes .venv in the repository with a fitting Python, the pinned packages and the command `vsr`; later
calls find it there. Any Python 3.6 or later can run this file.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
REQUIREMENTS = os.path.join(ROOT, "Testing", "requirements.txt")
CONSTRAINTS = os.path.join(ROOT, "Testing", "constraints.txt")
# What describes the installation of the repository itself, with its command `vsr`.
DESCRIPTION = os.path.join(ROOT, "pyproject.toml")
INSTALLED = "requirements.sha256"
LOADED = "libraries-load"
LINKED = "command-linked"
# Tests run in a process for each core; one that is done takes over from another. `-n 0` among the arguments: in one.
IN_PROCESSES = ("-n", "auto", "--maxprocesses", "8", "--dist", "worksteal")
# Plugins of pytest by name: those that it finds by itself it compiles file by file in each process, for seconds.
PLUGINS = ("--disable-plugin-autoload", "-p", "xdist.plugin", "-p", "_hypothesis_pytestplugin")

# The versions that every pinned package has builds for, the most widely built first.
VERSIONS = ("3.11", "3.12", "3.13", "3.10")
# What Qt loads without asking, and a bare Debian or Ubuntu does not have.
DEBIAN_PACKAGES = ("libegl1", "libgl1", "libxkbcommon0", "libfontconfig1", "libdbus-1-3", "libglib2.0-0")

EXAMINE = """
import os, platform, sys, sysconfig
try:
    import ctypes, ensurepip, ssl, venv
    makes = "venv"
except ImportError:
    makes = "no-venv"
usual = platform.python_implementation() == "CPython" and sys.maxsize > 2**32
usual = usual and not sysconfig.get_config_var("Py_GIL_DISABLED")
version = "%d.%d" % sys.version_info[:2] if usual else "unusual"
print("\\n".join((version, makes, os.path.realpath(getattr(sys, "_base_executable", sys.executable)))))
"""
LOAD = "import PySide6.QtWidgets, PySide6.QtUiTools, vtk, slicer; PySide6.QtWidgets.QApplication([])"

NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|NameResolutionError|ProxyError|SSLError|"
    r"Temporary failure in name resolution|Network is unreachable|Connection refused|Connection reset|"
    r"Could not fetch URL"
)
NO_BUILD = re.compile(r"No matching distribution found for (\S+)")
NO_LIBRARY = re.compile(r"(\S+\.so[.\d]*): cannot open shared object file")

Interpreter = namedtuple("Interpreter", "version makes_environments executable")


class TroubleError(Exception):
    """What stands in the way, and what to do about it, in words for a person."""


def say(text):
    print(text, flush=True)


def output_of(command, **options):
    """Exit status and everything that the command printed."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    except OSError as error:
        return 127, str(error)
    printed = process.communicate()[0].decode("utf-8", "replace")
    return process.returncode, printed


def last_lines(text, count=6):
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def on_path(name):
    """Every program of that name on the path: the first may be a mere pointer to nothing, as pyenv's can be."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [path for path in (shutil.which(name, path=folder) for folder in folders) if path]


def candidate_paths():
    """Where a Python may be: on the path, among pyenv's versions, and the one that runs this file."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.join(os.path.expanduser("~"), ".pyenv"))
    for version in VERSIONS:
        yield from on_path("python" + version)
        yield from sorted(glob.glob(os.path.join(pyenv, "versions", version + ".*", "bin", "python")))
        if os.name == "nt":
            status, printed = output_of(["py", "-" + version, "-c", "import sys; print(sys.executable)"])
            if status == 0:
                yield printed.strip()
    yield sys.executable
    yield from on_path("python3")
    yield from on_path("python")


def examine(path):
    """The Interpreter at the path; None if nothing there runs."""
    status, printed = output_of([path, "-c", EXAMINE])
    lines = printed.strip().splitlines()
    if status != 0 or len(lines) != 3:
        return None
    return Interpreter(lines[0], lines[1] == "venv", lines[2])


def interpreters():
    """Every Python found, each once, in the order of VERSIONS; others last."""
    found = []
    for path in candidate_paths():
        interpreter = examine(path)
        if interpreter is not None and interpreter not in found:
            found.append(interpreter)
    order = {version: place for place, version in enumerate(VERSIONS)}
    return sorted(found, key=lambda interpreter: order.get(interpreter.version, len(order)))


def fitting(found):
    """Those of the interpreters that can carry the packages."""
    usable = [one for one in found if one.version in VERSIONS]
    ready = [one for one in usable if one.makes_environments]
    if ready:
        return ready
    if usable:
        raise TroubleError(
            "Python {} at {} cannot make virtual environments. On Debian and Ubuntu this installs what is missing:\n"
            "    {}".format(usable[0].version, usable[0].executable, install_command(["python3-venv"]))
        )
    seen = ", ".join(f"{one.version} ({one.executable})" for one in found) or "none"
    raise TroubleError(
        f"A Python 3.10, 3.11, 3.12 or 3.13 (64 bit) is needed and none was found; seen: {seen}.\n"
        "Install Python 3.11 and call this again."
    )


def install_command(packages):
    """The one command that installs Debian packages."""
    command = "apt-get update && apt-get install -y --no-install-recommends " + " ".join(packages)
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return command if is_root else f"sudo sh -c '{command}'"


def fingerprint(name):
    """What a step depends on: all on the requirements, the link to the repository also on where and what that is."""
    digest = hashlib.sha256()
    for path in (REQUIREMENTS, CONSTRAINTS, DESCRIPTION) if name == LINKED else (REQUIREMENTS, CONSTRAINTS):
        with open(path, "rb") as file:
            digest.update(file.read())
    if name == LINKED:
        digest.update(ROOT.encode())
    return digest.hexdigest()


def python_of(environment):
    return (
        os.path.join(environment, "Scripts", "python.exe")
        if os.name == "nt"
        else os.path.join(environment, "bin", "python")
    )


def has_stamp(environment, name):
    """Whether this step was finished for everything as it is now."""
    try:
        with open(os.path.join(environment, name)) as file:
            return file.read() == fingerprint(name) and os.path.exists(python_of(environment))
    except OSError:
        return False


def put_stamp(environment, name):
    with open(os.path.join(environment, name), "w") as file:
        file.write(fingerprint(name))


def pip_install(environment, arguments):
    """None when all went well, otherwise what did not; no network is trouble at once."""
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    command = [python_of(environment), "-m", "pip", "install", "--disable-pip-version-check", "--retries", "2"]
    process = subprocess.Popen(command + quiet + arguments, stderr=subprocess.PIPE)
    complaints = process.communicate()[1].decode("utf-8", "replace")
    if process.returncode == 0:
        return None
    silent = [line for line in complaints.splitlines() if NO_NETWORK.search(line)]
    if silent:
        raise TroubleError(
            "The package index did not answer, so the packages cannot be installed (only the first call needs the "
            "network).\nCheck the connection, or pip's proxy settings, and call this again. pip said:\n" + silent[-1]
        )
    missing = NO_BUILD.search(complaints)
    return "there is no build of " + missing.group(1) if missing else "pip failed:\n" + last_lines(complaints)


def build(interpreter, processor_only):
    """Make the environment anew with this Python; None when it stands, otherwise why it does not."""
    status, printed = output_of([interpreter.executable, "-m", "venv", "--clear", VENV])
    if status != 0:
        return "no environment could be made:\n" + last_lines(printed)
    if processor_only:
        with open(REQUIREMENTS) as file:
            torch = re.search(r"^torch==[\w.]+", file.read(), re.MULTILINE).group()
        reason = pip_install(VENV, ["--no-deps", torch + "+cpu"])
        if reason is not None:
            return reason
    reason = pip_install(VENV, ["--requirement", REQUIREMENTS, "--constraint", CONSTRAINTS])
    if reason is None:
        put_stamp(VENV, INSTALLED)
    return reason


def install():
    """Make .venv with the first Python that works: on Linux one with a torch for the processor alone, if there is."""
    usable = fitting(interpreters())
    reasons = []
    for processor_only in (True, False) if sys.platform.startswith("linux") else (False,):
        if reasons:
            say("Taking the general build of torch: on Linux it brings CUDA along, several GB.")
        for interpreter in usable:
            say(f"Making .venv with Python {interpreter.version} ({interpreter.executable}); this takes minutes, once.")
            reason = build(interpreter, processor_only)
            if reason is None:
                return
            reasons.append(f"Python {interpreter.version}: {reason}")
            say(reasons[-1])
    raise TroubleError(
        "No Python found here can take the pinned packages:\n" + "\n".join(reasons) + "\n"
        "Install Python 3.11 (64 bit) and call this again."
    )


def link_command():
    """Make `vsr` run this repository, wherever it was moved to; needs no network."""
    here = ["--no-index", "--no-deps", "--no-build-isolation", "--editable", ROOT]
    reason = pip_install(VENV, here)
    if reason is not None:
        raise TroubleError("The command vsr could not be installed in .venv: " + reason)
    put_stamp(VENV, LINKED)


def check_libraries():
    """Qt and VTK load libraries of the system: find out before a hundred tests do."""
    environment = dict(os.environ, QT_QPA_PLATFORM="offscreen")
    status, printed = output_of([python_of(VENV), "-c", LOAD], env=environment)
    if status != 0:
        raise TroubleError(library_advice(printed, shutil.which("apt-get") is not None))
    put_stamp(VENV, LOADED)


def library_advice(printed, is_debian):
    missing = NO_LIBRARY.search(printed)
    if missing is None:
        return "Qt or VTK does not start on this machine:\n" + last_lines(printed)
    sentence = f"This system lacks {missing.group(1)}, which Qt or VTK loads. "
    if is_debian:
        return sentence + "This installs it:\n    " + install_command(DEBIAN_PACKAGES)
    return sentence + "Install it with the system's package manager; Debian's packages are called {}.".format(
        " ".join(DEBIAN_PACKAGES)
    )


def command_line(arguments):
    """What to run in the environment; None when the arguments are not understood."""
    pytest = [python_of(VENV), "-m", "pytest", *PLUGINS, *IN_PROCESSES]
    if arguments[:1] == ["test"]:
        return [*pytest, *arguments[1:]]
    if arguments[:1] == ["explore"]:
        return [*pytest, "--hypothesis-profile=explore", "-m", "hypothesis", *arguments[1:]]
    if arguments[:1] == ["demo"]:
        return [python_of(VENV), os.path.join(ROOT, "Testing", "demo.py"), *arguments[1:]]
    return None


def main(arguments):
    command = command_line(arguments)
    if command is None:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        if not has_stamp(VENV, INSTALLED):
            install()
        if not has_stamp(VENV, LINKED):
            link_command()
        if not has_stamp(VENV, LOADED):
            check_libraries()
    except (TroubleError, OSError) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    environment = dict(os.environ, PYTHONPATH=os.path.join(ROOT, "VolumeSuperResolution"))
    environment.pop("PYTHONHOME", None)
    environment.setdefault("QT_QPA_PLATFORM", "offscreen")
    if arguments[0] != "demo":
        for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
            environment.setdefault(name, "1")  # the cores are shared among the processes
    return subprocess.call(command, cwd=ROOT, env=environment)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
