//! What a lake holds: schemas, the log of commits as state, value encodings. Shared by writers and readers of tiers.
