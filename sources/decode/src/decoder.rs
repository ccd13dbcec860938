//! The decoder of one partition: picks the format, takes compression off, and keeps what is known.

use std::collections::HashMap;

use tidegauge_model::{HOUR_MS, Limits, MINUTE_MS, Partition, RejectReason, Series, SeriesError};

use crate::compress::{Decompressor, Encoding, Failure, Snappy};
use crate::context::{Context, Refused};
use crate::intern::{Interner, Rules};
use crate::record::{Decoded, Format, Record};
use crate::relabel::Relabel;
use crate::sniff::{self, Wire};
use crate::time::Precision;
use crate::{influx, json, otlp, remote_write};

/// Turns one partition's records into samples.
///
/// It gives the partition's series their numbers: dense from 0 in order of first sight, never used
/// again for another series. What has been unused for [`Decoder::forget_after_ms`] (an hour by
/// default) is forgotten; if it comes again it gets a new number and a new definition. So whoever
/// maps numbers to series may drop a number unused for that long by the same clock
/// (see [`Decoder::advance`]), plus two minutes.
///
/// Samples of one series keep the order in which they came.
///
/// ```
/// use tidegauge_decode::{Decoded, Decoder, Format, Record, Relabel};
/// use tidegauge_model::{Limits, Partition};
/// let partition = Partition { topic: "metrics".into(), index: 0 };
/// let mut decoder = Decoder::new(partition, Format::Auto, Limits::default(), Relabel::default());
/// let mut out = Decoded::default();
/// let record = Record {
///     tenant: "default", content_type: None, content_encoding: None, delta: false,
///     timestamp: -1, received_at: 1_613_707_270_000, offset: 0,
///     value: br#"{"name":"cpu.load","labels":{"host":"web-01"},"timestamp":1613707265,"value":0.75}"#,
/// };
/// decoder.decode(&record, &mut out);
/// assert_eq!((out.samples.time[0], out.samples.value[0]), (1_613_707_265_000, 0.75));
/// assert_eq!(out.definitions[0].series.name(), "cpu.load");
///
/// // Bad bytes are a value, not an error.
/// decoder.decode(&Record { value: b"\xff", ..record }, &mut out);
/// assert_eq!((out.samples.len(), out.rejects.len()), (1, 1));
/// ```
pub struct Decoder {
    partition: Partition,
    format: Format,
    limits: Limits,
    relabel: Relabel,
    influx_precision: Precision,
    forget_after_ms: i64,
    own_tenant: Box<str>,
    tenants: Vec<Interner>,
    by_tenant: HashMap<Box<str>, usize>,
    /// The tenant of the last record.
    current: usize,
    next_local: u32,
    tick: u32,
    decompressor: Decompressor,
    key: Vec<u8>,
}

impl Decoder {
    /// A decoder that knows no series yet.
    #[must_use]
    pub fn new(partition: Partition, format: Format, limits: Limits, relabel: Relabel) -> Self {
        Self {
            partition,
            format,
            limits,
            relabel,
            influx_precision: Precision::Ns,
            forget_after_ms: HOUR_MS,
            own_tenant: "default".into(),
            tenants: Vec::new(),
            by_tenant: HashMap::new(),
            current: 0,
            next_local: 0,
            tick: 0,
            decompressor: Decompressor::default(),
            key: Vec::new(),
        }
    }

    /// Sets the unit of the timestamps in Influx lines that come without a `precision` of their
    /// own.
    #[must_use]
    pub const fn influx_precision(mut self, precision: Precision) -> Self {
        self.influx_precision = precision;
        self
    }

    /// Sets how long a series is remembered after its last sample; less than a minute counts as
    /// one.
    #[must_use]
    pub const fn forget_after_ms(mut self, forget_after_ms: i64) -> Self {
        self.forget_after_ms = forget_after_ms;
        self
    }

    /// Sets the tenant under which a record is rejected whose own can't be one, as it is empty, too long or
    /// no text: the topic's. It is `default` where nothing is set.
    #[must_use]
    pub fn own_tenant(mut self, tenant: &str) -> Self {
        self.own_tenant = tenant.into();
        self
    }

    /// Decodes one record and appends what it holds to `out`.
    pub fn decode(&mut self, record: &Record<'_>, out: &mut Decoded) {
        self.advance(record.received_at);
        let stranger = self.choose_tenant(record.tenant).err();
        let mut context = Context {
            record,
            partition: &self.partition,
            interner: &mut self.tenants[self.current],
            rules: Rules {
                relabel: &self.relabel,
                limits: &self.limits,
            },
            next_local: &mut self.next_local,
            tick: self.tick,
            out,
            rejected: 0,
        };
        let opened = match stranger {
            Some(refused) => Err((refused.reason, refused.detail)),
            None => body(
                &mut self.decompressor,
                self.format,
                record,
                self.limits.record_bytes,
            ),
        };
        let refused = opened.map(|(wire, body)| {
            let precision = sniff::precision(record).unwrap_or(self.influx_precision);
            dispatch(&mut context, wire, body, precision, &mut self.key);
        });
        if let Err((reason, detail)) = refused {
            context.reject(None, reason, detail);
        }
        context.close();
    }

    /// How many series are known.
    #[must_use]
    pub fn series(&self) -> usize {
        self.tenants.iter().map(Interner::series).sum()
    }

