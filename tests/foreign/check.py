"""Reads a kept lake as other engines do, and compares it with an oracle of its own.

    E2E_KEEP=/tmp/kept cargo test --workspace --test end_to_end -- hour disturbed compact
    pip install -r tests/foreign/requirements.txt
    python tests/foreign/check.py /tmp/kept/hour /tmp/kept/disturbed /tmp/kept/compact

A folder holds `lake` and `kept.json`: the watermark, and what was sent. From what was sent alone,
samples are settled and windows folded here in the plainest way. Then Python's `deltalake` and DuckDB
must read the same rows: samples, count, min, max, first and last to the last bit, sums to 1e-12.
DuckDB reads by `delta_scan` where its extension is installed, else the files that deltalake lists;
which of the two is printed. Values in the compact form are put together again by the engine's own
arithmetic, as the README tells users to; DuckDB knows the encoding of their parts from 2.0 on, and
that an older one refuses them is printed. At last, deltalake must refuse to write.

On days that are over, upkeep has folded everything, and each row must be there once. On a day that
is not, late samples and repaired windows may be there beside the rows from before them: there the
right row must be among those found.
"""

import json
import math
import os
import struct
import sys
from array import array
from collections import defaultdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FOLDED = ["count", "sum", "min", "max", "first", "last", "resets", "reset_adj"]
TIMES = ["first_time", "last_time", "stale_time"]
COMPACT = ["value_mantissa", "value_base", "value_exponent", "value_rest"]


# What was sent.


def read_sent(folder, sent):
    """Series to {time: value}, settled. A series is (tenant, name, labels); None is a stale marker."""
    if "recording" in sent:
        return read_recording(sent)
    series = defaultdict(dict)
    with open(folder / sent["samples"]) as lines:
        for line in lines:
            row = json.loads(line)
            labels = series_labels(row["labels"].items())
            value = row["value"]
            value = float(value) if isinstance(value, str) else value
            samples = series[row["tenant"], row["name"], labels]
            time = row["time"]
            samples[time] = max(samples[time], value, key=rank) if time in samples else value
    return dict(series)


def rank(value):
    """Of two values for one instant the greater counts: stale < NaN < numbers, -0 < +0."""
    if value is None:
        return (0, 0.0, 0.0)
    if math.isnan(value):
        return (1, 0.0, 0.0)
    return (2, value, math.copysign(1.0, value))


def read_recording(sent):
    recorded = {every: defaultdict(dict) for every in sent["tenants"].values()}
    heads, time, scrape = {}, None, -1
    with pa.input_stream(sent["recording"], compression="zstd") as packed:
        text = packed.read().decode()
    for line in text.splitlines():
        if line.startswith("#T "):
            time, scrape = int(line[3:]) + sent["moved_ms"], scrape + 1
            wanted = [copy for every, copy in recorded.items() if scrape % every == 0]
        elif line and not line.startswith("#"):
            head, value = line.rsplit(" ", 1)
            if head not in heads:
                heads[head] = name_and_labels(head)
            for copy in wanted:
                copy[heads[head]][time] = float(value)
    tenants = sent["tenants"].items()
    return {(tenant, *key): rows for tenant, every in tenants for key, rows in recorded[every].items()}


def name_and_labels(head):
    name, _, rest = head.partition("{")
    labels = []
    while '="' in rest:
        label, _, rest = rest.partition('="')
        value, at = "", 0
        while rest[at] != '"':
            if rest[at] == "\\":
                at += 1
                value += "\n" if rest[at] == "n" else rest[at]
            else:
                value += rest[at]
            at += 1
        labels.append((label.lstrip(","), value))
        rest = rest[at + 1 :]
    return name, series_labels(labels)


def series_labels(labels):
    """Sorted; an empty label is none."""
    return tuple(sorted((name, value) for name, value in labels if value))


# The oracle.


def fold(samples):
    """The row of a window's samples, ascending: by the definition of each column."""
    stale = [time for time, value in samples if value is None]
    rows = [(time, value) for time, value in samples if value is not None]
    row = dict.fromkeys(FOLDED + TIMES)
    row["stale_time"] = stale[-1] if stale else None
    numbers = [value for _, value in rows if not math.isnan(value)]
    falls = [a for (_, a), (_, b) in zip(rows, rows[1:]) if b < a]
    row.update(count=len(rows), resets=len(falls), reset_adj=math.fsum(falls))
    if rows:
        row.update(
            sum=total([value for _, value in rows]),
            min=min(numbers, default=math.nan),
            max=max(numbers, default=math.nan),
            first=rows[0][1],
            first_time=rows[0][0],
            last=rows[-1][1],
            last_time=rows[-1][0],
        )
    return row


def total(values):
    """The exact sum, rounded once; what is not finite sums as IEEE says."""
    return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)


