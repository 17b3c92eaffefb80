"""The kinds of ablations, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from equiwm.claims.ablation.kind import AblationKind, Scope, StudyRows
from equiwm.claims.statement import Statement
from equiwm.errors import ConfigError
from equiwm.foreign import called
from equiwm.grid import Stacks, is_importable
from equiwm.locate import is_foreign, locate
from equiwm.results.ablation import AblationRow
from equiwm.tables.table import Table


def load_kind(name: str) -> AblationKind[Any]:
    """The kind of that name: a short one, an installed one, or `module:name`.

    Raises:
        ConfigError: an unknown name, with the nearest ones; a module that cannot be imported; or something that is no
            kind.
    """
    kind: object = locate("ablation", name)
    if not isinstance(kind, AblationKind):
        raise ConfigError(f"kind of ablation '{name}': got {type(kind).__name__}, expected an AblationKind.")
    return _guarded(kind, name) if is_foreign(name) else kind


def _guarded(kind: AblationKind[Any], name: str) -> AblationKind[Any]:
    """A user's kind, whose parts are named for what they raise.

    Raises:
        ConfigError: a row that is no row, stacks that are none, or a `compute` that no other process can import.
    """
    what = f"kind of ablation '{name}'"
    if not (isinstance(kind.row, type) and issubclass(kind.row, AblationRow)):
        raise ConfigError(f"{what}: its row is {kind.row!r}; expected a subclass of AblationRow.")
    if not is_importable(kind.compute):
        raise ConfigError(f"{what}: its compute is {kind.compute!r}; expected a function that a module has by name.")

    def named(part: str) -> Callable[..., Any]:
        return partial(called, getattr(kind, part), f"{what}: its {part}")

    def statements(scope: Scope) -> list[Statement[Any]]:
        return [
            replace(each, read=partial(called, each.read, f"{what}: its statement '{each.quantity}'"))
            for each in named("statements")(scope)
        ]

    def tables(data: StudyRows[Any]) -> list[Table]:
        made: object = named("tables")(data)
        if not isinstance(made, list) or not all(isinstance(table, Table) for table in made):
            raise ConfigError(f"{what}: its tables gave {made!r}; expected a list of Table.")
        return made

    return replace(
        kind,
        stacks=_guarded_stacks(kind.stacks, what),
        settings=named("settings"),
        cells=named("cells"),
        statements=statements,
        tables=tables,
        figure=named("figure"),
        work=named("work"),
    )


def _guarded_stacks(stacks: object, what: str) -> Stacks | None:
    """A user's stacks, which leave no cell out.

    Raises:
        ConfigError: they are none.
    """
    if stacks is None:
        return None
    if not isinstance(stacks, Stacks):
        raise ConfigError(f"{what}: its stacks are {stacks!r}; expected Stacks, or None.")

    def places(several: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        found: list[list[int]] = [list(part) for part in stacks.parts(several)]
        if sorted(chain.from_iterable(found)) != list(range(len(several))):
            raise ValueError(f"{found} of {len(several)} cells")
        return found

    return replace(
        stacks,
        of=partial(called, stacks.of, f"{what}: the `of` of its stacks"),
        parts=partial(called, places, f"{what}: the `parts` of its stacks"),
    )
