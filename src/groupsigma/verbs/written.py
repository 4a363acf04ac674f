"""What the verbs write: lines for a trainer's configuration, rows of the data set, pages and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from groupsigma.errors import ArgumentError


def check_config(config: str | None, as_json: bool) -> dict[str, str]:
    """The option that takes standard output in place of the screen, if any; a trainer that is none is refused."""
    if config is not None and config not in ("trl", "verl"):
        raise ArgumentError("--config", "trl or verl", repr(config))
    if config is not None and as_json:
        raise ArgumentError("--config", "standard output for itself", "--json beside it", hint="--json holds both")
    return {"--json": "-"} if as_json else {"--config": "-"} if config is not None else {}


def check_data(
    sources: Sequence[str], data: str | None, data_out: str | None, others: dict[str, Any]
) -> tuple[dict[str, str], list[str]]:
    """What --data-out writes, by option, and the files read; refused where it cannot be."""
    if data_out is None:
        for option, value in {"--data": data, **others}.items():
            if value is not None and value is not False:
                raise ArgumentError(option, "--data-out FILE", "nothing to write")
        return {}, list(sources)
    from groupsigma.rewrite import check_target, named_data

    check_target(data_out)
    return {"--data-out": data_out}, [*sources, named_data(data, sources)]


@contextmanager
def writing(
    choice: Any,
    data: str | None,
    sources: Sequence[str],
    id_column: str | None,
    target: str | None,
    repeated: bool = False,
    rollouts: str = "",
) -> Iterator[Any]:
    """The data set's chosen rows, in their place and told of when the block ends well; None without a target."""
    if target is None:
        yield None
        return
    from groupsigma.rewrite import named_data, rewriting
    from groupsigma.settings import Data

    with rewriting(named_data(data, sources), target, choice, id_column=id_column) as written:
        yield Data(target, written.id_column, repeated, rollouts)
    typer.echo(written.text, err=True)


def write_page(target: str, text: str) -> None:
    """A page, written whole and named on standard error."""
    from groupsigma.output import write_whole

    for path in write_whole({"--html": (target, text)}):
        typer.echo(f"wrote {path}", err=True)


def save_figures(charts: Mapping[str, Any], folder: Path) -> None:
    """Charts by name as SVG and PNG, named on standard error."""
    from groupsigma.figures import save

    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in charts.items():
        for kind in ("svg", "png"):
            typer.echo(f"wrote {save(chart, folder / f'{name}.{kind}')}", err=True)


def show_looks(html: str | None, figures: Path | None, looks: Callable[[], tuple[str, Sequence[Any]]]) -> None:
    """The page and the pictures that were asked for; `looks` makes both."""
    if html is None and figures is None:
        return
    text, pictures = looks()
    if html is not None:
        write_page(html, text)
    if figures is not None:
        save_figures({picture.name: picture.alone() for picture in pictures}, figures)
