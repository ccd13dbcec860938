//! Late samples of minutes whose raw has expired: a repair merges them into their rows, and the same commit takes
//! them out of raw. Were they left there, the next repair of their minute would merge them once more.

use std::sync::Arc;

use tidegauge_model::{MINUTE_MS, Window, floor};
use tidegauge_tables::{DataFile, FileChanges, LakeState, Table};

use super::repair::touches;
use super::write::Out;
use super::{Upkeep, UpkeepError};
use crate::read::{Filter, Merge, Merged};

impl Upkeep {
    /// The files of `samples` written anew without the rows of those of the minutes `repaired` (ascending
    /// starts) of which raw has expired; none if there are no such rows.
    pub(super) async fn without_merged(
        &self,
        state: &LakeState,
        repaired: &[i64],
    ) -> Result<Option<FileChanges>, UpkeepError> {
        let Some(samples) = state.tables.get(&Table::Samples) else {
            return Ok(None);
        };
        let expired = |minute: &i64| samples.has_expired_in(*minute, minute + MINUTE_MS - 1);
        let gone: Vec<i64> = repaired.iter().copied().filter(expired).collect();
        let mut changes = FileChanges::default();
        for file in samples.files.values().filter(|file| touches(file, &gone)) {
            if self.holds_rows_of(file, &gone).await? {
                changes.add.extend(self.without_rows_of(file, &gone).await?);
                changes.remove.push(file.path.clone());
            }
        }
        Ok((!changes.remove.is_empty()).then_some(changes))
    }

    async fn holds_rows_of(
        &self,
        file: &Arc<DataFile>,
        minutes: &[i64],
    ) -> Result<bool, UpkeepError> {
        let only = Filter::window(Window {
            start: minutes[0],
            end: minutes[minutes.len() - 1] + MINUTE_MS,
        });
        let mut rows = self.samples_of(file, &only).await?;
        while let Some(series) = rows.next().await? {
            if series.time.iter().any(|time| is_in(*time, minutes)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn without_rows_of(
        &self,
        file: &Arc<DataFile>,
        minutes: &[i64],
    ) -> Result<Vec<DataFile>, UpkeepError> {
        let mut out = Out::<f64>::new(self, Table::Samples, file.kind);
        let mut rows = self.samples_of(file, &Filter::all()).await?;
        while let Some(Merged {
            key, time, rows, ..
        }) = rows.next().await?
        {
            let kept = std::iter::zip(time, rows).filter(|(time, _)| !is_in(*time, minutes));
            let (time, value): (Vec<_>, Vec<_>) = kept.unzip();
            out.push(&key, &time, &value).await?;
        }
        out.finish().await
    }

    async fn samples_of(
        &self,
        file: &Arc<DataFile>,
        filter: &Filter,
    ) -> Result<Merge<f64>, UpkeepError> {
        let files = std::slice::from_ref(file);
        Ok(Merge::open(&self.store, Table::Samples, files, filter).await?)
    }
}

fn is_in(time: i64, minutes: &[i64]) -> bool {
    minutes.binary_search(&floor(time, MINUTE_MS)).is_ok()
}
