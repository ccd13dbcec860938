//! What a row is sorted by before its time: tenant, name and series id.

use std::cmp::Ordering;
use std::sync::Arc;

use tidegauge_model::{Series, SeriesId};
use tidegauge_tables::Key;

/// Says whose rows a run holds. A [`Series`] does, and so does a [`RowKey`] read back from a file.
pub trait Keyed {
    /// The tenant.
    fn tenant(&self) -> &str;
    /// The metric's name.
    fn name(&self) -> &str;
    /// The series' id.
    fn series_id(&self) -> SeriesId;

    /// Tenant and name, as file entries have them.
    fn key(&self) -> Key {
        Key {
            tenant: self.tenant().to_owned(),
            name: self.name().to_owned(),
        }
    }
}

impl Keyed for Series {
    fn tenant(&self) -> &str {
        self.tenant()
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn series_id(&self) -> SeriesId {
        self.id()
    }
}

/// A series as files of samples and rollups name it: without labels. Ordered as rows are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The metric's name.
    pub name: Arc<str>,
    /// The series' id.
    pub series_id: SeriesId,
}

impl Keyed for RowKey {
    fn tenant(&self) -> &str {
        &self.tenant
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn series_id(&self) -> SeriesId {
        self.series_id
    }
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let id = |key: &Self| key.series_id.as_i64();
        (&*self.tenant, &*self.name, id(self)).cmp(&(&*other.tenant, &*other.name, id(other)))
    }
}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
