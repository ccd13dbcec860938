//! Which of several rows for one series and time counts.

use std::sync::Arc;

use tidegauge_model::prefer;

use super::page::Page;
use super::rule::Rule;

/// The version of rows computed from raw just now.
pub(crate) const COMPUTED: u64 = u64::MAX;

/// One row among those that stand for the same series and time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Which of the pages given.
    pub(crate) batch: usize,
    /// Which row of it.
    pub(crate) row: usize,
    /// The version of the file it stands in.
    pub(crate) version: u64,
}

/// Picks by `rule` one of `candidates`, of which there is at least one, by what their `pages` say.
pub(crate) fn pick(rule: Rule, candidates: &[Candidate], pages: &[Arc<Page>]) -> Candidate {
    let better = |best: Candidate, next: &Candidate| {
        let wins = match rule {
            Rule::Value => {
                let (a, b) = (value(pages, &best), value(pages, next));
                prefer(a, b).to_bits() != a.to_bits()
            }
            Rule::Newest => match (best.version, next.version) {
                (_, COMPUTED) => count(pages, next) >= count(pages, &best),
                (COMPUTED, _) => count(pages, &best) < count(pages, next),
                (a, b) => b > a,
            },
            Rule::Seen => next.version > best.version,
        };
        if wins { *next } else { best }
    };
    // Rows of files are judged before computed ones, whatever order they come in.
    let files = candidates.iter().filter(|c| c.version != COMPUTED);
    let computed = candidates.iter().filter(|c| c.version == COMPUTED);
    let mut in_turn = files.chain(computed);
    let first = *in_turn
        .next()
        .expect("a settled row stands for at least one");
    in_turn.fold(first, better)
}

fn count(pages: &[Arc<Page>], of: &Candidate) -> i64 {
    pages[of.batch].judged.count(of.row)
}

fn value(pages: &[Arc<Page>], of: &Candidate) -> f64 {
    pages[of.batch].judged.value(of.row)
}
