//! Environment variables as configuration.
//!
//! `TIDEGAUGE_` and then the key in capitals, two underscores for each dot: `http.listen` is
//! `TIDEGAUGE_HTTP__LISTEN`. Within tables of librdkafka's keys one underscore stands for a dot:
//! `TIDEGAUGE_KAFKA__LIBRDKAFKA__SASL_PASSWORD` is `sasl.password`. Texts are taken as they are,
//! lists as `a,b` or as TOML, everything else as TOML. An empty variable is not set.

use toml::de::{DeArray, DeValue};
use toml::{Spanned, Value};

/// What all our variables begin with.
const PREFIX: &str = "TIDEGAUGE_";

/// Names that are no keys: the file itself, and what may stand in the way.
const RESERVED: [&str; 1] = ["TIDEGAUGE_CONFIG"];

/// The path of the key that a variable sets; none if it is not ours to read.
#[must_use]
pub(super) fn path(name: &str) -> Option<Vec<String>> {
    let key = name.strip_prefix(PREFIX)?;
    if RESERVED.contains(&name) || is_service_link(key) {
        return None;
    }
    let mut path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
    if is_free_text(&path) && path[1] != "labels" {
        path[2] = path[2].replace('_', ".");
    }
    Some(path)
}

/// Tables whose keys are free and whose values are texts.
fn is_free_text(path: &[String]) -> bool {
    let [section, table, _] = path else {
        return false;
    };
    matches!(
        (section.as_str(), table.as_str()),
        ("kafka", "librdkafka") | ("gateway" | "agent", "kafka") | ("agent", "labels")
    )
}

/// Kubernetes sets `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT_80_TCP_ADDR` and the like in every
/// pod, so a service called `tidegauge` must not look like a configuration.
fn is_service_link(key: &str) -> bool {
    key == "PORT"
        || key == "SERVICE_HOST"
        || key.starts_with("SERVICE_PORT")
        || key
            .strip_prefix("PORT_")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Reads a variable's text as the kind of value that its key has by default.
#[must_use]
pub(super) fn value<'t>(text: &'t str, path: &[String], keys: &Value) -> DeValue<'t> {
    let plain = || DeValue::String(text.into());
    let known = path.iter().try_fold(keys, |at, key| at.get(key));
    match known {
        Some(Value::String(_)) => plain(),
        _ if is_free_text(path) => plain(),
        Some(Value::Array(_)) if !text.trim_start().starts_with('[') => {
            let mut items = DeArray::new();
            for item in text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
            {
                items.push(Spanned::new(0..0, DeValue::String(item.into())));
            }
            DeValue::Array(items)
        }
        _ => DeValue::parse(text.trim()).map_or_else(|_| plain(), Spanned::into_inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_map_to_keys() {
        let of = |name| path(name).map(|path| path.join("/"));
        assert_eq!(of("TIDEGAUGE_STORE__URL").as_deref(), Some("store/url"));
        assert_eq!(
            of("TIDEGAUGE_STREAM__EPOCH_MS").as_deref(),
            Some("stream/epoch_ms")
        );
        let sasl = of("TIDEGAUGE_KAFKA__LIBRDKAFKA__SASL_PASSWORD");
        assert_eq!(sasl.as_deref(), Some("kafka/librdkafka/sasl.password"));
        assert_eq!(of("HOME"), None);
        assert_eq!(of("TIDEGAUGE_CONFIG"), None);
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_of_our_name_is_passed_over() {
        for name in [
            "SERVICE_HOST",
            "SERVICE_PORT_HTTP",
            "PORT",
            "PORT_7070_TCP_ADDR",
        ] {
            assert_eq!(path(&format!("TIDEGAUGE_{name}")), None, "{name}");
        }
    }

    #[test]
    fn values_take_the_kind_of_their_key() {
        let keys: Value = toml::from_str("text = ''\nlist = []\nnumber = 1").expect("toml");
        let read = |text, key: &str| format!("{:?}", value(text, &[key.to_owned()], &keys));
        assert_eq!(
            read("12", "text"),
            format!("{:?}", DeValue::String("12".into()))
        );
        assert!(read("a:1, b:2", "list").contains("b:2"));
        assert!(read("12", "number").starts_with("Integer"));
        assert!(read("twelve", "number").starts_with("String"));
    }
}
