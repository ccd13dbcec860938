//! What can go wrong with a query, told apart by who can mend it.

use std::time::Duration;

use datafusion::error::DataFusionError;

/// Why a query has no answer, or only part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The text is no query that can be answered; the message says why.
    #[error("{0}")]
    Invalid(String),
    /// The text is a statement that changes something.
    #[error(
        "only queries are answered here (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE), and one at a time; this is {0}"
    )]
    NotAQuery(String),
    /// It took too long.
    #[error("the query took longer than {} s and was stopped; narrow its time range or use a rollup table", .0.as_secs_f64())]
    Timeout(Duration),
    /// Its text is too long to be read; the bytes that may be.
    #[error("the request's body is longer than {0} bytes")]
    TooLong(usize),
    /// Its text stopped coming.
    #[error("nothing more of the request's body came within {} s of its first {after_bytes} bytes", .idle.as_secs_f64())]
    Stalled {
        /// How much had come.
        after_bytes: usize,
        /// How long it was waited for.
        idle: Duration,
    },
    /// Its answer is too large.
    #[error("the answer has more than {0} rows; add LIMIT, aggregate, or raise `max_rows`")]
    TooManyRows(u64),
    /// It needs too much memory.
    #[error("the query needs more than the {limit_bytes} bytes of memory it may have: {detail}")]
    Memory {
        /// How much it may have.
        limit_bytes: usize,
        /// What needed it.
        detail: String,
    },
    /// Too many queries are running.
    #[error("{0} queries are running, as many as may; try again shortly")]
    Busy(usize),
    /// The store, a file, or the engine itself failed.
    #[error("reading the tiers failed: {0}")]
    Failed(String),
}

impl QueryError {
    /// A word for the kind of error, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotAQuery(_) => "not_a_query",
            Self::Timeout(_) => "timeout",
            Self::TooLong(_) => "too_long",
            Self::Stalled { .. } => "stalled",
            Self::TooManyRows(_) => "too_many_rows",
            Self::Memory { .. } => "memory",
            Self::Busy(_) => "busy",
            Self::Failed(_) => "failed",
        }
    }

    /// Sorts an error of DataFusion's by who can mend it.
    pub(crate) fn from_datafusion(error: &DataFusionError, memory_bytes: usize) -> Self {
        // What stands round the root names rules of the planner, which tells a user nothing.
        let root = error.find_root();
        let text = root.strip_backtrace();
        if let Some(why) = pattern_fault(&text) {
            return Self::Invalid(why);
        }
        let detail = first_line(&text);
        match root {
            // Its own words hold the parser's as Rust would write them.
            DataFusionError::SQL(error, _) => Self::Invalid(first_line(&error.to_string())),
            DataFusionError::ResourcesExhausted(detail) => Self::Memory {
                limit_bytes: memory_bytes,
                detail: first_line(detail),
            },
            DataFusionError::ObjectStore(_)
            | DataFusionError::IoError(_)
            | DataFusionError::ParquetError(_)
            | DataFusionError::Internal(_)
            | DataFusionError::External(_)
            | DataFusionError::ExecutionJoin(_) => Self::Failed(detail),
            _ => Self::Invalid(detail),
        }
    }
}

/// What is wrong with a regular expression, if that is what is wrong. It comes in wrappings that differ by
/// function, and tells the reason in its last line.
fn pattern_fault(text: &str) -> Option<String> {
    let (_, fault) = text.split_once("regex parse error:")?;
    let mut lines = fault.lines().filter(|line| !line.trim().is_empty());
    let pattern = lines.next()?.trim();
    let why = lines.next_back()?.trim().trim_start_matches("error: ");
    Some(format!("regular expression `{pattern}`: {why}"))
}

fn first_line(text: &str) -> String {
    let mut line = text.lines().next().unwrap_or_default();
    for prefix in [
        "Error during planning: ",
        "sql parser error: ",
        "Schema error: ",
        "Execution error: ",
    ] {
        line = line.strip_prefix(prefix).unwrap_or(line);
    }
    let line = line.trim();
    if line.is_empty() {
        text.replace('\n', " ")
    } else {
        line.to_owned()
    }
}
