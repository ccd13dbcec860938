"""Reads a lake as other engines do, and makes sure that they refuse to write to it.

    pip install deltalake duckdb pyarrow
    cargo run -p tidegauge-lake --example demo_lake -- file:///tmp/lake 250
    python sinks/lake/tests/foreign.py /tmp/lake

The numbers of rows and files must be those that demo_lake has printed, which are given by the number
of commits: it is taken from the table `rejects`, which has one row a commit.
"""

import sys

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

ROWS_A_COMMIT = {
    "samples": 60,
    "rollup_1m": 10,
    "rollup_5m": 10,
    "rollup_1h": 10,
    "series": 10,
    "rejects": 1,
}


def main(lake: str) -> None:
    commits = DeltaTable(f"{lake}/rejects").to_pyarrow_table().num_rows
    assert commits > 0
    for name, rows_a_commit in ROWS_A_COMMIT.items():
        table = DeltaTable(f"{lake}/{name}")
        rows = table.to_pyarrow_table()
        assert rows.num_rows == commits * rows_a_commit, (name, rows.num_rows, commits)
        files = table.file_uris()
        counted = duckdb.sql(
            f"SELECT count(*), count(DISTINCT date) FROM read_parquet({files!r}, hive_partitioning = true)"
        ).fetchone()
        assert counted[0] == rows.num_rows, (name, counted)
        refuse(name, table, rows)
        print(f"{name}: version {table.version()}, {len(files)} files, {rows.num_rows} rows, no writes")
    check_values(lake, commits)
    check_pruning(lake)


def check_values(lake: str, commits: int) -> None:
    samples = DeltaTable(f"{lake}/samples").to_pyarrow_table()
    rollups = DeltaTable(f"{lake}/rollup_1m").to_pyarrow_table()
    assert sum(samples["value"].to_pylist()) == commits * 10 * 15
    assert rollups["sum"].to_pylist() == [15.0] * (commits * 10)
    assert str(samples.schema.field("time").type).startswith("timestamp["), samples.schema
    assert samples["time"].to_pylist()[0].tzinfo is not None


def check_pruning(lake: str) -> None:
    """Statistics let a reader pass over files."""
    table = DeltaTable(f"{lake}/samples")
    dataset = table.to_pyarrow_dataset()
    last = max(dataset.to_table(columns=["time"])["time"].to_pylist())
    import pyarrow.dataset as ds

    kept = list(dataset.get_fragments(ds.field("time") >= pa.scalar(last, dataset.schema.field("time").type)))
    assert len(kept) == 1, len(kept)


def refuse(name: str, table: DeltaTable, rows: pa.Table) -> None:
    attempts = {
        "append": lambda: write_deltalake(table, rows.slice(0, 1), mode="append"),
        "overwrite": lambda: write_deltalake(table, rows.slice(0, 1), mode="overwrite"),
        "delete": lambda: table.delete("date IS NOT NULL"),
        "optimize": lambda: table.optimize.compact(),
        "vacuum": lambda: table.vacuum(0, dry_run=False, enforce_retention_duration=False),
    }
    before = table.version()
    for what, attempt in attempts.items():
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 - any refusal is one
            said = f"{type(error).__name__}: {error}"
            assert "tidegauge" in said or "feature" in said.lower(), (name, what, said)
        else:
            raise AssertionError(f"{name}: {what} was allowed")
    assert DeltaTable(table.table_uri).version() == before


if __name__ == "__main__":
    main(sys.argv[1])
