//! What is encoded reads back as it was: through our own reader and through a stock one, against
//! naive oracles over seeded input.

mod merge;
mod rows;
mod samples;
mod seal;
