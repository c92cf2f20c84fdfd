"""Statistics of a stream, in one pass and bounded memory."""

from __future__ import annotations

from monolith_cli.records.framing import Framing


def statistics(sources, *, record_type: str = "instance", framing: Framing | None = None, on_bad_record: str = "fail",
               run=None) -> dict:
    """What the records of all sources hold, as a dict:

    records; rows (of batches, else the same); bytes {total, min, mean, p50, p99, max} of the payloads, quantiles within 3 %;
    slots: [{version, slot, rows, fids, distinct}], distinct estimated within about 2 %; features: [{name, kind, rows,
    values}]; rows_with_label; labels by position: [{count, nan, mean, min, max, values: [(label, count)], other_values}];
    rows_with_instance_weight; line_id {rows, fields {name: rows}, min_req_time, max_req_time}; records_with_data_source_key;
    bad_records. Slots past 4096 and names past 10000 are counted together in a last entry whose slot or name is None.
    """
    from monolith_cli._native import _core
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.json_lines import open_lines

    operator = _core.StatOperator(record_type)
    counters = run_chain(sources, [operator], framing=framing, on_bad_record=on_bad_record, record_type=record_type, run=run,
                         open_output=open_lines)
    if run is not None:
        run.nothing_to_do = counters["records_in"] == 0
    result = operator.result()
    result["features"].sort(key=lambda f: (f["name"] is None, f["name"] or "", f["kind"]))
    return {**result, "bad_records": counters["bad_records"]}


def as_json(result: dict) -> str:
    """The statistics as one JSON object; a label that is infinite becomes text, as JSON knows no such number."""
    import json
    import math

    def known(value):
        if isinstance(value, float) and not math.isfinite(value):
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        return value

    labels = [{k: [[known(v), n] for v, n in x] if k == "values" else known(x) for k, x in label.items()} for label in result["labels"]]
    return json.dumps({**result, "labels": labels}, allow_nan=False)


def as_text(result: dict) -> str:
    """The statistics for people."""
    size, rows = result["bytes"], result["rows"]
    lines = [f"records     {result['records']:,}"]
    if rows != result["records"]:
        lines.append(f"rows        {rows:,}")
    if result["bad_records"]:
        lines.append(f"bad records {result['bad_records']:,}")
    if result["records"]:
        lines.append(f"bytes       {size['total']:,} (a record: min {size['min']:,}, mean {size['mean']:,.1f}, p50 {size['p50']:,}, "
                     f"p99 {size['p99']:,}, max {size['max']:,})")
        lines += _presence(result, rows)
    lines += _table("slot", ("slot", "fids", "rows", "fids/row", "distinct"), [
        (_slot_name(s), f"{s['fids']:,}", _share(s["rows"], rows), f"{s['fids'] / s['rows']:.2f}", f"{s['distinct']:,}")
        for s in result["slots"]])
    lines += _table("feature", ("feature", "kind", "rows", "values", "values/row"), [
        (_others(f["name"]), f["kind"], _share(f["rows"], rows), f"{f['values']:,}", f"{f['values'] / f['rows']:.2f}")
        for f in result["features"]])
    lines += _table("label", ("label", "count", "mean", "min", "max", "values"), [
        (str(i), f"{label['count']:,}", *(_number(label[k]) for k in ("mean", "min", "max")), _values(label))
        for i, label in enumerate(result["labels"])])
    return "\n".join(lines)


def _presence(result: dict, rows: int) -> list[str]:
    line_id = result["line_id"]
    lines = [f"label       in {_share(result['rows_with_label'], rows)} rows",
             f"weight      in {_share(result['rows_with_instance_weight'], rows)} rows",
             f"line_id     in {_share(line_id['rows'], rows)} rows" + (": " if line_id["fields"] else "")
             + ", ".join(f"{name} {_share(n, rows)}" for name, n in line_id["fields"].items())]
    if line_id["min_req_time"] is not None:
        lines.append(f"req_time    {line_id['min_req_time']} to {line_id['max_req_time']}{_dates(line_id)}")
    if result["records_with_data_source_key"]:
        lines.append(f"source key  in {result['records_with_data_source_key']:,} records")
    return lines


def _dates(line_id: dict) -> str:
    from datetime import datetime, timezone

    try:
        first, last = (datetime.fromtimestamp(line_id[k], timezone.utc) for k in ("min_req_time", "max_req_time"))
    except (ValueError, OverflowError, OSError):
        return ""
    return f" ({first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC)"


def _share(n: int, of: int) -> str:
    return "all" if n == of else f"{n:,} ({n / of:.1%})"


def _others(name) -> str:
    return "(others)" if name is None else name


def _slot_name(slot: dict) -> str:
    return "(others)" if slot["slot"] is None else f"{slot['slot']} v{slot['version']}"


def _number(value) -> str:
    return "-" if value is None else f"{value:.6g}"


def _values(label: dict) -> str:
    most = sorted(label["values"], key=lambda v: -v[1])[:6]
    shown = sum(n for _, n in most)
    text = ", ".join(f"{value:.6g}: {n:,}" for value, n in most)
    rest = label["count"] - label["nan"] - shown
    return text + (f", others: {rest:,}" if rest else "") + (f", NaN: {label['nan']:,}" if label["nan"] else "")


def _table(title: str, header: tuple, rows: list[tuple]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    left = {i for i, name in enumerate(header) if name in (title, "kind", "values") and (name != "values" or title == "label")}
    made = ["  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
            for row in [header, *rows]]
    return ["", *made]
