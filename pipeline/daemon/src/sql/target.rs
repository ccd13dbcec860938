//! Who answers: the lake itself, or a running server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures::StreamExt;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tidegauge_lake::{Clock, SystemClock, open_store};
use tidegauge_queries::{Encoder, Engine, Format, QueryOptions};
use tidegauge_tables::{LakeState, LogReader};
use tokio::sync::watch;

use crate::config::{Config, mask_url};

/// How long the store may take to show the lake's log.
const OPEN: Duration = Duration::from_secs(20);
/// How long a server may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Takes the bytes of an answer as they come.
pub type Sink<'s> = dyn FnMut(&[u8]) -> io::Result<()> + 's;

/// Who answers.
#[derive(Debug)]
pub enum Target {
    /// The tiers alone.
    Lake(Box<Lake>),
    /// A running server.
    Server(Server),
}

impl Target {
    /// Answers one query; each batch goes to `out` as it comes.
    ///
    /// # Errors
    /// If the query or the reading fails, or `out` does.
    pub async fn answer(
        &mut self,
        query: &str,
        format: Format,
        out: &mut Sink<'_>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Lake(lake) => lake.answer(query, format, out).await,
            Self::Server(server) => server.answer(query, format, out).await,
        }
    }
}

/// A lake read without any server.
#[derive(Debug)]
pub struct Lake {
    log: LogReader,
    state: LakeState,
    newest: watch::Sender<Arc<LakeState>>,
    engine: Engine,
}

impl Lake {
    /// Opens the lake that the configuration names.
    ///
    /// # Errors
    /// If there is none, or its store can't be read.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let url = config
            .store_url()
            .context("telling the current directory")?;
        let shown = mask_url(&url);
        if let Ok(folder) = url::Url::parse(&url)
            .map_err(drop)
            .and_then(|url| url.to_file_path())
            && !folder.is_dir()
        {
            bail!(
                "there is no lake at {shown}: no such folder; name one with --data DIR or --store \
                 URL, or ask a server with --server URL"
            );
        }
        let mut settings = config.store.clone();
        settings.url = url;
        let seed = SystemClock.now_ms().unsigned_abs() ^ u64::from(std::process::id());
        let store = open_store(
            &settings,
            Arc::new(SystemClock),
            SmallRng::seed_from_u64(seed),
        )?;
        store.probe_read().await?;
        let log = LogReader::new(Arc::clone(&store.objects), &Default::default());
        let state = match tokio::time::timeout(OPEN, log.open()).await {
            Ok(state) => state.with_context(|| format!("opening the lake at {shown}"))?,
            Err(_) => {
                let last = store
                    .health
                    .report()
                    .last_error
                    .unwrap_or_else(|| "no answer".into());
                bail!(
                    "the store at {shown} can't be read: {last}; check its URL, network and keys"
                );
            }
        };
        if state.version.is_none() {
            bail!(
                "{shown} is not a lake, or one without a commit: it has no samples/_delta_log; check the URL"
            );
        }
        let (newest, states) = watch::channel(Arc::new(state.clone()));
        let engine = Engine::new(config.sql.clone(), states, store.objects, "")?;
        Ok(Self {
            log,
            state,
            newest,
            engine,
        })
    }

    async fn answer(
        &mut self,
        query: &str,
        format: Format,
        out: &mut Sink<'_>,
    ) -> anyhow::Result<()> {
        if self.log.follow(&mut self.state).await? > 0 {
            self.newest.send_replace(Arc::new(self.state.clone()));
        }
        let mut answer = self.engine.sql(query, &QueryOptions::default()).await?;
        let mut encoder = Encoder::new(format, &answer.schema())?;
        while let Some(batch) = answer.next().await {
            out(&encoder.batch(&batch?)?)?;
        }
        out(&encoder.finish()?)?;
        Ok(())
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    url: String,
    tenant: Option<String>,
    client: reqwest::Client,
}

