//! JSON metrics: `{"name":"cpu.load","labels":{"host":"web-01"},"timestamp":1613707265,"value":0.75}`.
//!
//! - `metric_name` stands for `name`, `tags` for `labels`. `type`, `unit` and `help` (or
//!   `description`) are the series' metadata. Other members are passed over.
//! - `timestamp` is a number (unit by magnitude, fractions allowed), RFC 3339 text, or absent or
//!   null: then the record's own. `value` is a number, or NaN or an infinity as a bare word or as
//!   text; a number as text is taken too.
//! - A label's value is text; a number or boolean is taken as it is written, null as absent. A label
//!   `__name__` is the name, or says the same.
//! - A record is one object, an array of them, `{"metrics":[…]}`, or several of these behind each
//!   other, as in one object a line. Each object stands or falls alone. Where the text is no JSON,
//!   what came before is kept and reading goes on at the next line that opens one of these in its
//!   first column; one reject tells what is left out.
//!
//! An object's text with the values and timestamps cut out is its key, so an object of a known
//! series costs a few comparisons and two numbers.

use std::borrow::Cow;

use tidegauge_model::{Metadata, MetricType, RejectReason};

use crate::again::Again;
use crate::context::{Context, Fault, Refused};
use crate::intern::{Keys, Rules};
use crate::number::{decimal, number, whole_number};
use crate::relabel::Labels;
use crate::scan::{Scanner, Token, unescape};
use crate::time::{Precision, decimal_time, number_time, text_time};

/// What stood where a key has a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Cut {
    Value,
    Time,
    /// A member that means nothing to us: it may change from message to message.
    Other,
}

/// One cut as it stands in a key: its kind and the length of the text before it.
const CUT_BYTES: usize = 5;

/// Decodes a record of objects, arrays or lines of them.
pub(crate) fn decode(context: &mut Context<'_>, body: &[u8], key: &mut Vec<u8>) {
    let mut reader = Json {
        scanner: Scanner { text: body, at: 0 },
        item: 0,
        done: 0,
        in_array: false,
        again: Again::of(body),
        key,
    };
    while reader.scanner.space().is_some() {
        reader.done = reader.scanner.at;
        reader.in_array = false;
        if let Err(fault) = reader.document(context) {
            reader.broken(context, fault);
        }
    }
    if reader.item == 0 && context.rejected == 0 && !body.is_empty() && body.trim_ascii().is_empty()
    {
        context.reject(None, RejectReason::Malformed, "the record is empty".into());
    }
}

struct Json<'a, 'k> {
    scanner: Scanner<'a>,
    item: usize,
    /// Where the text begins that is neither taken nor rejected yet.
    done: usize,
    /// Whether the document's objects are in an array.
    in_array: bool,
    again: Again,
    key: &'k mut Vec<u8>,
}

/// The text between the cuts of an object.
#[derive(Debug)]
struct Cuts {
    kind: Cut,
    start: usize,
    end: usize,
}

/// An object's members.
#[derive(Debug, Default)]
struct Object<'a> {
    name: Option<Token<'a>>,
    labels: Vec<(&'a [u8], Token<'a>)>,
    labels_given: bool,
    value: Option<Token<'a>>,
    time: Option<Token<'a>>,
    metric_type: Option<&'a [u8]>,
    unit: Option<&'a [u8]>,
    help: Option<&'a [u8]>,
    cuts: Vec<Cuts>,
    refused: Option<Refused>,
}

