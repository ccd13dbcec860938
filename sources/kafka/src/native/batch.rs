//! Many messages by one call.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as c;
use tidegauge_model::RecordMark;
use xxhash_rust::xxh3::Xxh3Default;

use super::client::{Queue, text};

pub(crate) use rdkafka::bindings::rd_kafka_resp_err_t as Code;

/// Messages taken from a queue, given back to the library on drop or on the next fill.
pub(crate) struct Batch {
    raw: Vec<*mut c::rd_kafka_message_t>,
    queue: Arc<Queue>,
}

impl Batch {
    /// An empty batch with room for `size` messages.
    pub(crate) fn new(queue: &Arc<Queue>, size: usize) -> Self {
        Self {
            raw: Vec::with_capacity(size),
            queue: Arc::clone(queue),
        }
    }

    /// Gives back what is held and takes what is there: waits up to `wait` for a first message,
    /// then up to `linger` for the batch to fill. Returns how many messages there are.
    pub(crate) fn fill(&mut self, wait: Duration, linger: Duration) -> usize {
        self.clear();
        let size = self.raw.capacity();
        if self.take(1, wait) == 1 && size > 1 {
            self.take(size - 1, linger);
        }
        self.raw.len()
    }

    fn take(&mut self, most: usize, wait: Duration) -> usize {
        let held = self.raw.len();
        debug_assert!(held + most <= self.raw.capacity(), "room for what is asked");
        let wait_ms = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the spare capacity holds `most` pointers; the library fills as many as it says.
        unsafe {
            let room = self.raw.as_mut_ptr().add(held);
            let taken = c::rd_kafka_consume_batch_queue(self.queue.raw(), wait_ms, room, most);
            let taken = usize::try_from(taken).unwrap_or(0);
            self.raw.set_len(held + taken);
            taken
        }
    }

    /// The message at `index`, in order of arrival.
    pub(crate) fn get(&self, index: usize) -> Message<'_> {
        Message {
            raw: self.raw[index],
            batch: PhantomData,
        }
    }

    fn clear(&mut self) {
        for message in self.raw.drain(..) {
            // SAFETY: owned, and given back once.
            unsafe { c::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One record, or one error of a partition.
#[derive(Clone, Copy)]
pub(crate) struct Message<'b> {
    raw: *const c::rd_kafka_message_t,
    batch: PhantomData<&'b ()>,
}

impl<'b> Message<'b> {
    const fn fields(&self) -> &'b c::rd_kafka_message_t {
        // SAFETY: the batch holds the message for `'b`.
        unsafe { &*self.raw }
    }

    /// What went wrong, or that the end was reached; a record has no code.
    pub(crate) fn code(&self) -> Option<Code> {
        let code = self.fields().err;
        (code != Code::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(code)
    }

    /// The library's words for the error.
    pub(crate) fn error_text(&self) -> String {
        // SAFETY: the message is alive.
        text(unsafe { c::rd_kafka_message_errstr(self.raw) })
    }

    /// By what its topic is told from others: [`super::Topic::key`].
    pub(crate) fn topic_key(&self) -> usize {
        self.fields().rkt.addr()
    }

    pub(crate) const fn index(&self) -> i32 {
        self.fields().partition
    }

    pub(crate) const fn offset(&self) -> i64 {
        self.fields().offset
    }

    /// The record's bytes; none for a tombstone.
    pub(crate) fn value(&self) -> Option<&'b [u8]> {
        bytes(self.fields().payload, self.fields().len)
    }

    fn key(&self) -> Option<&'b [u8]> {
        bytes(self.fields().key, self.fields().key_len)
    }

    /// Milliseconds since the Unix epoch, or −1.
    pub(crate) fn timestamp(&self) -> i64 {
        let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        unsafe { c::rd_kafka_message_timestamp(self.raw, &mut kind) }
    }

    /// The record's headers in their order, by name; one may have no value.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)> {
        let mut raw = ptr::null_mut();
        // SAFETY: the message is alive and owns the headers.
        let code = unsafe { c::rd_kafka_message_headers(self.raw, &mut raw) };
        let all = (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(Headers {
            raw,
            batch: PhantomData,
        });
        all.into_iter()
            .flat_map(|all| (0..).map_while(move |at| all.get(at)))
    }

    /// By what the record is known again.
    pub(crate) fn mark(&self) -> RecordMark {
        let hash = record_hash(self.key(), self.value());
        RecordMark {
            offset: self.offset(),
            timestamp: self.timestamp(),
            hash,
        }
    }
}

/// A record's headers.
#[derive(Clone, Copy)]
struct Headers<'b> {
    raw: *mut c::rd_kafka_headers_t,
    batch: PhantomData<&'b ()>,
}

impl<'b> Headers<'b> {
    /// The header at a place, which takes no search; none past the last.
    fn get(self, at: usize) -> Option<(&'b [u8], Option<&'b [u8]>)> {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers are alive.
        let code =
            unsafe { c::rd_kafka_header_get_all(self.raw, at, &mut name, &mut value, &mut size) };
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: the library ends names by a zero; name and value live as long as the message.
        let name = unsafe { CStr::from_ptr(name) };
        Some((name.to_bytes(), bytes(value.cast_mut(), size)))
    }
}

fn bytes<'b>(data: *mut c_void, size: usize) -> Option<&'b [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: the library gives data and size of memory that the message owns.
    Some(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) })
}

/// The hash of [`RecordMark::hash`]: key and value, each behind its length.
pub(crate) fn record_hash(key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hash = Xxh3Default::new();
    for part in [key, value] {
        let length = part.map_or(u32::MAX, |bytes| {
            u32::try_from(bytes.len()).expect("a Kafka record is below 2 GiB")
        });
        hash.update(&length.to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::record_hash;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn the_hash_is_that_of_the_written_form() {
        assert_eq!(
            record_hash(Some(b"k"), Some(b"vv")),
            xxh3_64(&[1, 0, 0, 0, b'k', 2, 0, 0, 0, b'v', b'v'])
        );
        assert_eq!(
            record_hash(None, Some(b"")),
            xxh3_64(&[255, 255, 255, 255, 0, 0, 0, 0])
        );
        assert_ne!(
            record_hash(None, Some(b"x")),
            record_hash(Some(b""), Some(b"x"))
        );
    }
}
