//! Open files, from `/proc/sys/fs/file-nr`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

static ALLOCATED: Family = Family::gauge(
    "node_filefd_allocated",
    "File descriptor statistics: allocated.",
);
static MAXIMUM: Family = Family::gauge(
    "node_filefd_maximum",
    "File descriptor statistics: maximum.",
);

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("sys/fs/file-nr")?, out);
    Ok(())
}

fn parse(file_nr: &str, out: &mut Scrape) {
    let fields: Vec<_> = file_nr.split_ascii_whitespace().map(number).collect();
    if let [Some(allocated), _, Some(maximum)] = fields[..] {
        out.push(&ALLOCATED, &[], allocated);
        out.push(&MAXIMUM, &[], maximum);
    }
}
