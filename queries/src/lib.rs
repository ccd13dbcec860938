//! SQL over the tiers by DataFusion, and its HTTP API.
//!
//! An [`Engine`] answers queries from one version of the lake at a time, which it is given through a
//! watch: in the daemon by the committer, elsewhere by whoever reads the log. Every query sees one
//! version from its first to its last row, and settled rows: of several for one series and time the
//! one that counts, and of dirty windows what the raw tier says.
//!
//! In SQL there are the tables of the lake (`samples`, `rollup_1m`, `rollup_5m`, `rollup_1h`,
//! `series`, `rejects`), and in the schemas `raw`, `rollup_1m`, `rollup_5m` and `rollup_1h` one table
//! per metric, with `time`, values, and a column a label:
//!
//! - `raw."cpu.load"`: `time`, `value` (NULL is a stale marker);
//! - `rollup_1m."cpu.load"`: `time` (the window's start), `count`, `sum`, `min`, `max`, `avg`,
//!   `first`, `last`, `increase` (what a counter rose by between the first and last sample of the
//!   window, resets added back) and `rate` (`increase` by the window's width in seconds);
//! - a label that a series lacks is NULL; one named like any of the columns above is called
//!   `label_time`, `label_value` and so on.

mod bounded;
mod columns;
mod depth;
mod engine;
mod error;
mod extremes;
mod format;
mod guard;
pub mod http;
mod metric;
mod run;
mod scan;
mod session;
mod settings;
mod settle;
mod suggest;
mod table;
mod tenant;

pub use engine::Engine;
pub use error::QueryError;
pub use format::{Encoder, Format};
pub use run::Answer;
pub use settings::{EngineSettings, QueryOptions};
