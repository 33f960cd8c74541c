"""Puts copies of the models and the sample volumes, which live at the repository's top level, into the package.

Everything else is said in pyproject.toml. The module's CMakeLists.txt does the same for Slicer.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "VolumeSuperResolutionLib"
# What of a top-level folder goes where in the package; the models' pictures stay behind.
COPIED = (
    ("weights", ("*/card.json", "*/weights.safetensors"), "weights"),
    ("Resources/SampleData", ("*",), "SampleData"),
)


class BuildWithData(build_py):
    """An editable installation needs no copies: the engine finds the repository's own folders."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for target, source in self._copies().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._copies()]

    def get_output_mapping(self) -> dict[str, str]:
        return {**super().get_output_mapping(), **self._copies()}

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._copies().values()]

    def _copies(self) -> dict[str, str]:
        """From each file in the package to the one that it is copied from, relative to the repository."""
        package = Path(self.build_lib, PACKAGE)
        return {
            str(package / name / path.relative_to(folder)): path.as_posix()
            for folder, patterns, name in COPIED
            for pattern in patterns
            for path in sorted(Path(folder).glob(pattern))
        }


setup(cmdclass={"build_py": BuildWithData})
