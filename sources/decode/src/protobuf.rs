//! Walking protobuf messages in place.
//!
//! Format: <https://protobuf.dev/programming-guides/encoding/>.

use crate::context::Fault;

/// One field's payload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Value<'a> {
    pub(crate) const fn bytes(self) -> Result<&'a [u8], &'static str> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err("protobuf field of the wrong wire type"),
        }
    }

    pub(crate) const fn varint(self) -> Result<u64, &'static str> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err("protobuf field of the wrong wire type"),
        }
    }

    pub(crate) const fn fixed64(self) -> Result<u64, &'static str> {
        match self {
            Self::Fixed64(bits) => Ok(bits),
            _ => Err("protobuf field of the wrong wire type"),
        }
    }
}

/// The rest of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, &'static str> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err("broken protobuf varint")
    }

    #[inline]
    fn split(&mut self, len: u64) -> Result<&'a [u8], &'static str> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or("protobuf field longer than its message")?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next field's number and payload; none at the message's end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, &'static str> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.split(len)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err("unknown protobuf wire type"),
        };
        match tag >> 3 {
            0 => Err("protobuf field number 0"),
            field => Ok(Some((field, value))),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk()
            .ok_or("protobuf field longer than its message")?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Where in `whole` a fault in its part `rest` lies.
pub(crate) const fn fault(whole: &[u8], rest: &[u8], what: &'static str) -> Fault {
    Fault {
        what,
        at: whole.len().saturating_sub(rest.len()),
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
