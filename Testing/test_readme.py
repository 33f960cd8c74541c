"""What the README says can be typed can be typed, and what it points to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from VolumeSuperResolutionLib import commands as command_line

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line for _, block in BLOCKS for line in block.splitlines() if line.startswith("vsr ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command):
    command_line._parser().parse_args(shlex.split(command)[1:])


def test_every_option_of_upscale_is_in_the_table(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["upscale", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    table = {
        option for line in README.splitlines() if line.startswith("| `--") for option in re.findall(r"--[a-z-]+", line)
    }
    assert options == table


@pytest.mark.parametrize("code", [block for language, block in BLOCKS if language == "python"])
def test_every_python_example_is_python(code):
    compile(code, "README.md", "exec")


@pytest.mark.parametrize("page", ["README.md", "Resources/SampleData/README.md"])
def test_every_link_within_the_repository_leads_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (path.parent / link).exists()] == []
