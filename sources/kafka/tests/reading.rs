//! What the source says of a Kafka in ordinary and in bad times.

mod support;

use std::cell::Cell;
use std::time::Duration;

use rdkafka::types::RDKafkaRespErr;
use support::{Kafka, Reading, bare_cut, chunks, m0, sample, samples, settings, values};
use tidegauge_kafka::{OnLost, SourceError, TopicSettings, Trouble};
use tidegauge_model::{NextOffset, RejectReason, SourceEvent};

#[test]
fn reading_goes_on_exactly_where_it_stopped() {
    let kafka = Kafka::new(1);
    kafka.put_samples(0, 10);
    let mut first = Reading::start(settings(&kafka));
    first.until_samples(10);
    assert_eq!(samples(&first.seen), values(0, 10));
    assert!(matches!(
        first.seen[0],
        SourceEvent::Registered {
            lateness_ms: 15_000,
            ..
        }
    ));
    let cuts = first.stop();
    assert_eq!(cuts[0].next, NextOffset(10));
    assert_eq!(cuts[0].mark.expect("ten records were read").offset, 9);

    kafka.put_samples(10, 5);
    let mut second = Reading::resume(settings(&kafka), &cuts).expect("the same topic");
    second.until_samples(5);
    assert_eq!(samples(&second.seen), values(10, 5));
    assert_eq!(second.source.stats().unverified, 0);
    let definitions: usize = chunks(&second.seen)
        .map(|chunk| chunk.definitions.len())
        .sum();
    assert_eq!(definitions, 1, "series are defined anew after a restart");
}

#[test]
fn nothing_new_after_a_restart_is_nothing_twice() {
    let kafka = Kafka::new(1);
    kafka.put_samples(0, 3);
    let mut first = Reading::start(settings(&kafka));
    first.until_samples(3);
    let cuts = first.stop();
    let mut second = Reading::resume(settings(&kafka), &cuts).expect("the same topic");
    second.until("a proof", |seen| {
        chunks(seen).any(|chunk| chunk.proven_end_at.is_some())
    });
    assert!(samples(&second.seen).is_empty());
    assert_eq!(second.stop()[0].next, NextOffset(3));
}

#[test]
fn an_end_is_proven_only_once_all_before_it_was_sent() {
    let kafka = Kafka::new(1);
    let mut reading = Reading::start(settings(&kafka));
    let proven = |seen: &[SourceEvent]| {
        chunks(seen)
            .filter_map(|chunk| Some((chunk.proven_end_at?, chunk.next)))
            .last()
    };
    reading.until("the proof of an empty partition", |seen| {
        proven(seen).is_some()
    });
    for round in 1..=3 {
        kafka.put_samples(round, 1);
        let put_at = (reading.clock)();
        reading.until("a proof later than the record", |seen| {
            proven(seen).is_some_and(|(at, _)| at > put_at)
        });
        let next = NextOffset(i64::try_from(round).expect("small"));
        assert_eq!(proven(&reading.seen).expect("proven").1, next);
        assert_eq!(samples(&reading.seen), values(1, round));
    }
}

#[test]
fn poison_stops_nothing_and_tombstones_are_passed_over() {
    let kafka = Kafka::new(1);
    kafka.put_samples(0, 1);
    kafka.put("m", 0, b"\xff\xfe not a metric");
    kafka.put_tombstone("m", 0);
    kafka.put("m", 0, b"");
    kafka.put_samples(1, 1);
    let mut reading = Reading::start(settings(&kafka));
    reading.until("all five records", |seen| {
        chunks(seen)
            .last()
            .is_some_and(|chunk| chunk.next == NextOffset(5))
    });
    assert_eq!(samples(&reading.seen), values(0, 2));
    let rejects: Vec<_> = chunks(&reading.seen)
        .flat_map(|chunk| &chunk.rejects)
        .collect();
    assert_eq!(rejects.len(), 1, "{rejects:?}");
    assert_eq!((rejects[0].offset, &rejects[0].partition), (1, &m0()));
}

