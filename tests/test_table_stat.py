"""table-stat for the eye: pictures, and bars as wide as the terminal."""

import pytest
from test_table_tools import model  # noqa: F401


def test_pictures(model, run, tmp_path):  # noqa: F811
    pytest.importorskip("matplotlib")
    run("table-stat", model[1], "--plot", tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82") and len(data) > 10000
    assert run("table-stat", model[1], "--plot", "/proc/none/x.png", check=False).returncode == 73


def test_pictures_without_matplotlib(model, run, tmp_path):  # noqa: F811
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['matplotlib'] = None\n")
    from conftest import ROOT

    done = run("table-stat", model[1], "--plot", tmp_path / "x.png", check=False, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert done.returncode == 69 and "pip install 'monolith-cli[plot]'" in done.stderr and not (tmp_path / "x.png").exists()


def test_bars_fit_the_terminal(model, run):  # noqa: F811
    for columns in (60, 100, 200):
        text = run("table-stat", model[1], env={"COLUMNS": str(columns)}).stdout.decode()
        bars = [line for line in text.splitlines() if "█" in line]
        assert bars and max(map(len, bars)) <= columns
