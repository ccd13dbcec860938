//! A broker process on a directory: started, killed, started again on the same port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// How long anything is waited for. Generous: only a hanging test should ever reach it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegauge-broker");
const ANY_PORT: &str = "127.0.0.1:0";

/// A running broker. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) addr: String,
}

impl Process {
    /// Starts a broker with `partitions` a topic, on any free port.
    pub(crate) fn start(dir: &Path, partitions: i32) -> Process {
        Process::start_at(dir, partitions, ANY_PORT)
    }

    fn start_at(dir: &Path, partitions: i32, addr: &str) -> Process {
        let settings = format!("{{\"default_partitions\":{partitions}}}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A port that a killed process held can take a moment to come free.
            let program = Command::new(PROGRAM);
            match Process::try_start(program, dir, addr, &settings) {
                Some(process) => return process,
                None => assert!(Instant::now() < deadline, "no broker on {addr}"),
            }
        }
    }

    /// Starts a broker with these settings, on any free port.
    pub(crate) fn start_with(dir: &Path, settings: &str) -> Process {
        let program = Command::new(PROGRAM);
        Process::try_start(program, dir, ANY_PORT, settings).expect("it starts")
    }

    /// Starts a broker that may hold this many files open, on any free port.
    pub(crate) fn start_with_files(dir: &Path, files: u32) -> Process {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
        shell.arg(PROGRAM);
        Process::try_start(shell, dir, ANY_PORT, "{}").expect("it starts")
    }

    fn try_start(mut program: Command, dir: &Path, addr: &str, settings: &str) -> Option<Process> {
        let mut child = program
            .args([dir.as_os_str(), addr.as_ref(), settings.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        if said.is_empty() {
            child.wait().unwrap();
            return None;
        }
        let addr = said.trim().to_owned();
        Some(Process { child, addr })
    }

    /// Kills the broker as a crash does, and starts it again with the same data and port.
    pub(crate) fn crash(&mut self, dir: &Path, partitions: i32) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        *self = Process::start_at(dir, partitions, &self.addr);
    }

    /// Still there?
    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The most memory it ever held, in KiB.
    pub(crate) fn most_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// A client's configuration.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.addr)
            .set("reconnect.backoff.ms", "10")
            .set("reconnect.backoff.max.ms", "200");
        config
    }

    /// Everything that lies in a topic, partition by partition, in order.
    pub(crate) fn read_all(&self, topic: &str, partitions: i32) -> Vec<Vec<OwnedMessage>> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "reader")
            .set("enable.partition.eof", "false")
            .set("check.crcs", "true")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        let mut ends = Vec::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .unwrap();
            let (_, end) = consumer
                .fetch_watermarks(topic, partition, PATIENCE)
                .unwrap();
            ends.push(end);
        }
        consumer.assign(&list).unwrap();
        let mut found = vec![Vec::new(); partitions as usize];
        let mut left = ends.iter().filter(|end| **end > 0).count();
        while left > 0 {
            let message = consumer
                .poll(PATIENCE)
                .expect("nothing came")
                .unwrap()
                .detach();
            let partition = message.partition() as usize;
            left -= usize::from(message.offset() + 1 == ends[partition]);
            found[partition].push(message);
        }
        found
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Polls until `holds`.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
