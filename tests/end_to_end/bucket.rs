//! The place of a lake on S3: in the test's own server, or on the one that `E2E_S3` names.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;

/// A folder of a bucket, and who may enter.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) endpoint: String,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
}

impl Bucket {
    /// The bucket `E2E_S3`, as `http://HOST:PORT/BUCKET`, with the keys of `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY`, in a new folder that is left there. None where it is not set.
    pub(crate) fn foreign() -> Option<Self> {
        let url = std::env::var("E2E_S3").ok()?;
        let (endpoint, name) = url
            .rsplit_once('/')
            .expect("E2E_S3 is http://HOST:PORT/BUCKET");
        let key = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        Some(Self {
            endpoint: endpoint.to_owned(),
            name: name.to_owned(),
            prefix: format!("tidegauge-tests/{:016x}", rand::random::<u64>()),
            key_id: key("AWS_ACCESS_KEY_ID"),
            secret: key("AWS_SECRET_ACCESS_KEY"),
        })
    }

    /// As `store.url` has it.
    pub(crate) fn url(&self) -> String {
        format!("s3://{}/{}", self.name, self.prefix)
    }

    /// What the program must know to find it, as variables of its environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TIDEGAUGE_STORE__ENDPOINT", self.endpoint.clone()),
            ("TIDEGAUGE_STORE__REGION", "us-east-1".into()),
            ("TIDEGAUGE_STORE__PATH_STYLE", "true".into()),
            ("TIDEGAUGE_STORE__ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", self.key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
        ]
    }

    /// A client of our own for what lies in it.
    pub(crate) fn client(&self) -> Arc<dyn ObjectStore> {
        let client = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_region("us-east-1")
            .with_bucket_name(&self.name)
            .with_access_key_id(&self.key_id)
            .with_secret_access_key(&self.secret)
            .with_allow_http(true)
            .build()
            .expect("a client");
        Arc::new(PrefixStore::new(client, self.prefix.as_str()))
    }
}
