"""The two ways a run ends without a result."""

from __future__ import annotations


class RefusalError(ValueError):
    """What was asked cannot be done. The message is one sentence for the user: what is wrong, and what to do."""


class CancelledError(Exception):
    """The caller's cancel() answered True; nothing was produced."""
