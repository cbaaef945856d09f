"""The one place where an identifier becomes SQL text; values are always bound, never pasted."""

from __future__ import annotations


def quoted(identifier: str) -> str:
    """Quote a table or column name.

    >>> quoted('f_a"b')
    '"f_a""b"'
    """
    return '"' + identifier.replace('"', '""') + '"'
