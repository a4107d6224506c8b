"""Errors that end the measurement of a row."""

from __future__ import annotations


class SkippedError(Exception):
    """The row cannot be measured on this machine; the message says why."""


class InvalidError(Exception):
    """The row was measured, but its figures are wrong; the message says why."""
