//! Samples of windows still open at a seal, 12 bytes each, by series.

/// The open samples of all series, each run ascending in time.
#[derive(Debug, Default)]
pub(super) struct Carry {
    /// Times are `base` plus an offset.
    base: i64,
    offset: Vec<u32>,
    value: Vec<f64>,
    /// Where each dense number's run lies.
    runs: Vec<(u32, u32)>,
}

impl Carry {
    /// An empty carry for times from `base` on.
    pub(super) const fn from(base: i64) -> Self {
        Self {
            base,
            offset: Vec::new(),
            value: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Whether `time` can be held: within 49 days after the base.
    pub(super) fn holds(&self, time: i64) -> bool {
        u32::try_from(time - self.base).is_ok()
    }

    /// Adds the run of a series that has none yet. Every time must be one that it holds.
    pub(super) fn push(&mut self, dense: usize, time: &[i64], value: &[f64]) {
        if time.is_empty() {
            return;
        }
        if self.runs.len() <= dense {
            self.runs.resize(dense + 1, (0, 0));
        }
        let start = u32::try_from(self.offset.len()).expect("fewer than 2^32 open samples");
        let length = u32::try_from(time.len()).expect("fewer than 2^32 open samples");
        self.runs[dense] = (start, length);
        let offset = |&time: &i64| u32::try_from(time - self.base).expect("holds() was asked");
        self.offset.extend(time.iter().map(offset));
        self.value.extend_from_slice(value);
    }

    /// Appends the run of `dense` to the columns.
    pub(super) fn read(&self, dense: usize, time: &mut Vec<i64>, value: &mut Vec<f64>) {
        let (start, length) = self.runs.get(dense).copied().unwrap_or_default();
        let rows = start as usize..start as usize + length as usize;
        time.extend(
            self.offset[rows.clone()]
                .iter()
                .map(|&offset| self.base + i64::from(offset)),
        );
        value.extend_from_slice(&self.value[rows]);
    }

    /// Whether `dense` has no open sample.
    pub(super) fn is_empty(&self, dense: usize) -> bool {
        self.runs.get(dense).is_none_or(|run| run.1 == 0)
    }

    /// The least time that is held or can be, if any sample is held.
    pub(super) fn first(&self) -> Option<i64> {
        (!self.offset.is_empty()).then_some(self.base)
    }

    /// How many samples are held.
    pub(super) const fn len(&self) -> usize {
        self.offset.len()
    }

    /// Gives runs the numbers that series have after some were dropped (none of which had a run).
    pub(super) fn renumber(&mut self, renumbered: &[u32]) {
        let old = std::mem::take(&mut self.runs);
        for (dense, run) in old.into_iter().enumerate().filter(|(_, run)| run.1 > 0) {
            let dense = renumbered[dense] as usize;
            if self.runs.len() <= dense {
                self.runs.resize(dense + 1, (0, 0));
            }
            self.runs[dense] = run;
        }
    }
}
