"""What tables hold, drawn: slots, ages and norms of each as histograms in one PNG file."""

from __future__ import annotations

from monolith_cli.errors import UnavailableError
from monolith_cli.whole_file import write_whole

_SLOTS = 20


def check_matplotlib() -> None:
    """Raises UnavailableError with what to do when the library is not there."""
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise UnavailableError("--plot needs matplotlib: pip install 'monolith-cli[plot]', or pip install 'matplotlib>=3.8,<4'")


def statistics(result: dict, path: str) -> None:
    """Draws what `tools.statistics` gives to the file `path`, which appears whole. Raises CannotCreateError, UnavailableError."""
    check_matplotlib()
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tables = [t for t in result["tables"] if t["keys"]]
    figure, axes = pyplot.subplots(max(1, len(tables)), 3, figsize=(15, 3.6 * max(1, len(tables))), squeeze=False, layout="constrained")
    figure.suptitle(result["checkpoint"])
    for axis in axes.flat:
        axis.set_axis_off()
    for row, t in zip(axes, tables):
        _bars(row[0], f"{t['table']}: {t['keys']:,} keys by slot", _slots(t["slots"]))
        ages = [*t["ages"].items(), ("no time", t["never_updated"])]
        _bars(row[1], "by last update", ages)
        norms = [("0", t["zero_norms"])] if t["zero_norms"] else []
        _bars(row[2], f"by norm (mean {_number(t['mean_norm'])}, max {_number(t['max_norm'])})", norms + [(f"{b['from']:.3g}", b["keys"]) for b in t["norms"]])
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    pyplot.close(figure)
    write_whole(path, image.getvalue())


def _bars(axis, title: str, bins: list[tuple[str, int]]) -> None:
    axis.set_axis_on()
    axis.set_title(title, fontsize=10)
    places = range(len(bins))
    axis.bar(places, [n for _, n in bins], color="#4477aa")
    axis.set_xticks(places, [name for name, _ in bins], rotation=60, ha="right", fontsize=8)
    axis.set_ylabel("keys")


def _slots(slots: dict[int, int]) -> list[tuple[str, int]]:
    most = sorted(slots.items(), key=lambda s: (-s[1], s[0]))[:_SLOTS]
    rest = sum(slots.values()) - sum(n for _, n in most)
    return [(str(slot), n) for slot, n in sorted(most)] + ([("others", rest)] if rest else [])


def _number(v: float | None) -> str:
    return "none" if v is None else f"{v:.3g}"