/// Neither what can't be taken nor the samples of a clock that is behind hold everyone's windows open.
#[test]
fn a_partition_without_a_good_clock_is_proven_idle_though_it_is_never_quiet() {
    let old = sample(0).replace("1700000000000", "-1700000000");
    for record in [b"\xff\xfe not a metric".as_slice(), old.as_bytes()] {
        let kafka = Kafka::new(1);
        let mut reading = Reading::start(settings(&kafka));
        let began = (reading.clock)();
        // A fifth of what counts as quiet.
        let trickle = Cell::new(0);
        reading.until("a proof behind the fortieth record", |seen| {
            kafka.put("m", 0, record);
            trickle.set(trickle.get() + 1);
            std::thread::sleep(Duration::from_millis(40));
            let proofs = chunks(seen).filter(|chunk| chunk.next >= NextOffset(40));
            proofs
                .flat_map(|chunk| chunk.proven_end_at)
                .any(|at| at > began)
        });
        assert!(trickle.get() >= 40);
    }
}

#[test]
fn headers_name_tenant_and_format() {
    let kafka = Kafka::new(1);
    let headers = [("tenant", "acme"), ("content-type", "application/json")];
    kafka.put_with("m", 0, sample(0).as_bytes(), &headers);
    kafka.put("m", 0, sample(0).as_bytes());
    let mut reading = Reading::start(settings(&kafka));
    reading.until_samples(2);
    let tenants: Vec<_> = chunks(&reading.seen)
        .flat_map(|chunk| &chunk.definitions)
        .map(|definition| definition.series.tenant().to_owned())
        .collect();
    assert_eq!(tenants, ["acme", "default"]);
}

#[test]
fn headers_count_in_any_case() {
    let kafka = Kafka::new(1);
    let line = b"up value=1 1700000000";
    let headers = [
        ("Tenant", "acme"),
        ("Content-Type", "text/plain;precision=s"),
    ];
    kafka.put_with("m", 0, line, &headers);
    kafka.put_with("m", 0, line, &[("Content-Encoding", "br")]);
    let mut reading = Reading::start(settings(&kafka));
    reading.until("both records", |seen| {
        chunks(seen)
            .last()
            .is_some_and(|chunk| chunk.next == NextOffset(2))
    });
    let mut definitions = chunks(&reading.seen).flat_map(|chunk| &chunk.definitions);
    let definition = definitions.next().expect("a series");
    assert_eq!(definition.series.tenant(), "acme");
    let mut times = chunks(&reading.seen).flat_map(|chunk| &chunk.samples.time);
    assert_eq!(times.next(), Some(&1_700_000_000_000));
    let mut rejects = chunks(&reading.seen).flat_map(|chunk| &chunk.rejects);
    let reject = rejects.next().expect("an encoding that nobody knows");
    assert_eq!(
        (reject.offset, reject.reason),
        (1, RejectReason::UnknownFormat)
    );
}

#[test]
fn what_names_no_tenant_is_rejected_where_the_topics_tenant_sees_it() {
    let kafka = Kafka::new(1);
    for tenant in [&b"m\xfcnchen"[..], b""] {
        kafka.put_with("m", 0, sample(0).as_bytes(), &[("tenant", tenant)]);
    }
    kafka.put_samples(1, 1);
    let mut reading = Reading::start(settings(&kafka));
    reading.until_samples(1);
    assert_eq!(samples(&reading.seen), values(1, 1));
    let rejects: Vec<_> = chunks(&reading.seen)
        .flat_map(|chunk| &chunk.rejects)
        .collect();
    let details = ["is not UTF-8", "is empty"];
    assert_eq!(rejects.len(), details.len(), "{rejects:?}");
    for (offset, (reject, detail)) in (0..).zip(rejects.into_iter().zip(details)) {
        assert_eq!((&*reject.tenant, reject.offset), ("default", offset));
        assert_eq!(reject.reason, RejectReason::BadTenant);
        assert!(reject.detail.ends_with(detail), "{reject:?}");
        assert_eq!(reject.bytes, sample(0).as_bytes());
    }
}

