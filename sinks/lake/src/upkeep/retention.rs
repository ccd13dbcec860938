//! How long rows are kept: by tier, and by tenant and metric where rules say so.

use regex::Regex;
use serde::{Deserialize, Serialize};
use tidegauge_model::DAY_MS;
use tidegauge_tables::{Key, Table};

/// How long rows of each tier are kept after their event time, milliseconds; those of a backfill,
/// which were older when they came, for as long after their coming.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Samples and rejects.
    pub raw_ms: i64,
    /// 1-minute rollups.
    pub m1_ms: i64,
    /// 5-minute rollups.
    pub m5_ms: i64,
    /// 1-hour rollups.
    pub h1_ms: i64,
    /// What is kept for longer or shorter. For each tier the first rule counts that fits and names it.
    pub rules: Vec<RetentionRule>,
}

/// How long the rows of some tenants and metrics are kept. A tier that it does not name is left to
/// the rules after it, and at last to the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionRule {
    /// The tenant; every one unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A regular expression that the metric's whole name fits; every one unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_ms: Option<i64>,
    /// 1-minute rollups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub m1_ms: Option<i64>,
    /// 5-minute rollups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub m5_ms: Option<i64>,
    /// 1-hour rollups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h1_ms: Option<i64>,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            raw_ms: 7 * DAY_MS,
            m1_ms: 30 * DAY_MS,
            m5_ms: 90 * DAY_MS,
            h1_ms: 365 * DAY_MS,
            rules: Vec::new(),
        }
    }
}

impl RetentionSettings {
    fn default_of(&self, table: Table) -> i64 {
        match table {
            Table::Samples | Table::Rejects => self.raw_ms,
            Table::Rollup1m => self.m1_ms,
            Table::Rollup5m => self.m5_ms,
            Table::Rollup1h => self.h1_ms,
            Table::Series => self.raw_ms.max(self.m1_ms).max(self.m5_ms).max(self.h1_ms),
        }
    }
}

impl RetentionRule {
    /// The pattern of the metric's name, compiled.
    ///
    /// # Errors
    /// If it is no regular expression.
    pub fn pattern(&self) -> Result<Option<Regex>, regex::Error> {
        let anchored = |pattern: &String| Regex::new(&format!("^(?:{pattern})$"));
        self.metric.as_ref().map(anchored).transpose()
    }

    const fn of(&self, table: Table) -> Option<i64> {
        match table {
            Table::Samples => self.raw_ms,
            Table::Rollup1m => self.m1_ms,
            Table::Rollup5m => self.m5_ms,
            Table::Rollup1h => self.h1_ms,
            Table::Rejects | Table::Series => None,
        }
    }

    fn longest(&self) -> Option<i64> {
        self.raw_ms.max(self.m1_ms).max(self.m5_ms).max(self.h1_ms)
    }
}

/// The settings, ready to be asked.
#[derive(Debug)]
pub(super) struct Retention {
    settings: RetentionSettings,
    patterns: Vec<Option<Regex>>,
}

impl Retention {
    pub(super) fn new(settings: RetentionSettings) -> Result<Self, regex::Error> {
        let patterns = settings.rules.iter().map(RetentionRule::pattern);
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
            settings,
        })
    }

    /// How long rows of `table` with this key are kept.
    pub(super) fn of(&self, table: Table, key: &Key) -> i64 {
        let fitting = self
            .settings
            .rules
            .iter()
            .zip(&self.patterns)
            .find_map(|(rule, pattern)| {
                let tenant = rule.tenant.as_ref().is_none_or(|it| *it == key.tenant);
                let metric = pattern.as_ref().is_none_or(|it| it.is_match(&key.name));
                rule.of(table).filter(|_| tenant && metric)
            });
        fitting.unwrap_or_else(|| self.settings.default_of(table))
    }

    /// How long any row of `table` may be kept; series for as long as any tier may name them.
    pub(super) fn longest(&self, table: Table) -> i64 {
        self.every(table).max().expect("there is a default")
    }

    /// How long every row of `table` is kept.
    pub(super) fn shortest(&self, table: Table) -> i64 {
        self.every(table).min().expect("there is a default")
    }

    fn every(&self, table: Table) -> impl Iterator<Item = i64> {
        let by_rules = self
            .settings
            .rules
            .iter()
            .filter_map(move |rule| match table {
                Table::Series => rule.longest(),
                _ => rule.of(table),
            });
        by_rules.chain([self.settings.default_of(table)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_and_names_the_tier_counts() {
        let rule = |tenant: Option<&str>, metric: Option<&str>, raw, h1| RetentionRule {
            tenant: tenant.map(str::to_owned),
            metric: metric.map(str::to_owned),
            raw_ms: raw,
            h1_ms: h1,
            ..RetentionRule::default()
        };
        let settings = RetentionSettings {
            rules: vec![
                rule(Some("a"), Some("cpu.*"), Some(1), None),
                rule(None, Some("cpu.load|mem"), Some(2), Some(3)),
                rule(Some("b"), None, Some(DAY_MS * 1000), None),
            ],
            ..RetentionSettings::default()
        };
        let retention = Retention::new(settings).expect("patterns");
        let of = |table, tenant: &str, name: &str| {
            let (tenant, name) = (tenant.into(), name.into());
            retention.of(table, &Key { tenant, name })
        };
        assert_eq!(of(Table::Samples, "a", "cpu.load"), 1);
        assert_eq!(of(Table::Rollup1h, "a", "cpu.load"), 3);
        assert_eq!(of(Table::Samples, "c", "mem"), 2);
        assert_eq!(of(Table::Samples, "c", "memory"), 7 * DAY_MS, "whole names");
        assert_eq!(of(Table::Samples, "b", "disk"), DAY_MS * 1000);
        assert_eq!(retention.longest(Table::Samples), DAY_MS * 1000);
        assert_eq!(retention.longest(Table::Series), DAY_MS * 1000);
        assert_eq!(retention.shortest(Table::Samples), 1);
        assert_eq!(retention.shortest(Table::Rollup1m), 30 * DAY_MS);
    }
}
