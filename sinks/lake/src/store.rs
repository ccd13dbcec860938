//! Where the lake lies: a local folder or a bucket, and what it takes to write there safely.

mod bucket;
mod credentials;
mod fsync;
mod health;
mod probe;
mod retry;
mod staged;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::{Either, select};
use object_store::ObjectStore;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};
use url::Url;
use uuid::Uuid;

use crate::clock::Clock;
pub use credentials::Credentials;
pub use fsync::DurableFolder;
pub use health::{StoreHealth, StoreReport};
pub use retry::{RetrySettings, Retrying};

/// Where the lake lies and how to get there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// `file:///folder` or `s3://bucket/prefix`.
    pub url: String,
    /// For `s3`: the server, if it is not Amazon's: `https://host:port`.
    pub endpoint: Option<String>,
    /// For `s3`: the region.
    pub region: Option<String>,
    /// For `s3`: the bucket stands in the path instead of the host's name. Most servers that are
    /// not Amazon's need it; one whose endpoint is an address in numbers is asked so in any case.
    pub path_style: bool,
    /// For `s3`: allow `http://` endpoints, which nothing protects from eavesdropping.
    pub allow_http: bool,
    /// For `s3`: where the keys come from.
    pub credentials: Credentials,
    /// For `file`: make each object durable before it counts. Without it a crash of the machine,
    /// though not of the program, can lose commits.
    pub fsync: bool,
    /// For `s3`: how long setting up a connection may take, milliseconds.
    pub connect_timeout_ms: u64,
    /// How requests are tried again.
    pub retry: RetrySettings,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: None,
            region: None,
            path_style: false,
            allow_http: false,
            credentials: Credentials::default(),
            fsync: true,
            connect_timeout_ms: 5_000,
            retry: RetrySettings::default(),
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error(
        "store url `{url}` can't be used: {detail}; give `file:///folder` or `s3://bucket/prefix`"
    )]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The folder can't be made or opened.
    #[error("folder {} of the store can't be used; check that it may be written to", .folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Keys could not be found.
    #[error("{0}")]
    Credentials(String),
    /// The store does not do what it must.
    #[error("{attempt} failed on the store at {url}; {}: {error}", advice(.error))]
    Refused {
        /// What was attempted.
        attempt: &'static str,
        /// Where.
        url: String,
        /// What the store said. Its text holds all of its causes.
        error: object_store::Error,
    },
    /// The server can't be addressed.
    #[error(
        "the S3 server `{endpoint}` can't be used: {detail}; give store.endpoint as \
         `https://host:port`"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The store would let two writers win.
    #[error(
        "the store at {url} lets a conditional put replace an object; two writers could both \
         believe they had committed, so it can't be used"
    )]
    Unconditional {
        /// Where.
        url: String,
    },
}

/// An open store.
#[derive(Clone, Debug)]
pub struct Store {
    /// The lake's root. Reads and plain puts are tried until they succeed; conditional puts once.
    pub objects: Arc<dyn ObjectStore>,
    /// How it is doing.
    pub health: Arc<StoreHealth>,
    bare: Arc<dyn ObjectStore>,
    /// For `file`: the same folder.
    folder: Option<DurableFolder>,
    url: String,
    clock: Arc<dyn Clock>,
    /// How long a store that is asked once may take.
    patience: Duration,
}

impl Store {
    /// Makes sure that the store answers and does what the commit needs. It tries once, so that a
    /// wrong key or address is told at once. `id` names the object it tries with.
    ///
    /// # Errors
    /// If the store refuses a put, a read or a delete, or lets a conditional put replace an object.
    pub async fn probe(&self, id: Uuid) -> Result<(), StoreError> {
        self.in_time(probe::probe(&*self.bare, &self.url, id)).await
    }

    /// Makes sure, by asking once, that nothing stands against reading: a wrong key or bucket will
    /// not get better by asking again. A store that is away is let pass, one that is mute is not.
    ///
    /// # Errors
    /// If the store refuses the read.
    pub async fn probe_read(&self) -> Result<(), StoreError> {
        self.in_time(probe::read(&*self.bare, &self.url)).await
    }

    /// Clears away what puts of earlier lives that were broken off have left, if nobody has written
    /// to it for `age`. In a bucket there is nothing to see: parts that were never completed are
    /// its own life cycle rules' to remove.
    ///
    /// # Errors
    /// If the walk over the folder panics.
    pub async fn remove_staged(&self, age: Duration) -> Result<usize, JoinError> {
        let now = Duration::from_millis(self.clock.now_ms().max(0).cast_unsigned());
        let before = SystemTime::UNIX_EPOCH + now.saturating_sub(age);
        match self.folder.clone() {
            Some(folder) => spawn_blocking(move || folder.remove_staged(before)).await,
            None => Ok(0),
        }
    }

    async fn in_time(
        &self,
        asked: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        match select(pin!(asked), self.clock.sleep(self.patience)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(StoreError::Refused {
                attempt: "asking for an answer",
                url: self.url.clone(),
                error: object_store::Error::Generic {
                    store: "lake",
                    source: format!("no answer within {:?}", self.patience).into(),
                },
            }),
        }
    }
}

/// Opens the store that `settings` name. It makes no request: see [`Store::probe`].
///
/// # Errors
/// If the URL, the folder or the credentials can't be used.
pub fn open_store(
    settings: &StoreSettings,
    clock: Arc<dyn Clock>,
    rng: SmallRng,
) -> Result<Store, StoreError> {
    let url = Url::parse(&settings.url).map_err(|error| bad_url(settings, &error.to_string()))?;
    let mut folder = None;
    let bare: Arc<dyn ObjectStore> = match url.scheme() {
        "file" => Arc::new(folder.insert(open_folder(settings, &url)?).clone()),
        "s3" => bucket::open(settings, &url)?,
        other => {
            return Err(bad_url(
                settings,
                &format!("`{other}` is not a kind of store"),
            ));
        }
    };
    let health = Arc::new(StoreHealth::default());
    let retrying = Retrying::new(
        Arc::clone(&bare),
        settings.retry,
        Arc::clone(&clock),
        rng,
        Arc::clone(&health),
    );
    Ok(Store {
        objects: Arc::new(retrying),
        health,
        bare,
        folder,
        url: settings.url.clone(),
        clock,
        patience: Duration::from_millis(settings.retry.attempt_timeout_ms),
    })
}

fn open_folder(settings: &StoreSettings, url: &Url) -> Result<DurableFolder, StoreError> {
    let folder = url
        .to_file_path()
        .map_err(|()| bad_url(settings, "it is not an absolute path of this machine"))?;
    DurableFolder::open(&folder, settings.fsync)
        .map_err(|source| StoreError::Folder { folder, source })
}

/// What to do about a store that says no.
fn advice(error: &object_store::Error) -> &'static str {
    use object_store::Error;
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            "check the keys (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or store.credentials), \
             store.region, and that they may read, write, list and delete there"
        }
        Error::NotFound { .. } => {
            "check that the bucket of store.url exists, and store.endpoint and store.path_style"
        }
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            "the server lacks what the lake needs; use one with conditional puts (If-None-Match: *)"
        }
        _ => {
            "check store.url, store.endpoint, store.region, the network, and that keys are set \
             (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or store.credentials)"
        }
    }
}

fn bad_url(settings: &StoreSettings, detail: &str) -> StoreError {
    StoreError::Url {
        url: settings.url.clone(),
        detail: detail.into(),
    }
}
