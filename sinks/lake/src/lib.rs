//! Parquet tiers on object storage: encoding, the commit, recovery and upkeep.

mod encode;

pub use encode::{
    EncodeError, EncodeSettings, Encoded, Keyed, Profile, RollupRun, RowKey, SampleRun, Values,
    day_of, encode_rejects, encode_rollups, encode_samples, encode_sealed, encode_series,
    file_schema, iso_date,
};
