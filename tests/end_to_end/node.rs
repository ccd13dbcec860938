//! A running `tidegauge up`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where a node keeps its things and listens, over all its lives.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) kafka: SocketAddr,
    /// Whether Kafka is somebody else's.
    foreign_kafka: bool,
    settings: Vec<(String, String)>,
}

impl Place {
    /// Ports that are free now, so that a second life listens where the first did.
    pub(crate) fn new(data: &Path, settings: &[(&str, &str)]) -> Self {
        let free = || {
            TcpListener::bind("127.0.0.1:0")
                .and_then(|it| it.local_addr())
                .expect("a port")
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            data: data.to_owned(),
            http: free(),
            kafka: free(),
            foreign_kafka: false,
            settings: settings.iter().map(owned).collect(),
        }
    }

    /// The same, on the Kafka at the address `E2E_KAFKA` if that is set, where a topic `metrics` of four
    /// partitions must stand that nobody has used.
    pub(crate) fn on_any_kafka(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut place = Self::new(data, settings);
        if let Ok(kafka) = std::env::var("E2E_KAFKA") {
            place.kafka = kafka.parse().expect("E2E_KAFKA is IP:PORT");
            place.foreign_kafka = true;
        }
        place
    }

    /// Changes a setting for the lives to come.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// One more life.
    pub(crate) fn start(&self) -> Node<'_> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.data.with_extension("log"))
            .expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_tidegauge"))
            .args(["up", "--no-agent", "--data"])
            .arg(&self.data)
            .args(["--listen", &self.http.to_string()])
            .arg(if self.foreign_kafka {
                "--kafka"
            } else {
                "--kafka-listen"
            })
            .arg(self.kafka.to_string())
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        Node { place: self, child }
    }

    /// What the node has said in all its lives, for a failure's message.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }
}

/// One life.
pub(crate) struct Node<'a> {
    place: &'a Place,
    child: Child,
}

impl Node<'_> {
    /// Where it keeps its things.
    pub(crate) fn data(&self) -> &Path {
        &self.place.data
    }

    /// The JSON at `path`, if the node answers.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let (_, body) = self.ask(&format!("GET {path}"), "", "")?;
        serde_json::from_str(&body).ok()
    }

    /// The answer to `query` as CSV, in the name of `tenant`, without the head line.
    pub(crate) fn sql(&self, tenant: &str, query: &str) -> Vec<String> {
        let head = format!("accept: text/csv\r\nx-tenant: {tenant}\r\n");
        let (status, body) = self
            .ask("POST /api/v1/sql", &head, query)
            .unwrap_or_else(|| panic!("no answer to {query}\n{}", self.place.log()));
        assert!(status.contains(" 200 "), "{status}: {body}\n{query}");
        body.lines().skip(1).map(str::to_owned).collect()
    }

    /// Waits until `query` has rows.
    pub(crate) fn wait_sql(&mut self, tenant: &str, query: &str) {
        let until = Instant::now() + PATIENCE;
        while self.sql(tenant, query).is_empty() {
            assert!(
                Instant::now() < until,
                "no rows in {PATIENCE:?}: {query}\n{}",
                self.place.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Status line and body. Asks in HTTP/1.0, so that the body comes in one piece.
    fn ask(&self, what: &str, head: &str, body: &str) -> Option<(String, String)> {
        let mut stream = TcpStream::connect(self.place.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let length = body.len();
        let request = format!(
            "{what} HTTP/1.0\r\nhost: node\r\n{head}content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.lines().next()?;
        Some((status.to_owned(), body.to_owned()))
    }

    /// Waits until `holds` is true of the JSON at `path`.
    pub(crate) fn wait(&mut self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.get(path);
            if seen.as_ref().is_some_and(&holds) {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("our child") {
                panic!(
                    "the node ended ({status}) before {what}:\n{}",
                    self.place.log()
                );
            }
            assert!(
                Instant::now() < until,
                "no {what} in {PATIENCE:?}: {seen:?}\n{}",
                self.place.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the node has ended by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.wait_end()
    }

    fn wait_end(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(
                Instant::now() < until,
                "the node still runs after {PATIENCE:?}:\n{}",
                self.place.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the node still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Waits until the node ends by itself, and in which way.
    pub(crate) fn ends(mut self, orderly: bool) {
        let status = self.wait_end();
        assert_eq!(status.success(), orderly, "{status}:\n{}", self.place.log());
    }

    /// Ctrl-C, and waits for the orderly end.
    pub(crate) fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: the signal goes to our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0, "our child");
        let status = self.child.wait().expect("our child");
        assert!(
            status.success(),
            "an orderly end, not {status}:\n{}",
            self.place.log()
        );
    }
}

impl Drop for Node<'_> {
    /// A failed test leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until everything that is produced is read.
pub(crate) fn wait_read(node: &mut Node<'_>) {
    node.wait("/api/v1/stats/queue", "empty queue", |queue| {
        let partitions = queue["partitions"].as_array();
        queue["lag"] == 0 && partitions.is_some_and(|partitions| !partitions.is_empty())
    });
}

/// Waits until everything is read and every window up to the one that holds `newest` is closed.
pub(crate) fn drain(node: &mut Node<'_>, newest: i64) {
    wait_read(node);
    node.wait("/api/v1/stats/stream", "closed windows", |stream| {
        stream["watermark"]
            .as_i64()
            .is_some_and(|watermark| watermark > newest + 60_000)
    });
}

/// The clock that the program under test runs by.
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test runs by the same clock"
)]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the year 292 million")
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}
