//! Merged rows to files: one after the other in key order, each put when it is large enough.

use object_store::ObjectStoreExt;
use tidegauge_model::{Rollup, SeriesSeen};
use tidegauge_tables::{DataFile, FileKind, Table};
use uuid::Uuid;

use super::{Upkeep, UpkeepError};
use crate::encode::{
    EncodeError, EncodeSettings, Encoded, Profile, RollupWriter, RowKey, SampleWriter,
    encode_series,
};
use crate::read::{Stored, data_path};

/// About what a series with its labels takes in a file.
const SERIES_BYTES: usize = 128;

/// Rows that upkeep writes.
pub(super) trait Rows: Stored + Sync {
    /// One file in the making.
    type Writer: Send;

    fn begin(table: Table, encode: &EncodeSettings) -> Result<Self::Writer, EncodeError>;

    fn push(
        writer: &mut Self::Writer,
        key: &RowKey,
        time: &[i64],
        rows: &[Self],
    ) -> Result<(), EncodeError>;

    fn bytes(writer: &Self::Writer) -> usize;

    fn end(writer: Self::Writer, kind: FileKind, id: Uuid) -> Result<Option<Encoded>, EncodeError>;
}

impl Rows for f64 {
    type Writer = SampleWriter;

    fn begin(_: Table, encode: &EncodeSettings) -> Result<SampleWriter, EncodeError> {
        SampleWriter::new(encode.values, &encode.compaction)
    }

    fn push(
        writer: &mut SampleWriter,
        key: &RowKey,
        time: &[i64],
        rows: &[Self],
    ) -> Result<(), EncodeError> {
        writer.push(key, time, rows)
    }

    fn bytes(writer: &SampleWriter) -> usize {
        writer.bytes()
    }

    fn end(writer: SampleWriter, kind: FileKind, id: Uuid) -> Result<Option<Encoded>, EncodeError> {
        writer.finish(kind, id)
    }
}

impl Rows for Rollup {
    type Writer = RollupWriter;

    fn begin(table: Table, encode: &EncodeSettings) -> Result<RollupWriter, EncodeError> {
        RollupWriter::new(table, &encode.compaction)
    }

    fn push(
        writer: &mut RollupWriter,
        key: &RowKey,
        time: &[i64],
        rows: &[Self],
    ) -> Result<(), EncodeError> {
        let mut rows = time.iter().zip(rows);
        rows.try_for_each(|(start, row)| writer.push(key, *start, *row))
    }

    fn bytes(writer: &RollupWriter) -> usize {
        writer.bytes()
    }

    fn end(writer: RollupWriter, kind: FileKind, id: Uuid) -> Result<Option<Encoded>, EncodeError> {
        writer.finish(kind, id)
    }
}

/// Series are few and written at once.
pub(super) struct SeriesWriter {
    seen: Vec<SeriesSeen>,
    profile: Profile,
}

impl Rows for SeriesSeen {
    type Writer = SeriesWriter;

    fn begin(_: Table, encode: &EncodeSettings) -> Result<SeriesWriter, EncodeError> {
        Ok(SeriesWriter {
            seen: Vec::new(),
            profile: encode.compaction,
        })
    }

    fn push(
        writer: &mut SeriesWriter,
        _: &RowKey,
        _: &[i64],
        rows: &[Self],
    ) -> Result<(), EncodeError> {
        writer.seen.extend_from_slice(rows);
        Ok(())
    }

    fn bytes(writer: &SeriesWriter) -> usize {
        writer.seen.len() * SERIES_BYTES
    }

    fn end(writer: SeriesWriter, kind: FileKind, id: Uuid) -> Result<Option<Encoded>, EncodeError> {
        let seen: Vec<_> = writer.seen.iter().collect();
        let mut encoded = encode_series(&seen, &writer.profile, id)?;
        if let Some(encoded) = &mut encoded {
            encoded.file.kind = kind;
        }
        Ok(encoded)
    }
}

/// Files of one table, day and kind, in the making.
pub(super) struct Out<'a, T: Rows> {
    upkeep: &'a Upkeep,
    table: Table,
    kind: FileKind,
    writer: Option<T::Writer>,
    done: Vec<DataFile>,
}

impl<'a, T: Rows> Out<'a, T> {
    pub(super) fn new(upkeep: &'a Upkeep, table: Table, kind: FileKind) -> Self {
        Self {
            upkeep,
            table,
            kind,
            writer: None,
            done: Vec::new(),
        }
    }

    pub(super) const fn table(&self) -> Table {
        self.table
    }

    /// Adds all rows of one series, which follows the one before in file order.
    pub(super) async fn push(
        &mut self,
        key: &RowKey,
        time: &[i64],
        rows: &[T],
    ) -> Result<(), UpkeepError> {
        if time.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(T::begin(self.table, &self.upkeep.encode)?),
        };
        T::push(writer, key, time, rows)?;
        if T::bytes(writer) as u64 >= self.upkeep.settings.file_bytes {
            self.put().await?;
        }
        Ok(())
    }

    /// The files, all of them put.
    pub(super) async fn finish(mut self) -> Result<Vec<DataFile>, UpkeepError> {
        self.put().await?;
        Ok(self.done)
    }

    async fn put(&mut self) -> Result<(), UpkeepError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let Some(encoded) = T::end(writer, self.kind, self.upkeep.id())? else {
            return Ok(());
        };
        self.done.push(self.upkeep.put(encoded).await?);
        Ok(())
    }
}

impl Upkeep {
    /// Puts a file that is as upkeep leaves it.
    pub(super) async fn put(&self, encoded: Encoded) -> Result<DataFile, UpkeepError> {
        let mut file = encoded.file;
        file.compacted = true;
        let path = data_path(encoded.table, &file);
        self.store.put(&path, encoded.bytes.into()).await?;
        Ok(file)
    }
}
