//! Sessions at rest, so that what one request taught helps the next.

use parking_lot::Mutex;
use tidegauge_decode::Format;
use tidegauge_model::Limits;

use crate::session::Session;

/// However small they are.
const SESSIONS_MOST: usize = 256;

/// Holds sessions by tenant and format, up to a bound on their memory; those at rest for longest
/// go first.
pub(crate) struct Pool {
    limits: Limits,
    bytes_most: usize,
    /// Used longest ago first.
    resting: Mutex<Vec<Resting>>,
}

struct Resting {
    tenant: String,
    format: Format,
    bytes: usize,
    session: Session,
}

impl Pool {
    pub(crate) const fn new(limits: Limits, bytes_most: usize) -> Self {
        Self {
            limits,
            bytes_most,
            resting: Mutex::new(Vec::new()),
        }
    }

    /// The session that fits and was used last, or a new one.
    pub(crate) fn take(&self, tenant: &str, format: Format) -> Session {
        let mut resting = self.resting.lock();
        let fits = |known: &Resting| known.format == format && known.tenant == tenant;
        match resting.iter().rposition(fits) {
            Some(at) => resting.remove(at).session,
            None => Session::new(format, self.limits.clone()),
        }
    }

    /// Takes a session back.
    pub(crate) fn give(&self, tenant: &str, format: Format, session: Session) {
        if session.is_spent() {
            return;
        }
        let bytes = session.heap_bytes();
        let mut resting = self.resting.lock();
        resting.push(Resting {
            tenant: tenant.to_owned(),
            format,
            bytes,
            session,
        });
        let mut held: usize = resting.iter().map(|known| known.bytes).sum();
        while held > self.bytes_most || resting.len() > SESSIONS_MOST {
            held -= resting.remove(0).bytes;
        }
    }

    /// How many series are remembered, and in how many bytes.
    pub(crate) fn remembered(&self) -> (usize, usize) {
        let resting = self.resting.lock();
        let series = resting.iter().map(|known| known.session.series()).sum();
        (series, resting.iter().map(|known| known.bytes).sum())
    }
}