#[test]
fn partitions_are_read_whole_and_a_topic_that_appears_is_taken_up() {
    let kafka = Kafka::new(3);
    let mut settings = settings(&kafka);
    settings.topics = vec![TopicSettings {
        regex: Some("m.*".into()),
        ..TopicSettings::default()
    }];
    for index in 0..3 {
        kafka.put("m", index, sample(1).as_bytes());
    }
    let mut reading = Reading::start(settings);
    reading.until_samples(3);
    kafka.cluster.create_topic("m2", 2, 1).expect("a topic");
    kafka.cluster.create_topic("other", 1, 1).expect("a topic");
    kafka.put("other", 0, sample(1).as_bytes());
    kafka.put("m2", 1, sample(7).as_bytes());
    reading.until_samples(4);
    let position = |wanted: &dyn Fn(&SourceEvent) -> bool| {
        reading.seen.iter().position(wanted).expect("it was seen")
    };
    let registered = position(&|event| {
        matches!(event, SourceEvent::Registered { partition, .. }
            if &*partition.topic == "m2" && partition.index == 1)
    });
    let read = position(
        &|event| matches!(event, SourceEvent::Chunk(chunk) if chunk.samples.value.contains(&7.0)),
    );
    assert!(registered < read);
}

#[test]
fn a_paused_partition_sends_nothing_and_then_all() {
    let kafka = Kafka::new(2);
    let mut reading = Reading::start(settings(&kafka));
    kafka.put_samples(0, 2);
    reading.until_samples(2);
    reading.source.pause(&[m0()]);
    // A pause is heard between rounds: once a later record of the other partition has come, the
    // round in which it might still have been unheard is over.
    kafka.put("m", 1, sample(50).as_bytes());
    reading.until_samples(3);
    kafka.put_samples(2, 3);
    kafka.put("m", 1, sample(51).as_bytes());
    reading.until_samples(4);
    assert_eq!(samples(&reading.seen), [0.0, 1.0, 50.0, 51.0]);
    reading.source.resume(&[m0()]);
    reading.until_samples(7);
    let own: Vec<_> = chunks(&reading.seen)
        .filter(|chunk| chunk.partition == m0())
        .flat_map(|chunk| chunk.samples.value.iter().copied())
        .collect();
    assert_eq!(own, values(0, 5));
}

#[test]
fn a_broker_that_is_away_blocks_and_is_read_again_when_back() {
    let kafka = Kafka::new(1);
    kafka.put_samples(0, 2);
    let mut reading = Reading::start(settings(&kafka));
    reading.until_samples(2);
    kafka.cluster.broker_down(1).expect("down");
    reading.until("blocked", |seen| {
        seen.iter()
            .any(|event| matches!(event, SourceEvent::Blocked { .. }))
    });
    reading.until_trouble("both troubles are told", |trouble| {
        trouble.brokers.is_some() && trouble.partitions.len() == 1
    });
    kafka.cluster.broker_up(1).expect("up");
    kafka.put_samples(2, 2);
    reading.until_samples(4);
    reading.until_trouble("no trouble", |trouble| *trouble == Trouble::default());
    assert_eq!(samples(&reading.seen), values(0, 4));
}

#[test]
fn a_partition_whose_leader_is_away_blocks_alone() {
    let kafka = Kafka::of(2, 2);
    kafka
        .cluster
        .partition_leader("m", 0, Some(2))
        .expect("a leader");
    kafka
        .cluster
        .partition_leader("m", 1, Some(1))
        .expect("a leader");
    let mut reading = Reading::start(settings(&kafka));
    kafka.cluster.broker_down(2).expect("down");
    reading.until("partition 0 blocked", |seen| {
        seen.iter().any(
            |event| matches!(event, SourceEvent::Blocked { partition, .. } if *partition == m0()),
        )
    });
    kafka.put("m", 1, sample(1).as_bytes());
    reading.until_samples(1);
    let now = (reading.clock)();
    reading.until("a later proof of partition 1", |seen| {
        chunks(seen).any(|chunk| {
            chunk.partition.index == 1 && chunk.proven_end_at.is_some_and(|at| at > now)
        })
    });
    kafka
        .cluster
        .partition_leader("m", 0, Some(1))
        .expect("a leader");
    kafka.put_samples(5, 1);
    reading.until_samples(2);
}

