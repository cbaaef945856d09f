"""The one place where an identifier or a path becomes SQL text; values are always bound, never pasted."""

from __future__ import annotations


def literal(text: str) -> str:
    """Give a text as SQL, for statements that bind no values, as the path of COPY or ATTACH.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def quoted(identifier: str) -> str:
    """Quote a table or column name.

    >>> quoted('f_a"b')
    '"f_a""b"'
    """
    return '"' + identifier.replace('"', '""') + '"'
