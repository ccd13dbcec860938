//! Questions to the brokers: which topics there are, who leads, where partitions begin and end.
//!
//! Each waits for its answer in short slices, so that a stop is not held up by a broker that is
//! away.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::bindings as c;
use tidegauge_model::Partition;

use super::client::{Client, Queue, text};

const NO_ERROR: c::rd_kafka_resp_err_t = c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
const SLICE_MS: c_int = 50;

/// A topic as a broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicState {
    pub(crate) name: Arc<str>,
    /// Differs between lives of one name; zero where the broker knows no ids.
    pub(crate) id: [i64; 2],
    pub(crate) partitions: Vec<i32>,
    pub(crate) presence: Presence,
}

/// Whether a topic is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is.
    Here,
    /// The broker knows no such topic.
    Absent,
    /// The broker can't or won't say.
    Unclear(String),
}

/// Which end of a partition is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edge {
    /// The first offset that is still there.
    Earliest = -2,
    /// One past the last record that is safely written, open transactions included.
    Latest = -1,
}

/// What one partition's answer is: an offset, or the broker's words.
pub(crate) type EdgeAnswer = (Partition, Result<i64, String>);

/// Asks; answers come on a queue of this asker's own.
pub(crate) struct Asker {
    client: Arc<Client>,
    queue: Queue,
    stop: Arc<AtomicBool>,
    timeout: Duration,
    /// The number of the last question, by which its answer is told from a late one.
    asked: Cell<usize>,
}

impl Asker {
    pub(crate) fn new(client: &Arc<Client>, stop: &Arc<AtomicBool>, timeout: Duration) -> Self {
        Self {
            client: Arc::clone(client),
            queue: Queue::new(client),
            stop: Arc::clone(stop),
            timeout,
            asked: Cell::new(0),
        }
    }

    /// The names of all topics. Not interruptible, but bounded by the timeout.
    pub(crate) fn topic_names(&self) -> Result<Vec<String>, String> {
        Ok(self.metadata(true)?.0)
    }

    /// Topic names, of all topics or of those being read, and the broker that answered.
    fn metadata(&self, all: bool) -> Result<(Vec<String>, i32), String> {
        let mut raw: *const c::rd_kafka_metadata_t = std::ptr::null();
        let none = std::ptr::null_mut();
        let (all, timeout_ms) = (c_int::from(all), self.timeout_ms());
        // SAFETY: on success the answer is ours until destroyed below.
        unsafe {
            let code = c::rd_kafka_metadata(self.client.raw(), all, none, &mut raw, timeout_ms);
            if code != NO_ERROR {
                return Err(text(c::rd_kafka_err2str(code)));
            }
            let topics = slice((*raw).topics, (*raw).topic_cnt);
            let names = topics.iter().map(|topic| text(topic.topic)).collect();
            let broker = (*raw).orig_broker_id;
            c::rd_kafka_metadata_destroy(raw);
            Ok((names, broker))
        }
    }

    /// Describes the topics named, absent ones too.
    pub(crate) fn describe(&self, names: &[Arc<str>]) -> Result<Vec<TopicState>, String> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let owned: Vec<CString> = names
            .iter()
            .filter_map(|name| CString::new(name.as_bytes()).ok())
            .collect();
        let mut pointers: Vec<*const c_char> = owned.iter().map(|name| name.as_ptr()).collect();
        // Any broker knows the topics, but the library would wait for the controller.
        let (_, broker) = self.metadata(false)?;
        let options = self.options(c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        options.ask(broker);
        // SAFETY: the library copies the names; everything made here is destroyed here.
        unsafe {
            let topics =
                c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            let (rk, queue) = (self.client.raw(), self.queue.raw());
            c::rd_kafka_DescribeTopics(rk, topics, options.raw, queue);
            c::rd_kafka_TopicCollection_destroy(topics);
            let answer = self.answer(c::RD_KAFKA_EVENT_DESCRIBETOPICS_RESULT)?;
            let mut count = 0;
            let result = c::rd_kafka_event_DescribeTopics_result(answer.raw);
            let topics = c::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            Ok(slice(topics, count)
                .iter()
                .map(|&topic| described(topic))
                .collect())
        }
    }

