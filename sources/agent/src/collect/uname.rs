//! Which kernel runs, by the call `uname`.

use std::ffi::CStr;
use std::io;

use super::Machine;
use crate::scrape::{Family, Scrape};

static INFO: Family = Family::gauge(
    "node_uname_info",
    "Labeled system information as provided by the uname system call.",
);

pub(super) fn collect(_machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    let uname = rustix::system::uname();
    let word = |text: &CStr| text.to_string_lossy().into_owned();
    let mut labels = vec![
        ("machine", word(uname.machine())),
        ("nodename", word(uname.nodename())),
        ("release", word(uname.release())),
        ("sysname", word(uname.sysname())),
        ("version", word(uname.version())),
    ];
    #[cfg(target_os = "linux")]
    labels.push(("domainname", word(uname.domainname())));
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    out.push(&INFO, &labels, 1.0);
    Ok(())
}

/// The name by which this machine knows itself.
pub(crate) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
