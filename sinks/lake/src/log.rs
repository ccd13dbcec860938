//! Commits as entries of the lake's log, and as entries of the other tables' Delta logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tidegauge_tables::decimal::compact_columns;
use tidegauge_tables::{
    Action, Add, Birth, Commit, CommitInfo, CommitKind, DataFile, FileChanges, Format, LakeState,
    MetaData, Protocol, Remove, Table, Txn, columns, delta_entry, delta_schema,
};
use uuid::Uuid;

use crate::encode::iso_date;

/// Whose version numbers stand in `txn`.
const APP_ID: &str = "tidegauge";

/// The entry of the lake's log for `commit`, after `state`; the first one makes the table, and
/// the first claim of a life that writes the compact form adds its columns.
pub(crate) fn lake_entry(state: &LakeState, commit: &Commit) -> Bytes {
    let mut actions = vec![info(commit, true)];
    let writes_compact = matches!(commit.kind, CommitKind::Claim { compact: true });
    match state.birth {
        None => {
            let birth = Birth {
                id: commit.nonce,
                at: commit.at,
            };
            actions.extend(making(Table::Samples, birth, writes_compact));
        }
        Some(birth) if writes_compact && !state.compact => {
            actions.push(meta_data(Table::Samples, birth, true));
        }
        Some(_) => {}
    }
    if let Some(changes) = commit.files.get(&Table::Samples) {
        actions.extend(file_actions(Table::Samples, commit, changes));
    }
    delta_entry(&actions)
}

/// The entry that makes `table`, which is not `samples`.
pub(crate) fn making_entry(table: Table, birth: Birth) -> Bytes {
    let mut actions = vec![Action::CommitInfo(plain_info(birth.at, "CREATE TABLE"))];
    actions.extend(making(table, birth, false));
    delta_entry(&actions)
}

/// What `commit`, the lake's entry `version`, does to `table`, as an entry of the table's own log.
pub(crate) fn projected_entry(version: u64, commit: &Commit, table: Table) -> Option<Bytes> {
    let changes = commit.files.get(&table)?;
    let mut actions = vec![info(commit, false), Action::Txn(txn(version))];
    actions.extend(file_actions(table, commit, changes));
    Some(delta_entry(&actions))
}

/// The live files of `table`, as the lines of a Delta checkpoint.
pub(crate) fn checkpoint_actions(state: &LakeState, birth: Birth, table: Table) -> Vec<Action> {
    let compact = state.compact && table == Table::Samples;
    let mut actions = Vec::from(making(table, birth, compact));
    if table != Table::Samples
        && let Some(version) = state.tables.get(&table).map(|table| table.version)
    {
        actions.push(Action::Txn(txn(version)));
    }
    // When a file came is not kept; other engines use it for nothing but their own clean-up.
    let files = state.files(table);
    actions.extend(files.map(|file| Action::Add(add(table, file, state.committed_at, true))));
    actions
}

fn txn(version: u64) -> Txn {
    Txn {
        app_id: APP_ID.into(),
        version: i64::try_from(version).expect("versions count commits"),
    }
}

fn making(table: Table, birth: Birth, compact: bool) -> [Action; 2] {
    let protocol = Action::Protocol(Protocol::ours());
    [protocol, meta_data(table, birth, compact)]
}

fn meta_data(table: Table, birth: Birth, compact: bool) -> Action {
    let schema = if compact {
        with_compact_columns(&columns(table))
    } else {
        columns(table)
    };
    Action::MetaData(MetaData {
        id: table_id(birth, table).to_string(),
        name: table.name().into(),
        format: Format {
            provider: "parquet".into(),
            options: BTreeMap::new(),
        },
        schema_string: delta_schema(&schema),
        partition_columns: vec!["date".into()],
        configuration: BTreeMap::new(),
        created_time: birth.at,
    })
}

/// Files of both forms may be there, so `value` stays, and is null where the others hold it.
fn with_compact_columns(plain: &Schema) -> Schema {
    let compact = compact_columns();
    let more = compact
        .fields()
        .iter()
        .filter(|field| plain.index_of(field.name()).is_err());
    let nullable = more.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    Schema::new(
        plain
            .fields()
            .iter()
            .cloned()
            .chain(nullable)
            .collect::<Vec<_>>(),
    )
}

/// Tables are numbered on from the lake's own id, so that anyone can make them again.
fn table_id(birth: Birth, table: Table) -> Uuid {
    let position = Table::ALL.iter().position(|other| *other == table);
    let position = position.expect("every table is one of all") as u128;
    Uuid::from_u128(birth.id.as_u128().wrapping_add(position))
}

fn info(commit: &Commit, whole: bool) -> Action {
    let operation = match &commit.kind {
        CommitKind::Upkeep { .. } => "OPTIMIZE",
        CommitKind::Stream { .. } => "STREAMING UPDATE",
        CommitKind::Claim { .. } | CommitKind::Note { .. } => "WRITE",
    };
    let mut info = plain_info(commit.at, operation);
    info.commit = whole.then(|| commit.clone());
    Action::CommitInfo(info)
}

fn plain_info(at: i64, operation: &str) -> CommitInfo {
    CommitInfo {
        timestamp: at,
        operation: operation.into(),
        engine_info: concat!("tidegauge/", env!("CARGO_PKG_VERSION")).into(),
        commit: None,
    }
}

