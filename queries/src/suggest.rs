//! What somebody may have meant by a table that is not there.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use tidegauge_tables::Table;

use crate::session::METRIC_SCHEMAS;

/// How many names are offered.
const OFFERED: usize = 3;

/// Says what is wrong with `table`, if it is a table that is not there.
pub(crate) fn unknown(
    table: &TableReference,
    metrics: &BTreeSet<String>,
    tenant: &str,
) -> Option<String> {
    let is_tier = |name: &str| METRIC_SCHEMAS.iter().any(|(schema, _)| *schema == name);
    match table {
        // A dot in a metric's name reads as a schema's, unless the name is quoted.
        TableReference::Full {
            catalog,
            schema,
            table,
        } if is_tier(catalog) => Some(format!(
            "there is no table {catalog}.{schema}.{table}; a name with dots is quoted: {catalog}.\"{schema}.{table}\""
        )),
        TableReference::Partial { schema, table } if is_tier(schema) => {
            unknown_metric(schema, table, metrics, tenant)
        }
        TableReference::Partial { schema, table } if &**schema != "information_schema" => {
            let dotted = format!("{schema}.{table}");
            let known = metrics.contains(&dotted);
            known.then(|| format!("`{dotted}` is a metric; its samples are in raw.\"{dotted}\""))
        }
        TableReference::Bare { table } => unknown_base(table, metrics),
        _ => None,
    }
}

fn unknown_metric(
    schema: &str,
    name: &str,
    metrics: &BTreeSet<String>,
    tenant: &str,
) -> Option<String> {
    if metrics.contains(name) {
        return None;
    }
    let offers = nearest(name, metrics.iter().map(String::as_str));
    let offers: Vec<_> = offers
        .iter()
        .map(|name| format!("{schema}.\"{name}\""))
        .collect();
    let hint = match offers.len() {
        0 => "it has no metrics yet".into(),
        _ => format!("did you mean {}?", offers.join(" or ")),
    };
    Some(format!("tenant `{tenant}` has no metric `{name}`; {hint}"))
}

fn unknown_base(name: &str, metrics: &BTreeSet<String>) -> Option<String> {
    if Table::ALL.iter().any(|table| table.name() == name) {
        return None;
    }
    if metrics.contains(name) {
        return Some(format!(
            "`{name}` is a metric; its samples are in raw.\"{name}\""
        ));
    }
    let tables: Vec<_> = Table::ALL.iter().map(|table| table.name()).collect();
    let nearest = nearest(name, tables.iter().copied());
    let hint = nearest
        .first()
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default();
    let all = tables.join(", ");
    Some(format!(
        "there is no table `{name}`{hint} Tables are {all}, and raw.\"metric\" for each metric"
    ))
}

/// The names most like `name`, nearest first; none that have next to nothing in common with it.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = name.to_lowercase();
    let mut ranked: Vec<(usize, &str)> = names
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .take(OFFERED)
        .map(|(_, name)| name)
        .collect()
}

/// How many letters must change to make one of the other (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_offered() {
        let metrics = BTreeSet::from(["cpu.load", "cpu.idle", "mem.free"].map(String::from));
        let message = |table: TableReference| unknown(&table, &metrics, "default");
        let text = message(TableReference::partial("raw", "cpu.laod")).expect("unknown");
        assert!(text.contains("did you mean raw.\"cpu.load\""), "{text}");
        let text = message(TableReference::full("raw", "cpu", "load")).expect("unquoted");
        assert!(text.contains("raw.\"cpu.load\""), "{text}");
        let text = message(TableReference::bare("sample")).expect("unknown");
        assert!(text.contains("did you mean samples?"), "{text}");
        assert_eq!(message(TableReference::bare("samples")), None);
        assert_eq!(message(TableReference::partial("raw", "cpu.idle")), None);
    }

    #[test]
    fn distance_counts_changes() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
