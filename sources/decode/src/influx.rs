//! Influx line protocol: `cpu,host=web-01 usage_idle=99.5,cores=4i 1613707265000000000`.
//!
//! Each field is a series named `measurement_field`, the tags its labels, as VictoriaMetrics has
//! it; a field called `value` is no exception, so a name never depends on which fields come along.
//! Integers (`4i`), unsigned integers (`4u`) and booleans (1 and 0) become numbers; string fields
//! are skipped and counted. Without a timestamp a line has the record's.
//!
//! Each line stands or falls alone; a field with a bad value leaves the line's others. Items in
//! rejects are lines that are neither empty nor comments. A string field may hold line ends; where its
//! line comes to nothing, what follows the first of them is read as lines again.
//!
//! A backslash before a comma, a space or an equals sign makes it part of the text; before anything
//! else it is itself, another backslash included.
//!
//! Measurement and tags are one key, a field's name under it another.
//!
//! Format: <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>.

use std::borrow::Cow;

use tidegauge_model::{Limits, RejectReason};

use crate::again::Again;
use crate::context::{Context, Fault, Refused};
use crate::intern::Keys;
use crate::number::{decimal, number};
use crate::relabel::Labels;
use crate::table::Target;
use crate::time::{Precision, number_time};

/// Decodes a record of lines.
pub(crate) fn decode(
    context: &mut Context<'_>,
    body: &[u8],
    precision: Precision,
    key: &mut Vec<u8>,
) {
    let mut lines = Lines {
        text: body,
        at: 0,
        started: 0,
        item: 0,
        counted: (0, 1),
        again: Again::of(body),
        precision,
        tags: None,
        key,
    };
    while lines.start() {
        let mark = context.mark();
        let first = context.out.samples.len();
        lines.started = lines.at;
        match lines.line(context) {
            Ok(time) => {
                context.out.samples.time[first..].fill(time);
                lines.end();
            }
            Err(broken) => {
                context.rollback(mark);
                lines.broken(context, &broken);
            }
        }
        lines.item += 1;
    }
}

struct Lines<'a, 'k> {
    text: &'a [u8],
    at: usize,
    /// Where the line began.
    started: usize,
    item: usize,
    /// How far the text's lines are counted, and which line that is.
    counted: (usize, usize),
    again: Again,
    precision: Precision,
    /// What the head says of a line that began there, from its first field on that is new.
    tags: Option<(usize, Result<Tags<'a>, Refused>)>,
    key: &'k mut Vec<u8>,
}

/// Why nothing of a line is taken.
enum Broken<'a> {
    Text(Fault),
    Time(&'a [u8]),
}

impl From<Fault> for Broken<'_> {
    fn from(fault: Fault) -> Self {
        Self::Text(fault)
    }
}

/// A head with its escapes resolved.
struct Tags<'a> {
    measurement: Cow<'a, str>,
    labels: Labels<'a>,
}

