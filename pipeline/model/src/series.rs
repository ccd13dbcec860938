//! Series: tenant, metric name and labels, and the 64-bit id made of them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::reject::RejectReason;

/// The xxh3-64 of a series' canonical bytes. Tables hold it as a signed 64-bit integer with the
/// same bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SeriesId(pub u64);

impl SeriesId {
    /// The id as tables hold it.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }
}

/// A valid series: a tenant, a metric name and its labels, sorted by name, none empty, none twice.
///
/// It is one allocation: the canonical bytes (each string behind its little-endian `u32` length:
/// tenant, name, then label names and values in turn), of which the id is the hash. Cloning it is
/// counting a reference.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Series {
    id: SeriesId,
    canonical: Arc<[u8]>,
}

/// What a series may look like; all lengths in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Labels a series may carry.
    pub labels_per_series: usize,
    /// Length of a metric or label name.
    pub name_bytes: usize,
    /// Length of a label value.
    pub value_bytes: usize,
    /// Length of one Kafka record or HTTP body after decompression.
    pub record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            labels_per_series: 64,
            name_bytes: 1024,
            value_bytes: 4096,
            record_bytes: 16 << 20,
        }
    }
}

/// Why a series was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SeriesError {
    /// The class of fault.
    pub reason: RejectReason,
    /// What was wrong, with the offending name.
    pub detail: String,
}

impl SeriesError {
    fn new(reason: RejectReason, detail: String) -> Self {
        Self { reason, detail }
    }
}

impl Series {
    /// Builds a series from labels in any order; labels with empty values are dropped, as an empty
    /// label and an absent one are the same. The labels are left sorted.
    ///
    /// # Errors
    /// If a name is empty, has a control character or is `__name__`, if a label name comes twice,
    /// or if a limit is passed.
    ///
    /// ```
    /// use tidegauge_model::{Limits, Series};
    /// let mut labels = vec![("host", "web-01"), ("az", "")];
    /// let series = Series::new("default", "cpu.load", &mut labels, &Limits::default())?;
    /// assert_eq!(series.labels().collect::<Vec<_>>(), [("host", "web-01")]);
    /// # Ok::<(), tidegauge_model::SeriesError>(())
    /// ```
    pub fn new(
        tenant: &str,
        name: &str,
        labels: &mut Vec<(&str, &str)>,
        limits: &Limits,
    ) -> Result<Self, SeriesError> {
        check_name("tenant", tenant, RejectReason::BadTenant, limits)?;
        check_name("metric name", name, RejectReason::BadName, limits)?;
        // Twice is refused even where a copy is empty: the producer's intent is unknown.
        labels.sort_unstable();
        for pair in labels.windows(2) {
            if pair[0].0 == pair[1].0 {
                let detail = format!("label `{}` of `{name}` is given twice", pair[0].0);
                return Err(SeriesError::new(RejectReason::DuplicateLabel, detail));
            }
        }
        labels.retain(|label| !label.1.is_empty());
        if labels.len() > limits.labels_per_series {
            let (n, most) = (labels.len(), limits.labels_per_series);
            let detail = format!("`{name}` has {n} labels; the limit is {most}");
            return Err(SeriesError::new(RejectReason::TooManyLabels, detail));
        }
        let mut canonical = Vec::with_capacity(8 + tenant.len() + name.len() + labels.len() * 32);
        push(&mut canonical, tenant);
        push(&mut canonical, name);
        for (label, value) in labels.iter() {
            check_name("label name", label, RejectReason::BadLabel, limits)?;
            if *label == "__name__" {
                let detail = format!("`{name}` has `__name__` as a label besides its name");
                return Err(SeriesError::new(RejectReason::BadLabel, detail));
            }
            if value.len() > limits.value_bytes {
                let (n, most) = (value.len(), limits.value_bytes);
                let detail =
                    format!("label `{label}` of `{name}` has {n} bytes; the limit is {most}");
                return Err(SeriesError::new(RejectReason::BadLabel, detail));
            }
            push(&mut canonical, label);
            push(&mut canonical, value);
        }
        Ok(Self {
            id: SeriesId(xxh3_64(&canonical)),
            canonical: canonical.into(),
        })
    }

    /// The hash of the canonical bytes.
    #[must_use]
    pub const fn id(&self) -> SeriesId {
        self.id
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.strings()
            .next()
            .expect("canonical bytes begin with the tenant")
    }

