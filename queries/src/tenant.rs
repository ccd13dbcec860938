//! Whose data a request asks for, by the rules of the doors for pushes: what is pushed and asked for
//! under the same headers is the same tenant's.

use axum::http::{HeaderMap, HeaderValue};

use crate::error::QueryError;

/// Where a tenant may be named; the doors for pushes know the same ones.
const TENANT_HEADERS: [&str; 3] = ["x-tenant", "x-scope-orgid", "tenant"];
const TENANT_BYTES_MOST: usize = 256;

/// The tenant that a request names by itself (`asked`) or by its headers; none if it names none.
///
/// # Errors
/// If one of them is no tenant's name, or they name different ones: whoever asks gets the rows of the
/// tenant meant, or none.
pub(crate) fn named(
    asked: Option<&str>,
    headers: &HeaderMap,
) -> Result<Option<String>, QueryError> {
    if asked == Some("") {
        return Err(QueryError::Invalid("`tenant` names no tenant".into()));
    }
    let mut tenant = asked;
    for header in TENANT_HEADERS {
        for value in headers.get_all(header) {
            let name = read(value)
                .map_err(|what| QueryError::Invalid(format!("the header `{header}` {what}")))?;
            if *tenant.get_or_insert(name) != name {
                return Err(QueryError::Invalid(format!(
                    "the header `{header}` names another tenant than the rest of the request"
                )));
            }
        }
    }
    Ok(tenant.map(str::to_owned))
}

/// The name in a header, or what is wrong with it.
fn read(value: &HeaderValue) -> Result<&str, String> {
    let name = value.to_str().map(str::trim).map_err(|_| {
        "is not plain ASCII; name such a tenant by the parameter `tenant`".to_owned()
    })?;
    match name.len() {
        0 => Err("names no tenant".into()),
        1..=TENANT_BYTES_MOST => Ok(name),
        _ => Err(format!("is longer than {TENANT_BYTES_MOST} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Named = Result<Option<String>, QueryError>;

    fn ask(asked: Option<&str>, headers: &[(&'static str, &str)]) -> Named {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's bytes");
            map.append(*name, value);
        }
        named(asked, &map)
    }

    #[test]
    fn a_tenant_is_named_in_one_way_or_in_several_alike() {
        let some = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(ask(None, &[]), Ok(None));
        assert_eq!(ask(Some("münchen"), &[]), some("münchen"));
        assert_eq!(ask(None, &[("x-scope-orgid", " acme ")]), some("acme"));
        assert_eq!(ask(None, &[("x-tenant", "a"), ("tenant", "a")]), some("a"));
        assert_eq!(ask(Some("a"), &[("x-tenant", "a")]), some("a"));
    }

    #[test]
    fn what_names_no_tenant_or_two_is_refused() {
        let long = "t".repeat(TENANT_BYTES_MOST + 1);
        for (asked, headers, says) in [
            (
                None,
                vec![("x-tenant", "münchen")],
                "`x-tenant` is not plain",
            ),
            (None, vec![("tenant", "")], "`tenant` names no tenant"),
            (None, vec![("x-tenant", "  ")], "names no tenant"),
            (Some(""), vec![], "names no tenant"),
            (None, vec![("x-tenant", &long)], "longer than 256 bytes"),
            (
                None,
                vec![("x-tenant", "a"), ("tenant", "b")],
                "another tenant",
            ),
            (
                None,
                vec![("tenant", "a"), ("tenant", "b")],
                "another tenant",
            ),
            (Some("a"), vec![("x-tenant", "b")], "another tenant"),
        ] {
            let error = ask(asked, &headers).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
