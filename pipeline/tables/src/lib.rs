//! What a lake holds: the tables and their columns, the log of commits and the state it adds up to.
//!
//! Writers of tiers (`sinks/lake`) and readers (`queries`) agree on what is here and on nothing
//! else. Every table is a Delta Lake table; the log of `samples` is the one that counts, as each of
//! its entries carries a [`Commit`] that names the files of every other table too.

mod action;
mod commit;
mod datafile;
pub mod decimal;
mod entry;
mod log;
pub mod paths;
mod schema;
mod state;
mod statefile;
mod table;

pub use action::{Action, Add, CommitInfo, Format, MetaData, Protocol, Remove, Txn};
pub use commit::{Commit, CommitKind, FileChanges};
pub use datafile::{DataFile, FileKind, Key};
pub use entry::{delta_entry, parse_commit};
pub use log::{LogError, LogReader, Versioned};
pub use schema::{columns, delta_schema};
pub use state::{Birth, Dirtied, LakeState, REMOVED_KEPT_MS, TableState, spans};
pub use statefile::{StateMark, StatePointer, decode_state, encode_state};
pub use table::Table;
pub use tidegauge_model::Counts;
