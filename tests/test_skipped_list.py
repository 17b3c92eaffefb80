"""What `--skipped-to` writes: `.ci/run` runs it again with the extras, and nothing else."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TESTS = {
    "test_some.py": (
        "import pytest\n"
        "def test_passes(): pass\n"
        "@pytest.mark.parametrize('x', [1, 2])\n"
        "def test_needs(x):\n"
        "    if x == 2: pytest.importorskip('no_such_package')\n"
        "@pytest.mark.xfail\n"
        "def test_is_known(): assert False\n"
    ),
    "test_whole.py": "import pytest\npytest.importorskip('no_such_package')\ndef test_inside(): pass\n",
}


def _pytest(folder: Path, *args: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "--rootdir", str(folder), "-q", *args]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(HERE)}, capture_output=True, text=True, check=False
    ).stdout


def test_the_list_has_what_was_skipped(tmp_path):
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    listed = tmp_path / "skipped"
    assert "2 passed, 2 skipped, 1 xfailed" in _pytest(tmp_path, "-n", "2", "--skipped-to", str(listed))
    assert sorted(listed.read_text().splitlines()) == ["test_some.py::test_needs[2]", "test_whole.py"]
    (tmp_path / "no_such_package.py").touch()
    assert "2 passed" in _pytest(tmp_path, f"@{listed}")
