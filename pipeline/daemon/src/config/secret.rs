//! Which values are never shown, and what stands in their place.

use super::path::{KeyPath, Step};

/// What is shown instead of a secret.
pub const HIDDEN: &str = "[hidden]";

/// Whether the value of a key of that name is a secret.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let says_where = [".location", "_file", "_path", "_url", "_ms"];
    if says_where.iter().any(|end| key.ends_with(end)) {
        return false;
    }
    let words = [
        "password",
        "passwd",
        "secret",
        "token",
        "jaas",
        "oauthbearer",
        "authorization",
    ];
    let material = [
        "ssl.key",
        ".pem",
        "_pem",
        "access_key",
        "private_key",
        "api_key",
        "sas_key",
    ];
    words.iter().chain(&material).any(|word| key.contains(word))
}

/// Whether some key on the path says that what is below it is a secret.
#[must_use]
pub(super) fn is_secret_path(path: &KeyPath) -> bool {
    path.0
        .iter()
        .any(|step| matches!(step, Step::Key(key) if is_secret(key)))
}

/// Hides every secret within a value, also the user part of URLs.
pub(super) fn mask(value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (key, inner) in table.iter_mut() {
                let set = inner.as_str().is_none_or(|text| !text.is_empty());
                if is_secret(key) && set {
                    *inner = HIDDEN.into();
                } else {
                    mask(inner);
                }
            }
        }
        toml::Value::Array(items) => items.iter_mut().for_each(mask),
        toml::Value::String(text) => *text = mask_url(text),
        _ => {}
    }
}

/// Hides the part before the `@` of a URL, which may hold a password.
#[must_use]
pub fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let host_end = rest.find('/').unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{scheme}://{HIDDEN}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name() {
        for key in [
            "sasl.password",
            "secret_access_key",
            "session_token",
            "ssl.key.pem",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in [
            "ssl.key.location",
            "brokers",
            "token_file",
            "sasl.username",
            "key",
        ] {
            assert!(!is_secret(key), "{key}");
        }
    }

    #[test]
    fn masking_reaches_lists_tables_and_urls() {
        let text = "a = [{ password = 'x1' }]\nurl = 'http://me:x2@host/p'\n[t]\nsecret.of = 'x3'";
        let mut value: toml::Value = toml::from_str(text).expect("toml");
        mask(&mut value);
        let shown = value.to_string();
        assert!(
            !shown.contains("x1") && !shown.contains("x2") && !shown.contains("x3"),
            "{shown}"
        );
        assert!(shown.contains("http://[hidden]@host/p"), "{shown}");
    }
}
