//! The operators, one a file. They move data and frontiers; what is computed is in pure functions
//! elsewhere.

pub(crate) mod assemble;
pub(crate) mod mint;
pub(crate) mod sources;
pub(crate) mod windows;
