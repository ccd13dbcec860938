//! What one look at the machine brings: samples, each with what its metric means.

use std::borrow::Cow;

use tidegauge_model::MetricType;

/// A metric as node_exporter names and describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) name: Cow<'static, str>,
    pub(crate) metric_type: MetricType,
    pub(crate) help: Cow<'static, str>,
}

impl Family {
    pub(crate) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::fixed(name, MetricType::Counter, help)
    }

    pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::fixed(name, MetricType::Gauge, help)
    }

    /// For metrics whose names the kernel gives.
    pub(crate) const fn found(name: String, metric_type: MetricType, help: String) -> Self {
        Self {
            name: Cow::Owned(name),
            metric_type,
            help: Cow::Owned(help),
        }
    }

    const fn fixed(name: &'static str, metric_type: MetricType, help: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            metric_type,
            help: Cow::Borrowed(help),
        }
    }
}

/// One value of one metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) family: Family,
    /// Label names and values, without those that every sample of the agent carries.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

/// All samples of one instant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) samples: Vec<Sample>,
}

impl Scrape {
    /// Adds a sample.
    pub(crate) fn push(&mut self, family: &Family, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels
            .iter()
            .map(|&(name, value)| (name, value.to_owned()))
            .collect();
        self.samples.push(Sample {
            family: family.clone(),
            labels,
            value,
        });
    }
}

/// The samples as lines of Prometheus text, sorted, for comparison with node_exporter's own.
#[cfg(test)]
pub(crate) fn lines(scrape: &Scrape) -> Vec<String> {
    let mut lines: Vec<String> = scrape
        .samples
        .iter()
        .map(|sample| {
            let mut labels: Vec<String> = sample
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value:?}"))
                .collect();
            labels.sort();
            let labels = if labels.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", labels.join(","))
            };
            format!("{}{labels} {}", sample.family.name, sample.value)
        })
        .collect();
    lines.sort();
    lines
}
