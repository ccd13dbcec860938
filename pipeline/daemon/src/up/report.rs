//! One snapshot of everything, for the status line, `/metrics` and the stats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegauge_dataflow::{Hold, Settings};
use tidegauge_decode as decode;
use tidegauge_gateway::Gateway;
use tidegauge_kafka::{Blocked, SourceStats, Trouble};
use tidegauge_lake::{Clock, StoreHealth, Upkeep};
use tidegauge_model::{Counts, MINUTE_MS};
use tidegauge_queries::Engine;
use tidegauge_stream::{Status, Stream};
use tidegauge_tables::Table;

use super::SharedAgent;
use crate::stats::{
    BoundStats, CommitStats, PartitionStats, PushStats, Skipped, Stats, StreamStats, TableStats,
    UpkeepStats,
};

/// Bytes a sample counts for in bounds.
const SAMPLE_BYTES: u64 = 12;

/// Asks every part.
pub(super) struct Reporter {
    pub(super) started_at: i64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Settings,
    pub(super) stream: Arc<Stream>,
    pub(super) health: Arc<StoreHealth>,
    pub(super) upkeep: Option<Arc<Upkeep>>,
    pub(super) gateway: Gateway,
    pub(super) engine: Arc<Engine>,
    pub(super) agent: Option<SharedAgent>,
}

impl Reporter {
    pub(super) fn stats(&self) -> Stats {
        let status = self.stream.status();
        let store = self.health.report();
        let agent = self.agent.as_ref();
        let now = self.clock.now_ms();
        Stats {
            now,
            started_at: self.started_at,
            not_ready: match (&self.stream.failed(), status.dataflow.open) {
                (Some(error), _) => vec![error.to_string()],
                (None, None) => vec!["recovering".into()],
                (None, Some(_)) => Vec::new(),
            },
            kafka_trouble: kafka_trouble(&status, now),
            store_trouble: store.failing_since.and(store.last_error),
            partitions: partitions(&status, now),
            records: status.sources.iter().map(|source| source.records).sum(),
            record_bytes: status.sources.iter().map(|source| source.bytes).sum(),
            skipped: skipped_records(&status.sources),
            stream: stream(&status),
            commits: commits(&status),
            upkeep: self.upkeep(),
            tables: tables(&status),
            bounds: self.bounds(&status),
            queries_running: self.engine.running() as u64,
            pushes: self.pushes(),
            agent_dropped_samples: agent
                .and_then(|agent| {
                    agent
                        .agent()
                        .as_ref()
                        .map(|agent| agent.stats().dropped_samples)
                })
                .unwrap_or_default(),
        }
    }

    fn upkeep(&self) -> Option<UpkeepStats> {
        let totals = self.upkeep.as_ref()?.totals();
        Some(UpkeepStats {
            passes: totals.passes,
            commits: totals.commits,
            seconds: Duration::from_millis(totals.took_ms.unsigned_abs()).as_secs_f64(),
            minutes_repaired: totals.done.minutes_repaired,
            rows_repaired: totals.done.rows_repaired,
            merges: totals.done.merges,
            files_merged: totals.done.files_merged,
            files_expired: totals.done.files_expired,
            files_trimmed: totals.done.files_trimmed,
            objects_deleted: totals.done.objects_deleted,
        })
    }

    fn bounds(&self, status: &Status) -> Vec<BoundStats> {
        let bound = |name: &str, samples: u64, most: u64| {
            let used = samples * SAMPLE_BYTES;
            BoundStats {
                name: name.into(),
                used,
                most,
                holds: used >= most,
            }
        };
        let most = |column: &[u64]| column.iter().copied().max().unwrap_or_default();
        let dataflow = &status.dataflow;
        vec![
            bound(
                "stream.in_flight_bytes",
                most(&dataflow.in_flight),
                self.settings.in_flight_bytes,
            ),
            bound(
                "stream.open_window_bytes",
                most(&dataflow.open_samples),
                self.settings.open_window_bytes,
            ),
        ]
    }

    fn pushes(&self) -> Vec<PushStats> {
        let doors = self.gateway.stats().doors.into_iter();
        doors
            .map(|door| PushStats {
                door: door.door.into(),
                requests: door.requests,
                bytes: door.bytes,
                accepted: door.accepted,
                rejected: door.rejected,
                skipped: skipped(door.skipped),
                refused: door.refused,
                unavailable: door.unavailable,
            })
            .collect()
    }
}

/// In one set of words for records and bodies.
fn skipped(counts: decode::Skipped) -> Skipped {
    [
        ("string_fields", counts.string_fields),
        ("exemplars", counts.exemplars),
        ("relabel_drops", counts.relabel_drops),
        ("folded_rejects", counts.folded_rejects),
    ]
    .into()
}

/// Of all workers' sources; records without a value, which no decoder sees, among it.
fn skipped_records(sources: &[SourceStats]) -> Skipped {
    let mut sum = Skipped::new();
    for source in sources {
        let tombstones = ("tombstones", source.tombstones);
        for (what, count) in skipped(source.skipped).into_iter().chain([tombstones]) {
            *sum.entry(what).or_default() += count;
        }
    }
    sum
}

