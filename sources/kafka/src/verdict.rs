//! Whether what a partition holds now is the continuation of what was read from it.
//!
//! Pure: the reader brings what it saw and the partition's edges, and is told whether records were
//! lost and which.

use std::fmt;

use tidegauge_model::{NextOffset, Partition, RecordMark};

/// Records that were never read and are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which partition.
    pub partition: Partition,
    /// What had been read: everything before this.
    pub next: NextOffset,
    /// The first offset that the partition holds now.
    pub first: i64,
    /// One past the last that it holds now.
    pub end: i64,
    /// How it came about.
    pub cause: LossCause,
}

/// How records came to be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LossCause {
    /// Retention removed `[next, first)`.
    Expired,
    /// The partition is not the one that was read: its topic was deleted and made anew, or its log
    /// was cut back. Everything that the old one held from `next` on is lost, and how much that
    /// was can't be known.
    MadeAnew {
        /// What shows it.
        shown_by: String,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            next: NextOffset(next),
            first,
            end,
            cause,
        } = self;
        match cause {
            LossCause::Expired => write!(
                f,
                "records {next} to {} of partition {partition} were removed by the topic's \
                 retention before they were read; the first that is there is {first}",
                first - 1
            ),
            LossCause::MadeAnew { shown_by } => {
                write!(
                    f,
                    "partition {partition} was deleted and made anew, or its log was cut back: it \
                     had been read up to offset {next}, but {shown_by}. What the old one held from \
                     offset {next} on is lost; the new one holds "
                )?;
                if first == end {
                    write!(f, "no records yet and begins at offset {first}")
                } else {
                    write!(f, "offsets {first} to {}", end - 1)
                }
            }
        }
    }
}

/// What made the reader doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The broker has no record at the offset that was asked for.
    OutOfRange,
    /// The partition ends before what was read.
    EndsEarly {
        /// Where it ends.
        end: i64,
    },
    /// At the last record's offset there is another.
    OtherRecord {
        /// The record that was read.
        expected: RecordMark,
        /// What is there now.
        found: RecordMark,
    },
    /// The broker gives the topic another id than before.
    OtherTopicId,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing that was not read is gone: go on at `next`. The last record could not be compared.
    Intact,
    /// It may have been a new leader that did not yet know the end: the last record read is compared again.
    Again,
    /// Records are lost.
    Lost(LossCause),
}

/// Decides for a partition that was read up to `next` and now holds `[first, end)`.
pub(crate) fn judge(doubt: &Doubt, next: i64, first: i64, end: i64) -> Verdict {
    let made_anew = |shown_by: String| Verdict::Lost(LossCause::MadeAnew { shown_by });
    match doubt {
        Doubt::OtherTopicId => made_anew("its topic has another id now".into()),
        Doubt::OtherRecord { expected, found } if found.offset != expected.offset => {
            made_anew(format!(
                "after record {} now comes record {}, which was not there",
                expected.offset, found.offset
            ))
        }
        Doubt::OtherRecord { expected, found } => made_anew(format!(
            "record {} is another one now (timestamp {} instead of {}{})",
            expected.offset,
            found.timestamp,
            expected.timestamp,
            if found.hash == expected.hash {
                ""
            } else {
                ", other bytes"
            }
        )),
        _ if end < next => made_anew(format!("it now ends at offset {end}")),
        Doubt::EndsEarly { .. } => Verdict::Again,
        _ if first > next => Verdict::Lost(LossCause::Expired),
        _ => Verdict::Intact,
    }
}

/// Whether the first record seen when reading begins again at the last record read says that the
/// partition is still the same one.
pub(crate) fn compare(
    expected: &RecordMark,
    next: NextOffset,
    found: impl FnOnce() -> RecordMark,
    found_offset: i64,
) -> Comparison {
    if found_offset < expected.offset {
        return Comparison::Before;
    }
    if found_offset >= next.0 {
        return Comparison::Missing;
    }
    let found = found();
    if found == *expected {
        Comparison::Same
    } else {
        Comparison::Other(found)
    }
}

/// The outcome of [`compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// The record comes before the one looked for.
    Before,
    /// It is the one that was read.
    Same,
    /// It is not, or stands where there was nothing.
    Other(RecordMark),
    /// The record looked for is no longer there (compaction removes records); what follows is new.
    Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(offset: i64, hash: u64) -> RecordMark {
        RecordMark {
            offset,
            timestamp: 5,
            hash,
        }
    }

    fn lost(doubt: &Doubt, next: i64, first: i64, end: i64) -> String {
        let partition = Partition {
            topic: "m".into(),
            index: 3,
        };
        match judge(doubt, next, first, end) {
            Verdict::Intact => "intact".into(),
            Verdict::Again => "again".into(),
            Verdict::Lost(cause) => Loss {
                partition,
                next: NextOffset(next),
                first,
                end,
                cause,
            }
            .to_string(),
        }
    }

    #[test]
    fn each_loss_names_what_is_lost() {
        let other = Doubt::OtherRecord {
            expected: mark(9, 1),
            found: mark(9, 2),
        };
        for (doubt, (next, first, end), said) in [
            (
                Doubt::OutOfRange,
                (10, 25, 40),
                "records 10 to 24 of partition m/3",
            ),
            (
                Doubt::OutOfRange,
                (10, 0, 4),
                "the new one holds offsets 0 to 3",
            ),
            (
                Doubt::OutOfRange,
                (10, 0, 0),
                "no records yet and begins at offset 0",
            ),
            (
                Doubt::EndsEarly { end: 9 },
                (10, 0, 9),
                "it now ends at offset 9",
            ),
            (Doubt::EndsEarly { end: 9 }, (10, 0, 30), "again"),
            (other, (10, 0, 30), "record 9 is another one now"),
            (
                Doubt::OtherTopicId,
                (10, 0, 30),
                "its topic has another id now",
            ),
        ] {
            let text = lost(&doubt, next, first, end);
            assert!(text.contains(said), "{doubt:?}: {text}");
        }
    }

    #[test]
    fn retention_up_to_what_was_read_loses_nothing() {
        for (next, first, end) in [(10, 10, 10), (10, 10, 20), (10, 3, 20)] {
            assert_eq!(
                lost(&Doubt::OutOfRange, next, first, end),
                "intact",
                "{next} {first}"
            );
        }
    }

    #[test]
    fn the_first_record_is_compared_with_the_last_one_read() {
        let (expected, next) = (mark(7, 1), NextOffset(10));
        for (found, outcome) in [
            (mark(6, 9), Comparison::Before),
            (mark(7, 1), Comparison::Same),
            (mark(7, 2), Comparison::Other(mark(7, 2))),
            (mark(8, 1), Comparison::Other(mark(8, 1))),
            (mark(10, 1), Comparison::Missing),
        ] {
            assert_eq!(
                compare(&expected, next, || found, found.offset),
                outcome,
                "{found:?}"
            );
        }
    }
}
