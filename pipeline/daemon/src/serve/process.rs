//! What this process costs the machine, as the system tells it.

/// One reading; what can't be read is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// CPU time of all threads since the start, user and system, seconds.
    pub(super) cpu_seconds: f64,
    /// Resident memory, bytes.
    pub(super) resident_bytes: u64,
    /// Address space, bytes.
    pub(super) virtual_bytes: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Open files, sockets among them.
    pub(super) open_fds: u64,
}

impl Usage {
    /// Asks the system.
    pub(super) fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let open_fds = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        // SAFETY: both only read constants of the system.
        let (ticks, page) = unsafe {
            (
                libc::sysconf(libc::_SC_CLK_TCK),
                libc::sysconf(libc::_SC_PAGESIZE),
            )
        };
        Self {
            open_fds,
            ..Self::parse(&stat, ticks.max(1) as f64, page.max(1) as u64)
        }
    }

    /// Reads `/proc/self/stat` (proc(5)); the name in brackets may hold anything.
    fn parse(stat: &str, ticks_a_second: f64, page_bytes: u64) -> Self {
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // The first field here is the third of the manual's count.
        let field = |number: usize| -> u64 {
            fields
                .get(number - 3)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        Self {
            cpu_seconds: (field(14) + field(15)) as f64 / ticks_a_second,
            threads: field(20),
            virtual_bytes: field(23),
            resident_bytes: field(24) * page_bytes,
            open_fds: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_line_is_read_by_its_places() {
        let line = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 8 18 19 4096 10 20";
        let usage = Usage::parse(line, 100.0, 4096);
        assert_eq!(usage.cpu_seconds, 3.0);
        assert_eq!(
            (usage.threads, usage.virtual_bytes, usage.resident_bytes),
            (8, 4096, 40_960)
        );
        assert_eq!(Usage::parse("", 100.0, 4096), Usage::default());
    }
}
