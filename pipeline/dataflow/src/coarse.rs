//! Open windows of the coarse tiers, folded from closed minutes in time order.

use tidegauge_model::{Rollup, floor};

/// The start of a window that is not open.
pub const NONE_OPEN: i64 = i64::MIN;

/// The open window of each coarse tier: its start, or [`NONE_OPEN`], and the fold of its minutes so
/// far.
pub type OpenWindows = Box<[(i64, Rollup)]>;

/// No window of `tiers` tiers is open.
pub(crate) fn none(tiers: usize) -> OpenWindows {
    vec![(NONE_OPEN, Rollup::EMPTY); tiers].into()
}

/// Appends the row of the minute at `start` to the open window of `width_ms` that holds it. If
/// another window was open it is done, as minutes come in time order, and is returned.
pub(crate) fn append(
    open: &mut (i64, Rollup),
    width_ms: i64,
    start: i64,
    row: &Rollup,
) -> Option<(i64, Rollup)> {
    let window = floor(start, width_ms);
    if open.0 == window {
        open.1.append(row);
        return None;
    }
    let done = std::mem::replace(open, (window, *row));
    (done.0 != NONE_OPEN).then_some(done)
}

/// Takes the open window if it ends at or before `watermark`.
pub(crate) fn close(
    open: &mut (i64, Rollup),
    width_ms: i64,
    watermark: i64,
) -> Option<(i64, Rollup)> {
    if open.0 == NONE_OPEN || open.0 + width_ms > watermark {
        return None;
    }
    let done = *open;
    open.0 = NONE_OPEN;
    Some(done)
}
