//! The binary `tidegauge`; see the library beside it.

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Each commit needs columns of some hundred megabytes and frees them seconds later. Given back at
/// once, their pages would have to be cleared again each time, which took 45 % of all CPU time: so
/// freed memory is kept for ten seconds, also that of large pieces (a threshold of 0 says so).
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; 69] =
    b"dirty_decay_ms:10000,muzzy_decay_ms:0,oversize_threshold:0,narenas:4\0";

/// Each partition of the broker and each connection holds a file open, and the usual soft limit of
/// 1,024 is only for programs that call `select`. Where it can't be raised, it stays.
fn raise_file_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the first call fills the structure, the second reads it; it outlives both.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

fn main() -> ExitCode {
    raise_file_limit();
    tidegauge::run::run(&tidegauge::cli::Cli::parse())
}
