"""Brings the translation files of the module up to date with its strings.

    python Testing/translations.py

Strings that are new are marked as unfinished, those that are gone are taken out. Translate them with Qt Linguist or by
hand; contexts are named as Slicer names them, so that the files can go to SlicerLanguageTranslations as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

MODULE = Path(__file__).resolve().parents[1] / "VolumeSuperResolution"
NAME = MODULE.name
FOLDER = MODULE / "Resources" / "Translations"


def strings() -> dict[str, list[str]]:
    """Every string that can be translated, in its context."""
    found: dict[str, list[str]] = {}
    for context, text in (*_of_forms(), *_of_scripts()):
        if text not in found.setdefault(context, []):
            found[context].append(text)
    return found


def translations(path: Path) -> dict[tuple[str, str], str]:
    """What a file translates: (context, source) to the translation, "" where there is none yet."""
    found = {}
    for context in ElementTree.parse(path).iter("context"):
        for message in context.iter("message"):
            key = (context.findtext("name", ""), message.findtext("source", ""))
            found[key] = message.findtext("translation", "")
    return found


def update(path: Path) -> None:
    """Give a file the strings of today, with the translations that it has."""
    known = translations(path) if path.is_file() else {}
    language = path.stem.partition("_")[2].replace("-", "_")
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!DOCTYPE TS>"]
    lines.append(f'<TS version="2.1" language="{language}" sourcelanguage="en_US">')
    for context, texts in strings().items():
        lines += ["<context>", f"    <name>{context}</name>"]
        for text in texts:
            translation = known.get((context, text), "")
            unfinished = "" if translation else ' type="unfinished"'
            lines += [
                "    <message>",
                f"        <source>{escape(text)}</source>",
                f"        <translation{unfinished}>{escape(translation)}</translation>",
                "    </message>",
            ]
        lines.append("</context>")
    path.write_text("\n".join([*lines, "</TS>", ""]), encoding="utf-8")


def _of_forms() -> Iterator[tuple[str, str]]:
    for path in sorted((MODULE / "Resources" / "UI").glob("*.ui")):
        root = ElementTree.parse(path)
        fixed = {id(s) for owner in root.iter("stringlist") if owner.get("notr") for s in owner}
        for string in root.iter("string"):
            if string.text and not string.get("notr") and id(string) not in fixed:
                yield root.findtext("class", ""), string.text


def _of_scripts() -> Iterator[tuple[str, str]]:
    library = MODULE / f"{NAME}Lib" / "application"
    for path in [MODULE / f"{NAME}.py", *sorted(library.glob("*.py"))]:
        context = path.stem if path.parent == MODULE else f"{library.name}.{path.stem}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
                yield context, ast.literal_eval(node.args[0])


if __name__ == "__main__":
    for file in sorted(FOLDER.glob("*.ts")):
        update(file)
