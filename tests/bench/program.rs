//! What all parts share, and the program as it runs.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tidegauge_broker::Broker;
use tokio::runtime::Runtime;

use crate::http::Http;
use crate::kafka;
use crate::load::Load;
use crate::options::{Options, Part};
use crate::peer::Peer;
use crate::process::{self, Usage};

/// How long nothing may change before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often a condition is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// What all parts share.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) runtime: Runtime,
    pub(crate) brokers: String,
    /// Why there is none, if there is none.
    pub(crate) peer: Result<Peer, String>,
    dir: TempDir,
    _broker: Option<Broker>,
}

impl<'a> Bench<'a> {
    pub(crate) fn start(options: &'a Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("bench-broker")
            .build()
            .expect("threads");
        let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = TempDir::new_in(parent).expect("a folder");
        let broker = options.kafka.is_none();
        let broker = broker.then(|| kafka::start(&runtime, &dir.path().join("kafka")));
        let brokers = match (&broker, &options.kafka) {
            (Some(broker), _) => broker.local_addr().to_string(),
            (None, named) => named.clone().unwrap_or_default(),
        };
        let peer = if options.wants(Part::Peer) {
            Peer::find(&options.peer)
        } else {
            Err("VictoriaMetrics: not asked for".to_owned())
        };
        Self {
            options,
            runtime,
            brokers,
            peer,
            dir,
            _broker: broker,
        }
    }

    /// A folder of this name, empty.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    /// A new topic.
    pub(crate) fn topic(&self, name: &str) -> String {
        let topic = format!("bench-{}-{name}", std::process::id());
        kafka::create_topic(&self.runtime, &self.brokers, &topic);
        topic
    }

    /// A new topic that holds the load.
    pub(crate) fn produced(&self, name: &str, load: &Load) -> String {
        let topic = self.topic(name);
        kafka::produce(&self.brokers, &topic, load);
        topic
    }

    /// Starts the program on one topic; `data` may hold what an earlier life left.
    pub(crate) fn program(
        &self,
        data: &Path,
        topic: &str,
        settings: &[(&str, &str)],
    ) -> Program<'_> {
        let http = free_address();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(data.with_extension("log"))
            .expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_tidegauge"))
            .args(["up", "--no-agent", "--kafka", &self.brokers, "--data"])
            .arg(data)
            .args(["--listen", &http.to_string()])
            .args(["--workers", &self.options.workers.to_string()])
            .env(
                "TIDEGAUGE_KAFKA__TOPICS",
                format!("[{{ name = '{topic}' }}]"),
            )
            .envs(settings.iter().copied())
            .envs(self.options.settings())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("the program runs");
        Program {
            started: Instant::now(),
            child,
            log: data.with_extension("log"),
            http: Http::new(&self.runtime, http),
        }
    }
}

/// An address that is free now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
}

/// A running program.
pub(crate) struct Program<'a> {
    /// Just after it was started.
    pub(crate) started: Instant,
    pub(crate) http: Http<'a>,
    child: Child,
    log: PathBuf,
}

impl Program<'_> {
    pub(crate) fn usage(&mut self) -> Usage {
        self.check();
        process::usage(self.child.id()).expect("a running process is in /proc")
    }

    /// `/api/v1/stats/stream`, once it is answered.
    pub(crate) fn stats(&mut self) -> Value {
        self.wait("an answer", |http| http.json("/api/v1/stats/stream"))
    }

    /// Waits until `look` has an answer.
    pub(crate) fn wait<T>(&mut self, what: &str, look: impl FnMut(&Http<'_>) -> Option<T>) -> T {
        self.wait_each(LOOK, what, look)
    }

    /// The same, looking more or less often.
    pub(crate) fn wait_each<T>(
        &mut self,
        each: Duration,
        what: &str,
        mut look: impl FnMut(&Http<'_>) -> Option<T>,
    ) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look(&self.http) {
                return seen;
            }
            self.check();
            if Instant::now() >= until {
                let stats = self.http.json("/api/v1/stats/stream");
                panic!("no {what} in {PATIENCE:?}: {stats:?}\n{}", self.said());
            }
            std::thread::sleep(each);
        }
    }

    fn check(&mut self) {
        if let Some(status) = self.child.try_wait().expect("our child") {
            panic!("the program ended ({status}):\n{}", self.said());
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Ctrl-C, and waits for the orderly end.
    pub(crate) fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: the signal goes to our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0, "our child");
        let status: ExitStatus = self.child.wait().expect("our child");
        assert!(status.success(), "an end with {status}:\n{}", self.said());
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows and bytes of a table, as the stats have them.
pub(crate) fn table_of(stats: &Value, name: &str) -> (u64, u64, u64) {
    let tables = stats["tables"].as_array();
    let found = tables.and_then(|tables| tables.iter().find(|table| table["table"] == name));
    let field = |field: &str| found.and_then(|table| table[field].as_u64()).unwrap_or(0);
    (field("rows"), field("bytes"), field("files"))
}
