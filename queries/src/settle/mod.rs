//! Settling: of several rows for one series and time, the one that counts.

mod cursor;
mod exec;
mod judged;
mod merge;
mod page;
mod pick;
mod rule;

pub(crate) use exec::{Group, Input, SettleExec};
pub(crate) use pick::COMPUTED;
