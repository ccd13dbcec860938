//! Data points into samples of one or more series.

use std::borrow::Cow;

use tidegauge_model::{Limits, Metadata, MetricType, RejectReason, stale};

use super::attributes::{Identity, identity, labels, others};
use super::names::{metric_name, unit_name};
use super::{Request, Resource, Walk};
use crate::context::Refused;
use crate::intern::Keys;
use crate::protobuf::{Reader, Value};
use crate::relabel::Labels;
use crate::table::Target;
use crate::time::valid_time;

/// Which metric a data point belongs to.
pub(super) struct Metric<'m> {
    pub(super) resource: &'m Resource<'m>,
    pub(super) kind: Kind,
    pub(super) name: &'m [u8],
    pub(super) help: &'m [u8],
    pub(super) unit: &'m [u8],
    pub(super) known: u32,
}

/// What kind of points a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Sum {
        temporality: Temporality,
        monotonic: bool,
    },
    Histogram {
        temporality: Temporality,
    },
    ExponentialHistogram,
    Summary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temporality {
    Unspecified,
    Delta,
    Cumulative,
}

impl Kind {
    /// By the field of `Metric` that holds the data.
    pub(super) fn of(field: u64, data: &[u8]) -> Result<Self, &'static str> {
        let (mut temporality, mut monotonic) = (Temporality::Unspecified, false);
        if let 7 | 9 = field {
            let mut reader = Reader::new(data);
            while let Some((field, value)) = reader.next()? {
                match (field, value) {
                    (2, Value::Varint(1)) => temporality = Temporality::Delta,
                    (2, Value::Varint(2)) => temporality = Temporality::Cumulative,
                    (3, Value::Varint(flag)) => monotonic = flag != 0,
                    _ => {}
                }
            }
        }
        Ok(match field {
            5 => Self::Gauge,
            7 => Self::Sum {
                temporality,
                monotonic,
            },
            9 => Self::Histogram { temporality },
            10 => Self::ExponentialHistogram,
            _ => Self::Summary,
        })
    }

    /// A number of its own for each kind, for keys.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Gauge => 0,
            Self::Summary => 1,
            Self::ExponentialHistogram => 2,
            Self::Sum {
                temporality,
                monotonic,
            } => 3 + 2 * temporality as u8 + monotonic as u8,
            Self::Histogram { temporality } => 9 + temporality as u8,
        }
    }

    const fn temporality(self) -> Temporality {
        match self {
            Self::Sum { temporality, .. } | Self::Histogram { temporality } => temporality,
            _ => Temporality::Cumulative,
        }
    }

    const fn metric_type(self) -> MetricType {
        match self {
            Self::Sum {
                monotonic: true, ..
            } => MetricType::Counter,
            Self::Gauge | Self::Sum { .. } => MetricType::Gauge,
            Self::Histogram { .. } | Self::ExponentialHistogram => MetricType::Histogram,
            Self::Summary => MetricType::Summary,
        }
    }
}

/// Which of a point's series.
#[derive(Clone, Copy, Debug)]
enum Part {
    Value,
    Bucket { bound: f64 },
    Sum,
    Count,
    Quantile { quantile: f64 },
    TargetInfo,
}

impl Part {
    fn key(self) -> (u8, u64) {
        match self {
            Self::Value => (0, 0),
            Self::Bucket { bound } => (1, bound.to_bits()),
            Self::Sum => (2, 0),
            Self::Count => (3, 0),
            Self::Quantile { quantile } => (4, quantile.to_bits()),
            Self::TargetInfo => (5, 0),
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Value | Self::Quantile { .. } | Self::TargetInfo => "",
            Self::Bucket { .. } => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }

    /// The label that tells buckets and quantiles apart.
    fn label(self) -> Option<(&'static str, String)> {
        match self {
            Self::Bucket { bound } => Some(("le", number_label(bound))),
            Self::Quantile { quantile } => Some(("quantile", number_label(quantile))),
            _ => None,
        }
    }
}

/// A number as Prometheus writes it in labels: without exponent.
fn number_label(number: f64) -> String {
    if number == f64::INFINITY {
        "+Inf".into()
    } else {
        number.to_string()
    }
}

/// The fields that points of all kinds have, and those of some.
#[derive(Default)]
struct Point<'m> {
    time_ns: u64,
    value: Option<f64>,
    count: u64,
    sum: Option<f64>,
    counts: Vec<u64>,
    bounds: Vec<f64>,
    quantiles: Vec<&'m [u8]>,
    exemplars: u64,
    flags: u64,
}

