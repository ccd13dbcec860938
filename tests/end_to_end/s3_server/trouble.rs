//! What can go wrong with a server far away.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::answers::{Asked, refusal};

type Answer = Response<Full<Bytes>>;

/// Of so many requests one meets a mishap.
const ONE_IN: u32 = 4;

/// How long a put that comes late is on its way.
const LATE: Duration = Duration::from_secs(3);

/// How the server is away. Nothing that is asked meanwhile takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Outage {
    /// It is there.
    #[default]
    None,
    /// It says 503 to everything.
    Busy,
    /// It takes requests and never answers.
    Deaf,
    /// It closes every connection.
    Gone,
}

/// How a single request goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mishap {
    /// It is carried out, and its answer is lost.
    LostAnswer,
    /// It is lost, a read too.
    LostRequest,
    /// It is not carried out; the answer is 503, or 409 to a conditional put.
    Refused,
    /// The client learns nothing, and some time later it is carried out after all.
    Late,
}

/// The connection ends without an answer.
#[derive(Debug)]
pub(super) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

/// What is wrong at present.
#[derive(Default)]
pub(super) struct Trouble {
    outage: Mutex<Outage>,
    mishaps: Mutex<Option<(Vec<Mishap>, SmallRng)>>,
    hit: AtomicU64,
}

impl Trouble {
    pub(super) fn set_outage(&self, outage: Outage) {
        *self.outage.lock() = outage;
    }

    pub(super) fn set_mishaps(&self, mishaps: &[Mishap], seed: u64) {
        let drawn =
            (!mishaps.is_empty()).then(|| (mishaps.to_vec(), SmallRng::seed_from_u64(seed)));
        *self.mishaps.lock() = drawn;
    }

    pub(super) fn hit(&self) -> u64 {
        self.hit.load(Ordering::Relaxed)
    }

    /// The answer of a server that is away; none if it is there.
    pub(super) async fn outage(&self) -> Result<Option<Answer>, Dropped> {
        let outage = *self.outage.lock();
        if outage != Outage::None {
            self.hit.fetch_add(1, Ordering::Relaxed);
        }
        match outage {
            Outage::None => Ok(None),
            Outage::Busy => Ok(Some(refusal(503, "SlowDown"))),
            Outage::Deaf => std::future::pending().await,
            Outage::Gone => Err(Dropped),
        }
    }

    /// Has the request carried out, unless a mishap is drawn for it.
    pub(super) async fn mishap(
        &self,
        asked: Asked,
        carried_out: impl FnOnce(Asked) -> Answer + Send + 'static,
    ) -> Result<Answer, Dropped> {
        let Some(mishap) = self.draw(&asked) else {
            return Ok(carried_out(asked));
        };
        self.hit.fetch_add(1, Ordering::Relaxed);
        match mishap {
            Mishap::LostAnswer => {
                carried_out(asked);
                Err(Dropped)
            }
            Mishap::LostRequest => Err(Dropped),
            Mishap::Refused if asked.creates() => Ok(refusal(409, "ConditionalRequestConflict")),
            Mishap::Refused => Ok(refusal(503, "SlowDown")),
            Mishap::Late => {
                tokio::spawn(async move {
                    tokio::time::sleep(LATE).await;
                    carried_out(asked);
                });
                Err(Dropped)
            }
        }
    }

    fn draw(&self, asked: &Asked) -> Option<Mishap> {
        let mut mishaps = self.mishaps.lock();
        let (mishaps, rng) = mishaps.as_mut()?;
        if !rng.random_ratio(1, ONE_IN) {
            return None;
        }
        let drawn = *mishaps.choose(rng)?;
        // What only reads has no later effect.
        (asked.writes() || drawn != Mishap::Late).then_some(drawn)
    }
}
