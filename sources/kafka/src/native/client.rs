//! The client, its queues and its topics.

use std::ffi::{CStr, CString, c_char, c_int};
use std::sync::Arc;

use rdkafka::bindings as c;

use crate::error::SourceError;
use crate::properties::is_secret;

/// The logical offset of a partition's first record.
pub(crate) const BEGINNING: i64 = c::RD_KAFKA_OFFSET_BEGINNING as i64;
/// The logical offset of a partition's end.
pub(crate) const END: i64 = c::RD_KAFKA_OFFSET_END as i64;

/// Room for the library's error texts.
const ERROR_BYTES: usize = 512;

/// One librdkafka client of the consumer kind.
pub(crate) struct Client {
    raw: *mut c::rd_kafka_t,
}

// SAFETY: librdkafka's handles are thread-safe by its own contract.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// What the library says about the whole client.
pub(crate) struct ClientEvent {
    /// In words.
    pub(crate) text: String,
    /// Whether the client can't go on.
    pub(crate) fatal: bool,
}

impl Client {
    /// Whether the library takes these properties.
    pub(crate) fn check(properties: &[(String, String)]) -> Result<(), SourceError> {
        Conf::new(properties).map(drop)
    }

    /// Makes a client; no connection is waited for.
    pub(crate) fn new(properties: &[(String, String)]) -> Result<Arc<Self>, SourceError> {
        let conf = Conf::new(properties)?;
        let mut error = [0 as c_char; ERROR_BYTES];
        // SAFETY: `conf` is valid; on success the client owns it.
        let raw = unsafe {
            c::rd_kafka_new(
                c::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                conf.raw,
                error.as_mut_ptr(),
                error.len(),
            )
        };
        if raw.is_null() {
            return Err(SourceError::Client {
                reason: text(error.as_ptr()),
            });
        }
        std::mem::forget(conf);
        Ok(Arc::new(Self { raw }))
    }

    pub(super) const fn raw(&self) -> *mut c::rd_kafka_t {
        self.raw
    }

    /// The next event that concerns the whole client, if one waits. Must be called often: the
    /// library's own queue grows otherwise.
    pub(crate) fn event(&self) -> Option<ClientEvent> {
        // SAFETY: the queue reference and the event are released before returning.
        unsafe {
            let queue = c::rd_kafka_queue_get_main(self.raw);
            let event = c::rd_kafka_queue_poll(queue, 0);
            c::rd_kafka_queue_destroy(queue);
            if event.is_null() {
                return None;
            }
            let said = ClientEvent {
                text: text(c::rd_kafka_event_error_string(event)),
                fatal: c::rd_kafka_event_error_is_fatal(event) != 0,
            };
            c::rd_kafka_event_destroy(event);
            Some(said)
        }
    }

    /// The partition's end as the last fetch saw it.
    pub(crate) fn cached_end(&self, topic: &CStr, index: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: all pointers outlive the call.
        let err = unsafe {
            c::rd_kafka_get_watermark_offsets(self.raw, topic.as_ptr(), index, &mut low, &mut high)
        };
        (err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: nothing that points into the client is left: queues and topics hold an `Arc`.
        unsafe {
            c::rd_kafka_destroy_flags(self.raw, c::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        }
    }
}

/// A configuration that no client owns yet.
struct Conf {
    raw: *mut c::rd_kafka_conf_t,
}

impl Conf {
    fn new(properties: &[(String, String)]) -> Result<Self, SourceError> {
        // SAFETY: a new configuration, owned by `Conf`.
        let conf = Self {
            raw: unsafe { c::rd_kafka_conf_new() },
        };
        for (key, value) in properties {
            conf.set(key, value)?;
        }
        // SAFETY: the callback is a static function.
        unsafe {
            c::rd_kafka_conf_set_log_cb(conf.raw, Some(log));
            c::rd_kafka_conf_set_events(conf.raw, c::RD_KAFKA_EVENT_ERROR);
        }
        Ok(conf)
    }

    fn set(&self, key: &str, value: &str) -> Result<(), SourceError> {
        let bad = |reason: String| SourceError::Property {
            key: key.to_owned(),
            reason,
        };
        let c_key = CString::new(key).map_err(|_| bad("its name holds a zero byte".into()))?;
        let c_value = CString::new(value).map_err(|_| bad("its value holds a zero byte".into()))?;
        let mut error = [0 as c_char; ERROR_BYTES];
        // SAFETY: all pointers outlive the call.
        let result = unsafe {
            c::rd_kafka_conf_set(
                self.raw,
                c_key.as_ptr(),
                c_value.as_ptr(),
                error.as_mut_ptr(),
                error.len(),
            )
        };
        if result == c::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
            return Ok(());
        }
        // The library's text may quote the value.
        Err(bad(if is_secret(key) {
            "its value was refused (not shown)".into()
        } else {
            text(error.as_ptr())
        }))
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: owned, and forgotten once a client has taken it over.
        unsafe { c::rd_kafka_conf_destroy(self.raw) };
    }
}

/// Where records and partition errors arrive.
pub(crate) struct Queue {
    raw: *mut c::rd_kafka_queue_t,
    _client: Arc<Client>,
}

// SAFETY: librdkafka's queues are thread-safe by its own contract.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        // SAFETY: the client is alive and stays so as long as the queue.
        let raw = unsafe { c::rd_kafka_queue_new(client.raw) };
        Self {
            raw,
            _client: Arc::clone(client),
        }
    }

    pub(super) const fn raw(&self) -> *mut c::rd_kafka_queue_t {
        self.raw
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { c::rd_kafka_queue_destroy(self.raw) };
    }
}

