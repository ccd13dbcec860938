//! Parquet tiers on object storage: encoding, the commit, recovery and upkeep.