    /// Memory held, in bytes.
    ///
    /// A series costs about 180 B, its raw bytes once per form in which producers write it, and its
    /// canonical bytes, which are shared with whoever holds its definition.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.tenants.iter().map(Interner::heap_bytes).sum::<usize>()
            + self.decompressor.heap_bytes()
            + self.key.capacity()
    }

    /// Makes the record's tenant the current one; the own one if it can be none.
    fn choose_tenant(&mut self, tenant: &str) -> Result<(), SeriesError> {
        let current = self.tenants.get(self.current);
        if current.is_some_and(|known| *known.tenant == *tenant) {
            return Ok(());
        }
        if let Some(&known) = self.by_tenant.get(tenant) {
            self.current = known;
            return Ok(());
        }
        // Whether it could have any series.
        let proven = Series::new(tenant, "x", &mut Vec::new(), &self.limits).map(|_| ());
        let tenant = match &proven {
            Ok(()) => tenant,
            Err(_) => &self.own_tenant,
        };
        self.current = match self.by_tenant.get(tenant) {
            Some(&known) => known,
            None => {
                self.tenants.push(Interner::new(tenant));
                let last = self.tenants.len() - 1;
                self.by_tenant.insert(tenant.into(), last);
                last
            }
        };
        proven
    }

    /// Moves the minute hand, and forgets what has not been used for long. It never goes back. Returns
    /// the time in milliseconds by which it has forgotten.
    pub fn advance(&mut self, now: i64) -> i64 {
        let tick = u32::try_from(now / MINUTE_MS).unwrap_or(0);
        if tick > self.tick {
            self.tick = tick;
            self.forget();
        }
        i64::from(self.tick) * MINUTE_MS
    }

    fn forget(&mut self) {
        let kept = u32::try_from(self.forget_after_ms / MINUTE_MS)
            .unwrap_or(u32::MAX)
            .max(1);
        let Some(oldest) = self.tick.checked_sub(kept) else {
            return;
        };
        for tenant in &mut self.tenants {
            tenant.sweep(oldest);
        }
        if self.tenants.iter().any(Interner::is_empty) {
            self.tenants.retain(|tenant| !tenant.is_empty());
            let places = self.tenants.iter().enumerate();
            self.by_tenant = places
                .map(|(at, known)| ((*known.tenant).into(), at))
                .collect();
        }
    }
}

/// What some editors and Windows' tools put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the record is and its bytes without compression.
fn body<'b>(
    decompressor: &'b mut Decompressor,
    format: Format,
    record: &Record<'b>,
    limit: usize,
) -> Result<(Wire, &'b [u8]), Refused> {
    let header = sniff::header(record)?;
    let wire = match format {
        Format::Auto => header,
        Format::Json => Some(Wire::Json),
        Format::Influx => Some(Wire::Influx),
        Format::RemoteWrite => Some(Wire::RemoteWrite),
        Format::Otlp => Some(Wire::OtlpProtobuf),
    };
    let encoding = match record.content_encoding {
        None => Encoding::of_bytes(record.value),
        Some(word) => Encoding::of_header(word).ok_or_else(|| {
            let detail = format!(
                "content-encoding `{word}`; known are snappy, zstd, gzip, deflate, identity"
            );
            (RejectReason::UnknownFormat, detail)
        })?,
    };
    let snappy = match wire {
        _ if record.content_encoding.is_some() => Snappy::No,
        None if sniff::is_binary(record.value) => Snappy::Maybe,
        Some(Wire::RemoteWrite) if sniff::is_binary(record.value) => Snappy::Usual,
        _ => Snappy::No,
    };
    let body = decompressor.open(encoding, snappy, record.value, limit);
    let body = body.map_err(|failure| match failure {
        Failure::TooLarge => {
            let detail = format!("larger than {limit} bytes after decompression");
            (RejectReason::TooLarge, detail)
        }
        Failure::Broken(why) => (RejectReason::Malformed, format!("decompressing: {why}")),
    })?;
    // No protobuf begins with these bytes: their wire type would be 7.
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    // In protobuf nothing is a message too: a request without content.
    let protobuf = matches!(wire, Some(Wire::OtlpProtobuf | Wire::RemoteWrite));
    if body.is_empty() && !protobuf {
        return Err((RejectReason::Malformed, "the record is empty".into()));
    }
    let wire = match wire {
        None => sniff::of_bytes(body),
        Some(Wire::Json) if format == Format::Auto => Some(sniff::json(body)),
        // Protobuf may look like a line's end and a brace, a tag and a length of 123, but goes on with control
        // characters, which JSON has none of.
        Some(Wire::OtlpProtobuf)
            if !sniff::is_binary(body) && body.trim_ascii_start().starts_with(b"{") =>
        {
            Some(Wire::OtlpJson)
        }
        Some(wire) => Some(wire),
    };
    match wire {
        Some(wire) => Ok((wire, body)),
        None => {
            let detail = "neither content-type nor first bytes tell the format";
            Err((RejectReason::UnknownFormat, detail.into()))
        }
    }
}

fn dispatch(
    context: &mut Context<'_>,
    wire: Wire,
    body: &[u8],
    precision: Precision,
    key: &mut Vec<u8>,
) {
    match wire {
        Wire::Json => json::decode(context, body, key),
        Wire::RemoteWrite => remote_write::decode(context, body, key),
        Wire::Influx => influx::decode(context, body, precision, key),
        Wire::OtlpProtobuf => otlp::decode(context, body, key),
        Wire::OtlpJson => otlp::decode_json(context, body, key),
    }
}
