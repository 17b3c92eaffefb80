"""The report as LaTeX: what it is made of, that it is read easily, and that LaTeX compiles it."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from equiwm.cli.main import run as command
from equiwm.report.document import Chapter, Report, make_report
from equiwm.report.latex.document import latex, latex_files
from equiwm.report.latex.table import TEXT_WIDTH, latex_table
from equiwm.report.latex.text import escaped, lines, longest_piece, width
from equiwm.report.names import chosen, named, slug
from equiwm.tables.table import Table

REFERENCE = Path(__file__).resolve().parents[1] / "runs" / "reference"
WIDE = Table(
    "Eleven quantities",
    ("model", *(f"quantity {k}" for k in range(11))),
    [(f"model-{j}", *["1.23e-07 [1.11e-07, 2.22e-06]"] * 11) for j in range(3)],
)
LONG = Table(
    "A long one", ("row", "what"), [(f"r{k}", "a sentence of some eight or nine words in all") for k in range(90)]
)


def report_of(*tables: Table) -> Report:
    return Report((), (), (Chapter("made", "Made here", "", tables),), (), ())


def tabulars(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The columns and rows of every tabular and longtable."""
    for kind, columns, body in re.findall(
        r"\\begin\{(tabular|longtable)\}\{@\{\}(.*?)@\{\}\}\n(.*?)\\end\{\1\}", text, re.S
    ):
        specification = re.findall(r">\{\\ragged\w+\}p\{[\d.]+pt\}|[lr]", columns)
        rows = [line for line in body.splitlines() if line.endswith(r"\tabularnewline")]
        if kind == "longtable":  # the second head is that of the next pages
            rows = rows[1:] if "\\endfirsthead" in body else rows
        yield specification, [re.split(r"(?<!\\)&", row) for row in rows]


# Text


