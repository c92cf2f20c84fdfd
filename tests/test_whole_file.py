"""Files that commands write as wholes, whatever stands where they go."""

import os
import subprocess
import threading

import pytest

from conftest import ROOT

RECORDS = "monolith_pb_gen_records_out 5\n"
GEN = ("-q", "-n", 5, "--seed", 1)


def metrics_of(run, path, **kwargs):
    return run("pb-gen", *GEN, "--metrics-file", path, **kwargs)


def test_a_file_is_replaced_and_a_link_stays(run, tmp_path):
    metrics, link = tmp_path / "metrics.prom", tmp_path / "link"
    metrics.write_text("old")
    link.symlink_to("metrics.prom")
    metrics_of(run, link)
    assert link.is_symlink() and RECORDS in metrics.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "metrics.prom"]


def test_a_pipe_is_written_to(run, tmp_path):
    fifo, told = tmp_path / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: told.append(fifo.read_text()))
    reader.start()
    metrics_of(run, fifo)
    reader.join()
    assert RECORDS in told[0] and fifo.is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["fifo"]


def test_a_device_stays_one(run, tmp_path):
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o20666, os.makedev(1, 3))
        null.write_text("")
    except PermissionError:
        pytest.skip("devices cannot be made here")
    metrics_of(run, null)
    assert null.is_char_device()


def test_standard_error_by_its_name(run):
    assert RECORDS in metrics_of(run, "/dev/stderr").stderr


@pytest.mark.parametrize("where, says", [("absent/metrics", "No such file or directory"), ("file/metrics", "Not a directory")])
def test_what_cannot_be_made_is_named(run, tmp_path, where, says):
    (tmp_path / "file").touch()
    done = metrics_of(run, tmp_path / where, check=False)
    assert (done.returncode, done.stderr) == (73, f"pb-gen: {tmp_path / where}: cannot create: {says}\n")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_stays_as_it_was(run, tmp_path):
    """No file may grow: as on a full disk."""
    metrics = tmp_path / "metrics.prom"
    metrics.write_text("old")
    command = ["bash", "-c", 'trap "" XFSZ; ulimit -f 0; exec "$@"', "-", str(ROOT / "bin/pb-gen"), *map(str, GEN), "--metrics-file", str(metrics)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (74, f"pb-gen: {metrics}: cannot write: File too large\n")
    assert metrics.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["metrics.prom"]


@pytest.mark.parametrize("option", ["-o", "--metrics-file"])
def test_a_file_that_is_standard_output_goes_on_where_it_stands(tmp_path, option):
    """Opened anew by its name it would be written from its start, or replaced."""
    gen = " ".join(map(str, [ROOT / "bin/pb-gen", *GEN]))
    out = tmp_path / "out"
    with out.open("wb") as f:
        subprocess.run(["bash", "-ec", f"echo before; {gen} {option} /dev/stdout; {gen} {option} /dev/fd/1; echo after"], stdout=f, check=True)
    data = out.read_bytes()
    records = subprocess.run(["bash", "-ec", gen], stdout=subprocess.PIPE, check=True).stdout
    assert data.startswith(b"before\n") and data.endswith(b"after\n")
    assert data.count(records) == 2 or data.count(RECORDS.encode()) == 2
    assert list(tmp_path.iterdir()) == [out]
