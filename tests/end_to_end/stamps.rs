//! Records stamped with times that no clock shows: they stop nothing, and nothing of them is lost.

use tidegauge_model::MINUTE_MS;

use crate::node::{Place, drain, now_ms};
use crate::producer::Producer;

#[test]
fn a_stamp_that_no_clock_shows_stops_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(
        &folder.path().join("data"),
        &[
            ("TIDEGAUGE_STREAM__EPOCH_MS", "50"),
            ("TIDEGAUGE_STREAM__COMMIT_INTERVAL_MS", "200"),
        ],
    );
    let mut told = 0;
    for life in 1..=2 {
        let mut node = place.start();
        node.wait("/health", "health", |health| health["status"] == "ok");
        let producer = Producer::new(place.kafka);
        let now = now_ms();
        let start = now - 3 * MINUTE_MS;
        // Microseconds and nanoseconds where milliseconds belong, and all bits set.
        for (step, stamp) in (0..).zip([now * 1_000, now * 1_000_000, i64::MAX]) {
            let own = format!(r#"{{"name":"own","labels":{{"n":"{life}{step}"}},"value":1}}"#);
            producer.send_stamped(stamp, own.as_bytes());
            let time = start + 1_000 * i64::from(step);
            let said = format!(r#"{{"name":"said","timestamp":{time},"value":{step}}}"#);
            producer.send_stamped(stamp, said.as_bytes());
        }
        producer.flush();
        told += 3;
        drain(&mut node, start + 2_000);
        node.wait("/api/v1/stats/stream", "everything committed", |stream| {
            stream["in_flight"] == 0
        });
        let counted = node.sql(
            "default",
            "SELECT name, count(*), count(*) FILTER (WHERE time BETWEEN now() - INTERVAL '10 minutes' \
             AND now()) FROM samples GROUP BY name ORDER BY name",
        );
        // What has no time of its own stands at when it was read.
        let expected = ["own", "said"].map(|name| format!("{name},{told},{told}"));
        assert_eq!(counted, expected);
        let rejects = node.sql("default", "SELECT reason FROM rejects");
        assert_eq!(rejects, [""; 0]);
        node.kill();
    }
}
