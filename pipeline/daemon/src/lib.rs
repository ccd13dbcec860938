//! The program behind the binary `tidegauge`: command line, configuration, wiring, shutdown.

pub mod agent;
pub mod cli;
pub mod config;
pub mod log;
pub mod run;
pub mod serve;
pub mod shutdown;
pub mod sql;
pub mod stats;
pub mod status;
pub mod up;