impl<'a> Lines<'a, '_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Which line of the text this is, from 1; only errors ask.
    #[cold]
    fn number(&mut self) -> usize {
        let (counted, line) = self.counted;
        let since = &self.text[counted..self.started];
        let line = line + since.iter().filter(|&&byte| byte == b'\n').count();
        self.counted = (self.started, line);
        line
    }

    /// Rejects the line and goes to the next.
    #[cold]
    fn broken(&mut self, context: &mut Context<'_>, broken: &Broken<'_>) {
        let reached = self.at;
        self.at = self.again.back(self.started, reached);
        let left_out = self.at > self.started && self.text[self.started..self.at].contains(&b'\n');
        self.end();
        let reason = match broken {
            Broken::Text(_) => RejectReason::Malformed,
            Broken::Time(_) => RejectReason::BadTimestamp,
        };
        context.reject_with(Some(self.item), reason, || {
            let line = self.number();
            let what = match broken {
                Broken::Text(fault) => format!("{} at byte {}", fault.what, fault.at),
                Broken::Time(text) => no_time(text, self.precision),
            };
            let lines = if left_out {
                "; the lines up to there are left out"
            } else {
                ""
            };
            format!("line {line}: {what}{lines}")
        });
    }

    const fn fault(&self, what: &'static str) -> Fault {
        Fault { what, at: self.at }
    }

    /// Goes to the next line that holds data; false at the end.
    fn start(&mut self) -> bool {
        loop {
            match self.peek() {
                None => return false,
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'#') => self.end(),
                Some(_) => return true,
            }
        }
    }

    /// Goes to the end of the line.
    fn end(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(rest.len());
    }

    /// Takes one line's fields and returns its time.
    #[inline]
    fn line(&mut self, context: &mut Context<'_>) -> Result<i64, Broken<'a>> {
        let rest = &self.text[self.at..];
        let table = context.interner.table(Keys::InfluxHead);
        let (place, head) = table.predicted();
        if !head.is_empty()
            && rest
                .strip_prefix(head)
                .is_some_and(|rest| rest.starts_with(b" "))
        {
            let head = &rest[..head.len()];
            self.at += head.len();
            let known = table.take(place, context.tick).local;
            return self.fields(context, head, known);
        }
        self.unexpected_line(context)
    }

    #[cold]
    fn unexpected_line(&mut self, context: &mut Context<'_>) -> Result<i64, Broken<'a>> {
        let head = self.until(b' ', "expected a space before the fields")?;
        let interner = &mut context.interner;
        let (known, fresh) = interner.context(Keys::InfluxHead, head, context.tick);
        let time = self.fields(context, head, known);
        if let Some(fresh) = fresh {
            context.interner.settle(fresh);
        }
        time
    }

    /// What stands behind measurement and tags, which are known by a number.
    #[inline]
    fn fields(
        &mut self,
        context: &mut Context<'_>,
        head: &'a [u8],
        known: u32,
    ) -> Result<i64, Broken<'a>> {
        self.spaces();
        loop {
            self.field(context, head, known)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b' ') => break,
                _ if self.at_end() => break,
                _ => {
                    return Err(self
                        .fault("expected a comma, a space or the line's end")
                        .into());
                }
            }
        }
        self.spaces();
        if self.at_end() {
            return Ok(context.record.own_time());
        }
        let start = self.at;
        while !self.at_end() && self.peek() != Some(b' ') {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        self.spaces();
        if !self.at_end() {
            return Err(self.fault("more after the timestamp").into());
        }
        number_time(text, self.precision).ok_or(Broken::Time(text))
    }

    #[inline]
    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    #[inline]
    fn at_end(&self) -> bool {
        match self.peek() {
            None | Some(b'\n') => true,
            Some(b'\r') => matches!(self.text.get(self.at + 1), None | Some(b'\n')),
            Some(_) => false,
        }
    }

    /// Takes text up to an unescaped byte, which is left.
    fn until(&mut self, stop: u8, what: &'static str) -> Result<&'a [u8], Fault> {
        let start = self.at;
        loop {
            match self.peek() {
                None | Some(b'\n') => return Err(self.fault(what)),
                Some(byte) if byte == stop => return Ok(&self.text[start..self.at]),
                Some(_) => self.at += step(self.text, self.at),
            }
        }
    }

    /// Takes one field; its sample's time is filled in at the line's end.
    #[inline]
    fn field(
        &mut self,
        context: &mut Context<'_>,
        head: &'a [u8],
        known: u32,
    ) -> Result<(), Fault> {
        let rest = &self.text[self.at..];
        let table = context.interner.table(Keys::InfluxField);
        let (place, expected) = table.predicted();
        if let Some((number, name)) = expected.split_first_chunk::<4>()
            && u32::from_le_bytes(*number) == known
            && let Some(rest) = rest.strip_prefix(name)
            && let [b'=', rest @ ..] = rest
            && let Some((value, len)) = field_value(rest)
        {
            let before = std::mem::replace(&mut self.at, self.text.len() - rest.len() + len);
            if matches!(self.peek(), Some(b',' | b' ')) || self.at_end() {
                let target = table.take(place, context.tick);
                context.push(target, 0, value);
                return Ok(());
            }
            self.at = before;
        }
        self.unexpected(context, head, known)
    }

    #[cold]
    fn unexpected(
        &mut self,
        context: &mut Context<'_>,
        head: &'a [u8],
        known: u32,
    ) -> Result<(), Fault> {
        let name = self.until(b'=', "expected a field and its value")?;
        if ends_early(name) {
            return Err(self.fault("a field without value before"));
        }
        self.at += 1;
        if self.peek() == Some(b'"') {
            self.at += 1;
            context.out.skipped.string_fields += 1;
            return self.string();
        }
        let start = self.at;
        while !self.at_end() && !matches!(self.peek(), Some(b' ' | b',')) {
            self.at += 1;
        }
        let raw = &self.text[start..self.at];
        let value = field_value(raw).filter(|(_, len)| *len == raw.len());
        let taken = match value {
            Some((value, _)) => self
                .target(context, head, known, name)
                .map(|target| context.push(target, 0, value)),
            None => {
                let shown = String::from_utf8_lossy(&raw[..raw.len().min(64)]);
                Err((RejectReason::BadValue, format!("bad value `{shown}`")))
            }
        };
        if let Err((reason, detail)) = taken {
            context.reject_with(Some(self.item), reason, || {
                let name = String::from_utf8_lossy(&name[..name.len().min(64)]);
                format!("line {}, field `{name}`: {detail}", self.number())
            });
        }
        Ok(())
    }

    /// Passes over a string's rest; it may hold line ends.
    fn string(&mut self) -> Result<(), Fault> {
        loop {
            match self.peek() {
                None => return Err(self.fault("string field without end")),
                Some(b'"') => break,
                Some(b'\\') => self.at = (self.at + 2).min(self.text.len()),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn target(
        &mut self,
        context: &mut Context<'_>,
        head: &'a [u8],
        known: u32,
        name: &'a [u8],
    ) -> Result<Target, Refused> {
        self.key.clear();
        self.key.extend_from_slice(&known.to_le_bytes());
        self.key.extend_from_slice(name);
        if let Some(target) = context
            .interner
            .table(Keys::InfluxField)
            .find(self.key, context.tick)
        {
            return Ok(target);
        }
        let limits = context.rules.limits;
        let read = match &mut self.tags {
            Some((started, read)) if *started == self.started => read,
            old => &mut old.insert((self.started, tags(head, limits))).1,
        };
        let labels = labels(read.as_ref().map_err(Refused::clone)?, name)?;
        context
            .learn(Keys::InfluxField, self.key, labels, None, false)
            .map_err(|refused| (refused.reason, refused.detail))
    }
}

/// A number, integer or boolean at the start of `text`, and its length.
#[inline]
fn field_value(text: &[u8]) -> Option<(f64, usize)> {
    if let Some((digits, len)) = decimal(text)
        && digits.scale == 0
        && let Some(b'i' | b'u') = text.get(len)
    {
        let value = digits.mantissa as f64;
        let value = if digits.negative { -value } else { value };
        return ends(text, len + 1).then_some((value, len + 1));
    }
    let stop = |byte: &u8| matches!(byte, b',' | b' ' | b'\n' | b'\r');
    let len = text.iter().position(stop).unwrap_or(text.len());
    let word = &text[..len];
    let value = match word {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => 1.0,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => 0.0,
        [digits @ .., b'u'] => std::str::from_utf8(digits).ok()?.parse::<u64>().ok()? as f64,
        _ => number(word).filter(|read| read.1 == len)?.0,
    };
    Some((value, len))
}

#[inline]
fn ends(text: &[u8], len: usize) -> bool {
    matches!(text.get(len), None | Some(b',' | b' ' | b'\n' | b'\r'))
}

/// Whether an unescaped comma or space stands in a field's name: then the field before it has no
/// value.
fn ends_early(name: &[u8]) -> bool {
    split(name, b',').1.is_some() || split(name, b' ').1.is_some()
}

/// What is before and behind the first unescaped `byte`.
fn split(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while at < text.len() {
        if text[at] == byte {
            return (&text[..at], Some(&text[at + 1..]));
        }
        at += step(text, at);
    }
    (text, None)
}

/// How many bytes stand together at `at`: two where the first escapes the second.
fn step(text: &[u8], at: usize) -> usize {
    match text[at..] {
        [b'\\', b',' | b' ' | b'=', ..] => 2,
        _ => 1,
    }
}

/// What a head says. What no series may have is refused here: each of a line's fields would have it anew.
fn tags<'a>(head: &'a [u8], limits: &Limits) -> Result<Tags<'a>, Refused> {
    let (measurement, mut rest) = split(head, b',');
    if measurement.is_empty() {
        return Err((RejectReason::BadName, "the measurement is empty".into()));
    }
    let measurement = unescape(measurement).ok_or_else(not_text)?;
    if measurement.len() > limits.name_bytes {
        let (n, most) = (measurement.len(), limits.name_bytes);
        let detail = format!("the measurement has {n} bytes; the limit is {most}");
        return Err((RejectReason::BadName, detail));
    }
    let mut labels = Labels::new();
    while let Some(tags) = rest {
        let (tag, others) = split(tags, b',');
        rest = others;
        if labels.len() == limits.labels_per_series {
            let detail = format!("more than {} tags", limits.labels_per_series);
            return Err((RejectReason::TooManyLabels, detail));
        }
        let (name, value) = split(tag, b'=');
        let (name, value) = (unescape(name), value.and_then(unescape));
        let (Some(name), Some(value)) = (name, value) else {
            let shown = String::from_utf8_lossy(&tag[..tag.len().min(64)]);
            return Err((
                RejectReason::BadLabel,
                format!("tag `{shown}` is not `name=value`"),
            ));
        };
        labels.push((name, value));
    }
    Ok(Tags {
        measurement,
        labels,
    })
}

/// The series' name and tags.
fn labels<'t>(tags: &'t Tags<'_>, field: &[u8]) -> Result<Labels<'t>, Refused> {
    if field.is_empty() {
        return Err((RejectReason::BadName, "the field's name is empty".into()));
    }
    let field = unescape(field).ok_or_else(not_text)?;
    let name = format!("{}_{field}", tags.measurement);
    let own = (Cow::Borrowed("__name__"), Cow::Owned(name));
    let others = tags.labels.iter().map(|(name, value)| {
        let [name, value] = [name, value].map(|text| Cow::Borrowed(&**text));
        (name, value)
    });
    Ok(std::iter::once(own).chain(others).collect())
}

fn not_text() -> Refused {
    (RejectReason::BadName, "the name is not UTF-8".into())
}

/// Most often the unit is another than the one in force.
fn no_time(text: &[u8], precision: Precision) -> String {
    let shown = String::from_utf8_lossy(&text[..text.len().min(64)]);
    let other = match precision {
        Precision::Auto => return format!("`{shown}` is no time"),
        Precision::S => Precision::Ms,
        _ => Precision::S,
    };
    format!(
        "`{shown}` is no time in {}; say its unit, as in ?precision={}",
        precision.word(),
        other.word()
    )
}

/// Resolves `\,`, `\=` and `\ `; a backslash before anything else is itself.
fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some(',' | '=' | ' ')) => plain.extend(chars.next()),
            _ => plain.push(char),
        }
    }
    Some(Cow::Owned(plain))
}
