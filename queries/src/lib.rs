//! SQL over the tiers by DataFusion, and its HTTP API.