fn file_actions<'a>(
    table: Table,
    commit: &'a Commit,
    changes: &'a FileChanges,
) -> impl Iterator<Item = Action> + 'a {
    let data_change = !is_compaction(&commit.kind, changes);
    let removed = changes.remove.iter().map(move |path| {
        Action::Remove(Remove {
            path: path.clone(),
            deletion_timestamp: commit.at,
            data_change,
        })
    });
    let added = changes.add.iter();
    removed.chain(added.map(move |file| Action::Add(add(table, file, commit.at, data_change))))
}

/// Whether rows only move from files to other files.
fn is_compaction(kind: &CommitKind, changes: &FileChanges) -> bool {
    let repairs = match kind {
        CommitKind::Upkeep { repaired, .. } => !repaired.is_empty(),
        _ => true,
    };
    !repairs && !changes.add.is_empty() && !changes.remove.is_empty()
}

fn add(table: Table, file: &DataFile, at: i64, data_change: bool) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: BTreeMap::from([("date".into(), Some(iso_date(file.date)))]),
        size: file.bytes,
        modification_time: at,
        data_change,
        stats: Some(stats(table, file)),
        tags: None,
    }
}

/// Delta's statistics: what other engines pass over files by. There are none for values, as NaN
/// has no JSON form, and for names only where one tenant makes them comparable.
fn stats(table: Table, file: &DataFile) -> String {
    let (mut least, mut greatest) = (Map::new(), Map::new());
    if table != Table::Rejects {
        least.insert("tenant".into(), file.min_key.tenant.clone().into());
        greatest.insert("tenant".into(), file.max_key.tenant.clone().into());
        if file.min_key.tenant == file.max_key.tenant {
            least.insert("name".into(), file.min_key.name.clone().into());
            greatest.insert("name".into(), file.max_key.name.clone().into());
        }
    }
    let (first, last) = match table {
        Table::Series => ("first_seen", "last_seen"),
        _ => ("time", "time"),
    };
    least.extend(iso_time(file.min_time).map(|time| (first.to_owned(), time)));
    greatest.extend(iso_time(file.max_time).map(|time| (last.to_owned(), time)));
    json!({ "numRecords": file.rows, "minValues": least, "maxValues": greatest }).to_string()
}

/// `2026-11-21T16:20:00.123Z`; none outside the years that other engines read.
fn iso_time(time_ms: i64) -> Option<Value> {
    let day = time_ms.div_euclid(86_400_000);
    let ms = time_ms.rem_euclid(86_400_000);
    if !(-719_162..=2_932_896).contains(&day) {
        return None;
    }
    let date = iso_date(i32::try_from(day).ok()?);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegauge_tables::{FileKind, Key};

    fn file(tenants: [&str; 2]) -> DataFile {
        let key = |tenant: &str| Key {
            tenant: tenant.into(),
            name: "cpu".into(),
        };
        DataFile {
            path: "date=2026-11-21/a.parquet".into(),
            date: 20_778,
            bytes: 10,
            rows: 2,
            min_time: 1_795_219_200_001,
            max_time: -1,
            min_key: key(tenants[0]),
            max_key: key(tenants[1]),
            kind: FileKind::Main,
            compacted: false,
            taken_at: 0,
            version: 0,
        }
    }

    #[test]
    fn times_are_iso_with_milliseconds_also_before_1970() {
        let stats = stats(Table::Samples, &file(["a", "a"]));
        let stats: Value = serde_json::from_str(&stats).expect("JSON");
        assert_eq!(stats["minValues"]["time"], "2026-11-21T00:00:00.001Z");
        assert_eq!(stats["maxValues"]["time"], "1969-12-31T23:59:59.999Z");
        assert_eq!(stats["minValues"]["name"], "cpu");
        assert_eq!(iso_time(i64::MAX), None);
    }

    #[test]
    fn the_first_claim_that_writes_compact_adds_its_columns() {
        let claim = |compact| Commit {
            generation: 1,
            nonce: Uuid::nil(),
            at: 7,
            kind: CommitKind::Claim { compact },
            files: BTreeMap::new(),
        };
        let schema_told = |state: &LakeState, commit: &Commit| -> String {
            let entry = lake_entry(state, commit);
            let lines = std::str::from_utf8(&entry).expect("JSON").lines();
            lines.filter(|line| line.contains("schemaString")).collect()
        };
        let mut state = LakeState::default();
        let plain = schema_told(&state, &claim(false));
        assert!(plain.contains("series_id"), "{plain}");
        assert!(!plain.contains("value_base"), "{plain}");
        state.apply(0, &claim(false));
        assert_eq!(schema_told(&state, &claim(false)), "");
        let compact = schema_told(&state, &claim(true));
        for column in [
            "series_id",
            "value_mantissa",
            "value_base",
            "value_exponent",
            "value_rest",
        ] {
            assert!(compact.contains(column), "{column}: {compact}");
        }
        state.apply(1, &claim(true));
        assert_eq!(schema_told(&state, &claim(true)), "", "they are there");
        let birth = state.birth.expect("made");
        let kept = delta_entry(&checkpoint_actions(&state, birth, Table::Samples));
        assert!(String::from_utf8_lossy(&kept).contains("value_base"));
        let fresh = schema_told(&LakeState::default(), &claim(true));
        assert!(fresh.contains("value_base"), "{fresh}");
    }

    #[test]
    fn names_of_several_tenants_give_no_range() {
        let stats = stats(Table::Samples, &file(["a", "b"]));
        let stats: Value = serde_json::from_str(&stats).expect("JSON");
        assert_eq!(stats["maxValues"]["tenant"], "b");
        assert_eq!(stats["minValues"].get("name"), None);
    }
}
