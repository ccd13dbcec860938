//! Injected time: one test is one future, and the clock moves only when all of it waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::task::ArcWake;
use parking_lot::Mutex;
use tidegauge_lake::Clock;

/// Time that moves only when every task waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimClock(Arc<Mutex<Sim>>);

#[derive(Default)]
struct Sim {
    now_ms: u64,
    /// Who waits, by when and in which order they came.
    sleepers: BTreeMap<(u64, u64), Waker>,
    came: u64,
    /// What runs beside the test.
    tasks: Vec<BoxFuture<'static, ()>>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ms", self.now_ms)
    }
}

thread_local! {
    static CURRENT: RefCell<SimClock> = RefCell::default();
}

/// Runs `test` in a time of its own.
///
/// # Panics
/// If it waits for what will never be.
pub(crate) fn simulate<T>(test: impl Future<Output = T>) -> T {
    let clock = SimClock::default();
    CURRENT.set(clock.clone());
    let mut test = pin!(test);
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = futures::task::waker(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    loop {
        while woken.0.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(done) = test.as_mut().poll(&mut context) {
                return done;
            }
            clock.run_tasks(&mut context);
        }
        clock.advance();
    }
}

struct Woken(AtomicBool);

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.store(true, Ordering::Relaxed);
    }
}

impl SimClock {
    /// The clock of the test that runs.
    pub(crate) fn current() -> Self {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `task` beside the test.
    pub(crate) fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().tasks.push(task);
    }

    fn run_tasks(&self, context: &mut Context<'_>) {
        let mut tasks = std::mem::take(&mut self.0.lock().tasks);
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        self.0.lock().tasks.append(&mut tasks);
    }

    /// On to the first who waits.
    fn advance(&self) {
        let mut sim = self.0.lock();
        let first = sim.sleepers.pop_first();
        let ((due, _), waker) = first.expect("someone waits for a time, or all wait for ever");
        sim.now_ms = sim.now_ms.max(due);
        waker.wake();
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        1_795_219_200_000 + self.0.lock().now_ms.cast_signed()
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        let span = u64::try_from(span.as_millis()).expect("a test is short");
        let mut sim = self.0.lock();
        sim.came += 1;
        let key = (sim.now_ms + span, sim.came);
        Box::pin(Sleep {
            clock: self.clone(),
            key,
        })
    }
}

/// Ready when its time has come.
struct Sleep {
    clock: SimClock,
    key: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut sim = self.clock.0.lock();
        if sim.now_ms >= self.key.0 {
            return Poll::Ready(());
        }
        sim.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.0.lock().sleepers.remove(&self.key);
    }
}
