//! A bucket as a store.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use url::{Host, Url};

use super::{StoreError, StoreSettings, bad_url};

/// Opens the bucket at `url`; no request is made.
pub(super) fn open(
    settings: &StoreSettings,
    url: &Url,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let bucket = url
        .host_str()
        .filter(|bucket| !bucket.is_empty())
        .ok_or_else(|| bad_url(settings, "it names no bucket"))?;
    // Every answer that leaves it open whether a put took place must reach us: the client below
    // tries nothing again by itself.
    let once = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    // How long an attempt may take depends on its size, so that is judged above this client.
    let client = ClientOptions::new()
        .with_allow_http(settings.allow_http)
        .with_connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
        .with_timeout_disabled();
    let builder = settings
        .credentials
        .builder()?
        .with_bucket_name(bucket)
        .with_retry(once)
        .with_client_options(client);
    let builder = with_place(builder, settings, bucket)?;
    let store = builder.build().map_err(|error| StoreError::Refused {
        attempt: "setting up the client",
        url: settings.url.clone(),
        error,
    })?;
    let prefix =
        Path::from_url_path(url.path()).map_err(|error| bad_url(settings, &error.to_string()))?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

/// Region and server; settings go before the environment's `AWS_ENDPOINT_URL`.
fn with_place(
    mut builder: AmazonS3Builder,
    settings: &StoreSettings,
    bucket: &str,
) -> Result<AmazonS3Builder, StoreError> {
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    let given = settings.endpoint.clone();
    let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let environment = || keys.iter().find_map(|key| builder.get_config_value(key));
    let Some(endpoint) = given.or_else(environment) else {
        return Ok(builder.with_virtual_hosted_style_request(!settings.path_style));
    };
    let placed = placed(&endpoint, bucket, settings.path_style);
    let placed = placed.map_err(|detail| StoreError::Endpoint {
        endpoint: endpoint.clone(),
        detail,
    })?;
    Ok(builder
        .with_config(AmazonS3ConfigKey::S3Endpoint, placed)
        // The bucket stands in the endpoint already.
        .with_virtual_hosted_style_request(true))
}

/// The address of the bucket on a server: below its path, or as a name below the host's. An address
/// in numbers has no names below it.
fn placed(endpoint: &str, bucket: &str, path_style: bool) -> Result<String, String> {
    let mut url = Url::parse(endpoint).map_err(|error| error.to_string())?;
    match url.host().ok_or("it names no host")? {
        Host::Domain(host) if !path_style => {
            let host = format!("{bucket}.{host}");
            url.set_host(Some(&host))
                .map_err(|error| error.to_string())?;
        }
        _ => {
            let mut path = url.path_segments_mut().map_err(|()| "it has no path")?;
            path.pop_if_empty().push(bucket);
        }
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_place_on_a_server() {
        let cases = [
            (
                "https://s3.example.org",
                false,
                "https://lake.s3.example.org",
            ),
            (
                "https://s3.example.org",
                true,
                "https://s3.example.org/lake",
            ),
            (
                "https://s3.example.org:9000/at/",
                true,
                "https://s3.example.org:9000/at/lake",
            ),
            (
                "http://127.0.0.1:9000/",
                false,
                "http://127.0.0.1:9000/lake",
            ),
            ("http://[::1]:9000", false, "http://[::1]:9000/lake"),
        ];
        for (endpoint, path_style, place) in cases {
            assert_eq!(placed(endpoint, "lake", path_style).as_deref(), Ok(place));
        }
        assert!(placed("s3.example.org", "lake", true).is_err());
    }
}
