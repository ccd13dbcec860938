//! How the processes of a cluster agree on the commit that they go on from.
//!
//! Process 0 claims the lake. The others must rebuild their windows from exactly that claim, not from
//! one of an earlier life, or rows would be there twice or not at all. So all of them meet at the
//! address of process 0 before the dataflow listens there: each greets, and once everyone is there
//! process 0 names the claim, and goes on when everyone has read it. Whoever comes back after a
//! crash greets anew, so the order in which processes are started does not matter.
//!
//! ```text
//! follower ── greeting ──► lead     (all of them)
//! follower ◄── claim ───── lead
//! follower ── ready ─────► lead     (all of them; then the dataflow connects)
//! ```

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidegauge_dataflow::{Cluster, Settings};
use tidegauge_kafka::TopicSettings;
use tidegauge_tables::{LakeState, LogError, LogReader};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// How long a connection may take to say who it is.
const GREETING_WAIT: Duration = Duration::from_secs(5);
/// How long a follower may take to read the claim that it was told of.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How long a follower waits before it looks for process 0 again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often it is said who is still waited for.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Why the processes of a cluster did not come together.
#[derive(Debug, thiserror::Error)]
pub enum CohortError {
    /// The meeting place is taken.
    #[error("listening on {address} (cluster.hosts[0]) failed; is another process there?")]
    Listen {
        /// The address of process 0.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Process 0 does not take us.
    #[error("process 0 at {address} refused this process: {reason}")]
    Refused {
        /// The address of process 0.
        address: String,
        /// Why.
        reason: String,
    },
    /// Process 0 writes to another lake.
    #[error(
        "process 0 has made commit {told} of its lake, and the lake of this process ends at \
         {found:?}; give every process of the cluster the same --store"
    )]
    OtherLake {
        /// The version that process 0 named.
        told: u64,
        /// The newest one here.
        found: Option<u64>,
    },
    /// The lake can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a follower says of itself.
#[derive(Serialize, Deserialize, PartialEq)]
struct Greeting {
    program: String,
    cluster: Cluster,
    dataflow: Settings,
    topics: Vec<TopicSettings>,
}

/// What process 0 answers.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// Go on from this version, the claim of this generation.
    Claim { version: u64, generation: u64 },
    /// Stay away.
    Refused(String),
}

#[derive(Serialize, Deserialize)]
struct Ready;

/// What processes must have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Where they are.
    pub cluster: &'a Cluster,
    /// How they cut epochs and commits.
    pub dataflow: &'a Settings,
    /// What they read.
    pub topics: &'a [TopicSettings],
}

impl Terms<'_> {
    fn greeting(&self) -> Greeting {
        Greeting {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.cluster.clone(),
            dataflow: self.dataflow.clone(),
            topics: self.topics.to_vec(),
        }
    }

    fn place(&self) -> &str {
        &self.cluster.hosts[0]
    }

    /// What of `other` does not fit, if anything.
    fn objection(&self, other: &Greeting) -> Option<String> {
        let own = self.greeting();
        let process = other.cluster.process;
        let differing = [
            ("the program's version", own.program != other.program),
            ("cluster.hosts", own.cluster.hosts != other.cluster.hosts),
            (
                "cluster.workers",
                own.cluster.workers != other.cluster.workers,
            ),
            ("[stream]", own.dataflow != other.dataflow),
            ("kafka.topics", own.topics != other.topics),
        ];
        if let Some((what, _)) = differing.into_iter().find(|(_, differs)| *differs) {
            return Some(format!(
                "{what} of process {process} is not that of process 0; make them alike"
            ));
        }
        let known = 1..self.cluster.hosts.len();
        (!known.contains(&process)).then(|| {
            format!(
                "it says that it is process {process}; give each process its own cluster.process"
            )
        })
    }
}

