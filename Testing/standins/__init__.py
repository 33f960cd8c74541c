"""Stand-ins for the parts of Slicer that have no package: Qt as PythonQt gives it, on PySide6, around the real MRML.

`install()` puts `qt`, `ctk`, `SampleData` and what `slicer` lacks in place; after it a scripted module can be imported.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any


def install() -> Any:
    """Make everything importable, once; gives slicer.app."""
    import slicer

    if "standins.parameters" in sys.modules:
        return slicer.app
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from . import ctkmodule, qtmodule

    qtmodule.make()
    ctkmodule.make()
    from . import application

    app = application.makeApplication()
    from . import mrmlwidgets

    mrmlwidgets.install()
    from . import scripted

    scripted.install()
    from . import parameters

    parameters.install()
    atexit.register(_close)
    return app


def _close() -> None:
    """Take the widgets down in order: at exit Python would do it in none."""
    import shiboken6
    import slicer

    for widget in slicer.app.topLevelWidgets():
        # What belongs to another goes with it: a list that a combo box had shown would be deleted twice.
        if shiboken6.isValid(widget) and widget.parent() is None:
            shiboken6.delete(widget)
