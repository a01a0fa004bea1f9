"""
What somebody probably meant by an unknown name.
"""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(wrong: Iterable[str], known: Iterable[str]) -> str:
    """
    Return the end of an error about unknown names: a question if *known* has similar ones, else a full stop.

    >>> did_you_mean(["regoin"], ["region", "endpoint_url"])
    ". Did you mean 'region'?"
    """
    names = list(known)
    meant = dict.fromkeys(name for word in wrong for name in _similar(word, names))
    return f". Did you mean {' or '.join(map(repr, meant))}?" if meant else "."


def _similar(wrong: str, known: list[str]) -> list[str]:
    # Imported here, since only errors need it.
    from difflib import get_close_matches

    close = get_close_matches(wrong.lower(), known, n=1, cutoff=0.75)
    # key= and secret= of other tools are parts of our names.
    return close or [name for name in known if wrong.lower() in name.split("_")][:3]