/// Process 0: waits for all others, and tells them the claim that `state` ends in. Nothing may be
/// committed meanwhile.
///
/// # Errors
/// If the meeting place can't be listened on.
///
/// # Panics
/// If `state` has no claim.
pub async fn gather(terms: Terms<'_>, state: &LakeState) -> Result<(), CohortError> {
    let version = state.version.expect("a claim is a commit");
    let claim = Answer::Claim {
        version,
        generation: state.generation,
    };
    loop {
        let mut followers = greet_all(terms).await?;
        // The listener is closed by now: who is told goes on to connect the dataflow there.
        let mut missing = None;
        for (process, line) in &mut followers {
            if line.say(&claim).await.is_err() {
                missing = Some(*process);
            }
        }
        for (process, line) in &mut followers {
            if !matches!(timeout(READY_WAIT, line.hear::<Ready>()).await, Ok(Ok(_))) {
                missing = Some(*process);
            }
        }
        match missing {
            None => return Ok(()),
            Some(process) => {
                tracing::warn!(process, "lost while the cluster came together; once more")
            }
        }
    }
}

async fn greet_all(terms: Terms<'_>) -> Result<BTreeMap<usize, Line>, CohortError> {
    let address = terms.place();
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| CohortError::Listen {
            address: address.to_owned(),
            source,
        })?;
    let mut followers = BTreeMap::new();
    let mut told = None;
    while followers.len() + 1 < terms.cluster.hosts.len() {
        if told.is_none_or(|told: Instant| told.elapsed() > TELL_EVERY) {
            told = Some(Instant::now());
            let missing: Vec<usize> = (1..terms.cluster.hosts.len())
                .filter(|it| !followers.contains_key(it))
                .collect();
            tracing::info!(
                address,
                ?missing,
                "waiting for the other processes of the cluster"
            );
        }
        let Ok(Ok((stream, from))) = timeout(TELL_EVERY, listener.accept()).await else {
            continue;
        };
        let mut line = Line::new(stream);
        let Ok(Ok(greeting)) = timeout(GREETING_WAIT, line.hear::<Greeting>()).await else {
            tracing::warn!(%from, "a connection that is no process of the cluster");
            continue;
        };
        if let Some(reason) = terms.objection(&greeting) {
            tracing::warn!(%from, reason, "a process was refused");
            // Whether it hears is its own matter.
            let _ = line.say(&Answer::Refused(reason)).await;
            continue;
        }
        followers.insert(greeting.cluster.process, line);
    }
    Ok(followers)
}

/// A follower: greets process 0 until it answers, and reads the lake as of the claim it names.
///
/// # Errors
/// If process 0 refuses us or has another lake, or the lake can't be read.
pub async fn join(terms: Terms<'_>, log: &LogReader) -> Result<LakeState, CohortError> {
    let mut told = None;
    loop {
        match greet(terms).await {
            Ok((
                mut line,
                Answer::Claim {
                    version,
                    generation,
                },
            )) => {
                let state = log.open().await?;
                if state.version < Some(version) {
                    return Err(CohortError::OtherLake {
                        told: version,
                        found: state.version,
                    });
                }
                let same = state.version == Some(version) && state.generation == generation;
                if same && line.say(&Ready).await.is_ok() {
                    return Ok(state);
                }
            }
            Ok((_, Answer::Refused(reason))) => {
                return Err(CohortError::Refused {
                    address: terms.place().to_owned(),
                    reason,
                });
            }
            Err(error) if told.is_none_or(|told: Instant| told.elapsed() > TELL_EVERY) => {
                told = Some(Instant::now());
                tracing::info!(address = terms.place(), %error, "waiting for process 0 of the cluster");
            }
            Err(_) => {}
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn greet(terms: Terms<'_>) -> io::Result<(Line, Answer)> {
    let mut line = Line::new(TcpStream::connect(terms.place()).await?);
    line.say(&terms.greeting()).await?;
    let answer = line.hear().await?;
    Ok((line, answer))
}

/// A connection that speaks in lines of JSON.
struct Line(BufReader<TcpStream>);

impl Line {
    fn new(stream: TcpStream) -> Self {
        Self(BufReader::new(stream))
    }

    async fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line).await
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        // No line of ours is longer; whoever else connects can't fill our memory.
        let mut bounded = tokio::io::AsyncReadExt::take(&mut self.0, 64 << 10);
        if bounded.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}