def test_latex_escapes():
    assert escaped("50% & a_b #1 {x} $ ~ ^ \\") == (
        r"50\% \& a\_b \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    power = r"\texttimes{}10\textsuperscript"
    assert escaped("1.8e-07 [-2e-08, 3e+05]") == (
        rf"1.8{power}{{\textminus{{}}7}} [\textminus{{}}2{power}{{\textminus{{}}8}}, 3{power}{{5}}]"
    )
    assert escaped("β ρ Σ Χ ≤ é 漢 ħ") == r"$\beta$ $\rho$ $\Sigma$ X $\leq$ é \texttt{U+6F22} \texttt{U+0127}"
    assert escaped("then – |x| -0.5 --seed") == r"then \textendash{} \textbar{}x\textbar{} \textminus{}0.5 -{}-seed"
    assert escaped("a  vn-2d\n b") == r"a \mbox{vn-2d} b"
    assert escaped("--set planning.samples=1000000") == r"-{}-set planning.\allowbreak{}samples=\allowbreak{}1000000"


def test_the_width_of_text_is_that_of_the_font():
    assert width("W") > width("m") > width("i") > 0
    assert width("1.8e-07") == pytest.approx(width("1.8×10") + 7 / 8 * width("−7"))
    assert longest_piece("a longer word") == width("longer")
    assert longest_piece("planning.samples=1000000") < width("planning.samples=1000000")
    assert lines("one two three", 1e3) == 1
    assert lines("one two three", width("one two")) == 2
    assert lines("one two three", 1.0) == 3


# Tables


@pytest.mark.parametrize("table", [WIDE, LONG], ids=["wide", "long"])
def test_no_part_of_a_table_is_wider_than_the_text(table):
    cells = {cell for row in table.rows for cell in row}
    text = latex_table(table, "name")
    parts = list(tabulars(text))
    assert "resizebox" not in text
    for specification, rows in parts:
        assert {len(row) for row in rows} == {len(specification)}
        assert len(rows) == 1 + len(table.rows)
        set_wide = [float(each) for column in specification for each in re.findall(r"p\{([\d.]+)pt\}", column)]
        assert sum(set_wide) + 8 * (len(specification) - 1) <= TEXT_WIDTH
        assert [row[0].strip() for row in rows[1:]] == [escaped(row[0]) for row in table.rows]
    assert sum(len(columns) - 1 for columns, _ in parts) == len(table.columns) - 1
    assert min(width(word) for cell in cells for word in cell.split()) > 0
    assert text.count(r"\label{tab:name}") == 1


def test_a_long_table_breaks_over_pages_and_a_short_one_floats():
    long, short = latex_table(LONG, "long"), latex_table(WIDE, "wide")
    assert r"\begin{longtable}" in long
    assert r"\endfirsthead" in long
    assert r"\begin{table}" in short
    assert r"\begin{longtable}" not in short


def test_what_says_which_row_it_is_begins_every_part():
    rows = [("vn-2d", place, *["1.23e-07 [1.11e-07, 2.22e-06]"] * 9) for place in ("block", "direction")]
    table = Table("t", ("model", "read-out", *(f"q{k}" for k in range(9))), rows, keys=2)
    parts = list(tabulars(latex_table(table, "t")))
    assert len(parts) > 1
    assert all([cell.strip() for cell in body[2][:2]] == [r"\mbox{vn-2d}", "direction"] for _, body in parts)


def test_every_table_has_a_name_and_is_asked_for_by_it():
    again = Table("A long one", ("row",), [("1",)])
    report = report_of(WIDE, LONG, again)
    names = [name for _, tables in named(report) for name, _ in tables]
    assert names == ["eleven-quantities", "a-long-one", "a-long-one-2"]
    assert slug("Read-out errors: PushT, |f|² (β)") == "read-out-errors-pusht-f-2"
    assert [table.title for table in chosen(report, ["a-long*"]).chapters[0].tables] == ["A long one"] * 2
    assert chosen(report, ["made"]).chapters == report.chapters
    files = latex_files(report)
    assert {path.as_posix() for path in files} == {"report.tex", "preamble.tex", *(f"tables/{n}.tex" for n in names)}
    document = files[Path("report.tex")]
    assert re.findall(r"\\input\{tables/(.*?)\}", document) == names


def test_the_document_has_every_table_of_a_report(everything):
    report = make_report([everything])
    text = latex(report)
    tables = [table for chapter in report.chapters for table in chapter.tables]
    assert text.count(r"\caption{") == len(tables)
    assert text.count(r"\toprule") >= len(tables)
    assert r"Is it 100\% \& enough?" in text
    assert r"No\_t." in text
    assert all(len(set(map(len, rows))) == 1 for _, rows in tabulars(text))


# The command


def text_sizes(pdf: bytes) -> list[float]:
    """Points of every piece of text in a figure."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    found = []
    for stream in streams:
        with suppress(zlib.error):
            found += re.findall(rb"/F\S+ ([\d.]+) Tf", zlib.decompress(stream))
    return [float(each) for each in found]


def test_the_command_writes_a_folder_and_draws_again_only_what_has_changed(make, tmp_path, capsys):
    make.pair()
    folder = tmp_path / "tex"
    arguments = ["report", str(make.folder), "--format", "latex", "--out", f"{folder}/"]
    assert command(arguments) == 0
    assert f"report: {folder / 'report.tex'}" in capsys.readouterr().err
    figures = {path: path.read_bytes() for path in folder.rglob("*.pdf")}
    document = (folder / "report.tex").read_text()
    assert sorted(re.findall(r"includegraphics\{(.*?)\}", document)) == sorted(
        path.relative_to(folder).as_posix() for path in figures
    )
    assert len(figures) == 2  # overall, and the sweep
    assert all(path.with_suffix(".csv").is_file() for path in figures)
    assert all(b"STIXGeneral" in content for content in figures.values())
    sizes = [size for content in figures.values() for size in text_sizes(content)]
    assert min(sizes) >= 7.0
    assert len(sizes) > 20
    kept, changed = sorted(figures)
    written = kept.stat().st_mtime_ns
    changed.write_bytes(b"drawn anew")
    changed.with_suffix(".csv").write_text("other\n")
    assert command(arguments) == 0
    assert kept.stat().st_mtime_ns == written
    assert {path: path.read_bytes() for path in figures} == figures


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tables", "one-stap"], "did you mean"),
        (["--tables", "train", "--json"], "--tables"),
        (["--format", "latex", "--out", "RUN"], "belongs to"),
        (["--format", "latex", "--out", "missing/tex/"], "cannot make"),
        (["--format", "latex", "--out", "RUN/config.yaml"], "belongs to"),
    ],
)
def test_the_command_refuses(everything, tmp_path, monkeypatch, capsys, snapshot, arguments, words):
    monkeypatch.chdir(tmp_path)
    run = str(everything / "vn-2d")
    before = snapshot(everything)
    assert command(["report", str(everything), *(each.replace("RUN", run) for each in arguments)]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert len(told.splitlines()) <= 2
    assert snapshot(everything) == before
    assert not (tmp_path / "tex").exists()


# With LaTeX itself


def need(*packages: str) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    for each in packages:
        if not subprocess.run(["kpsewhich", f"{each}.sty"], capture_output=True).stdout:
            pytest.skip(f"needs {each}")


def compiled(folder: Path, name: str = "report") -> str:
    """The log of a second pass.

    The first one writes how wide the columns of long tables are."""
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    if not all(
        subprocess.run(["kpsewhich", each], capture_output=True).stdout for each in ("booktabs.sty", "lmodern.sty")
    ):
        pytest.skip("needs booktabs and lmodern")
    for _ in range(2):
        arguments = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
        done = subprocess.run(arguments, cwd=folder, capture_output=True, timeout=120)
    log = (folder / f"{name}.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


def overfull(log: str) -> list[float]:
    return [float(each) for each in re.findall(r"Overfull \\[hv]box \(([\d.]+)pt", log)]


def undefined(log: str) -> list[str]:
    return re.findall(r"^(?:!|LaTeX Warning|Missing character).*", log, re.MULTILINE)


def test_latex_compiles_the_reference(tmp_path, monkeypatch):
    if not REFERENCE.is_dir():
        pytest.skip("needs a checkout, which has the reference runs")
    report = make_report([REFERENCE])
    for path, text in latex_files(report).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    log = compiled(tmp_path)
    assert not [each for each in overfull(log) if each > 5.0]
    assert undefined(log) == []
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", "-layout", "report.pdf", "-"], cwd=tmp_path, capture_output=True).stdout
        captions = set(re.findall(r"Table (\d+):", text.decode()))
        assert len(captions) == sum(len(chapter.tables) for chapter in report.chapters)


def test_latex_compiles_figures_and_whatever_a_name_may_hold(make, tmp_path):
    shutil.move(make.study().path, make.folder / "50% of_a #study & {more} \\x ^~")
    folder = tmp_path / "tex"
    assert command(["report", str(make.folder), "--format", "latex", "--out", str(folder)]) == 0
    log = compiled(folder)
    assert not [each for each in overfull(log) if each > 5.0]
    assert undefined(log) == []


@pytest.mark.parametrize("font", ["tgtermes", "lmodern"])
def test_latex_sets_every_character_in_either_font(tmp_path, font):
    need(font)
    letters = "".join(chr(code) for code in (*range(0x21, 0x7F), *range(0xA1, 0x180), *range(0x391, 0x3CA)))
    rows = [(str(k), f"x {each} y") for k, each in enumerate(letters)]
    table = Table("every 'letter' \"is\" ``set'' --- ,, <<", ("n", "what"), rows)
    text = latex(report_of(table, WIDE))
    in_font = re.sub(r"\\IfFileExists\{tgtermes.*", lambda _: f"\\usepackage{{{font}}}", text)
    assert in_font != text
    (tmp_path / "report.tex").write_text(in_font)
    log = compiled(tmp_path)
    assert not [each for each in overfull(log) if each > 5.0]
    assert undefined(log) == []
