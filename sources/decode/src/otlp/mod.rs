//! OpenTelemetry metrics: `ExportMetricsServiceRequest` in protobuf and JSON.
//!
//! Names and labels follow the Prometheus compatibility rules, as Prometheus's own OTLP door has
//! them by default: dots to underscores, unit and `_total`/`_ratio` suffixes; `job` and `instance`
//! from `service.namespace`, `service.name` and `service.instance.id`; the other resource
//! attributes as labels of `target_info`, one sample a resource and request, at its newest point's
//! time. Scopes do not become labels.
//!
//! Histograms and summaries become classic series. A sum or histogram of delta temporality is
//! defined as delta. A point without recorded value is a stale marker. Exponential histograms are
//! rejected, exemplars skipped and counted. A point without time has the record's.
//!
//! A request whose bytes are broken anywhere is rejected whole; items in rejects are data points,
//! counted through the request. JSON is turned into protobuf first, so that there is one meaning; with it
//! comes which points could not be turned.
//!
//! Messages: opentelemetry-proto 1.x, `metrics/v1/metrics.proto`.

mod attributes;
mod json;
mod names;
mod points;

use std::cell::OnceCell;

use tidegauge_model::RejectReason;

use crate::context::{Context, Fault, Refused};
use crate::intern::Keys;
use crate::protobuf::{Reader, Value, fault};
use attributes::Identity;
use json::Unread;
use points::{Kind, Metric};

/// Decodes a protobuf request.
pub(crate) fn decode(context: &mut Context<'_>, body: &[u8], key: &mut Vec<u8>) {
    walk(context, body, &[], key);
}

/// Decodes a JSON request.
pub(crate) fn decode_json(context: &mut Context<'_>, body: &[u8], key: &mut Vec<u8>) {
    match json::to_protobuf(body) {
        Ok((body, unread)) => walk(context, &body, &unread, key),
        Err(detail) => context.reject(None, RejectReason::Malformed, detail),
    }
}

fn walk(context: &mut Context<'_>, body: &[u8], unread: &[Unread], key: &mut Vec<u8>) {
    let mark = context.mark();
    let mut attributes = Vec::new();
    let mut request = Request {
        context,
        key,
        attributes: &mut attributes,
        unread,
        item: 0,
        newest: i64::MIN,
    };
    if let Err(fault) = request.decode(body) {
        context.malformed(mark, None, fault);
    }
}

/// One request being walked.
struct Request<'a, 'c> {
    context: &'a mut Context<'c>,
    key: &'a mut Vec<u8>,
    /// The raw attribute fields of the point at hand.
    attributes: &'a mut Vec<u8>,
    /// The points still to come that could not be read, in their order.
    unread: &'a [Unread],
    /// Data points so far.
    item: usize,
    /// The newest time of the resource at hand.
    newest: i64,
}

/// A resource's raw attributes and the number it is known by.
struct Resource<'m> {
    raw: &'m [u8],
    known: u32,
    /// Read once there is a series that is new.
    identity: OnceCell<Result<Identity, Refused>>,
}

type Walk = Result<(), &'static str>;

impl Request<'_, '_> {
    fn decode(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(body);
        loop {
            let rest = reader.rest;
            let at = |what| fault(body, rest, what);
            match reader.next().map_err(at)? {
                None => return Ok(()),
                Some((1, value)) => {
                    self.resource_metrics(value.bytes().map_err(at)?)
                        .map_err(at)?;
                }
                Some(_) => {}
            }
        }
    }

    fn resource_metrics(&mut self, message: &[u8]) -> Walk {
        let raw = find(message, 1)?.unwrap_or(&[]);
        self.under(b'R', &[raw], |request, known| {
            let resource = Resource {
                raw,
                known,
                identity: OnceCell::new(),
            };
            request.scopes(&resource, message)
        })
    }

    fn scopes(&mut self, resource: &Resource<'_>, message: &[u8]) -> Walk {
        self.newest = i64::MIN;
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.next()? {
            if field == 2 {
                self.scope_metrics(resource, value.bytes()?)?;
            }
        }
        self.target_info(resource)
    }

    fn scope_metrics(&mut self, resource: &Resource<'_>, message: &[u8]) -> Walk {
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.next()? {
            if field == 2 {
                self.metric(resource, value.bytes()?)?;
            }
        }
        Ok(())
    }

    fn metric(&mut self, resource: &Resource<'_>, message: &[u8]) -> Walk {
        let mut texts = [&[][..]; 3];
        let mut data = None;
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1..=3, value) => texts[field as usize - 1] = value.bytes()?,
                (5 | 7 | 9 | 10 | 11, Value::Bytes(message)) => data = Some((field, message)),
                _ => {}
            }
        }
        let Some((field, data)) = data else {
            return Ok(());
        };
        let kind = Kind::of(field, data)?;
        let (head, [name, help, unit]) = ([kind.code()], texts);
        let help = self.context.rules.cut(help);
        let lens = [name, unit].map(|text| (text.len() as u32).to_le_bytes());
        let parts = [
            &resource.known.to_le_bytes()[..],
            &head,
            &lens[0],
            &lens[1],
            name,
            unit,
            help,
        ];
        self.under(b'M', &parts, |request, known| {
            let metric = Metric {
                resource,
                kind,
                name,
                help,
                unit,
                known,
            };
            request.points(&metric, data)
        })
    }

    fn points(&mut self, metric: &Metric<'_>, data: &[u8]) -> Walk {
        let mut reader = Reader::new(data);
        while let Some((field, value)) = reader.next()? {
            if field == 1 {
                self.point(metric, value.bytes()?)?;
                self.item += 1;
            }
        }
        Ok(())
    }

    /// Walks what a piece of context is about, with the number it is known by.
    #[inline]
    fn under(
        &mut self,
        tag: u8,
        parts: &[&[u8]],
        walk: impl FnOnce(&mut Self, u32) -> Walk,
    ) -> Walk {
        self.key.clear();
        self.key.push(tag);
        for part in parts {
            self.key.extend_from_slice(part);
        }
        let tick = self.context.tick;
        let table = self.context.interner.table(Keys::OtlpMetric);
        let (place, expected) = table.predicted();
        if expected == self.key.as_slice() {
            let known = table.take(place, tick).local;
            return walk(self, known);
        }
        let interner = &mut self.context.interner;
        let (known, fresh) = interner.context(Keys::OtlpMetric, self.key, tick);
        let walked = walk(self, known);
        if let Some(fresh) = fresh {
            self.context.interner.settle(fresh);
        }
        walked
    }

    #[cold]
    fn refuse(&mut self, metric: &Metric<'_>, reason: RejectReason, detail: &str) {
        let item = self.item;
        self.context.reject_with(Some(item), reason, || {
            let name = String::from_utf8_lossy(&metric.name[..metric.name.len().min(64)]);
            format!("data point {item} of `{name}`: {detail}")
        });
    }
}

/// The last field of that number that holds bytes.
fn find(message: &[u8], wanted: u64) -> Result<Option<&[u8]>, &'static str> {
    let (mut reader, mut found) = (Reader::new(message), None);
    while let Some((field, value)) = reader.next()? {
        if field == wanted {
            found = Some(value.bytes()?);
        }
    }
    Ok(found)
}