/// The flag of a point that says that there is no value any more.
const NO_RECORDED_VALUE: u64 = 1;

impl Request<'_, '_> {
    pub(super) fn point(&mut self, metric: &Metric<'_>, message: &[u8]) -> Walk {
        if let [unread, rest @ ..] = self.unread
            && unread.item == self.item
        {
            self.unread = rest;
            let (reason, detail) = &unread.why;
            self.refuse(metric, *reason, detail);
            return Ok(());
        }
        let point = self.read(metric.kind, message)?;
        if metric.kind == Kind::ExponentialHistogram {
            self.refuse(
                metric,
                RejectReason::NativeHistogram,
                "exponential histogram; send explicit buckets",
            );
            return Ok(());
        }
        if metric.kind.temporality() == Temporality::Unspecified {
            self.refuse(
                metric,
                RejectReason::BadValue,
                "its metric has no aggregation temporality",
            );
            return Ok(());
        }
        let time = match i64::try_from(point.time_ns / 1_000_000) {
            Ok(0) => self.context.record.own_time(),
            Ok(time) if valid_time(time) => time,
            _ => {
                self.refuse(
                    metric,
                    RejectReason::BadTimestamp,
                    "its time is past year 2261",
                );
                return Ok(());
            }
        };
        self.newest = self.newest.max(time);
        self.context.out.skipped.exemplars += point.exemplars;
        let samples = self.context.out.samples.len();
        let taken = match metric.kind {
            Kind::Histogram { .. } => self.histogram(metric, &point, time),
            Kind::Summary => self.summary(metric, &point, time)?,
            _ => self.number(metric, &point, time),
        };
        if let Err((reason, detail)) = taken {
            // A histogram stands or falls with all its series.
            self.context.truncate_samples(samples);
            self.refuse(metric, reason, &detail);
        }
        Ok(())
    }