def roll_up(series, width, watermark):
    """Series to {window start: row}, for windows that are closed."""
    known = {}  # Tenants that were sent the same share it.
    for samples in series.values():
        if id(samples) not in known:
            windows = defaultdict(list)
            for time in sorted(samples):
                windows[time // width * width].append((time, samples[time]))
            closed = {start for start in windows if start + width <= watermark}
            known[id(samples)] = {start: fold(windows[start]) for start in sorted(closed)}
    rows = {key: known[id(samples)] for key, samples in series.items()}
    return {key: windows for key, windows in rows.items() if windows}


# Comparing.


def bits(value):
    if value is None:
        return None
    return "NaN" if math.isnan(value) else struct.pack("<d", value)


def close(a, b):
    if a is None or b is None:
        return a is None and b is None
    return bits(a) == bits(b) or abs(a - b) <= 1e-12 * max(abs(a), abs(b))


def same_row(found, row):
    if row["count"] == 0:
        return found["count"] == 0 and found["stale_time"] == row["stale_time"]
    exact = ["count", "resets", *TIMES]
    return (
        all(found[name] == row[name] for name in exact)
        and all(bits(found[name]) == bits(row[name]) for name in ["min", "max", "first", "last"])
        and all(close(found[name], row[name]) for name in ["sum", "reset_adj"])
    )


def same_value(found, value):
    return bits(found["value"]) == bits(value)


def plainly_equal(rows, expected):
    """Whether samples are equal bit by bit, without any that would need a closer look."""
    expected = sorted(expected.items())
    if [row[1] for row in rows] != [time for time, _ in expected]:
        return False
    values = [row[2] for row in rows], [value for _, value in expected]
    if None in values[0] or None in values[1]:
        return False
    return array("d", values[0]).tobytes() == array("d", values[1]).tobytes()


def compare(what, table, ids, expected, same, folded_until):
    """Compares a table, whose first columns are tenant, series_id and time, series by series."""
    names = table.column_names[3:]
    missing = set(expected)
    for tenant in table["tenant"].unique().to_pylist():
        own = table.filter(pc.equal(table["tenant"], tenant))
        own = own.sort_by([("series_id", "ascending"), ("time", "ascending")])
        rows = zip(*(own[name].to_pylist() for name in own.column_names[1:]))
        for series_id, rows in groupby(rows, itemgetter(0)):
            key = ids[tenant, series_id]
            assert key in expected, f"{what}: no row of {key} was asked for"
            missing.discard(key)
            rows = list(rows)
            if same is same_value and plainly_equal(rows, expected[key]):
                continue
            found = defaultdict(list)
            for _, time, *row in rows:
                found[time].append(dict(zip(names, row)))
            compare_series(f"{what} {key}", found, expected[key], same, folded_until)
    assert not missing, f"{what}: nothing of {sorted(missing)[:3]}"
    return sum(map(len, expected.values()))


def compare_series(what, found, expected, same, folded_until):
    for time, row in expected.items():
        rows = found.get(time, [])
        assert any(same(one, row) for one in rows), f"{what} at {time}: {rows}, not {row}"
        assert len(rows) == 1 or time >= folded_until, f"{what} at {time} comes {len(rows)} times"
    extra = found.keys() - expected.keys()
    assert not extra, f"{what}: rows that no sample asks for, at {sorted(extra)[:3]}"


def check(engine, read, series, watermark):
    """Compares what an engine reads. `read` takes a table and columns, and gives an Arrow table."""
    ids = {}
    for row in read("series", ["tenant", "series_id", "name", "labels"]).to_pylist():
        labels = row["labels"]
        labels = labels.items() if isinstance(labels, dict) else labels
        ids[row["tenant"], row["series_id"]] = (row["tenant"], row["name"], tuple(sorted(labels)))
    folded_until = watermark // DAY_MS * DAY_MS

    def rows_of(table, columns, expected, same):
        found = millis(read(table, ["tenant", "series_id", "time", *columns]))
        rows = compare(table, found, ids, expected, same, folded_until)
        print(f"  {engine}: {rows} rows of {table} agree")

    try:
        rows_of("samples", ["value"], series, same_value)
    except duckdb.Error as error:
        # Integers in BYTE_STREAM_SPLIT, which Parquet 2.11 allows.
        if "BYTE_STREAM_SPLIT" not in str(error):
            raise
        print(f"  {engine}: compact samples not compared: {error}")
    for table, width in [("rollup_1m", MINUTE_MS), ("rollup_1h", HOUR_MS)]:
        rows_of(table, [*FOLDED, *TIMES], roll_up(series, width, watermark), same_row)


def millis(table):
    """Timestamps as milliseconds since 1970."""
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            column = table.column(at).cast(pa.timestamp("ms", field.type.tz)).cast(pa.int64())
            table = table.set_column(at, field.name, column)
    return table


# Engines.


def is_compact(lake, name):
    """Whether some of a table's files may hold values in the compact form."""
    fields = {field.name for field in DeltaTable(f"{lake}/{name}").schema().fields}
    return set(COMPACT) <= fields


def by_deltalake(lake):
    def read(name, columns):
        table = DeltaTable(f"{lake}/{name}")
        if "value" not in columns or not is_compact(lake, name):
            return table.to_pyarrow_table(columns=columns)
        rows = table.to_pyarrow_table(columns=[*columns, *COMPACT])
        value = rows.column_names.index("value")
        return rows.set_column(value, "value", value_of_parts(rows)).drop_columns(COMPACT)

    return read


def value_of_parts(rows):
    exponent = rows["value_exponent"]
    whole = pc.add(rows["value_mantissa"], pc.coalesce(rows["value_base"], pa.scalar(0)))
    parts = pc.divide(whole.cast(pa.float64()), pc.power(10.0, exponent.cast(pa.float64())))
    in_rest = pc.coalesce(pc.equal(exponent, -1), pa.scalar(False))
    in_parts = pc.coalesce(pc.greater_equal(exponent, 0), pa.scalar(False))
    print(f"  deltalake: {pc.sum(in_parts)} values in parts, {pc.sum(in_rest)} in the rest")
    return pc.if_else(in_rest, rows["value_rest"], pc.if_else(in_parts, parts, rows["value"]))


def value_by_parts(columns):
    """The same in SQL; files in the compact form alone have no column `value`."""
    value = "lake.value" if "value" in columns else "NULL"
    return f"""
        CASE WHEN value_exponent = -1 THEN value_rest
             WHEN value_exponent >= 0
             THEN (value_mantissa + coalesce(value_base, 0)) / pow(10, value_exponent)
             ELSE {value} END AS value
    """


def by_duckdb(lake):
    """How DuckDB reads, and how that is called."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    try:
        load_delta(connection)
        how, source = "delta_scan", lambda name: f"delta_scan('{lake}/{name}')"
    except (duckdb.Error, ImportError):
        how = "read_parquet of the files that deltalake lists, as its delta extension is not there"
        source = lambda name: (  # noqa: E731
            f"read_parquet({DeltaTable(f'{lake}/{name}').file_uris()!r}, "
            "hive_partitioning = true, union_by_name = true)"
        )

    def read(name, columns):
        if "value" in columns and is_compact(lake, name):
            value = value_by_parts(connection.sql(f"FROM {source(name)} LIMIT 0").columns)
            columns = [value if column == "value" else column for column in columns]
        columns = ", ".join(columns)
        return connection.sql(f"SELECT {columns} FROM {source(name)} AS lake").to_arrow_table()

    return f"DuckDB {duckdb.__version__} ({how})", read


def load_delta(connection):
    """From a Python package, if there is one for this version; else as DuckDB finds it."""
    try:
        import duckdb_extension_delta

        folder = Path(duckdb_extension_delta.__file__).parent
        found = next(folder.glob(f"extensions/v{duckdb.__version__}/*.duckdb_extension"))
        # DuckDB loads only what it has signed itself.
        connection.execute(f"LOAD '{found}'")
    except (ImportError, StopIteration):
        connection.execute("LOAD delta")


def refuse(lake, name):
    """deltalake must leave a table alone."""
    table = DeltaTable(f"{lake}/{name}")
    rows = table.to_pyarrow_dataset().head(1)
    attempts = {
        "append": lambda: write_deltalake(table, rows, mode="append"),
        "overwrite": lambda: write_deltalake(table, rows, mode="overwrite"),
        "delete": lambda: table.delete("date IS NOT NULL"),
        "optimize": lambda: table.optimize.compact(),
        "vacuum": lambda: table.vacuum(0, dry_run=False, enforce_retention_duration=False),
    }
    before = table.version()
    for what, attempt in attempts.items():
        try:
            done = attempt()
        except Exception as error:  # noqa: BLE001 - which error it is differs
            said = f"{type(error).__name__}: {error}"
            assert "tidegauge" in said or "feature" in said.lower(), (name, what, said)
        else:
            # Where there is nothing to delete, vacuum says so without asking whether it may.
            assert (what, done) == ("vacuum", []), f"{name}: {what} was allowed: {done}"
    assert DeltaTable(table.table_uri).version() == before


def main(folders):
    for folder in map(Path, folders):
        kept = json.loads((folder / "kept.json").read_text())
        lake, watermark = (folder / "lake").resolve(), kept["watermark"]
        series = read_sent(folder, kept["sent"])
        print(f"{folder}: {len(series)} series, {sum(map(len, series.values()))} samples")
        check("deltalake", by_deltalake(lake), series, watermark)
        check(*by_duckdb(lake), series, watermark)
        tables = ["samples", "rollup_1m", "rollup_1h", "series", "rejects"]
        tables = [name for name in tables if (lake / name).exists()]
        for name in tables:
            refuse(lake, name)
        print(f"  deltalake refuses to write {', '.join(tables)}")


if __name__ == "__main__":
    main(sys.argv[1:])
    # Some engine's threads now and then abort the interpreter's own way out.
    sys.stdout.flush()
    os._exit(0)
