//! The prompt: statements over several lines up to a semicolon, history, completion, and the few
//! commands that begin with a backslash.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter};
use tidegauge_queries::Format;
use tokio::runtime::Runtime;

use super::statements::split;
use super::target::Target;
use super::words::Words;
use super::write_out;

const GREETING: &str = "\
End a statement with a semicolon. \\d lists metrics, \\d TABLE its columns, \\timing shows how long
queries take, \\? all commands, \\q leaves. Tab completes.";

const HELP: &str = "\
\\d           metrics with their series, after the base tables
\\d TABLE     columns of a table, such as \\d raw.\"cpu.load\"
\\timing      show, or no longer show, how long queries take
\\format F    table, csv, json or ndjson
\\?           this
\\q           leave";

/// The base tables of this lake: not all lakes have all.
const TABLES: &str = "SELECT table_name AS word FROM information_schema.tables \
    WHERE table_schema = 'lake' ORDER BY 1";

/// How many metrics `\d` lists.
const LISTED: usize = 200;

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Statements(Vec<String>),
    List,
    Describe(String),
    Timing,
    Format(String),
    Help,
    Leave,
    Unknown(String),
}

fn read(line: &str) -> Asked {
    let line = line.trim();
    let Some(command) = line.strip_prefix('\\') else {
        if ["quit", "exit"].contains(&line.trim_end_matches(';')) {
            return Asked::Leave;
        }
        return Asked::Statements(split(line).0.into_iter().map(str::to_owned).collect());
    };
    let (word, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim().trim_end_matches(';').to_owned();
    match word.trim_end_matches(';') {
        "d" if rest.is_empty() => Asked::List,
        "d" => Asked::Describe(rest),
        "timing" => Asked::Timing,
        "format" => Asked::Format(rest),
        "?" | "h" | "help" => Asked::Help,
        "q" | "quit" => Asked::Leave,
        other => Asked::Unknown(other.to_owned()),
    }
}

#[derive(Helper, Highlighter, Hinter)]
struct Typist {
    words: Words,
}

impl Completer for Typist {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.words.complete(&line[..at]);
        let pair = |text: String| Pair {
            display: text.clone(),
            replacement: text,
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Validator for Typist {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(typed.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

fn is_complete(typed: &str) -> bool {
    let line = typed.trim();
    line.starts_with('\\') || ["", "quit", "exit"].contains(&line) || !split(typed).1
}

/// Reads and answers until the user leaves.
///
/// # Errors
/// If the terminal fails. Queries that fail are reported, and the prompt goes on.
pub(super) fn run(
    target: &mut Target,
    runtime: &Runtime,
    mut format: Format,
) -> anyhow::Result<()> {
    let words = runtime.block_on(words(target));
    let settings = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .auto_add_history(true)
        .build();
    let mut editor: Editor<Typist, DefaultHistory> =
        Editor::with_config(settings).context("opening the terminal")?;
    editor.set_helper(Some(Typist { words }));
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    println!("{GREETING}");
    let mut timing = false;
    loop {
        let line = match editor.readline("tidegauge> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("reading from the terminal"),
        };
        match read(&line) {
            Asked::Leave => break,
            Asked::Help => println!("{HELP}"),
            Asked::Timing => {
                timing = !timing;
                println!("timing is {}", if timing { "on" } else { "off" });
            }
            Asked::Format(name) => match name.parse() {
                Ok(Format::Arrow) => {
                    eprintln!("arrow is not for terminals; use --format arrow with a query")
                }
                Ok(known) => format = known,
                Err(error) => eprintln!("{error}"),
            },
            Asked::Unknown(word) => eprintln!("there is no \\{word}; \\? lists the commands"),
            Asked::List => {
                let tables = runtime.block_on(column(target, TABLES)).join(", ");
                println!(
                    "base tables: {tables}\none table per metric: raw.\"NAME\", rollup_1m.\"NAME\", rollup_1h.\"NAME\""
                );
                let query = format!(
                    "SELECT name AS metric, type, unit, count(DISTINCT series_id) AS series \
                     FROM series GROUP BY 1, 2, 3 ORDER BY 1 LIMIT {LISTED}"
                );
                answer(target, runtime, &query, format, timing);
            }
            Asked::Describe(table) => answer(
                target,
                runtime,
                &format!("DESCRIBE {table}"),
                format,
                timing,
            ),
            Asked::Statements(statements) => {
                for statement in statements {
                    answer(target, runtime, &statement, format, timing);
                }
            }
        }
    }
    if let Some(file) = &history
        && let Err(error) = editor.save_history(file)
    {
        eprintln!(
            "the history could not be kept in {}: {error}",
            file.display()
        );
    }
    Ok(())
}

/// Answers one query on the terminal; Ctrl-C stops the query, not the prompt.
fn answer(target: &mut Target, runtime: &Runtime, query: &str, format: Format, timing: bool) {
    let began = Instant::now();
    let answered = runtime.block_on(async {
        let mut out = write_out;
        tokio::select! {
            answered = target.answer(query, format, &mut out) => answered,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("stopped"),
        }
    });
    match answered {
        Ok(()) => println!(),
        Err(error) => eprintln!("error: {error:#}"),
    }
    if timing {
        println!("time: {:.1} ms", began.elapsed().as_secs_f64() * 1000.0);
    }
}

/// The names that completion knows; none if they can't be read, which the first query will tell.
async fn words(target: &mut Target) -> Words {
    let mut words = Words::default();
    let metrics = "SELECT DISTINCT name AS word FROM series ORDER BY 1 LIMIT 20000";
    words.metrics.extend(column(target, metrics).await);
    let labels = "SELECT DISTINCT unnest(map_keys(labels)) AS word FROM series LIMIT 2000";
    words.labels.extend(column(target, labels).await);
    words
}

async fn column(target: &mut Target, query: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    let mut keep = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    if target.answer(query, Format::Json, &mut keep).await.is_err() {
        return Vec::new();
    }
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    rows.iter()
        .filter_map(|row| row["word"].as_str().map(str::to_owned))
        .collect()
}

/// Where the history is kept: in the user's state directory, as XDG has it.
fn history_file() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|text| !text.is_empty())
            .map(PathBuf::from)
    };
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let folder = state.join("tidegauge");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_statements_or_commands() {
        assert_eq!(
            read("select 1; select 2;"),
            Asked::Statements(vec!["select 1".into(), "select 2".into()])
        );
        assert_eq!(read("\\d"), Asked::List);
        assert_eq!(
            read("\\d raw.\"cpu.load\";"),
            Asked::Describe("raw.\"cpu.load\"".into())
        );
        assert_eq!(read("\\timing"), Asked::Timing);
        assert_eq!(read("\\q"), Asked::Leave);
        assert_eq!(read("exit"), Asked::Leave);
        assert_eq!(read("\\x"), Asked::Unknown("x".into()));
    }

    #[test]
    fn a_statement_goes_on_until_its_semicolon() {
        for whole in ["", "\\d", "quit", "select 1;", "select ';';"] {
            assert!(is_complete(whole), "{whole:?}");
        }
        for part in ["select 1", "select 'a;", "select 1; select"] {
            assert!(!is_complete(part), "{part:?}");
        }
    }
}
