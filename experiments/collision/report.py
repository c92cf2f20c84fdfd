"""What came out, as a table, as lines of CSV and as a picture."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path


def summarize(results: list[dict]) -> list[dict]:
    """One row a data set and variant, in the order they first come in: `auc`, by point the mean over the seeds, `deviation`,
    the standard deviation (0 with one seed), `rows`, the mean number of each table, and `behind`: how far it is behind the
    first variant of its data at the end, seed by seed (mean and deviation)."""
    groups: dict[tuple, list[dict]] = {}
    for result in results:
        groups.setdefault((result["data"], result["variant"]), []).append(result)
    first: dict[str, list[dict]] = {}
    table = []
    for (data, variant), trials in groups.items():
        trials.sort(key=lambda t: t["seed"])
        curves = [[p["auc"] for p in t["points"]] for t in trials]
        best = first.setdefault(data, trials)
        behind = [b["points"][-1]["auc"] - t["points"][-1]["auc"] for b, t in zip(best, trials)]
        table.append({
            "data": data, "variant": variant, "seeds": [t["seed"] for t in trials], "steps": [p["step"] for p in trials[0]["points"]],
            "rows": {name: statistics.mean(t["rows"].get(name, 0) for t in trials) for name in ("user", "item")},
            "auc": [statistics.mean(column) for column in zip(*curves)], "deviation": [_deviation(column) for column in zip(*curves)],
            "behind": statistics.mean(behind), "behind_deviation": _deviation(behind),
        })  # fmt: skip
    return table


def _deviation(values) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _seeds(row: dict) -> str:
    count = len(row["seeds"])
    return f"mean and standard deviation of {count} seeds" if count > 1 else "one seed"


def text(table: list[dict]) -> str:
    """AUC by training progress: a line each variant, the spread over the seeds below it."""
    lines = []
    for data in dict.fromkeys(row["data"] for row in table):
        rows = [row for row in table if row["data"] == data]
        last = rows[0]["steps"][-1]
        lines += [f"{data}: AUC on the test part by training progress, {_seeds(rows[0])}",
                  f"{'variant':<14}{'users':>7}{'items':>7}" + "".join(f"{step * 100 / last:>7.0f}%" for step in rows[0]["steps"]) + f"{'behind':>17}"]
        for row in rows:
            spread = f" ± {row['behind_deviation']:.4f}" if len(row["seeds"]) > 1 else ""
            behind = f"{row['behind']:.4f}{spread}" if row is not rows[0] else "-"
            lines.append(f"{row['variant']:<14}{row['rows']['user']:>7.0f}{row['rows']['item']:>7.0f}"
                         + "".join(f"{auc:>8.4f}" for auc in row["auc"]) + f"{behind:>17}")
            if len(row["seeds"]) > 1:
                lines.append(f"{'':<28}" + "".join(f" ±{d:.4f}" for d in row["deviation"]))
        lines.append("")
    return "\n".join(lines)


def write_csv(results: list[dict], path: Path) -> None:
    """One line a trial and point."""
    with open(path, "w", encoding="ascii", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["data", "variant", "share", "seed", "user_rows", "item_rows", "step", "progress", "auc", "log_loss"])
        for r in results:
            last = r["points"][-1]["step"]
            for p in r["points"]:
                share = "" if r["share"] is None else r["share"]
                out.writerow([r["data"], r["variant"], share, r["seed"], r["rows"].get("user", 0), r["rows"].get("item", 0), p["step"],
                              round(p["step"] / last, 4), p["auc"], p["log_loss"]])


def plot(table: list[dict], path: Path) -> None:
    """A panel each data set: AUC over progress, a line each variant, one standard deviation as a band."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(row["data"] for row in table))
    figure, axes = pyplot.subplots(1, len(names), figsize=(6.5 * len(names), 5), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names):
        for row in (r for r in table if r["data"] == name):
            progress = [100 * step / row["steps"][-1] for step in row["steps"]]
            (line,) = axis.plot(progress, row["auc"], marker=".", label=f"{row['variant']} ({row['rows']['user']:,.0f} + {row['rows']['item']:,.0f} rows)")
            low = [a - d for a, d in zip(row["auc"], row["deviation"])]
            high = [a + d for a, d in zip(row["auc"], row["deviation"])]
            axis.fill_between(progress, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        axis.set_title(f"{name}: {_seeds(next(r for r in table if r['data'] == name))}")
        axis.set_xlabel("training progress, %")
        axis.set_ylabel("AUC on the test part")
        axis.grid(alpha=0.3)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
