//! Completion: what the word before the cursor could become.

use std::collections::BTreeSet;

use tidegauge_tables::{Table, columns};

/// Schemas with one table per metric.
const METRIC_SCHEMAS: [&str; 4] = ["raw", "rollup_1m", "rollup_5m", "rollup_1h"];

/// Columns that only tables of one metric have.
const METRIC_COLUMNS: [&str; 3] = ["avg", "increase", "rate"];

const KEYWORDS: [&str; 56] = [
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "avg(",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "count(",
    "CROSS",
    "date_bin(",
    "date_trunc(",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXISTS",
    "EXPLAIN",
    "ANALYZE",
    "FALSE",
    "first_value(",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERVAL",
    "IS",
    "JOIN",
    "last_value(",
    "LEFT",
    "LIKE",
    "LIMIT",
    "max(",
    "min(",
    "NOT",
    "now()",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SELECT",
    "sum(",
    "UNION",
    "VALUES",
    "WHERE",
    "WITH",
];

/// How many candidates are offered at once.
const OFFERED: usize = 200;

/// The names a lake knows.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Metric names.
    pub metrics: BTreeSet<String>,
    /// Label names, which are columns of metrics' tables.
    pub labels: BTreeSet<String>,
}

impl Words {
    /// Candidates for the word that ends at the end of `before`, and where that word begins.
    #[must_use]
    pub fn complete(&self, before: &str) -> (usize, Vec<String>) {
        let start = word_start(before);
        let word = &before[start..];
        let mut found = match word.split_once('.') {
            Some((schema, name)) if METRIC_SCHEMAS.contains(&schema) => self.tables(schema, name),
            _ => self.plain(word),
        };
        found.truncate(OFFERED);
        (start, found)
    }

    fn tables(&self, schema: &str, name: &str) -> Vec<String> {
        let begun = name.trim_start_matches('"');
        let fits = self
            .metrics
            .iter()
            .filter(|metric| metric.starts_with(begun));
        fits.map(|metric| table(schema, metric)).collect()
    }

    fn plain(&self, word: &str) -> Vec<String> {
        if word.is_empty() {
            return Vec::new();
        }
        let lower = word.to_lowercase();
        let shouted = word.chars().any(char::is_uppercase);
        let cased = |keyword: &str| {
            if shouted {
                keyword.to_uppercase()
            } else {
                keyword.to_lowercase()
            }
        };
        let begins = |name: &&str| name.to_lowercase().starts_with(&lower);
        let mut found: Vec<String> = KEYWORDS.into_iter().filter(begins).map(cased).collect();
        let mut names: BTreeSet<String> = METRIC_SCHEMAS.map(|schema| format!("{schema}.")).into();
        names.extend(METRIC_COLUMNS.map(str::to_owned));
        for table in Table::ALL {
            names.insert(table.name().to_owned());
            names.extend(
                columns(table)
                    .fields()
                    .iter()
                    .map(|field| field.name().clone()),
            );
        }
        found.extend(names.into_iter().filter(|name| begins(&name.as_str())));
        let labels = self.labels.iter().filter(|label| begins(&label.as_str()));
        found.extend(labels.map(|label| quoted_if_needed(label)));
        let metrics = self
            .metrics
            .iter()
            .filter(|metric| begins(&metric.as_str()));
        found.extend(metrics.map(|metric| table("raw", metric)));
        found
    }
}

fn table(schema: &str, metric: &str) -> String {
    format!("{schema}.\"{}\"", metric.replace('"', "\"\""))
}

fn quoted_if_needed(name: &str) -> String {
    let bare = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.chars().all(bare) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Where the word at the end of `text` begins. A dot belongs to the word, as does a quote behind
/// one, and everything in that quote.
fn word_start(text: &str) -> usize {
    let in_quotes = text.matches('"').count() % 2 == 1;
    let end = match text.rfind('"') {
        Some(quote) if in_quotes => quote,
        _ => text.len(),
    };
    let breaks = |c: char| !(c.is_alphanumeric() || c == '_' || c == '.');
    text[..end].rfind(breaks).map_or(0, |at| {
        at + text[at..].chars().next().map_or(1, char::len_utf8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words {
            metrics: ["cpu.load", "cpu.idle", "up"].map(str::to_owned).into(),
            labels: ["host", "Host Name"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn keywords_follow_the_case_they_were_begun_in() {
        assert_eq!(words().complete("SEL"), (0, vec!["SELECT".into()]));
        assert_eq!(words().complete("sel"), (0, vec!["select".into()]));
        assert_eq!(words().complete("select 1 "), (9, vec![]));
    }

    #[test]
    fn tables_columns_labels_and_metrics_are_known() {
        let found = |text| words().complete(text).1;
        assert!(found("SELECT * FROM rollup_1").contains(&"rollup_1m".to_owned()));
        assert!(found("SELECT first_").contains(&"first_time".to_owned()));
        assert!(found("select ho").contains(&"host".to_owned()));
        assert!(found("select ho").contains(&"\"Host Name\"".to_owned()));
        assert!(found("select cpu").contains(&"raw.\"cpu.load\"".to_owned()));
    }

    #[test]
    fn metrics_of_a_schema_are_quoted() {
        let text = "SELECT * FROM raw.cpu.l";
        let found = words().complete(text);
        assert_eq!(found, (14, vec!["raw.\"cpu.load\"".into()]));
        let found = words().complete("SELECT * FROM raw.\"cpu.l");
        assert_eq!(found, (14, vec!["raw.\"cpu.load\"".into()]));
        assert_eq!(words().complete("FROM rollup_1h.").1.len(), 3);
    }
}