impl<'a> Json<'a, '_> {
    /// Rejects the item at hand with what is left out behind it, and goes to where the next document opens.
    #[cold]
    fn broken(&mut self, context: &mut Context<'_>, fault: Fault) {
        let from = self.done;
        self.scanner.at = self.again.back(from, fault.at);
        self.next_line();
        context.reject_with(Some(self.item), RejectReason::Malformed, || {
            let Fault { what, at } = fault;
            let (item, to) = (self.item, self.scanner.at);
            format!("item {item}: {what} at byte {at}; bytes {from} to {to} are left out")
        });
        self.item += 1;
    }

    /// Goes to the next line that opens a document, or to the end.
    fn next_line(&mut self) {
        let text = self.scanner.text;
        while let Some(line) = text[self.scanner.at..]
            .iter()
            .position(|&byte| byte == b'\n')
        {
            self.scanner.at += line + 1;
            match self.scanner.peek() {
                Some(b'[') => return,
                Some(b'{') if !(self.in_array && goes_on(&text[..self.scanner.at])) => return,
                _ => {}
            }
        }
        self.scanner.at = text.len();
    }

    /// One document at the top of a record.
    fn document(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        match self.scanner.peek() {
            Some(b'[') => self.array(context),
            Some(b'{') => self.object(context, true),
            _ => Err(self.scanner.fault("expected a JSON object or array")),
        }
    }

    fn array(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        self.in_array = true;
        self.scanner.at += 1;
        if self.scanner.eat(b']') {
            return Ok(());
        }
        loop {
            if self.scanner.space() == Some(b'{') {
                self.object(context, false)?;
            } else {
                self.scanner.value()?;
                let detail = format!("item {} is not an object", self.item);
                context.reject(Some(self.item), RejectReason::Malformed, detail);
                self.next_item();
            }
            if !self.scanner.more(b']')? {
                return Ok(());
            }
        }
    }

    #[inline]
    fn object(&mut self, context: &mut Context<'_>, top: bool) -> Result<(), Fault> {
        if let Some(end) = expected(context, self.scanner.text, self.scanner.at) {
            self.scanner.at = end;
            self.next_item();
            return Ok(());
        }
        self.unexpected(context, top)
    }

    #[inline]
    const fn next_item(&mut self) {
        self.item += 1;
        self.done = self.scanner.at;
    }

    #[cold]
    fn unexpected(&mut self, context: &mut Context<'_>, top: bool) -> Result<(), Fault> {
        let start = self.scanner.at;
        let mut object = Object::default();
        self.scanner.at += 1;
        if !self.scanner.eat(b'}') {
            loop {
                let name = self.scanner.name()?;
                if top && name == b"metrics" && self.scanner.peek() == Some(b'[') {
                    self.array(context)?;
                    return self.rest_of_envelope();
                }
                object.member(name, &mut self.scanner)?;
                if !self.scanner.more(b'}')? {
                    break;
                }
            }
        }
        if let Err((reason, detail)) = self.take(context, object, start) {
            context.reject(
                Some(self.item),
                reason,
                format!("item {}: {detail}", self.item),
            );
        }
        self.next_item();
        Ok(())
    }

    fn rest_of_envelope(&mut self) -> Result<(), Fault> {
        while self.scanner.more(b'}')? {
            self.scanner.name()?;
            self.scanner.value()?;
        }
        Ok(())
    }

    /// Takes an object's sample, its series known or not.
    fn take(
        &mut self,
        context: &mut Context<'_>,
        mut object: Object<'a>,
        start: usize,
    ) -> Result<(), Refused> {
        if let Some(refused) = object.refused.take() {
            return Err(refused);
        }
        let value = object
            .value
            .ok_or((RejectReason::BadValue, "no `value`".to_owned()))?;
        let value = read_value(value).ok_or_else(|| bad(RejectReason::BadValue, "value", value))?;
        let time = match object.time {
            None => context.record.own_time(),
            Some(token) => read_time(token, context.record.own_time())
                .ok_or_else(|| bad(RejectReason::BadTimestamp, "timestamp", token))?,
        };
        self.make_key(&object.cuts, start);
        let target = match context
            .interner
            .table(Keys::Json)
            .find(self.key, context.tick)
        {
            Some(target) => target,
            None => {
                let (labels, metadata) = object.series(&context.rules)?;
                context
                    .learn(Keys::Json, self.key, labels, metadata, false)
                    .map_err(|refused| (refused.reason, refused.detail))?
            }
        };
        context.push(target, time, value);
        Ok(())
    }

    /// Number of cuts, the cuts, then the text around them.
    fn make_key(&mut self, cuts: &[Cuts], start: usize) {
        let text = self.scanner.text;
        // More members than that stay part of the key: still right, only never expected again.
        let cuts = &cuts[..cuts.len().min(usize::from(u8::MAX))];
        self.key.clear();
        self.key.push(cuts.len() as u8);
        let mut from = start;
        for cut in cuts {
            self.key.push(cut.kind as u8);
            let len = u32::try_from(cut.start - from).unwrap_or(u32::MAX);
            self.key.extend_from_slice(&len.to_le_bytes());
            from = cut.end;
        }
        from = start;
        for cut in cuts {
            self.key.extend_from_slice(&text[from..cut.start]);
            from = cut.end;
        }
        self.key.extend_from_slice(&text[from..self.scanner.at]);
    }
}

