//! OpenTelemetry names into Prometheus names.
//!
//! Rules: the OpenTelemetry specification's "Prometheus and OpenMetrics Compatibility", with the
//! choices that Prometheus's OTLP door makes by default. Where they differ, names are those that
//! github.com/prometheus/otlptranslator makes, `tibibytes` and trailing underscores included, so that
//! what is asked there finds its series here.

use tidegauge_model::MetricType;

/// UCUM units and their words.
const UNITS: [(&str, &str); 24] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
];

/// What stands behind a unit's slash.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// A metric's name with the suffixes that its unit and type call for; empty if nothing of it can
/// be kept.
pub(super) fn metric_name(name: &str, unit: &str, metric_type: MetricType, gauge: bool) -> String {
    let allowed = |char: char| char.is_ascii_alphanumeric() || char == ':';
    let mut words: Vec<&str> = name
        .split(|char| !allowed(char))
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        return String::new();
    }
    let (main, per) = unit_words(unit);
    if !main.is_empty() && !words.contains(&main.as_str()) {
        words.push(if per.is_empty() {
            &main
        } else {
            main.trim_end_matches('_')
        });
    }
    if !per.is_empty() && !words.contains(&per.as_str()) {
        words.push(&per);
    }
    if metric_type == MetricType::Counter {
        words.retain(|word| *word != "total");
        words.push("total");
    }
    // Only gauges: many instruments wrongly count things in the unit 1.
    if unit == "1" && gauge {
        words.retain(|word| *word != "ratio");
        words.push("ratio");
    }
    let name = words.join("_");
    if name.starts_with(|char: char| char.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// The unit in words: `By/s` is `bytes_per_second`.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    let mut words = vec![&*main, &*per];
    words.retain(|word| !word.is_empty());
    words.join("_").trim_end_matches('_').to_owned()
}

/// The words for what stands before and behind a unit's slash; annotations in braces are no unit.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let [main, per] = [main, per].map(|part| {
        let part = part.trim();
        if part.contains(['{', '}']) { "" } else { part }
    });
    let main = match main {
        "1" => String::new(),
        "%" => "percent".into(),
        main => clean(word(&UNITS, main)),
    };
    let per = clean(word(&PER_UNITS, per));
    let per = per.trim_end_matches('_');
    (
        main,
        if per.is_empty() {
            String::new()
        } else {
            format!("per_{per}")
        },
    )
}

fn word<'u>(words: &[(&str, &'static str)], unit: &'u str) -> &'u str {
    words
        .iter()
        .find(|known| known.0 == unit)
        .map_or(unit, |known| known.1)
}

/// Only letters and digits, anything between and behind them as one underscore.
fn clean(unit: &str) -> String {
    let other = |char: char| !(char.is_ascii_alphanumeric() || char == ':');
    let words: Vec<_> = unit.split(other).filter(|word| !word.is_empty()).collect();
    let mut clean = words.join("_");
    if !clean.is_empty() && unit.ends_with(other) {
        clean.push('_');
    }
    clean
}

/// A label's name: what Prometheus does not allow becomes an underscore, and a name that would
/// begin with a digit or one underscore is put behind `key`.
pub(super) fn label_name(name: &str) -> String {
    let sanitized: String = name
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() || char == '_' {
                char
            } else {
                '_'
            }
        })
        .collect();
    let bytes = sanitized.as_bytes();
    if bytes.first().is_some_and(u8::is_ascii_digit) {
        format!("key_{sanitized}")
    } else if bytes.first() == Some(&b'_') && bytes.get(1) != Some(&b'_') {
        format!("key{sanitized}")
    } else {
        sanitized
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_with_unit_and_type() {
        use MetricType::{Counter, Gauge, Histogram};
        for (name, unit, metric_type, expected) in [
            (
                "system.cpu.time",
                "s",
                Counter,
                "system_cpu_time_seconds_total",
            ),
            (
                "http.server.duration",
                "ms",
                Histogram,
                "http_server_duration_milliseconds",
            ),
            (
                "system.network.io",
                "By/s",
                Gauge,
                "system_network_io_bytes_per_second",
            ),
            ("cpu.utilization", "1", Gauge, "cpu_utilization_ratio"),
            ("requests.total", "{requests}", Counter, "requests_total"),
            ("disk.bytes", "By", Gauge, "disk_bytes"),
            ("battery", "%", Gauge, "battery_percent"),
            ("errors", "{errors}/min", Gauge, "errors_per_min"),
            ("2xx", "", Gauge, "_2xx"),
            ("a..b--c", "", Gauge, "a_b_c"),
            ("speed", "km/h", Gauge, "speed_km_per_hour"),
            ("größe", "", Gauge, "gr_e"),
            ("...", "s", Gauge, ""),
            ("heap", "TiBy", Gauge, "heap_tibibytes"),
            ("heap", "kBy", Gauge, "heap_kBy"),
            ("area", "m^2'", Gauge, "area_m_2_"),
            ("area", "m^2'/s'", Gauge, "area_m_2_per_s"),
        ] {
            assert_eq!(
                metric_name(name, unit, metric_type, metric_type == Gauge),
                expected,
                "{name} {unit}"
            );
        }
        assert_eq!(
            metric_name("queue", "1", Gauge, false),
            "queue",
            "an up-down sum is no ratio"
        );
    }

    #[test]
    fn unit_names() {
        for (unit, expected) in [
            ("By/s", "bytes_per_second"),
            ("1", ""),
            ("{requests}/s", "per_second"),
            ("m^2'", "m_2"),
        ] {
            assert_eq!(unit_name(unit), expected, "{unit}");
        }
    }

    #[test]
    fn label_names() {
        for (name, expected) in [
            ("http.method", "http_method"),
            ("a..b", "a__b"),
            ("1st", "key_1st"),
            ("_x", "key_x"),
            ("__x", "__x"),
            (".x", "key_x"),
        ] {
            assert_eq!(label_name(name), expected);
        }
    }
}