    /// Where partitions begin or end, each with its own answer.
    pub(crate) fn edges(
        &self,
        partitions: &[Partition],
        edge: Edge,
    ) -> Result<Vec<EdgeAnswer>, String> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let options = self.options(c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS);
        // SAFETY: the library copies the list; everything made here is destroyed here.
        unsafe {
            let list = c::rd_kafka_topic_partition_list_new(0);
            for partition in partitions {
                let Ok(name) = CString::new(partition.topic.as_bytes()) else {
                    continue;
                };
                let added =
                    c::rd_kafka_topic_partition_list_add(list, name.as_ptr(), partition.index);
                (*added).offset = edge as i64;
            }
            c::rd_kafka_ListOffsets(self.client.raw(), list, options.raw, self.queue.raw());
            c::rd_kafka_topic_partition_list_destroy(list);
            let answer = self.answer(c::RD_KAFKA_EVENT_LISTOFFSETS_RESULT)?;
            let mut count = 0;
            let result = c::rd_kafka_event_ListOffsets_result(answer.raw);
            let infos = c::rd_kafka_ListOffsets_result_infos(result, &mut count);
            Ok(slice(infos, count)
                .iter()
                .map(|&info| edge_answer(info))
                .collect())
        }
    }

    /// Options of the next question.
    fn options(&self, kind: c::rd_kafka_admin_op_t) -> Options {
        self.asked.set(self.asked.get() + 1);
        Options::new(&self.client, kind, self.timeout_ms(), self.asked.get())
    }

    /// Waits for the answer to the last question; answers to those given up on are passed over.
    fn answer(&self, kind: i32) -> Result<Event, String> {
        // The library gives up first; this bound is for the case that it does not.
        let deadline = Instant::now() + self.timeout + Duration::from_secs(1);
        loop {
            // SAFETY: the queue is alive; the event is ours.
            let raw = unsafe { c::rd_kafka_queue_poll(self.queue.raw(), SLICE_MS) };
            if !raw.is_null() {
                let event = Event { raw };
                // SAFETY: the event is alive.
                let (got, code, question) = unsafe {
                    (
                        c::rd_kafka_event_type(raw),
                        c::rd_kafka_event_error(raw),
                        c::rd_kafka_event_opaque(raw).addr(),
                    )
                };
                if got != kind || question != self.asked.get() {
                    continue;
                }
                if code != NO_ERROR {
                    // SAFETY: the event is alive.
                    return Err(text(unsafe { c::rd_kafka_event_error_string(raw) }));
                }
                return Ok(event);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err("stopping".into());
            }
            if Instant::now() > deadline {
                return Err(format!("no answer within {} ms", self.timeout.as_millis()));
            }
        }
    }

    fn timeout_ms(&self) -> c_int {
        c_int::try_from(self.timeout.as_millis()).unwrap_or(c_int::MAX)
    }
}

/// An answer, given back on drop.
struct Event {
    raw: *mut c::rd_kafka_event_t,
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { c::rd_kafka_event_destroy(self.raw) };
    }
}

struct Options {
    raw: *mut c::rd_kafka_AdminOptions_t,
}

impl Options {
    fn new(
        client: &Client,
        kind: c::rd_kafka_admin_op_t,
        timeout_ms: c_int,
        question: usize,
    ) -> Self {
        let mut error = [0 as c_char; 128];
        // SAFETY: the client is alive; the options are ours.
        unsafe {
            let raw = c::rd_kafka_AdminOptions_new(client.raw(), kind);
            c::rd_kafka_AdminOptions_set_request_timeout(
                raw,
                timeout_ms,
                error.as_mut_ptr(),
                error.len(),
            );
            c::rd_kafka_AdminOptions_set_opaque(raw, std::ptr::without_provenance_mut(question));
            Self { raw }
        }
    }
}

impl Options {
    /// Directs the question to one broker.
    fn ask(&self, broker: i32) {
        let mut error = [0 as c_char; 128];
        // SAFETY: the options are alive. An id that is refused leaves the library's choice.
        unsafe {
            c::rd_kafka_AdminOptions_set_broker(self.raw, broker, error.as_mut_ptr(), error.len());
        }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { c::rd_kafka_AdminOptions_destroy(self.raw) };
    }
}

/// # Safety
/// `topic` must be of an answer that is alive.
unsafe fn described(topic: *const c::rd_kafka_TopicDescription_t) -> TopicState {
    // SAFETY: by the caller's promise; all is copied.
    unsafe {
        let mut count = 0;
        let partitions = c::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = slice(partitions, count)
            .iter()
            .map(|&partition| c::rd_kafka_TopicPartitionInfo_partition(partition))
            .collect();
        let id = c::rd_kafka_TopicDescription_topic_id(topic);
        let id = [
            c::rd_kafka_Uuid_most_significant_bits(id),
            c::rd_kafka_Uuid_least_significant_bits(id),
        ];
        let name = text(c::rd_kafka_TopicDescription_name(topic)).into();
        TopicState {
            name,
            id,
            partitions,
            presence: presence(topic),
        }
    }
}

/// # Safety
/// `topic` must be of an answer that is alive.
unsafe fn presence(topic: *const c::rd_kafka_TopicDescription_t) -> Presence {
    use c::rd_kafka_resp_err_t as Code;
    // SAFETY: by the caller's promise.
    unsafe {
        let error = c::rd_kafka_TopicDescription_error(topic);
        if error.is_null() {
            return Presence::Here;
        }
        match c::rd_kafka_error_code(error) {
            NO_ERROR | Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE => Presence::Here,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID => Presence::Absent,
            _ => Presence::Unclear(text(c::rd_kafka_error_string(error))),
        }
    }
}

/// # Safety
/// `info` must be of an answer that is alive.
unsafe fn edge_answer(info: *const c::rd_kafka_ListOffsetsResultInfo_t) -> EdgeAnswer {
    // SAFETY: by the caller's promise; all is copied.
    unsafe {
        let at = &*c::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
        let partition = Partition {
            topic: text(at.topic).into(),
            index: at.partition,
        };
        let answer = match at.err {
            NO_ERROR if at.offset >= 0 => Ok(at.offset),
            NO_ERROR => Err("its leader has not answered".to_owned()),
            error => Err(text(c::rd_kafka_err2str(error))),
        };
        (partition, answer)
    }
}

/// # Safety
/// `data` must be null or hold `count` items for as long as the slice is used.
unsafe fn slice<'a, T, N: TryInto<usize>>(data: *const T, count: N) -> &'a [T] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(data, count.try_into().unwrap_or(0)) }
}
