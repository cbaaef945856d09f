"""Checks that need more than one declared document: what contradicts is refused, what is unwise is a warning."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise

from watchkeeper.schemas.declared import Declarations, Price, PriceTable


def contradictions(declared: Declarations) -> list[str]:
    """Say why these declarations cannot be used together; empty where they can."""
    return [*_price_overlaps(declared.prices), *_values_twice(declared), *_references_twice(declared)]


def warnings(declared: Declarations) -> list[str]:
    """Say what will be missed at 3 a.m.: alerts that nobody owns, services that two systems claim."""
    claims = Counter(service for system in declared.systems for service in set(system.services))
    twice = [
        f"service {service} is claimed by {count} systems; the first by name owns it"
        for service, count in sorted(claims.items())
        if count > 1
    ]
    unowned = [
        f"route {route.name} sends alerts, but no System is declared: nobody owns them"
        for route in declared.routes
        if not declared.systems
    ]
    return twice + unowned


def _values_twice(declared: Declarations) -> list[str]:
    names: dict[str, list[str]] = {}
    for value in declared.values:
        names.setdefault(value.service, []).append(value.name)
    return [
        f"ValueModel {' and '.join(found)}: both for service {service}; keep one"
        for service, found in sorted(names.items())
        if len(found) > 1
    ]


def _references_twice(declared: Declarations) -> list[str]:
    names: dict[tuple[str, str | None], list[str]] = {}
    for one in declared.references:
        names.setdefault((one.service, one.model), []).append(one.name)
    return [
        f"Reference {' and '.join(found)}: both for {f'model {model} of ' if model else ''}service {service}; keep one"
        for (service, model), found in sorted(names.items(), key=str)
        if len(found) > 1
    ]


def _price_overlaps(tables: tuple[PriceTable, ...]) -> list[str]:
    """Find days on which two prices of the same model, class and provider are in force; a range is [from, to)."""
    ranges: dict[tuple[str, str, str], list[tuple[Price, str]]] = {}
    problems: list[str] = []
    for table in tables:
        for price in table.prices:
            if _end(price) <= price.valid_from:
                problems.append(f"PriceTable {table.name}: {_named(price)} ends before it begins")
            else:
                key = (price.model, price.token_class, price.provider or "")
                ranges.setdefault(key, []).append((price, table.name))
    for found in ranges.values():
        found.sort(key=lambda item: item[0].valid_from)
        problems += [
            f"PriceTable {later_table}: {_named(later)} overlaps {_named(earlier)} of PriceTable {earlier_table}"
            for (earlier, earlier_table), (later, later_table) in pairwise(found)
            if later.valid_from < _end(earlier)
        ]
    return problems


def _end(price: Price) -> date:
    return price.valid_to or date.max


def _named(price: Price) -> str:
    return f"{price.model} {price.token_class} from {price.valid_from} to {price.valid_to or 'further notice'}"
