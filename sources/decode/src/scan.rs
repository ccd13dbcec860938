//! Walking JSON text in place.

use std::borrow::Cow;

use crate::context::Fault;

/// A place in JSON text. Reads what producers write, and bare `NaN` and `Infinity` besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
}

/// A value's bytes; a string's are without its quotes and still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    String(&'a [u8]),
    /// A number or a word.
    Plain(&'a [u8]),
    Object,
    Array,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn fault(&self, what: &'static str) -> Fault {
        Fault { what, at: self.at }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Skips white space and returns the byte after it.
    #[inline]
    pub(crate) fn space(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Skips white space and one expected byte.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Fault> {
        if self.space() != Some(byte) {
            return Err(self.fault(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Skips white space and then one byte if it is the one asked for.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let there = self.space() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// A string, with the scanner at its opening quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a string"));
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at = (self.at + 2).min(self.text.len()),
                Some(byte) if byte >= 0x20 => self.at += 1,
                Some(_) => return Err(self.fault("control character in a string")),
                None => return Err(self.fault("string without end")),
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        Ok(raw)
    }

    /// A member's name and its colon, leaving the scanner at the value.
    pub(crate) fn name(&mut self) -> Result<&'a [u8], Fault> {
        self.space();
        let name = self.string()?;
        self.expect(b':', "expected a colon")?;
        self.space();
        Ok(name)
    }

    /// Whether another member or element follows, up to the closing byte.
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Fault> {
        if self.eat(b',') {
            return Ok(true);
        }
        self.expect(close, "expected a comma or the end")?;
        Ok(false)
    }

    /// Passes over one value of any kind.
    pub(crate) fn value(&mut self) -> Result<Token<'a>, Fault> {
        match self.peek() {
            Some(b'"') => Ok(Token::String(self.string()?)),
            Some(b'{') => self.nested().map(|()| Token::Object),
            Some(b'[') => self.nested().map(|()| Token::Array),
            _ => {
                let start = self.at;
                while let Some(byte) = self.peek()
                    && (byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
                {
                    self.at += 1;
                }
                if self.at == start {
                    return Err(self.fault("expected a value"));
                }
                Ok(Token::Plain(&self.text[start..self.at]))
            }
        }
    }

    /// Passes over an object or array, without recursion.
    fn nested(&mut self) -> Result<(), Fault> {
        let mut open = Vec::new();
        loop {
            if self.opens(&mut open)? {
                continue;
            }
            // A value has ended, and perhaps what it is in.
            while let Some(&close) = open.last() {
                if self.more(close)? {
                    self.next_in(close)?;
                    break;
                }
                open.pop();
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Goes to the first value in an object or array, or passes over any other value; says which.
    fn opens(&mut self, open: &mut Vec<u8>) -> Result<bool, Fault> {
        let close = match self.peek() {
            Some(b'{') => b'}',
            Some(b'[') => b']',
            _ => return self.value().map(|_| false),
        };
        self.at += 1;
        if self.eat(close) {
            return Ok(false);
        }
        open.push(close);
        self.next_in(close)?;
        Ok(true)
    }

    /// Goes to the next value in what ends with `close`.
    fn next_in(&mut self, close: u8) -> Result<(), Fault> {
        if close == b'}' {
            self.name()?;
        } else {
            self.space();
        }
        Ok(())
    }
}

/// A string's text with its escapes resolved; none if it is not UTF-8 or an escape is broken.
pub(crate) fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if !raw.contains(&b'\\') {
        return Some(Cow::Borrowed(text));
    }
    let quoted = format!("\"{text}\"");
    serde_json::from_str::<String>(&quoted).ok().map(Cow::Owned)
}
