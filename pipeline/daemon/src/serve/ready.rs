//! Whether this process does what it is for: take what comes, and answer from what is current.

use crate::config::Http;
use crate::stats::Stats;

/// How many partitions that can't be read are shown one by one.
const BLOCKED_SHOWN: usize = 4;

/// Why not, each as a sentence; empty if it is ready.
pub(super) fn reasons(stats: &Stats, http: &Http) -> Vec<String> {
    let mut reasons = stats.not_ready.clone();
    if let Some(trouble) = &stats.kafka_trouble {
        reasons.push(format!("Kafka can't be reached: {trouble}"));
    }
    if let Some(trouble) = &stats.store_trouble {
        reasons.push(format!("the store can't be reached: {trouble}"));
    }
    blocked(stats, &mut reasons);
    let lag = u64::try_from(stats.lag()).unwrap_or(0);
    if lag > http.ready_lag_records {
        let most = http.ready_lag_records;
        reasons.push(format!(
            "{lag} records wait in Kafka; ready is {most} or fewer"
        ));
    }
    let since = stats.now - stats.commits.at.unwrap_or(stats.started_at);
    let most = i64::try_from(http.ready_commit_age_ms).unwrap_or(i64::MAX);
    if stats.stream.in_flight > 0 && since > most {
        reasons.push(format!(
            "samples wait, but the last commit was {} s ago",
            since / 1000
        ));
    }
    reasons
}

/// The first partitions that can't be read, and how many more there are.
fn blocked(stats: &Stats, reasons: &mut Vec<String>) {
    let mut blocked = stats
        .partitions
        .iter()
        .filter_map(|partition| Some((partition, partition.blocked.as_ref()?)));
    for (partition, reason) in blocked.by_ref().take(BLOCKED_SHOWN) {
        let (topic, index) = (&partition.topic, partition.partition);
        reasons.push(format!("partition {topic}/{index} can't be read: {reason}"));
    }
    let more = blocked.count();
    if more > 0 {
        reasons.push(format!("{more} more partitions can't be read"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::PartitionStats;

    #[test]
    fn a_quiet_process_is_ready_and_each_trouble_says_so() {
        let http = Http::default();
        let mut stats = Stats {
            now: 1_000_000,
            ..Stats::default()
        };
        assert_eq!(reasons(&stats, &http), Vec::<String>::new());
        stats.not_ready.push("recovering".into());
        stats.store_trouble = Some("refused".into());
        stats.kafka_trouble = Some("refused".into());
        let lagging = PartitionStats {
            lag: 1_000_000,
            blocked: Some("no leader".into()),
            ..PartitionStats::default()
        };
        stats.partitions.push(lagging.clone());
        stats.stream.in_flight = 1;
        assert_eq!(reasons(&stats, &http).len(), 6);
        stats.partitions.resize(100, lagging);
        let many = reasons(&stats, &http);
        assert_eq!(many.len(), 6 + BLOCKED_SHOWN);
        assert!(many.contains(&"96 more partitions can't be read".to_owned()));
    }
}
