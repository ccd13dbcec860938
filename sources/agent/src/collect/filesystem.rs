//! Room on each mounted file system, from `/proc/1/mounts` (or our own) and the call `statvfs`.

use std::collections::HashSet;
use std::io;

use rustix::fs::StatVfs;

use super::Machine;
use crate::scrape::{Family, Scrape};

static SIZE: Family = Family::gauge("node_filesystem_size_bytes", "Filesystem size in bytes.");
static FREE: Family = Family::gauge(
    "node_filesystem_free_bytes",
    "Filesystem free space in bytes.",
);
static AVAILABLE: Family = Family::gauge(
    "node_filesystem_avail_bytes",
    "Filesystem space available to non-root users in bytes.",
);
static FILES: Family = Family::gauge("node_filesystem_files", "Filesystem total file nodes.");
static FILES_FREE: Family = Family::gauge(
    "node_filesystem_files_free",
    "Filesystem total free file nodes.",
);
static READ_ONLY: Family =
    Family::gauge("node_filesystem_readonly", "Filesystem read-only status.");
static ERROR: Family = Family::gauge(
    "node_filesystem_device_error",
    "Whether an error occurred while getting statistics for the given device.",
);

/// File systems that hold no files of anyone's.
const TYPES_PASSED_OVER: [&str; 26] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "efivarfs",
    "fuse.lxcfs",
];

/// At and below these nothing is of interest.
const PLACES_PASSED_OVER: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Below these are the mounts of single services and containers; they themselves may well be a disk
/// that fills up.
const INSIDES_PASSED_OVER: [&str; 3] = [
    "/run/credentials",
    "/var/lib/docker",
    "/var/lib/containers/storage",
];

/// File systems of other machines: asking one that is gone would hold up every other metric, for
/// the call can't be given up.
const REMOTE_TYPES: [&str; 10] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "9p",
];

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    mountpoint: String,
    fstype: String,
    read_only: bool,
}

pub(super) fn collect(machine: &Machine, _now: i64, out: &mut Scrape) -> io::Result<()> {
    // The first process sees what the machine has mounted, we may see less; but we may also not be
    // allowed to ask.
    let mounts = machine
        .proc("1/mounts")
        .or_else(|_| machine.proc("mounts"))?;
    for mount in parse(&mounts) {
        let stat = rustix::fs::statvfs(mount.mountpoint.as_str());
        samples(&mount, stat.ok().as_ref(), out);
    }
    Ok(())
}

/// The mounts to look at, each device and place once.
fn parse(mounts: &str) -> Vec<Mount> {
    let mut seen = HashSet::new();
    let mut taken = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, mountpoint, fstype, options, ..] = fields[..] else {
            continue;
        };
        let mount = Mount {
            device: unescape(device),
            mountpoint: unescape(mountpoint),
            fstype: fstype.to_owned(),
            read_only: options.split(',').any(|option| option == "ro"),
        };
        if !is_passed_over(&mount) && seen.insert((mount.device.clone(), mount.mountpoint.clone()))
        {
            taken.push(mount);
        }
    }
    taken
}

fn is_passed_over(mount: &Mount) -> bool {
    let fstype = mount.fstype.as_str();
    let is_below = |place: &&str| {
        let rest = mount.mountpoint.strip_prefix(*place);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    TYPES_PASSED_OVER.contains(&fstype)
        || REMOTE_TYPES.contains(&fstype)
        || fstype.starts_with("fuse.")
        || PLACES_PASSED_OVER.contains(&mount.mountpoint.as_str())
        || PLACES_PASSED_OVER.iter().any(is_below)
        || INSIDES_PASSED_OVER.iter().any(is_below)
}

/// Spaces and the like are written as `\` and three octal digits.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn samples(mount: &Mount, stat: Option<&StatVfs>, out: &mut Scrape) {
    let labels = [
        ("device", mount.device.as_str()),
        ("fstype", mount.fstype.as_str()),
        ("mountpoint", mount.mountpoint.as_str()),
    ];
    out.push(&ERROR, &labels, f64::from(u8::from(stat.is_none())));
    let Some(stat) = stat else { return };
    let bytes = |blocks: u64| blocks as f64 * stat.f_frsize as f64;
    out.push(&SIZE, &labels, bytes(stat.f_blocks));
    out.push(&FREE, &labels, bytes(stat.f_bfree));
    out.push(&AVAILABLE, &labels, bytes(stat.f_bavail));
    out.push(&FILES, &labels, stat.f_files as f64);
    out.push(&FILES_FREE, &labels, stat.f_ffree as f64);
    out.push(&READ_ONLY, &labels, f64::from(u8::from(mount.read_only)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_chosen_and_unescaped() {
        let text = "proc /proc proc rw 0 0\n\
                    /dev/sda1 / ext4 rw,relatime 0 0\n\
                    /dev/sda1 / ext4 rw,relatime 0 0\n\
                    /dev/sdb1 /my\\040disk xfs ro,noatime 0 0\n\
                    tmpfs /dev/shm tmpfs rw 0 0\n\
                    tmpfs /developer tmpfs rw 0 0\n\
                    udev /dev tmpfs rw 0 0\n\
                    /dev/sdc1 /var/lib/docker ext4 rw 0 0\n\
                    /dev/sdc1 /var/lib/docker/volumes/v ext4 rw 0 0\n\
                    /dev/sdd1 /var/lib/containers/storage xfs rw 0 0\n\
                    nas:/x /nas nfs4 rw 0 0\n\
                    broken line\n";
        let places: Vec<_> = parse(text)
            .into_iter()
            .map(|mount| (mount.mountpoint, mount.read_only))
            .collect();
        let expected = [
            ("/", false),
            ("/my disk", true),
            ("/developer", false),
            ("/var/lib/docker", false),
            ("/var/lib/containers/storage", false),
        ];
        assert_eq!(places, expected.map(|(place, ro)| (place.to_owned(), ro)));
    }

    #[test]
    fn a_backslash_that_means_nothing_stays() {
        assert_eq!(unescape("a\\134b\\9\\"), "a\\b\\9\\");
    }
}
