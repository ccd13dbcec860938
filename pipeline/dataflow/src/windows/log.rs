//! The log of one commit: samples in order of arrival, and the one sort that serves the raw file
//! and the windows alike.

/// The most samples for which room is made ahead, whatever the bound on those in flight is set to.
const MOST_ROOM: u64 = 1 << 24;

/// Samples not yet sealed, by dense series number.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) series: Vec<u32>,
    pub(super) time: Vec<i64>,
    pub(super) value: Vec<f64>,
}

/// A log sorted by the rank of its series; samples of one series are in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// Where the run of each rank ends; it begins where the one before ends. Empty for an empty log.
    ends: Vec<u32>,
    pub(super) time: Vec<i64>,
    pub(super) value: Vec<f64>,
    /// Up to where the columns hold rows that are kept.
    kept: usize,
}

impl Log {
    /// A log with room for as many samples as are ever in flight. Room that is not used costs address space
    /// and no memory; growing instead would copy everything to fresh pages again and again.
    pub(super) fn with_room(samples: u64) -> Self {
        let room = usize::try_from(samples.min(MOST_ROOM)).unwrap_or_default();
        Self {
            series: Vec::with_capacity(room),
            time: Vec::with_capacity(room),
            value: Vec::with_capacity(room),
        }
    }

    pub(super) fn push(&mut self, series: u32, time: i64, value: f64) {
        self.series.push(series);
        self.time.push(time);
        self.value.push(value);
    }

    /// Moves the samples of one series to another log.
    pub(super) fn hand_over(&mut self, series: u32, to: &mut Self) {
        let mut kept = 0;
        for at in 0..self.len() {
            if self.series[at] == series {
                to.push(series, self.time[at], self.value[at]);
            } else {
                self.series.swap(kept, at);
                self.time.swap(kept, at);
                self.value.swap(kept, at);
                kept += 1;
            }
        }
        self.series.truncate(kept);
        self.time.truncate(kept);
        self.value.truncate(kept);
    }

    pub(super) const fn len(&self) -> usize {
        self.time.len()
    }

    /// Empties the log into runs by rank: a stable counting sort, two passes over the samples.
    pub(super) fn sort(&mut self, rank: &[u32]) -> Sorted {
        if self.time.is_empty() {
            return Sorted::default();
        }
        let mut ends = vec![0_u32; rank.len() + 1];
        for &series in &self.series {
            ends[rank[series as usize] as usize + 1] += 1;
        }
        for place in 1..ends.len() {
            ends[place] += ends[place - 1];
        }
        // `ends[rank]` is where the next sample of that rank goes, and at last where its run ends.
        let mut time = vec![0; self.len()];
        let mut value = vec![0.0; self.len()];
        for ((&series, &at), &number) in self.series.iter().zip(&self.time).zip(&self.value) {
            let next = &mut ends[rank[series as usize] as usize];
            time[*next as usize] = at;
            value[*next as usize] = number;
            *next += 1;
        }
        ends.truncate(rank.len());
        self.series.clear();
        self.time.clear();
        self.value.clear();
        Sorted {
            ends,
            time,
            value,
            kept: 0,
        }
    }
}

impl Sorted {
    /// The rows of the series of `rank`.
    pub(super) fn rows(&self, rank: usize) -> std::ops::Range<usize> {
        if self.ends.is_empty() {
            return 0..0;
        }
        let start = if rank == 0 { 0 } else { self.ends[rank - 1] };
        start as usize..self.ends[rank] as usize
    }

    /// Keeps rows of the rank in hand, which comes after those kept before. Nearly always nothing has been
    /// left out so far and they stay where they are: the columns that were sorted are the columns that are
    /// written down.
    pub(super) fn keep(&mut self, rows: std::ops::Range<usize>) {
        let (start, len) = (rows.start, rows.len());
        if start != self.kept {
            self.time.copy_within(rows.clone(), self.kept);
            self.value.copy_within(rows, self.kept);
        }
        self.kept += len;
    }

    /// Keeps what the rows of the rank in hand have become: no more than they were.
    pub(super) fn keep_instead(&mut self, time: &[i64], value: &[f64]) {
        let rows = self.kept..self.kept + time.len();
        self.time[rows.clone()].copy_from_slice(time);
        self.value[rows.clone()].copy_from_slice(value);
        self.kept = rows.end;
    }

    /// The columns of all rows that were kept.
    pub(super) fn into_kept(mut self) -> (Vec<i64>, Vec<f64>) {
        self.time.truncate(self.kept);
        self.value.truncate(self.kept);
        (self.time, self.value)
    }
}
