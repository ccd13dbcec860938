//! Parquet tiers on object storage: encoding, the commit, recovery and upkeep.

mod encode;
mod read;

pub use encode::{
    EncodeError, EncodeSettings, Encoded, Keyed, KeyedRun, Profile, RollupWriter, RowKey,
    SampleWriter, Values, day_of, encode_rejects, encode_rollups, encode_samples, encode_sealed,
    encode_series, file_schema, iso_date, samples_schema,
};
pub use read::{
    Block, Filter, Merge, Merged, ReadError, RowReader, Stored, data_path, read_rows, read_samples,
};