    /// Reads a point's fields; its attributes go to `self.attributes` as they are.
    fn read<'m>(&mut self, kind: Kind, message: &'m [u8]) -> Result<Point<'m>, &'static str> {
        let attributes = match kind {
            Kind::Histogram { .. } => 9,
            Kind::ExponentialHistogram => 1,
            _ => 7,
        };
        let histogram = matches!(kind, Kind::Histogram { .. });
        let mut point = Point::default();
        self.attributes.clear();
        let mut reader = Reader::new(message);
        loop {
            let before = reader.rest;
            let Some((field, value)) = reader.next()? else {
                return Ok(point);
            };
            match (field, value) {
                (field, Value::Bytes(_)) if field == attributes => {
                    let raw = &before[..before.len() - reader.rest.len()];
                    self.attributes.extend_from_slice(raw);
                }
                (3, Value::Fixed64(time_ns)) => point.time_ns = time_ns,
                (8, Value::Varint(flags)) if !histogram => point.flags = flags,
                (10, Value::Varint(flags)) if histogram => point.flags = flags,
                (5, Value::Bytes(_)) => point.exemplars += 1,
                (8, Value::Bytes(_)) if histogram => point.exemplars += 1,
                (4, Value::Fixed64(bits)) => {
                    point.value = Some(f64::from_bits(bits));
                    point.count = bits;
                }
                (5, Value::Fixed64(bits)) => point.sum = Some(f64::from_bits(bits)),
                (6, Value::Fixed64(bits)) if histogram => point.counts.push(bits),
                (6, Value::Fixed64(bits)) => point.value = Some(bits.cast_signed() as f64),
                (6, Value::Bytes(packed)) if histogram => point.counts.extend(unpack(packed)?),
                (6, Value::Bytes(quantile)) => point.quantiles.push(quantile),
                (7, Value::Fixed64(bits)) => point.bounds.push(f64::from_bits(bits)),
                (7, Value::Bytes(packed)) => {
                    point.bounds.extend(unpack(packed)?.map(f64::from_bits));
                }
                _ => {}
            }
        }
    }

    fn number(&mut self, metric: &Metric<'_>, point: &Point<'_>, time: i64) -> Taken {
        if point.flags & NO_RECORDED_VALUE != 0 {
            return self.sample(metric, Part::Value, time, stale());
        }
        let value = point
            .value
            .ok_or((RejectReason::BadValue, "no value".to_owned()))?;
        self.sample(metric, Part::Value, time, value)
    }

    fn histogram(&mut self, metric: &Metric<'_>, point: &Point<'_>, time: i64) -> Taken {
        let (bounds, counts) = (&point.bounds, &point.counts);
        if counts.len() != bounds.len() + 1 && !(counts.is_empty() && bounds.is_empty()) {
            let detail = format!("{} bucket counts for {} bounds", counts.len(), bounds.len());
            return Err((RejectReason::BadValue, detail));
        }
        let gone = point.flags & NO_RECORDED_VALUE != 0;
        let shown = |number: f64| if gone { stale() } else { number };
        let mut below = 0u64;
        for (&bound, count) in bounds.iter().zip(counts) {
            below = below.wrapping_add(*count);
            self.sample(metric, Part::Bucket { bound }, time, shown(below as f64))?;
        }
        let count = shown(point.count as f64);
        if bounds.last() != Some(&f64::INFINITY) {
            self.sample(
                metric,
                Part::Bucket {
                    bound: f64::INFINITY,
                },
                time,
                count,
            )?;
        }
        if let Some(sum) = point.sum {
            self.sample(metric, Part::Sum, time, shown(sum))?;
        }
        self.sample(metric, Part::Count, time, count)
    }

    fn summary(
        &mut self,
        metric: &Metric<'_>,
        point: &Point<'_>,
        time: i64,
    ) -> Result<Taken, &'static str> {
        let gone = point.flags & NO_RECORDED_VALUE != 0;
        let shown = |number: f64| if gone { stale() } else { number };
        for message in &point.quantiles {
            let mut parts = [0.0; 2];
            let mut reader = Reader::new(message);
            while let Some((field, value)) = reader.next()? {
                if let 1 | 2 = field {
                    parts[field as usize - 1] = f64::from_bits(value.fixed64()?);
                }
            }
            let [quantile, value] = parts;
            let taken = self.sample(metric, Part::Quantile { quantile }, time, shown(value));
            if taken.is_err() {
                return Ok(taken);
            }
        }
        let sum = shown(point.sum.unwrap_or(0.0));
        let count = shown(point.count as f64);
        Ok(self
            .sample(metric, Part::Sum, time, sum)
            .and_then(|()| self.sample(metric, Part::Count, time, count)))
    }

    fn sample(&mut self, metric: &Metric<'_>, part: Part, time: i64, value: f64) -> Taken {
        let target = match self.look_up(metric.known, part) {
            Some(target) => target,
            None => self.learn(metric, part)?,
        };
        self.context.push(target, time, value);
        Ok(())
    }

    /// Finds the series of the attributes at hand by their raw bytes.
    #[inline]
    fn look_up(&mut self, known: u32, part: Part) -> Option<Target> {
        let (code, bits) = part.key();
        self.key.clear();
        self.key.extend_from_slice(&known.to_le_bytes());
        self.key.push(code);
        self.key.extend_from_slice(&bits.to_le_bytes());
        self.key.extend_from_slice(self.attributes);
        let tick = self.context.tick;
        let table = self.context.interner.table(Keys::OtlpPoint);
        let (place, expected) = table.predicted();
        if expected == self.key.as_slice() {
            return Some(table.take(place, tick));
        }
        table.find(self.key, tick)
    }

    fn learn(&mut self, metric: &Metric<'_>, part: Part) -> Result<Target, Refused> {
        let [Ok(name), Ok(unit)] = [metric.name, metric.unit].map(std::str::from_utf8) else {
            return Err((
                RejectReason::BadName,
                "the name or unit is not UTF-8".into(),
            ));
        };
        let rules = self.context.rules;
        let metadata = Metadata {
            metric_type: metric.kind.metric_type(),
            unit: rules.told(unit_name(unit).as_bytes()).into_owned(),
            help: rules.told(metric.help).into_owned(),
        };
        let name = metric_name(name, unit, metadata.metric_type, metric.kind == Kind::Gauge);
        let mut all = labels(self.attributes, rules.limits)?;
        for (name, value) in metric.resource.identity()? {
            set(&mut all, name, value.clone());
        }
        if let Some((name, value)) = part.label() {
            set(&mut all, name, value);
        }
        set(&mut all, "__name__", format!("{name}{}", part.suffix()));
        let delta = metric.kind.temporality() == Temporality::Delta;
        self.put(all, metadata, delta)
    }

    fn put(&mut self, all: Labels<'_>, metadata: Metadata, delta: bool) -> Result<Target, Refused> {
        self.context
            .learn(Keys::OtlpPoint, self.key, all, Some(metadata), delta)
            .map_err(|refused| (refused.reason, refused.detail))
    }

    /// The sample that carries a resource's other attributes, if there were points.
    pub(super) fn target_info(&mut self, resource: &Resource<'_>) -> Walk {
        if self.newest == i64::MIN {
            return Ok(());
        }
        self.attributes.clear();
        let target = match self.look_up(resource.known, Part::TargetInfo) {
            Some(target) => Ok(target),
            None => match target_labels(resource, self.context.rules.limits) {
                Ok(None) => return Ok(()),
                Ok(Some(all)) => {
                    let help = "Target metadata".to_owned();
                    let metric_type = MetricType::Gauge;
                    self.put(
                        all,
                        Metadata {
                            metric_type,
                            unit: String::new(),
                            help,
                        },
                        false,
                    )
                }
                Err(refused) => Err(refused),
            },
        };
        match target {
            Ok(target) => self.context.push(target, self.newest, 1.0),
            Err((reason, detail)) => {
                self.context
                    .reject(None, reason, format!("target_info: {detail}"));
            }
        }
        Ok(())
    }
}