/// Whether a line that opens an object, behind `before`, goes on with an array's items.
fn goes_on(before: &[u8]) -> bool {
    matches!(before.trim_ascii_end().last(), Some(b',' | b'['))
}

/// Takes the object at `at` if it is the one expected and nothing is wrong with it; returns where
/// it ends.
#[inline]
fn expected(context: &mut Context<'_>, text: &[u8], at: usize) -> Option<usize> {
    let own_time = context.record.own_time();
    let (place, key) = context.interner.table(Keys::Json).predicted();
    let (&cuts, key) = key.split_first()?;
    let (cuts, mut pieces) = key.split_at_checked(usize::from(cuts) * CUT_BYTES)?;
    let mut rest = text.get(at..)?;
    let (mut time, mut value) = (own_time, None);
    for cut in cuts.as_chunks::<CUT_BYTES>().0 {
        let [kind, len @ ..] = *cut;
        let (piece, others) = pieces.split_at_checked(u32::from_le_bytes(len) as usize)?;
        pieces = others;
        rest = rest.strip_prefix(piece)?;
        let len;
        if kind == Cut::Value as u8 {
            let read;
            (read, len) = value_at(rest)?;
            value = Some(read);
        } else if kind == Cut::Time as u8 {
            (time, len) = time_at(rest, own_time)?;
        } else {
            let mut scanner = Scanner { text: rest, at: 0 };
            scanner.value().ok()?;
            len = scanner.at;
        }
        rest = &rest[len..];
    }
    rest = rest.strip_prefix(pieces)?;
    let value = value?;
    let target = context.interner.table(Keys::Json).take(place, context.tick);
    context.push(target, time, value);
    Some(text.len() - rest.len())
}

#[inline]
fn value_at(rest: &[u8]) -> Option<(f64, usize)> {
    if rest.first() == Some(&b'"') {
        let mut scanner = Scanner { text: rest, at: 0 };
        let token = scanner.value().ok()?;
        return Some((read_value(token)?, scanner.at));
    }
    number(rest)
}

#[inline]
fn time_at(rest: &[u8], own_time: i64) -> Option<(i64, usize)> {
    if let Some((number, len)) = decimal(rest)
        && !matches!(rest.get(len), Some(b'e' | b'E'))
    {
        return Some((decimal_time(number, Precision::Auto)?, len));
    }
    let mut scanner = Scanner { text: rest, at: 0 };
    let token = scanner.value().ok()?;
    Some((read_time(token, own_time)?, scanner.at))
}

fn read_value(token: Token<'_>) -> Option<f64> {
    match token {
        Token::String(text) | Token::Plain(text) => whole_number(text),
        Token::Object | Token::Array => None,
    }
}

fn read_time(token: Token<'_>, own_time: i64) -> Option<i64> {
    match token {
        Token::Plain(b"null") => Some(own_time),
        Token::Plain(text) => number_time(text, Precision::Auto),
        Token::String(text) => text_time(&unescape(text)?),
        Token::Object | Token::Array => None,
    }
}

fn bad(reason: RejectReason, what: &str, token: Token<'_>) -> Refused {
    let text = match token {
        Token::String(text) | Token::Plain(text) => {
            String::from_utf8_lossy(&text[..text.len().min(64)])
        }
        Token::Object => "an object".into(),
        Token::Array => "an array".into(),
    };
    (reason, format!("bad {what} `{text}`"))
}

impl<'a> Object<'a> {
    /// Takes one member, with the scanner at its value.
    fn member(&mut self, name: &'a [u8], scanner: &mut Scanner<'a>) -> Result<(), Fault> {
        let start = scanner.at;
        if let b"labels" | b"tags" = name {
            return self.labels(scanner);
        }
        let token = scanner.value()?;
        let (text, known) = match name {
            b"name" | b"metric_name" => {
                once(
                    &mut self.name,
                    token,
                    RejectReason::BadName,
                    name,
                    &mut self.refused,
                );
                return Ok(());
            }
            b"value" => {
                once(
                    &mut self.value,
                    token,
                    RejectReason::BadValue,
                    name,
                    &mut self.refused,
                );
                self.cut(Cut::Value, start, scanner.at);
                return Ok(());
            }
            b"timestamp" => {
                once(
                    &mut self.time,
                    token,
                    RejectReason::BadTimestamp,
                    name,
                    &mut self.refused,
                );
                self.cut(Cut::Time, start, scanner.at);
                return Ok(());
            }
            b"type" => (token, Some(&mut self.metric_type)),
            b"unit" => (token, Some(&mut self.unit)),
            b"help" | b"description" => (token, Some(&mut self.help)),
            _ => (token, None),
        };
        match (text, known) {
            (Token::String(text), Some(member)) => *member = Some(text),
            (_, Some(_)) => {}
            (_, None) => self.cut(Cut::Other, start, scanner.at),
        }
        Ok(())
    }

