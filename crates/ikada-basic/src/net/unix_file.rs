//! Socket files: making them, and taking them away again.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ikada_plugin::InputError;
use tokio::net::{UnixDatagram, UnixListener};

use super::datagram::Socket;
use super::stream::{Listener, listen_error};

/// A socket file that this process made. It goes when this does, unless somebody has put another one in its place.
pub(crate) struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
    /// How it is called in logs and records: `unix:///run/x.sock`.
    pub(super) name: String,
}

fn id(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|there| id(&there) == self.id);
        if is_ours {
            fs::remove_file(&self.path).ok();
        }
    }
}

impl Listener {
    /// Listens on a socket file.
    pub(crate) fn unix(path: &Path, mode: u32) -> Result<Self, InputError> {
        let (listener, file) = bind(path, mode, |path| UnixListener::bind(path))?;
        Ok(Self::Unix(listener, file))
    }
}

impl Socket {
    /// Takes datagrams on a socket file.
    pub(crate) fn unix(path: &Path, mode: u32) -> Result<Self, InputError> {
        let (socket, file) = bind(path, mode, |path| UnixDatagram::bind(path))?;
        Ok(Self::Unix(socket, file))
    }
}

/// A socket left over there is replaced; anything else there is an error and stays untouched.
fn bind<S>(
    path: &Path,
    mode: u32,
    bind: impl Fn(&Path) -> io::Result<S>,
) -> Result<(S, SocketFile), InputError> {
    let name = format!("unix://{}", path.display());
    let made = || {
        make_way(path)?;
        let socket = bind(path)?;
        let id = id(&fs::symlink_metadata(path)?);
        let file = SocketFile { path: path.to_owned(), id, name: name.clone() };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok((socket, file))
    };
    made().map_err(|source| listen_error(name.clone(), source))
}

fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in its place"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
