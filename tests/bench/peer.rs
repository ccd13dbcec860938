//! VictoriaMetrics, fed the same requests over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http::Http;
use crate::load::Load;
use crate::process::{self, Usage};
use crate::program::{Bench, LOOK, free_address};
use crate::table::{mib, number, whole};

const PATIENCE: Duration = Duration::from_secs(600);

/// The binary.
pub(crate) struct Peer {
    binary: PathBuf,
    version: String,
}

/// What one feeding cost.
pub(crate) struct Fed {
    /// When all was taken and flushed.
    taken: Usage,
    taken_s: f64,
    /// When all was merged.
    merged: Usage,
    disk_bytes: u64,
}

impl Peer {
    /// Asks the binary for its version; why not, if it can't be run.
    pub(crate) fn find(binary: &Path) -> Result<Self, String> {
        let asked = Command::new(binary).arg("-version").output();
        let answer = asked.map_err(|error| {
            format!(
                "VictoriaMetrics: not run ({}: {error}; name it with --peer)",
                binary.display()
            )
        })?;
        let said = [answer.stdout, answer.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // Debian's package does not know its version.
        let version = match said.trim() {
            "" => "its binary names no version",
            version => version,
        };
        Ok(Self {
            binary: binary.to_owned(),
            version: version.to_owned(),
        })
    }

    pub(crate) fn describe(&self) -> String {
        format!("VictoriaMetrics: {}", self.version)
    }

    /// Feeds the load into an empty store, flushes, merges and weighs it.
    pub(crate) fn feed(&self, bench: &Bench<'_>, load: &Load) -> Fed {
        let data = bench.folder("peer");
        let address = free_address();
        let child = Command::new(&self.binary)
            .arg(format!("-storageDataPath={}", data.display()))
            .arg(format!("-httpListenAddr={address}"))
            .args(["-retentionPeriod=100y", "-loggerLevel=ERROR"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("VictoriaMetrics runs");
        let mut running = Running(child);
        let http = Http::new(&bench.runtime, address);
        wait("VictoriaMetrics' health", || http.get("/health"));
        let began = Instant::now();
        for (_, body) in &load.records {
            http.write(body.clone());
        }
        http.get("/internal/force_flush").expect("a flush");
        let taken_s = began.elapsed().as_secs_f64();
        let taken = running.usage();
        assert_eq!(
            stored(&http),
            load.samples,
            "VictoriaMetrics has all samples"
        );
        http.get("/internal/force_merge").expect("a merge");
        running.rest();
        let merged = running.usage();
        // The samples and their index; its caches are not counted.
        let disk_bytes = weigh(&data.join("data")) + weigh(&data.join("indexdb"));
        drop(running);
        let fed = Fed {
            taken,
            taken_s,
            merged,
            disk_bytes,
        };
        eprintln!("{}", fed.line(load));
        fed
    }
}

/// The round that cost least.
pub(crate) fn best(rounds: Vec<Fed>) -> Option<Fed> {
    rounds
        .into_iter()
        .min_by(|a, b| a.taken.cpu_s.total_cmp(&b.taken.cpu_s))
}

impl Fed {
    pub(crate) fn line(&self, load: &Load) -> String {
        let samples = number(load.samples);
        format!(
            "VictoriaMetrics by HTTP: {} samples/CPU-s, {:.2} CPU-s, {:.3} CPU-s a million ({:.3} with its merge), {} samples/s, {:.3} B a sample on disk once merged, peak {} MiB",
            whole(samples / self.taken.cpu_s),
            self.taken.cpu_s,
            self.taken.cpu_s * 1e6 / samples,
            self.merged.cpu_s * 1e6 / samples,
            whole(samples / self.taken_s),
            number(self.disk_bytes) / samples,
            mib(self.merged.peak_rss_bytes),
        )
    }
}

struct Running(Child);

impl Running {
    fn usage(&mut self) -> Usage {
        process::usage(self.0.id()).expect("VictoriaMetrics runs")
    }

    /// Waits until it does nothing more, merging included.
    fn rest(&mut self) {
        let mut before = self.usage().cpu_s;
        loop {
            std::thread::sleep(Duration::from_secs(3));
            let now = self.usage().cpu_s;
            if now - before < 0.06 {
                return;
            }
            before = now;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "no {what} in {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Samples in its store.
fn stored(http: &Http<'_>) -> u64 {
    let metrics = http.get("/metrics").expect("metrics");
    let rows = sum(&metrics, |name| name.starts_with("vm_rows{type=\"storage/"));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let rows = rows as u64;
    rows
}

fn sum(metrics: &str, wanted: impl Fn(&str) -> bool) -> f64 {
    let lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    let wanted = lines.filter(|(name, _)| wanted(name));
    wanted
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .sum()
}

/// Bytes of all files below.
fn weigh(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let weight = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => weigh(&entry.path()),
        Ok(found) => found.len(),
        // Files come and go in a live store.
        Err(_) => 0,
    };
    entries.map(weight).sum()
}