type Taken = Result<(), Refused>;

impl Resource<'_> {
    fn identity(&self) -> Result<&Identity, Refused> {
        let identity = self.identity.get_or_init(|| identity(self.raw));
        identity.as_ref().map_err(Refused::clone)
    }
}

/// None if the resource is not identified or has nothing else to say.
fn target_labels(
    resource: &Resource<'_>,
    limits: &Limits,
) -> Result<Option<Labels<'static>>, Refused> {
    let identity = resource.identity()?;
    if identity.is_empty() {
        return Ok(None);
    }
    let mut all = others(resource.raw, limits)?;
    if all.is_empty() {
        return Ok(None);
    }
    for (name, value) in identity {
        set(&mut all, name, value.clone());
    }
    set(&mut all, "__name__", "target_info".into());
    Ok(Some(all))
}

/// Sets a label, in the place of one that an attribute gave.
fn set(labels: &mut Labels<'static>, name: &'static str, value: String) {
    labels.retain(|label| label.0 != name);
    labels.push((Cow::Borrowed(name), Cow::Owned(value)));
}

fn unpack(packed: &[u8]) -> Result<impl Iterator<Item = u64>, &'static str> {
    let (numbers, rest) = packed.as_chunks::<8>();
    if !rest.is_empty() {
        return Err("packed numbers of the wrong length");
    }
    Ok(numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)))
}
