"""docs/parity.md: every file of the original has a row, every row says where or why not, and every named place exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")


def rows() -> dict[str, tuple[list[str], str]]:
    """File of the original -> (places, what is said of it)."""
    out: dict[str, tuple[list[str], str]] = {}
    folder = ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            folder = line[3:]
        elif line.startswith("| `"):
            name, places, note = (cell.strip() for cell in line.strip("|").split("|"))
            path = f"{folder}/{name.strip('`')}"
            assert path not in out, f"{path} has two rows"
            out[path] = (re.findall(r"`([^`]+)`", places), note)
    return out


def test_every_row_has_a_place_or_a_reason():
    for path, (places, note) in rows().items():
        assert places or note.startswith(("not yet: ", "not needed: ")), f"{path}: neither a place nor a reason"


def test_every_place_exists():
    missing = [f"{path}: {place}" for path, (places, _) in rows().items() for place in places if not (ROOT / place).exists()]
    assert not missing, "\n".join(missing)


def test_the_counts_of_the_page_are_right():
    found = rows()
    placed = sum(1 for places, _ in found.values() if places)
    later = sum(1 for places, note in found.values() if not places and note.startswith("not yet"))
    told = [int(n) for n in re.search(r"Of (\d+) files (\d+) have a place, (\d+) are not yet built and (\d+) are not needed", PAGE).groups()]
    assert told == [len(found), placed, later, len(found) - placed - later]


def test_every_file_of_the_original_has_a_row():
    spec = ROOT.parent / "shared" / "spec" / "00-requirements.md"
    if not spec.exists():
        pytest.skip(f"{spec} is not here")
    text = spec.read_text(encoding="utf-8")
    files = set(re.findall(r"^## (monolith/\S+)", text, re.M)) | set(re.findall(r"^- (monolith/\S+) \(\d+ lines\)", text, re.M))
    assert len(files) > 300 and files == set(rows())
