//! Where the kernel's files are.

use std::io;
use std::path::PathBuf;

/// The roots of the kernel's files.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    proc: PathBuf,
    sys: PathBuf,
}

impl Machine {
    /// The machine this process runs on.
    pub(crate) fn this() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
        }
    }

    /// A machine whose files were copied to `proc` and `sys` below `root`.
    #[cfg(test)]
    pub(crate) fn below(root: &std::path::Path) -> Self {
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
        }
    }

    /// Reads a file below `/proc`.
    pub(crate) fn proc(&self, path: &str) -> io::Result<String> {
        text(&self.proc.join(path))
    }

    /// Reads a file below `/sys`.
    pub(crate) fn sys(&self, path: &str) -> io::Result<String> {
        text(&self.sys.join(path))
    }

    /// The names in a directory below `/sys`, sorted.
    pub(crate) fn sys_names(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.sys.join(path))? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }
}

/// The kernel writes ASCII; what a user has named otherwise must not hide the rest.
fn text(path: &std::path::Path) -> io::Result<String> {
    let bytes = std::fs::read(path)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