#[test]
fn a_topic_that_is_gone_is_withdrawn_and_taken_up_again_if_it_returns() {
    let kafka = Kafka::new(1);
    kafka.put_samples(0, 2);
    let mut reading = Reading::start(settings(&kafka));
    reading.until_samples(2);
    let gone = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    kafka.cluster.topic_error("m", gone).expect("an error");
    let withdrawn = |event: &SourceEvent| matches!(event, SourceEvent::Withdrawn { partition, .. } if *partition == m0());
    reading.until("withdrawn", |seen| seen.iter().any(withdrawn));
    let here = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    kafka.cluster.topic_error("m", here).expect("no error");
    kafka.put_samples(2, 1);
    reading.until_samples(3);
    assert_eq!(samples(&reading.seen), values(0, 3));
}

#[test]
fn a_topic_made_anew_with_fewer_records_is_told() {
    let old = Kafka::new(1);
    old.put_samples(0, 10);
    let mut reading = Reading::start(settings(&old));
    reading.until_samples(10);
    let cuts = reading.stop();
    for records in [0, 4, 9] {
        let new = Kafka::new(1);
        new.put_samples(100, records);
        expect_lost(&new, &cuts, "had been read up to offset 10");
        expect_recorded(&new, &cuts, &values(100, records));
    }
}

#[test]
fn a_topic_made_anew_with_more_records_is_told() {
    let old = Kafka::new(1);
    old.put_samples(0, 3);
    let mut reading = Reading::start(settings(&old));
    reading.until_samples(3);
    let cuts = reading.stop();
    let new = Kafka::new(1);
    new.put_samples(100, 8);
    expect_lost(&new, &cuts, "record 2 is another one now");
    expect_recorded(&new, &cuts, &values(100, 8));
}

#[test]
fn retention_past_what_was_read_is_told() {
    // The mock keeps 5 MiB a partition, and drops what is older.
    let kafka = Kafka::new(1);
    let filler = vec![b'x'; 900_000];
    for _ in 0..12 {
        kafka.put("m", 0, &filler);
    }
    kafka.put_samples(1, 1);
    expect_lost(&kafka, &[bare_cut(1)], "records 1 to ");
    expect_recorded(&kafka, &[bare_cut(1)], &values(1, 1));
}

/// By default the source stops and says what is lost.
fn expect_lost(kafka: &Kafka, cuts: &[tidegauge_model::PartitionCut], said: &str) {
    let error = match Reading::resume(settings(kafka), cuts) {
        Err(error) => error,
        Ok(mut reading) => reading.failure(),
    };
    let text = error.to_string();
    assert!(matches!(error, SourceError::Lost(_)), "{text}");
    for part in [said, "m/0", "on_lost = \"continue\""] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// If it is told to, it goes on and records the loss, and a restart after that is clean.
fn expect_recorded(kafka: &Kafka, cuts: &[tidegauge_model::PartitionCut], all: &[f64]) {
    let settings = tidegauge_kafka::Settings {
        on_lost: OnLost::Continue,
        ..settings(kafka)
    };
    let mut reading = Reading::resume(settings, cuts).expect("it goes on");
    reading.until("the loss and all records", |seen| {
        let mut rejects = chunks(seen).flat_map(|chunk| &chunk.rejects);
        rejects.any(|reject| reject.reason == RejectReason::Lost)
            && samples(seen).len() >= all.len()
    });
    assert_eq!(samples(&reading.seen), all);
    let cuts = reading.stop();
    let mut again = Reading::resume(self::settings(kafka), &cuts).expect("nothing is lost now");
    again.until("a proof", |seen| {
        chunks(seen).any(|chunk| chunk.proven_end_at.is_some())
    });
    assert!(samples(&again.seen).is_empty());
}
