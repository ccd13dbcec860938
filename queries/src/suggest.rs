//! What somebody may have meant by a table that is not there.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use tidegauge_tables::Table;

use crate::metric::METRIC_SCHEMAS;
use crate::table::BASE;

/// How many names are offered.
const OFFERED: usize = 3;

/// What there is to be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) tables: &'a [Table],
    pub(crate) metrics: &'a BTreeSet<String>,
    /// Whose metrics these are.
    pub(crate) tenant: &'a str,
}

impl Known<'_> {
    /// Says what is wrong with `table`, if it is a table that is not there.
    pub(crate) fn amend(self, table: &TableReference) -> Option<String> {
        match table {
            // A dot in a metric's name reads as a schema's, unless the name is quoted.
            TableReference::Full {
                catalog,
                schema,
                table,
            } if schema_of(catalog).is_some() => Some(format!(
                "there is no table {catalog}.{schema}.{table}; a name with dots is quoted: {catalog}.\"{schema}.{table}\""
            )),
            TableReference::Partial { schema, table } => match schema_of(schema) {
                Some(tier) if self.tables.contains(&tier) => self.metric(schema, table),
                Some(tier) => Some(not_made(tier)),
                None if &**schema == "information_schema" => None,
                None if &**schema == BASE => self.base(table),
                None => Some(self.schema(schema, table)),
            },
            TableReference::Bare { table } => self.base(table),
            TableReference::Full { .. } => None,
        }
    }

    fn schema(self, schema: &str, table: &str) -> String {
        let dotted = format!("{schema}.{table}");
        if self.metrics.contains(&dotted) {
            return is_metric(&dotted);
        }
        let schemas = METRIC_SCHEMAS.into_iter();
        let there = schemas.filter(|(_, table)| self.tables.contains(table));
        let names: Vec<_> = there.map(|(schema, _)| schema).collect();
        let all = names.join(", ");
        format!("there is no schema `{schema}`; metrics are tables of {all}")
    }

    fn metric(self, schema: &str, name: &str) -> Option<String> {
        if self.metrics.contains(name) {
            return None;
        }
        let offers = nearest(name, self.metrics.iter().map(String::as_str));
        let offers: Vec<_> = offers
            .iter()
            .map(|name| format!("{schema}.\"{name}\""))
            .collect();
        let hint = match (self.metrics.len(), offers.len()) {
            (0, _) => "it has no metrics yet".into(),
            (_, 0) => "SELECT DISTINCT name FROM series lists those it has".into(),
            _ => format!("did you mean {}?", offers.join(" or ")),
        };
        let tenant = self.tenant;
        Some(format!("tenant `{tenant}` has no metric `{name}`; {hint}"))
    }

    fn base(self, name: &str) -> Option<String> {
        if let Some(table) = Table::ALL.into_iter().find(|table| table.name() == name) {
            return (!self.tables.contains(&table)).then(|| not_made(table));
        }
        if self.metrics.contains(name) {
            return Some(is_metric(name));
        }
        let tables: Vec<_> = self.tables.iter().map(|table| table.name()).collect();
        let hint = match nearest(name, tables.iter().copied()).first() {
            Some(name) => format!("did you mean {name}? Tables are"),
            None => "tables are".into(),
        };
        let all = tables.join(", ");
        Some(format!(
            "there is no table `{name}`; {hint} {all}, and raw.\"metric\" for each metric"
        ))
    }
}

/// Whose rows a schema of per-metric tables shows.
fn schema_of(name: &str) -> Option<Table> {
    let mut schemas = METRIC_SCHEMAS.into_iter();
    schemas.find_map(|(schema, table)| (schema == name).then_some(table))
}

fn not_made(table: Table) -> String {
    let name = table.name();
    format!("there is no {name} in this lake; `stream.{name} = true` makes it from then on")
}

fn is_metric(name: &str) -> String {
    format!("`{name}` is a metric; its samples are in raw.\"{name}\"")
}

/// The names most like `name`, nearest first; none of which more than half would have to change,
/// but for those that hold it whole.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = name.to_lowercase();
    let rank = |name: &'a str| {
        let other = name.to_lowercase();
        let changes = distance(&wanted, &other);
        let most = wanted.chars().count().max(other.chars().count()) / 2;
        let holds = !wanted.is_empty() && other.contains(&wanted);
        (changes <= most || holds).then_some((changes, name))
    };
    let mut ranked: Vec<(usize, &str)> = names.filter_map(rank).collect();
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

    fn amend(table: TableReference) -> Option<String> {
        let metrics = BTreeSet::from(["cpu.load", "cpu.idle", "mem.free"].map(String::from));
        let known = Known {
            tables: &[Table::Samples, Table::Rollup1m, Table::Series],
            metrics: &metrics,
            tenant: "default",
        };
        known.amend(&table)
    }

    #[test]
    fn the_nearest_names_are_offered() {
        let text = amend(TableReference::partial("raw", "cpu.laod")).expect("unknown");
        assert!(text.contains("did you mean raw.\"cpu.load\""), "{text}");
        assert!(!text.contains("mem.free"), "{text}");
        let text = amend(TableReference::full("raw", "cpu", "load")).expect("unquoted");
        assert!(text.contains("raw.\"cpu.load\""), "{text}");
        let text = amend(TableReference::bare("sample")).expect("unknown");
        assert!(text.contains("did you mean samples?"), "{text}");
        assert_eq!(amend(TableReference::bare("samples")), None);
        assert_eq!(amend(TableReference::partial("raw", "cpu.idle")), None);
    }

    #[test]
    fn a_name_like_no_other_gets_the_way_to_all_of_them() {
        let text = amend(TableReference::partial("raw", "zebra_crossings")).expect("unknown");
        assert!(text.contains("SELECT DISTINCT name FROM series"), "{text}");
        let text = amend(TableReference::bare("zebra_crossings")).expect("unknown");
        assert!(text.contains("tables are samples, rollup_1m"), "{text}");
        assert!(!text.contains("did you mean"), "{text}");
    }

    #[test]
    fn a_schema_that_is_not_there_gets_those_that_are() {
        let text = amend(TableReference::partial("rolup_1m", "cpu.load")).expect("unknown");
        assert!(text.contains("tables of raw, rollup_1m"), "{text}");
        assert!(!text.contains("rollup_1h"), "{text}");
        let text = amend(TableReference::partial("cpu", "load")).expect("unquoted");
        assert!(text.contains("`cpu.load` is a metric"), "{text}");
        let text = amend(TableReference::partial("lake", "sample")).expect("unknown");
        assert!(text.contains("did you mean samples?"), "{text}");
        assert_eq!(amend(TableReference::partial("lake", "samples")), None);
    }

    #[test]
    fn a_part_of_a_name_finds_it() {
        let text = amend(TableReference::partial("raw", "free")).expect("unknown");
        assert!(text.contains("did you mean raw.\"mem.free\""), "{text}");
    }

    #[test]
    fn a_tier_that_is_not_made_is_told_of_by_its_setting() {
        for table in [
            TableReference::bare("rollup_5m"),
            TableReference::partial("rollup_5m", "cpu.load"),
        ] {
            let text = amend(table).expect("unknown");
            assert!(text.contains("`stream.rollup_5m = true`"), "{text}");
        }
        let text = amend(TableReference::bare("sample")).expect("unknown");
        assert!(!text.contains("rollup_5m"), "{text}");
    }

    #[test]
    fn distance_counts_changes() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