    /// The metric name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.strings()
            .nth(1)
            .expect("canonical bytes hold the name second")
    }

    /// Label names and values, sorted by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut strings = self.strings().skip(2);
        std::iter::from_fn(move || Some((strings.next()?, strings.next()?)))
    }

    /// The bytes of which the id is the hash: equal exactly for equal series.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// The order of rows in files: tenant, then metric name, then id as the signed number that
    /// tables hold.
    #[must_use]
    pub fn file_order(&self, other: &Self) -> std::cmp::Ordering {
        (self.tenant(), self.name(), self.id.as_i64()).cmp(&(
            other.tenant(),
            other.name(),
            other.id.as_i64(),
        ))
    }

    fn strings(&self) -> impl Iterator<Item = &str> {
        let mut rest = &*self.canonical;
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let (text, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
            rest = tail;
            Some(std::str::from_utf8(text).expect("canonical bytes hold UTF-8"))
        })
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tenant(), self.name())?;
        f.debug_map().entries(self.labels()).finish()
    }
}

fn push(canonical: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("names are held below 4 GiB by their limits");
    canonical.extend_from_slice(&length.to_le_bytes());
    canonical.extend_from_slice(text.as_bytes());
}

fn check_name(
    what: &str,
    name: &str,
    reason: RejectReason,
    limits: &Limits,
) -> Result<(), SeriesError> {
    if name.is_empty() {
        return Err(SeriesError::new(reason, format!("the {what} is empty")));
    }
    if name.len() > limits.name_bytes {
        let (n, most) = (name.len(), limits.name_bytes);
        return Err(SeriesError::new(
            reason,
            format!("the {what} has {n} bytes; the limit is {most}"),
        ));
    }
    if name.chars().any(char::is_control) {
        let detail = format!("the {what} {name:?} has a control character");
        return Err(SeriesError::new(reason, detail));
    }
    Ok(())
}

/// What a producer says a metric is; not part of a series' identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Metadata {
    /// The metric's type.
    pub metric_type: MetricType,
    /// Its unit, empty where unknown.
    pub unit: String,
    /// One line of help, empty where unknown.
    pub help: String,
}

/// The types of metrics, as in the Prometheus and OpenMetrics formats.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// Not said.
    #[default]
    Unknown,
    /// Goes up and down.
    Gauge,
    /// Only goes up, or starts again from zero.
    Counter,
    /// Buckets, sum and count.
    Histogram,
    /// A histogram whose buckets go up and down.
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// A constant whose labels tell.
    Info,
    /// One of several states.
    StateSet,
}

impl MetricType {
    /// The word in the `type` column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)]) -> Result<Series, SeriesError> {
        Series::new("t", "m", &mut labels.to_vec(), &Limits::default())
    }

    #[test]
    fn order_and_empty_labels_make_no_difference() {
        let one = series(&[("a", "1"), ("b", "2")]).expect("valid");
        let other = series(&[("b", "2"), ("c", ""), ("a", "1")]).expect("valid");
        assert_eq!(one, other);
        assert_eq!(one.id(), other.id());
    }

    #[test]
    fn boundaries_between_strings_count() {
        let one = series(&[("a", "bc")]).expect("valid");
        let other = series(&[("ab", "c")]).expect("valid");
        assert_ne!(one.id(), other.id());
    }

    #[test]
    fn a_label_twice_is_refused_even_if_equal() {
        let reason = series(&[("a", "1"), ("a", "1")]).expect_err("twice").reason;
        assert_eq!(reason, RejectReason::DuplicateLabel);
    }

    #[test]
    fn limits_and_names_are_checked() {
        for (labels, reason) in [
            (vec![("", "x")], RejectReason::BadLabel),
            (vec![("__name__", "x")], RejectReason::BadLabel),
            (vec![("a\nb", "x")], RejectReason::BadLabel),
        ] {
            assert_eq!(
                series(&labels).expect_err("refused").reason,
                reason,
                "{labels:?}"
            );
        }
        let names: Vec<String> = (0..65).map(|i| format!("l{i}")).collect();
        let many: Vec<_> = names.iter().map(|n| (n.as_str(), "v")).collect();
        assert_eq!(
            series(&many).expect_err("refused").reason,
            RejectReason::TooManyLabels
        );
    }
}
