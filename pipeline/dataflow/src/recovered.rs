//! What a worker starts from after a restart: the open windows, rebuilt from committed rows.

use std::sync::Arc;

use tidegauge_model::{Metadata, Rollup, Series, Tier};

use crate::coarse::{self, OpenWindows};

/// The committed state of one worker's series, as far as windows are still open.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The watermark of the last commit: windows with end ≤ it are closed.
    pub watermark: Option<i64>,
    /// The next epoch.
    pub epoch: u64,
    /// Starts of dirty minutes that lie in hours not yet closed (or in the future).
    pub touched: Vec<i64>,
    /// The series with open windows, and those not silent for long, each once.
    pub series: Vec<RecoveredSeries>,
}

/// What is known of one series.
#[derive(Clone, Debug)]
pub struct RecoveredSeries {
    /// The series.
    pub series: Series,
    /// What its producer said of it.
    pub metadata: Arc<Metadata>,
    /// Settled samples of 1-minute windows not yet closed, ascending in time.
    pub time: Vec<i64>,
    /// Their values.
    pub value: Vec<f64>,
    /// The newest committed sample's time that is not past the last future cutoff.
    pub last_time: i64,
    /// Time and value of its newest committed sample with a value: the running total, should it be a
    /// series of deltas.
    pub last_value: Option<(i64, f64)>,
    /// Its open coarse windows, as [`fold_open`] folds them.
    pub coarse: OpenWindows,
}

/// Folds a series' closed minutes, which come by their starts, ascending, into those windows of
/// `tiers` that are open at `watermark`. A window is folded as it was before the restart, addition by
/// addition.
pub fn fold_open(
    tiers: &[Tier],
    watermark: Option<i64>,
    minutes: impl IntoIterator<Item = (i64, Rollup)>,
) -> OpenWindows {
    let mut open = coarse::none(tiers.len());
    let widths = || tiers.iter().filter_map(|tier| tier.width_ms());
    for (start, row) in minutes {
        for (open, width_ms) in open.iter_mut().zip(widths()) {
            // Windows that closed before hold nothing that is still to be written.
            let _ = coarse::append(open, width_ms, start, &row);
        }
    }
    if let Some(watermark) = watermark {
        for (open, width_ms) in open.iter_mut().zip(widths()) {
            let _ = coarse::close(open, width_ms, watermark);
        }
    }
    open
}

/// The coarsest window still open for `watermark`: what must be read back to rebuild it.
#[must_use]
pub fn rebuild_from(watermark: i64, coarse: &[Tier]) -> i64 {
    let width = coarse
        .iter()
        .filter_map(|tier| tier.width_ms())
        .max()
        .unwrap_or(60_000);
    tidegauge_model::floor(watermark, width)
}
