//! Parquet tiers on object storage: encoding, the commit, recovery and upkeep.

mod checkpoint;
mod claim;
mod clock;
mod commit;
mod encode;
pub mod faults;
mod log;
mod log_store;
mod project;
mod read;
mod store;
mod sweep;
mod upkeep;

pub use checkpoint::{KeepError, Kept};
pub use claim::ClaimError;
pub use clock::{Clock, SystemClock};
pub use commit::{CommitError, Committer, Draft, DraftError};
pub use encode::{
    EncodeError, EncodeSettings, Encoded, Keyed, KeyedRun, Profile, RollupWriter, RowKey,
    SampleWriter, Values, day_of, encode_rejects, encode_rollups, encode_samples, encode_sealed,
    encode_series, file_schema, iso_date, samples_schema,
};
pub use log_store::LogSettings;
pub use read::{
    Block, Filter, Merge, Merged, ReadError, RowReader, Stored, data_path, read_rows, read_samples,
};
pub use store::{
    Credentials, DurableFolder, RetrySettings, Retrying, Store, StoreError, StoreHealth,
    StoreReport, StoreSettings, open_store,
};
pub use sweep::orphans;
pub use upkeep::{
    RetentionRule, RetentionSettings, Upkeep, UpkeepError, UpkeepReport, UpkeepSettings,
    UpkeepTotals,
};
