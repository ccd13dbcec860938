//! From the command line to the command, and from its end to an exit code: 0 done, 1 failed, 2
//! wrongly asked (also what clap uses).

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::{Config, Flag, Inputs, Problems, load};

/// What a wrongly asked command exits with.
const USAGE: u8 = 2;

/// Does what the command line asks.
#[must_use]
pub fn run(cli: &Cli) -> ExitCode {
    match command(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            crate::status::clear();
            let usage = error.downcast_ref::<Problems>().is_some();
            eprintln!("{}{error:#}", if usage { "" } else { "error: " });
            if usage {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Whoever read our output wants no more of it: that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn command(cli: &Cli) -> anyhow::Result<ExitCode> {
    let log = cli.log.clone();
    let log = log.map(|filter| Flag {
        name: "--log",
        key: "log",
        value: filter.into(),
    });
    let config = |flags: Vec<Flag>| {
        let flags = flags.into_iter().chain(log.clone()).collect();
        read(cli.config.as_deref(), environment(), flags)
    };
    match &cli.command {
        Command::Up(args) => {
            let config = config(args.flags())?;
            crate::log::init(&config.log)?;
            make_writable(&config.data)?;
            crate::up::run(config, crate::shutdown::on_signals()?)?;
        }
        Command::Sql(args) => {
            let mut config = config(args.flags())?;
            // An answer is what is asked for; what the parts log is not, unless it is.
            if cli.log.is_none() && config.log == Config::default().log {
                config.log = "warn".into();
            }
            crate::log::init(&config.log)?;
            crate::sql::run(args, &config)?;
        }
        Command::Agent(args) => {
            let config = config(args.flags())?;
            crate::log::init(&config.log)?;
            crate::agent::run(&config)?;
        }
        Command::Config {
            command: ConfigCommand::Show,
        } => {
            io::stdout().write_all(config(Vec::new())?.show().as_bytes())?;
        }
        Command::Config {
            command: ConfigCommand::Check { file },
        } => {
            read(Some(file), Vec::new(), Vec::new())?;
            println!("{}: good", file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The variables of the environment; those that are no text can't be ours.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Reads the configuration from all its layers.
///
/// # Errors
/// If the file can't be read, or anything is wrong: then [`Problems`].
pub fn read(
    file: Option<&Path>,
    environment: Vec<(String, String)>,
    flags: Vec<Flag>,
) -> anyhow::Result<Config> {
    let file = file.map(|path| {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the configuration {}", path.display()))?;
        anyhow::Ok((path.display().to_string(), text))
    });
    let inputs = Inputs {
        file: file.transpose()?,
        environment,
        flags,
    };
    Ok(load(&inputs)?)
}

/// Makes the directory and makes sure that we may write there.
fn make_writable(data: &Path) -> anyhow::Result<()> {
    let tell = || {
        format!(
            "the data directory {} can't be written to; make it writable, or name another with \
             --data DIR",
            data.display()
        )
    };
    std::fs::create_dir_all(data).with_context(tell)?;
    let probe = data.join(".writable");
    std::fs::write(&probe, b"").with_context(tell)?;
    std::fs::remove_file(&probe).with_context(tell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Some(Path::new("/no/such.toml")), vec![], vec![]).expect_err("not there");
        assert!(format!("{error:#}").contains("/no/such.toml"), "{error:#}");
    }

    #[test]
    fn problems_are_told_from_failures() {
        let flag = Flag {
            name: "--log",
            key: "log",
            value: "a=b=c".into(),
        };
        let error = read(None, vec![], vec![flag]).expect_err("no filter");
        assert!(error.downcast_ref::<Problems>().is_some(), "{error:#}");
    }

    #[test]
    fn a_directory_that_can_not_be_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, b"").expect("written");
        let said = format!(
            "{:#}",
            make_writable(&file.join("data")).expect_err("below a file")
        );
        assert!(said.contains("--data DIR"), "{said}");
        make_writable(&folder.path().join("a/b")).expect("made");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::new(pipe).context("writing")));
        assert!(!is_broken_pipe(&anyhow::anyhow!("else")));
    }
}
