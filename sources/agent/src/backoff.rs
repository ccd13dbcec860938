//! How long to wait after a failure.

use std::time::Duration;

use rand::Rng;

/// Doubles from a quarter second to half a minute, each wait a random part between half and all of
/// it, so that a thousand agents do not come back in one instant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

const FIRST_MS: u64 = 250;
const MOST_MS: u64 = 30_000;

impl Backoff {
    /// The wait after one more failure.
    pub(crate) fn fail(&mut self, rng: &mut impl Rng) -> Duration {
        let full = MOST_MS.min(FIRST_MS << self.failures.min(16));
        self.failures += 1;
        Duration::from_millis(rng.random_range(full / 2..=full))
    }

    /// It worked.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..40)
            .map(|_| backoff.fail(&mut rng).as_millis())
            .collect();
        assert!((125..=250).contains(&waits[0]), "{waits:?}");
        assert!(
            waits[7..]
                .iter()
                .all(|wait| (15_000..=30_000).contains(wait)),
            "{waits:?}"
        );
        backoff.reset();
        assert!(backoff.fail(&mut rng).as_millis() <= 250);
    }
}
