//! Keeping a lake for foreign readers, where `E2E_KEEP` asks for it.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use tidegauge_model::is_stale;

use crate::encode::Row;
use crate::lake::Lake;
use crate::node::Place;
use crate::recording;

/// What was sent.
pub(crate) enum Sent<'a> {
    /// The recording, moved, under each tenant every so manieth scrape.
    Recording {
        tenants: &'a [(&'static str, usize)],
        moved_ms: i64,
    },
    /// Samples of tenants, copies and all.
    Rows(&'a [(String, Row)]),
}

/// Copies the lake to `E2E_KEEP`, if set, into a folder `name`, with `kept.json`: the watermark and
/// what was sent, in full or by a file's name.
pub(crate) fn keep(name: &str, place: &Place, lake: &Lake, sent: &Sent<'_>) {
    let Some(folder) = std::env::var_os("E2E_KEEP") else {
        return;
    };
    let folder = Path::new(&folder).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("what an earlier run has kept goes");
    }
    copy(&place.data.join("lake"), &folder.join("lake"));
    let sent = match sent {
        Sent::Recording { tenants, moved_ms } => {
            let tenants: serde_json::Map<_, _> = tenants
                .iter()
                .map(|(tenant, every)| ((*tenant).to_owned(), json!(every)))
                .collect();
            json!({"recording": recording::path(), "tenants": tenants, "moved_ms": moved_ms})
        }
        Sent::Rows(rows) => {
            let file = fs::File::create(folder.join("sent.jsonl")).expect("a file");
            let mut file = BufWriter::new(file);
            for (tenant, row) in *rows {
                writeln!(file, "{}", line(tenant, row)).expect("written");
            }
            file.flush().expect("written");
            json!({"samples": "sent.jsonl"})
        }
    };
    let kept = json!({"watermark": lake.state.watermark, "sent": sent});
    fs::write(folder.join("kept.json"), kept.to_string()).expect("written");
    println!("kept in {}", folder.display());
}

/// A value that JSON lacks is a text, a stale marker null.
fn line(tenant: &str, row: &Row) -> Value {
    let labels: serde_json::Map<_, _> = row
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let value = match row.value {
        value if is_stale(value) => Value::Null,
        value if value.is_finite() => json!(value),
        value => json!(value.to_string()),
    };
    json!({"tenant": tenant, "name": row.name, "labels": labels, "time": row.time, "value": value})
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}
