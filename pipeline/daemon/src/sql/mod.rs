//! `tidegauge sql`: answers from the tiers alone or through a running server.

mod prompt;
mod statements;
mod target;
mod words;

use std::io::{self, IsTerminal, Read, Write};

use anyhow::{Context, bail};
use tidegauge_queries::Format;

use crate::cli::{AnswerFormat, SqlArgs};
use crate::config::Config;

pub use statements::split;
pub use target::{Lake, Server, Sink, Target};
pub use words::Words;

impl From<AnswerFormat> for Format {
    fn from(format: AnswerFormat) -> Self {
        match format {
            AnswerFormat::Table => Self::Table,
            AnswerFormat::Csv => Self::Csv,
            AnswerFormat::Json => Self::Json,
            AnswerFormat::Ndjson => Self::JsonLines,
            AnswerFormat::Arrow => Self::Arrow,
        }
    }
}

/// Answers the query, the prompt's, or those of standard input.
///
/// # Errors
/// If a query fails (later ones are not tried), or who should answer can't be reached.
pub fn run(args: &SqlArgs, config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting threads")?;
    let format = args.format.into();
    if format == Format::Arrow && io::stdout().is_terminal() {
        bail!(
            "arrow is binary and not for terminals; send it to a file or a program: > answer.arrow"
        );
    }
    let mut target = match &args.server {
        Some(url) => Target::Server(Server::new(url, args.tenant.clone())?),
        None => Target::Lake(Box::new(runtime.block_on(Lake::open(config))?)),
    };
    if args.query.is_none() && io::stdin().is_terminal() {
        return prompt::run(&mut target, &runtime, format);
    }
    let text = match &args.query {
        Some(query) => query.clone(),
        None => {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .context("reading statements from standard input")?;
            text
        }
    };
    let (statements, _) = split(&text);
    if statements.is_empty() {
        bail!("there is no statement to answer; give a query, or begin the prompt on a terminal");
    }
    for statement in statements {
        runtime.block_on(target.answer(statement, format, &mut write_out))?;
    }
    Ok(())
}

/// Writes a piece of an answer to standard output.
fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
