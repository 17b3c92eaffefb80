"""The report as a folder: a document, with its tables and figures as files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from equiwm.disk.documents import open_document_folder, write_document
from equiwm.disk.files import write_atomic
from equiwm.figures.medium import PAGE, PRINT
from equiwm.report.document import Report
from equiwm.report.html import html
from equiwm.report.latex.document import Placed, latex_files
from equiwm.report.names import slug
from equiwm.report.parallel import Progress, no_progress
from equiwm.report.pictures import Picture, pictures


def write_html(
    report: Report, folder: Path, left_out: list[str], progress: Progress = no_progress, *, jobs: int = 1
) -> Path:
    """`index.html`, and the figures that it refers to as `figures/RUN/NAME.svg`; gives the path of the page.

    A figure that is there is drawn anew only where its record is not that of what would be drawn, by as many processes
    as `jobs` says (-1: as there are cores, and work for).

    Raises:
        RunError: the folder is a run's, or cannot be written to.
    """
    open_document_folder(folder)
    shown = pictures(report, folder, left_out, progress, medium=PAGE, jobs=jobs)
    for picture in shown:
        _put(folder, picture.file, picture)
    page = folder / "index.html"
    write_document(page, html(report, shown, linked=True))
    return page


def write_latex(
    report: Report, folder: Path, left_out: list[str], progress: Progress = no_progress, *, jobs: int = 1
) -> Path:
    """`report.tex` with `preamble.tex`, `tables/NAME.tex` and `figures/RUN/NAME.pdf`; gives the path of the document.

    A figure that is there is drawn anew only where its record is not that of what would be drawn, by as many processes
    as `jobs` says (-1: as there are cores, and work for).

    Raises:
        RunError: the folder is a run's, or cannot be written to.
    """
    open_document_folder(folder)
    open_document_folder(folder / "tables")
    shown = pictures(report, folder, left_out, progress, medium=PRINT, jobs=jobs)
    for path, text in latex_files(report, _placed(folder, shown)).items():
        write_document(folder / path, text)
    return folder / "report.tex"


def _placed(folder: Path, shown: Sequence[Picture]) -> list[Placed]:
    """Figures under names that LaTeX takes, which a name of somebody else's may not be."""
    found = []
    for picture in shown:
        name, file = slug(picture.file.removeprefix("figures/").rpartition(".")[0]), picture.file
        if not re.fullmatch(r"[\w/-]+\.\w+", file, re.ASCII):
            file = f"figures/{name}{picture.kind}"
            _put(folder, file, picture)
        found.append(Placed(file, name, picture.section, picture.caption))
    return found


def _put(folder: Path, file: str, picture: Picture) -> None:
    for above in reversed(Path(file).parents[:-1]):
        open_document_folder(folder / above)
    path = folder / file
    if not path.is_file() or path.read_bytes() != picture.data:
        write_atomic(path, picture.data)
