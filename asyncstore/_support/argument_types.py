"""
Checks the types of arguments and of a record's fields, since callers need not run a type checker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints


class _Field(NamedTuple):
    name: str
    kinds: tuple[type, ...]
    choices: tuple[Any, ...]
    takes: str
    secret: bool


def check_field_types(record: Any) -> None:
    """
    Refuse a field of *record*, a dataclass, whose value its annotation does not allow.

    Knows classes, ``Literal``, mappings and unions of these; the items of a mapping are not checked. ``bool`` is
    not a number. The message shows no value of a field without a repr.

    Raises:
        TypeError: A value has another type. The message names the field and what it takes.
        ValueError: A value is not one of the field's choices.
    """
    kind: Any = type(record)
    for item in _fields_of(kind):
        _check(item, getattr(record, item.name))


def check_argument(name: str, value: object, hint: Any) -> None:
    """
    Refuse the argument *name* if its type is not *hint*, as :func:`check_field_types` does.
    """
    _check(_argument(name, hint), value)


def check_items(name: str, values: object, kind: type) -> None:
    """
    Refuse the argument *name* if it is not a list of *kind*, as :func:`check_field_types` does.
    """
    if not isinstance(values, Sequence) or not all(isinstance(value, kind) for value in values):
        raise TypeError(f"{name} takes a list of {kind.__name__}, not {_shown(values)}")


def check_not_empty(record: object, *names: str) -> None:
    """
    Raise a :class:`ValueError` if one of the fields *names* is empty text.

    An ETag that some server left out would else turn a condition into none.
    """
    for name in names:
        if getattr(record, name) == "":
            raise ValueError(f"{name} must not be empty: leave it out, or give None")


def _check(item: _Field, value: Any) -> None:
    name, kinds, choices, takes, secret = item
    if value in choices if isinstance(value, str) and choices else _is_instance(value, kinds):
        return
    wrong = ValueError if isinstance(value, str) and choices else TypeError
    raise wrong(f"{name} takes {takes}, not {type(value).__name__ if secret else _shown(value)}")


def _is_instance(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


@cache
def _fields_of(kind: Any) -> tuple[_Field, ...]:
    hints = get_type_hints(kind)
    return tuple(
        _field(item.name, hints[item.name], not item.repr) for item in fields(kind) if hints[item.name] is not Any
    )


@cache
def _argument(name: str, hint: Any) -> _Field:
    return _field(name, hint, secret=False)


def _field(name: str, hint: Any, secret: bool) -> _Field:
    members = tuple(_members(hint))
    choices = tuple(choice for member in members if get_origin(member) is Literal for choice in get_args(member))
    kinds = tuple(get_origin(member) or member for member in members if get_origin(member) is not Literal)
    words = [repr(choice) for choice in choices] + [_words(member) for member in members if member in kinds]
    words += ["a mapping" for member in members if get_origin(member) is Mapping]
    # A float is what the clock counts in; whole numbers are as good.
    numbers = (int,) if float in kinds else ()
    return _Field(name, (*kinds, *numbers), choices, " or ".join(words), secret)


def _members(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in (Union, UnionType):
        yield from get_args(hint)
    else:
        yield hint


def _words(kind: Any) -> str:
    plain = {str: "text", int: "a whole number", float: "a number", bool: "True or False", NoneType: "None"}
    return plain.get(kind) or f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def _shown(value: Any) -> str:
    # Text and numbers are mistyped values; of anything else, its type says what went wrong.
    return f"{value!r:.60}" if isinstance(value, (str, int, float, tuple, slice)) else type(value).__name__