impl Server {
    /// A server by its URL; nothing is asked yet. `tenant` none: the server's own default.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(url: &str, tenant: Option<String>) -> anyhow::Result<Self> {
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let shown = mask_url(&url);
        let parsed = url::Url::parse(&url).map_err(|error| {
            anyhow!("--server {shown} is no URL: {error}; give http://HOST:PORT")
        })?;
        if !["http", "https"].contains(&parsed.scheme()) || parsed.host_str().is_none() {
            bail!("--server {shown} is no HTTP address; give http://HOST:PORT");
        }
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .build()?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            tenant,
            client,
        })
    }

    async fn answer(&self, query: &str, format: Format, out: &mut Sink<'_>) -> anyhow::Result<()> {
        let shown = mask_url(&self.url);
        let media = format.media_type().split(';').next().unwrap_or_default();
        let mut request = self
            .client
            .post(format!("{}/api/v1/sql", self.url))
            .header("accept", media)
            .header("content-type", "text/plain; charset=utf-8")
            .body(query.to_owned());
        if let Some(tenant) = &self.tenant {
            // Not a header: those hold ASCII alone, and tenants of Kafka's records any text.
            request = request.query(&[("tenant", tenant)]);
        }
        let answer = request.send().await.map_err(|error| {
            let why = innermost(&error);
            anyhow!(
                "the server at {shown} can't be reached: {why}; is `tidegauge up` running there?"
            )
        })?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.text().await.unwrap_or_default();
            bail!("{}", refusal(status.as_u16(), &body, &shown));
        }
        let mut bytes = answer.bytes_stream();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| {
                anyhow!(
                    "the answer broke off: {}; what came is incomplete",
                    innermost(&error)
                )
            })?;
            out(&piece)?;
        }
        Ok(())
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// What a server's refusal says: its own words, or what its status means.
fn refusal(status: u16, body: &str, server: &str) -> String {
    let own: Option<serde_json::Value> = serde_json::from_str(body).ok();
    match own.as_ref().and_then(|body| body["error"].as_str()) {
        Some(error) => error.to_owned(),
        None => format!("{server} answered {status}; is it a Tidegauge server?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_http_addresses() {
        assert_eq!(
            Server::new("here:7070", None).expect("good").url,
            "http://here:7070"
        );
        assert!(
            Server::new("s3://b", None)
                .expect_err("no")
                .to_string()
                .contains("http://HOST:PORT")
        );
    }

    #[test]
    fn a_servers_own_words_come_first() {
        let body = "{\"status\":\"error\",\"code\":\"invalid\",\"error\":\"no table x\"}";
        assert_eq!(refusal(400, body, "http://s"), "no table x");
        assert!(refusal(404, "<html>", "http://s").contains("is it a Tidegauge server?"));
    }

    #[tokio::test]
    async fn an_absent_server_is_told_plainly() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has one");
        drop(listener);
        let mut target = Target::Server(Server::new(&address.to_string(), None).expect("good"));
        let said = target
            .answer("SELECT 1", Format::Json, &mut |_| Ok(()))
            .await;
        let said = said.expect_err("nobody there").to_string();
        assert!(
            said.contains("can't be reached") && said.contains("tidegauge up"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_tenant_of_any_letters_is_asked_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it has one").to_string();
        let echo = |uri: axum::http::Uri| async move { uri.to_string() };
        let router = axum::Router::new().fallback(echo);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let server = Server::new(&address, Some("münchen".into())).expect("good");
        let mut said = Vec::new();
        let mut keep = |piece: &[u8]| {
            said.extend_from_slice(piece);
            Ok(())
        };
        let answered = server.answer("SELECT 1", Format::Json, &mut keep).await;
        answered.expect("an answer");
        assert_eq!(said, b"/api/v1/sql?tenant=m%C3%BCnchen");
    }

    #[tokio::test]
    async fn what_is_no_lake_is_told_plainly() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::default();
        config.store.url = crate::config::folder_url(&folder.path().join("none")).expect("a path");
        let said = Lake::open(&config)
            .await
            .expect_err("no folder")
            .to_string();
        assert!(
            said.contains("no such folder") && said.contains("--data"),
            "{said}"
        );
        config.store.url = crate::config::folder_url(folder.path()).expect("a path");
        let said = Lake::open(&config).await.expect_err("empty").to_string();
        assert!(said.contains("is not a lake"), "{said}");
    }
}
