//! What `up` shows on a terminal: where everything is, lines to try, and a live line.
//!
//! The live line is the last one of standard error. Log lines go above it: [`writer`] wipes it
//! before each, and it is drawn anew within a second.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{Config, mask_url};
use crate::stats::{Stats, StatsSource};

/// How often the line is drawn.
const EACH: Duration = Duration::from_secs(1);
/// Back to the line's start, and clear it.
const WIPE: &str = "\r\x1b[2K";

/// Whether the line is on the screen now.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Standard error for whoever writes whole lines while the live line may be shown.
#[must_use]
pub fn writer() -> io::Stderr {
    clear();
    io::stderr()
}

/// Takes the line off the screen.
pub fn clear() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        // A terminal that is gone can't be told so.
        let _ = io::stderr().write_all(WIPE.as_bytes());
    }
}

/// Draws the line each second until the end, if standard error is a terminal.
pub async fn show(stats: StatsSource, until: CancellationToken) {
    if !io::stderr().is_terminal() {
        return;
    }
    let mut last = stats();
    while until
        .run_until_cancelled(tokio::time::sleep(EACH))
        .await
        .is_some()
    {
        let now = stats();
        let line: String = line(&last, &now).chars().take(columns()).collect();
        SHOWN.store(true, Ordering::Relaxed);
        if io::stderr()
            .write_all(format!("{WIPE}{line}").as_bytes())
            .is_err()
        {
            return;
        }
        last = now;
    }
    clear();
}

/// The terminal's width, so that the line never wraps.
fn columns() -> usize {
    terminal_width().map_or(120, |width| width.saturating_sub(1).max(20))
}

fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request fills the struct it is given and keeps nothing of it.
    let answer = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// The line for what happened between two snapshots.
#[must_use]
pub fn line(last: &Stats, now: &Stats) -> String {
    let span_s = (now.now - last.now).max(1) as f64 / 1000.0;
    let taken = now
        .stream
        .counts
        .samples
        .saturating_sub(last.stream.counts.samples);
    let ago = |at: Option<i64>| match at {
        Some(at) => format!("{} ago", seconds(now.now - at)),
        None => "none yet".to_owned(),
    };
    let mut line = format!(
        "{} samples/s | lag {} | watermark {} | open windows {} | last commit {}",
        grouped((taken as f64 / span_s).round() as i64),
        grouped(now.lag()),
        ago(now.stream.watermark),
        grouped(i64::try_from(now.stream.open_windows).unwrap_or(i64::MAX)),
        ago(now.commits.at),
    );
    if now.stream.dirty_windows > 0 {
        let _ = write!(line, " | dirty {}", now.stream.dirty_windows);
    }
    let troubles = [("kafka", &now.kafka_trouble), ("store", &now.store_trouble)];
    for (what, trouble) in troubles {
        if let Some(trouble) = trouble {
            let _ = write!(line, " | {what}: {trouble}");
        }
    }
    line.replace(['\n', '\r'], " ")
}

fn seconds(ms: i64) -> String {
    match ms {
        ..0 => "0.0 s".into(),
        0..60_000 => format!("{:.1} s", ms as f64 / 1000.0),
        60_000..3_600_000 => format!("{} m {} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {} m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// Digits in threes: `1,825,200`.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What `up` prints once all is there: where each part is, and three lines to try. `http` and
/// `broker` are the addresses in use, `broker` none if Kafka is elsewhere.
#[must_use]
pub fn banner(config: &Config, http: &str, broker: Option<&str>, store_url: &str) -> String {
    let mut text = String::from("tidegauge is up\n");
    let brokers = config.kafka.brokers.join(",");
    let (kafka, where_from) = match broker {
        Some(address) => (address, "embedded broker"),
        None => (brokers.as_str(), "Kafka"),
    };
    let rows = [
        (
            "http",
            format!("http://{http}"),
            "SQL, pushes, /health, /ready, /metrics",
        ),
        ("kafka", kafka.to_owned(), where_from),
        (
            "store",
            mask_url(store_url),
            "the lake: Parquet with Delta logs",
        ),
        (
            "data",
            config.data.display().to_string(),
            "everything else kept on this machine",
        ),
    ];
    for (what, place, about) in rows {
        let _ = writeln!(text, "  {what:<6} {place:<40} {about}");
    }
    let topic = config
        .kafka
        .topics
        .iter()
        .find_map(|topic| topic.name.as_deref());
    let topic = topic.unwrap_or("metrics");
    text.push_str("try\n");
    let _ = writeln!(
        text,
        "  echo '{{\"name\":\"demo.load\",\"labels\":{{\"host\":\"here\"}},\"value\":0.75}}' | kcat -P -b {kafka} -t {topic}"
    );
    let _ = writeln!(
        text,
        "  curl http://{http}/api/v1/metrics -H 'content-type: application/json' -d '{{\"name\":\"demo.load\",\"labels\":{{\"host\":\"here\"}},\"value\":0.5}}'"
    );
    let query = match config.host_agent {
        true => {
            "SELECT date_bin(interval '1 minute', time) t, cpu, mode, max(value) FROM raw.\"node_cpu_seconds_total\" GROUP BY 1, 2, 3 ORDER BY 1"
        }
        false => "SELECT name, count(*) FROM samples GROUP BY 1 ORDER BY 1",
    };
    let _ = writeln!(
        text,
        "  tidegauge sql --server http://{http} '{}'",
        query.replace('\'', "'\\''")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_changed() {
        let mut last = Stats {
            now: 1_000_000,
            ..Stats::default()
        };
        last.stream.counts.samples = 1_000;
        let mut now = last.clone();
        now.now += 2_000;
        now.stream.counts.samples = 2_469_134;
        now.stream.watermark = Some(now.now - 15_500);
        now.stream.open_windows = 1234;
        now.commits.at = Some(now.now - 61_000);
        assert_eq!(
            line(&last, &now),
            "1,234,067 samples/s | lag 0 | watermark 15.5 s ago | open windows 1,234 | last commit 1 m 1 s ago"
        );
        now.store_trouble = Some("connection\nrefused".into());
        assert!(line(&now, &now).ends_with("| store: connection refused"));
    }

    #[test]
    fn the_banner_names_every_place_and_no_secret() {
        let text = banner(
            &Config::default(),
            "127.0.0.1:7070",
            Some("127.0.0.1:9092"),
            "s3://k:s@b/p",
        );
        for part in [
            "http://127.0.0.1:7070",
            "kcat -P -b 127.0.0.1:9092 -t metrics",
            "[hidden]@b/p",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(
            text.lines().skip_while(|line| *line != "try").count(),
            4,
            "{text}"
        );
    }
}