/// A topic that partitions are read from.
pub(crate) struct Topic {
    raw: *mut c::rd_kafka_topic_t,
    name: CString,
    client: Arc<Client>,
}

// SAFETY: librdkafka's topic handles are thread-safe by its own contract.
unsafe impl Send for Topic {}

impl Topic {
    pub(crate) fn new(client: &Arc<Client>, name: &str) -> Result<Self, SourceError> {
        let bad = |reason| SourceError::Topic {
            topic: name.to_owned(),
            reason,
        };
        let c_name = CString::new(name).map_err(|_| bad("its name holds a zero byte".into()))?;
        // SAFETY: the client is alive; no topic configuration of its own is given.
        let raw =
            unsafe { c::rd_kafka_topic_new(client.raw, c_name.as_ptr(), std::ptr::null_mut()) };
        if raw.is_null() {
            return Err(bad(last_error()));
        }
        Ok(Self {
            raw,
            name: c_name,
            client: Arc::clone(client),
        })
    }

    /// By what messages of this topic are told from others'.
    pub(crate) fn key(&self) -> usize {
        self.raw.addr()
    }

    /// Begins reading one partition into `queue`.
    pub(crate) fn start(&self, index: i32, offset: i64, queue: &Queue) -> Result<(), SourceError> {
        // SAFETY: topic and queue are alive.
        let failed =
            unsafe { c::rd_kafka_consume_start_queue(self.raw, index, offset, queue.raw) } != 0;
        if !failed {
            return Ok(());
        }
        let topic = self.name.to_string_lossy().into_owned();
        Err(SourceError::Topic {
            topic,
            reason: last_error(),
        })
    }

    /// Ends reading one partition; what it had fetched is dropped.
    pub(crate) fn stop(&self, index: i32) {
        // SAFETY: the topic is alive. Stopping what was not started is refused without harm.
        unsafe { c::rd_kafka_consume_stop(self.raw, index) };
    }

    /// The partition's end as the last fetch saw it.
    pub(crate) fn cached_end(&self, index: i32) -> Option<i64> {
        self.client.cached_end(&self.name, index)
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { c::rd_kafka_topic_destroy(self.raw) };
    }
}

fn last_error() -> String {
    // SAFETY: reads a thread-local and a static string.
    unsafe { text(c::rd_kafka_err2str(c::rd_kafka_last_error())) }
}

/// Copies a C string; a null pointer is empty.
pub(super) fn text(raw: *const c_char) -> String {
    if raw.is_null() {
        return String::new();
    }
    // SAFETY: the library's strings end in a zero byte and outlive the call.
    unsafe { CStr::from_ptr(raw) }
        .to_string_lossy()
        .into_owned()
}

/// Passes the library's log lines on, by their syslog level.
unsafe extern "C" fn log(
    _: *const c::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    let (facility, line) = (text(facility), text(line));
    match level {
        0..=3 => tracing::warn!(facility, line, "librdkafka"),
        4 | 5 => tracing::info!(facility, line, "librdkafka"),
        _ => tracing::debug!(facility, line, "librdkafka"),
    }
}