fn kafka_trouble(status: &Status, now: i64) -> Option<String> {
    let away = |trouble: &Trouble| trouble.brokers.as_ref().map(|away| since(away, now));
    let refused = |trouble: &Trouble| {
        let (topic, why) = trouble.topics.first()?;
        Some(format!("topic {topic}: {}", since(why, now)))
    };
    let mut troubles = status.troubles.iter();
    troubles.find_map(|trouble| away(trouble).or_else(|| refused(trouble)))
}

/// A reason, and how long it has been one.
fn since(blocked: &Blocked, now: i64) -> String {
    let seconds = now.saturating_sub(blocked.since).max(0) / 1000;
    format!("{} (for {seconds} s)", blocked.reason)
}

/// All partitions with a place; and those that have none yet because they can't be read.
fn partitions(status: &Status, now: i64) -> Vec<PartitionStats> {
    let troubles = status.troubles.iter();
    let mut blocked: BTreeMap<_, _> = troubles
        .flat_map(|trouble| &trouble.partitions)
        .map(|(partition, why)| (partition, since(why, now)))
        .collect();
    let lags = status.lags.iter();
    let mut partitions: Vec<_> = lags
        .map(|lag| PartitionStats {
            topic: lag.partition.topic.to_string(),
            partition: lag.partition.index,
            committed: status.lake.cuts.get(&lag.partition).map(|(next, _)| next.0),
            next: lag.next,
            end: lag.end,
            lag: lag.lag,
            blocked: blocked.remove(&lag.partition),
        })
        .collect();
    partitions.extend(blocked.into_iter().map(|(partition, why)| PartitionStats {
        topic: partition.topic.to_string(),
        partition: partition.index,
        blocked: Some(why),
        ..PartitionStats::default()
    }));
    partitions
}

fn stream(status: &Status) -> StreamStats {
    let dataflow = &status.dataflow;
    let watermark = dataflow
        .open
        .and_then(|open| open.watermark)
        .or(status.lake.watermark);
    StreamStats {
        epoch: dataflow.open.map_or(status.lake.epoch, |open| open.epoch),
        watermark,
        held_by: dataflow.hold.as_ref().map(|hold| match hold {
            Hold::NoPartitions => "no partition is registered".into(),
            Hold::Partition(partition) => partition.to_string(),
        }),
        cutoff: dataflow.open.map(|open| open.cutoff),
        generation: status.lake.generation,
        open_windows: open_minutes(watermark, status),
        open_samples: dataflow.open_samples.iter().sum(),
        dirty_windows: dirty_minutes(status),
        series: dataflow.series.iter().sum(),
        in_flight: dataflow.in_flight.iter().sum(),
        counts: Counts {
            samples: dataflow.samples,
            late: dataflow.late,
            quarantined: dataflow.quarantined,
            duplicate: dataflow.duplicate,
            rejected: dataflow.rejected,
        },
    }
}

/// Closed 1-minute windows that are dirty. Those of quarantined samples are not closed for long.
fn dirty_minutes(status: &Status) -> u64 {
    let Some(watermark) = status.lake.watermark else {
        return 0;
    };
    let closed = status.lake.dirty.range(..=watermark - MINUTE_MS);
    closed.count() as u64
}

/// 1-minute windows between the watermark and the clock.
fn open_minutes(watermark: Option<i64>, status: &Status) -> u64 {
    let Some(watermark) = watermark else { return 0 };
    let ahead = status.lake.committed_at.saturating_sub(watermark).max(0) / MINUTE_MS;
    u64::try_from(ahead).unwrap_or_default() + 1
}

fn commits(status: &Status) -> CommitStats {
    let last = status.last_commit;
    CommitStats {
        count: status.commits,
        version: status.lake.version,
        at: (status.lake.committed_at > 0).then_some(status.lake.committed_at),
        last_seconds: last.map_or(0.0, |last| last.took.as_secs_f64()),
        seconds: status.commit_time.as_secs_f64(),
        samples: status.committed_samples,
        bytes: status.committed_bytes,
    }
}

fn tables(status: &Status) -> Vec<TableStats> {
    let lake = &status.lake;
    Table::ALL
        .into_iter()
        .filter_map(|table| {
            let state = lake.tables.get(&table)?;
            Some(TableStats {
                table: table.name().into(),
                files: state.files.len() as u64,
                bytes: state.files.values().map(|file| file.bytes).sum(),
                rows: state.files.values().map(|file| file.rows).sum(),
                version: state.version,
                committed_at: (state.committed_at > 0).then_some(state.committed_at),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sources_pass_over_is_summed_in_its_words() {
        let source = SourceStats {
            tombstones: 1,
            skipped: decode::Skipped {
                string_fields: 2,
                exemplars: 3,
                relabel_drops: 4,
                folded_rejects: 5,
            },
            ..SourceStats::default()
        };
        let expected = [
            ("string_fields", 4),
            ("exemplars", 6),
            ("relabel_drops", 8),
            ("folded_rejects", 10),
            ("tombstones", 2),
        ];
        assert_eq!(skipped_records(&[source, source]), expected.into());
    }
}
