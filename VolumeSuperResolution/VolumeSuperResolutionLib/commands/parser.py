"""argparse whose errors are sentences."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import Callable, NoReturn

from ..engine.errors import RefusalError

# What argparse says, and how it is said here; the names are those of the groups.
_SENTENCES = (
    (r"argument [^:]*: (?P<own>The .*)", "{own}"),
    (r"argument (?P<name>\S+): expected (?P<count>.+)", "The option {name} expects {count}"),
    (r"argument (?P<name>\S+): not allowed with argument (?P<other>\S+)", "{name} and {other} exclude each other"),
    (r"the following arguments are required: (?P<names>.+)", "What is missing: {names}"),
    (r"one of the arguments (?P<names>.+) is required", "One of {names} has to be given"),
    (r"unrecognized arguments: (?P<names>.+)", "There is no option or place for {names}"),
    (r"ambiguous option: (?P<name>\S+) could match (?P<names>.+)", "{name} could be {names}"),
)
_CHOICE = re.compile(
    r"argument (?P<name>[^:]+): invalid choice: (?P<given>.*) \(choose from (?P<known>.*)\)", re.DOTALL
)


class Parser(argparse.ArgumentParser):
    """Refuses in one sentence what argparse would explain in many lines."""

    def error(self, message: str) -> NoReturn:
        """Called with argparse's own words."""
        raise RefusalError(f"{_sentence(message)}; `{self.prog} --help` explains.")


def reader(name: str, parse: Callable[[str], object], example: str) -> Callable[[str], object]:
    """`parse` for argparse, whose complaint becomes a sentence about the value."""

    def read(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            words = name.replace("_", " ")
            raise argparse.ArgumentTypeError(f"The {words} {text!r} {error}; give {example}") from error

    return read


def _sentence(message: str) -> str:
    choice = _CHOICE.fullmatch(message)
    if choice:
        known = re.findall(r"[\w.-]+", choice["known"])
        close = difflib.get_close_matches(choice["given"].strip("'\"").lower(), known, n=1)
        what = "command" if choice["name"] == "COMMAND" else choice["name"]
        hint = f"but there is {close[0]}" if close else f"choose from {', '.join(known)}"
        return f"There is no {what} {choice['given']}; {hint}"
    for pattern, sentence in _SENTENCES:
        match = re.fullmatch(pattern, message, re.DOTALL)
        if match:
            return sentence.format(**match.groupdict())
    return message[:1].upper() + message[1:]
