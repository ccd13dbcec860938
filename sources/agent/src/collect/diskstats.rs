//! What each block device read and wrote, from `/proc/diskstats`.

use std::io;

use super::{Machine, number};
use crate::scrape::{Family, Scrape};

const SECTOR_BYTES: f64 = 512.0;
const SECONDS_PER_MS: f64 = 0.001;

/// The columns behind a device's name, each with what turns it into the metric's unit. Kernels
/// before 4.18 have the first eleven, before 5.5 the first fifteen.
static COLUMNS: [(Family, f64); 17] = [
    counted(
        "node_disk_reads_completed_total",
        "The total number of reads completed successfully.",
    ),
    counted(
        "node_disk_reads_merged_total",
        "The total number of reads merged.",
    ),
    (
        Family::counter(
            "node_disk_read_bytes_total",
            "The total number of bytes read successfully.",
        ),
        SECTOR_BYTES,
    ),
    timed(
        "node_disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
    ),
    counted(
        "node_disk_writes_completed_total",
        "The total number of writes completed successfully.",
    ),
    counted(
        "node_disk_writes_merged_total",
        "The number of writes merged.",
    ),
    (
        Family::counter(
            "node_disk_written_bytes_total",
            "The total number of bytes written successfully.",
        ),
        SECTOR_BYTES,
    ),
    timed(
        "node_disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
    ),
    (
        Family::gauge(
            "node_disk_io_now",
            "The number of I/Os currently in progress.",
        ),
        1.0,
    ),
    timed(
        "node_disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
    ),
    timed(
        "node_disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
    ),
    counted(
        "node_disk_discards_completed_total",
        "The total number of discards completed successfully.",
    ),
    counted(
        "node_disk_discards_merged_total",
        "The total number of discards merged.",
    ),
    counted(
        "node_disk_discarded_sectors_total",
        "The total number of sectors discarded successfully.",
    ),
    timed(
        "node_disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
    ),
    counted(
        "node_disk_flush_requests_total",
        "The total number of flush requests completed successfully",
    ),
    timed(
        "node_disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
    ),
];

const fn counted(name: &'static str, help: &'static str) -> (Family, f64) {
    (Family::counter(name, help), 1.0)
}

const fn timed(name: &'static str, help: &'static str) -> (Family, f64) {
    (Family::counter(name, help), SECONDS_PER_MS)
}

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    parse(&machine.proc("diskstats")?, out);
    Ok(())
}

fn parse(diskstats: &str, out: &mut Scrape) {
    for line in diskstats.lines() {
        let mut fields = line.split_ascii_whitespace().skip(2);
        let Some(device) = fields.next().filter(|device| !is_passed_over(device)) else {
            continue;
        };
        for ((family, scale), field) in COLUMNS.iter().zip(fields) {
            if let Some(value) = number(field) {
                out.push(family, &[("device", device)], value * scale);
            }
        }
    }
}

/// Partitions (their disk is counted), and devices that hold nothing of their own.
fn is_passed_over(device: &str) -> bool {
    let stem = device.trim_end_matches(|digit: char| digit.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    if matches!(stem, "ram" | "loop" | "fd") {
        return true;
    }
    if let Some(disk) = stem
        .strip_prefix("nvme")
        .and_then(|rest| rest.strip_suffix('p'))
    {
        return disk.contains('n');
    }
    ["hd", "sd", "vd", "xvd"].iter().any(|bus| {
        let letter = stem.strip_prefix(bus).map(str::as_bytes);
        matches!(letter, Some([letter]) if letter.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_count_and_their_partitions_do_not() {
        for device in [
            "sda", "vdb", "xvda", "nvme0n1", "dm-0", "md127", "zram0", "mmcblk0", "sdaa1",
        ] {
            assert!(!is_passed_over(device), "{device}");
        }
        for device in [
            "sda1",
            "vdb12",
            "xvda2",
            "nvme0n1p3",
            "loop7",
            "ram0",
            "fd0",
            "hdc1",
        ] {
            assert!(is_passed_over(device), "{device}");
        }
    }

    #[test]
    fn old_kernels_and_garbage_give_what_they_have() {
        let mut out = Scrape::default();
        parse("8 0 sda 1 2 4 8\n\n8\n9 0 md0 x y 2\n", &mut out);
        let lines = crate::scrape::lines(&out);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines.contains(&"node_disk_read_bytes_total{device=\"sda\"} 2048".to_owned()));
        assert!(lines.contains(&"node_disk_read_bytes_total{device=\"md0\"} 1024".to_owned()));
    }
}