    fn cut(&mut self, kind: Cut, start: usize, end: usize) {
        self.cuts.push(Cuts { kind, start, end });
    }

    fn labels(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.labels_given, true) {
            self.refuse(
                RejectReason::DuplicateLabel,
                "labels are given twice".into(),
            );
        }
        if scanner.peek() != Some(b'{') {
            if scanner.value()? != Token::Plain(b"null") {
                self.refuse(RejectReason::BadLabel, "labels are not an object".into());
            }
            return Ok(());
        }
        scanner.at += 1;
        if scanner.eat(b'}') {
            return Ok(());
        }
        loop {
            let name = scanner.name()?;
            let value = scanner.value()?;
            self.labels.push((name, value));
            if !scanner.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn refuse(&mut self, reason: RejectReason, detail: String) {
        self.refused.get_or_insert((reason, detail));
    }

    /// Name and labels with their escapes resolved, and the metadata if some is given.
    fn series(&self, rules: &Rules<'_>) -> Result<(Labels<'a>, Option<Metadata>), Refused> {
        let mut labels = self.plain_labels()?;
        // Prometheus' adapter for Kafka sends the name among the labels too.
        let among = labels.iter().position(|label| label.0 == "__name__");
        let among = among.map(|at| labels.remove(at).1);
        let name = match (self.plain_name()?, among) {
            (Some(name), Some(among)) if !among.is_empty() && among != name => {
                let detail = "label `__name__` is another name than `name`";
                return Err((RejectReason::DuplicateLabel, detail.into()));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err((RejectReason::BadName, "no `name`".into())),
        };
        labels.insert(0, (Cow::Borrowed("__name__"), name));
        Ok((labels, self.metadata(rules)))
    }

    fn plain_name(&self) -> Result<Option<Cow<'a, str>>, Refused> {
        let name = match self.name {
            None => return Ok(None),
            Some(Token::String(raw)) => unescape(raw),
            Some(_) => None,
        };
        name.map(Some)
            .ok_or_else(|| (RejectReason::BadName, "the name is not text".to_owned()))
    }

    fn plain_labels(&self) -> Result<Labels<'a>, Refused> {
        let plain = |&(raw, value): &(&'a [u8], Token<'a>)| {
            let value = match value {
                Token::Plain(b"null") => Some(Cow::Borrowed("")),
                Token::Plain(raw) | Token::String(raw) => unescape(raw),
                Token::Object | Token::Array => None,
            };
            unescape(raw).zip(value).ok_or_else(|| {
                let shown = String::from_utf8_lossy(&raw[..raw.len().min(64)]);
                let detail = format!("label `{shown}` is not text");
                (RejectReason::BadLabel, detail)
            })
        };
        self.labels.iter().map(plain).collect()
    }

    fn metadata(&self, rules: &Rules<'_>) -> Option<Metadata> {
        if self.metric_type.is_none() && self.unit.is_none() && self.help.is_none() {
            return None;
        }
        let text = |raw: Option<&[u8]>| {
            let text = raw.and_then(unescape).unwrap_or_default();
            rules.told(text.as_bytes()).into_owned()
        };
        let metric_type = metric_type(&text(self.metric_type));
        Some(Metadata {
            metric_type,
            unit: text(self.unit),
            help: text(self.help),
        })
    }
}

/// Sets a member that may come only once.
fn once<'a>(
    member: &mut Option<Token<'a>>,
    token: Token<'a>,
    reason: RejectReason,
    name: &[u8],
    refused: &mut Option<Refused>,
) {
    if member.replace(token).is_some() {
        let name = String::from_utf8_lossy(name);
        refused.get_or_insert((reason, format!("`{name}` is given twice")));
    }
}

/// The types by the words of Prometheus, OpenMetrics and `StatsD`, in any case.
fn metric_type(word: &str) -> MetricType {
    match word.to_ascii_lowercase().as_str() {
        "gauge" => MetricType::Gauge,
        "counter" | "count" => MetricType::Counter,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
