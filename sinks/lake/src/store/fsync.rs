//! A local folder as a store whose objects are durable before they count.
//!
//! `object_store`'s own local store never syncs: a power cut could leave a log entry that exists and
//! is empty. Here a put writes a hidden file, syncs it, links or renames it into place and syncs
//! the folder, and a folder that had to be made syncs the one above it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};
use tidegauge_tables::{Table, paths};

use super::staged::{remove_staged, staging_path};

/// A local folder as a store.
#[derive(Clone, Debug)]
pub struct DurableFolder {
    files: Arc<LocalFileSystem>,
    fsync: bool,
}

impl DurableFolder {
    /// Opens `folder`, which is made if it is not there. Without `fsync` objects survive the
    /// program's end but not the machine's.
    ///
    /// # Errors
    /// If the folder can't be made or is not one.
    pub fn open(folder: &FilePath, fsync: bool) -> io::Result<Self> {
        make_folder(folder, fsync)?;
        let files = LocalFileSystem::new_with_prefix(folder).map_err(io::Error::other)?;
        Ok(Self {
            files: Arc::new(files),
            fsync,
        })
    }

    /// Removes the staged files of puts that were broken off, by `kill -9` or otherwise, and last written
    /// to before `before`. It looks where the lake's objects lie; returns how many went.
    #[must_use]
    pub fn remove_staged(&self, before: SystemTime) -> usize {
        let folders = Table::ALL.map(|table| Path::from(table.name()));
        let folders = folders.into_iter().chain([paths::own_folder()]);
        folders
            .filter_map(|folder| self.files.path_to_filesystem(&folder).ok())
            .map(|folder| remove_staged(&folder, before))
            .sum()
    }
}

/// Writes `body` so that it is all there or not at all, also after a power cut.
fn put_durably(
    staging: &FilePath,
    path: &FilePath,
    body: &PutPayload,
    create: bool,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(FilePath::new("/"));
    let mut file = match OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(staging)
    {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_folder(folder, true)?;
            File::create(staging)?
        }
        opened => opened?,
    };
    body.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_data()?;
    drop(file);
    if create {
        std::fs::hard_link(staging, path)?;
        std::fs::remove_file(staging)?;
    } else {
        std::fs::rename(staging, path)?;
    }
    File::open(folder)?.sync_all()
}

/// Makes `folder` and those above it, each entry durable.
fn make_folder(folder: &FilePath, fsync: bool) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder
        .parent()
        .filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make_folder(above, fsync)?;
    }
    match std::fs::create_dir(folder) {
        // Another thread was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    match above {
        Some(above) if fsync => File::open(above)?.sync_all(),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: io::Error) -> Error {
    let (path, source) = (path.to_string(), Box::new(error));
    if source.kind() == ErrorKind::AlreadyExists {
        Error::AlreadyExists { path, source }
    } else {
        let source = format!("writing {path}: {source}").into();
        Error::Generic {
            store: "local folder",
            source,
        }
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(
        &self,
        at: &Path,
        body: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.files.put_opts(at, body, options).await,
        };
        if !self.fsync {
            return self.files.put_opts(at, body, options).await;
        }
        let path = self.files.path_to_filesystem(at)?;
        let staging = staging_path(&path);
        let put = move || {
            put_durably(&staging, &path, &body, create).inspect_err(|_| {
                // Best effort; listings pass over what stays.
                let _ = std::fs::remove_file(&staging);
            })
        };
        let done = tokio::task::spawn_blocking(put).await?;
        done.map_err(|error| failed(at, error))?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.files.put_multipart_opts(at, options).await?;
        if !self.fsync {
            return Ok(upload);
        }
        Ok(Box::new(DurableUpload {
            upload,
            at: at.clone(),
            path: self.files.path_to_filesystem(at)?,
        }))
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await
    }
}

/// A large object written in parts: durable once it is complete.
#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    at: Path,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.upload.complete().await?;
        let path = self.path.clone();
        let sync = move || {
            File::open(&path)?.sync_all()?;
            File::open(path.parent().unwrap_or(FilePath::new("/")))?.sync_all()
        };
        let synced = tokio::task::spawn_blocking(sync).await?;
        synced.map_err(|error| failed(&self.at, error))?;
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

impl fmt::Display for DurableFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableFolder({})", self.files)
    }
}
