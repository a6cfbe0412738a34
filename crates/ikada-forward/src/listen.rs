//! Setting up listeners, and taking socket files away again.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_plugin::InputError;
use tokio::net::{TcpSocket, UnixSocket, lookup_host};

use crate::socket::Listener;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A socket file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixPath {
    /// Where it is.
    pub path: PathBuf,
    /// The mode it gets; without one the umask decides.
    pub mode: Option<u32>,
}

/// Listens on a TCP address; names are resolved, and the first address that can be listened on is taken.
pub(crate) async fn tcp(host: &str, port: u16) -> Result<Listener, InputError> {
    let fail = |source| InputError::Listen { address: format!("{host}:{port}"), source };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = lookup_host((bare, port)).await.map_err(fail)?;
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    for address in addresses {
        match bind_tcp(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(fail(last))
}

fn bind_tcp(address: std::net::SocketAddr) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(Listener::Tcp(socket.listen(BACKLOG)?))
}

/// Listens on a socket file. A socket left over there is replaced; anything else there is an error and stays untouched.
pub(crate) fn unix(at: &UnixPath) -> Result<(Listener, SocketFile), InputError> {
    let name: Arc<str> = format!("unix://{}", at.path.display()).into();
    let listen = || {
        make_way(&at.path)?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(&at.path).map_err(|error| explain(error, &at.path))?;
        let file = SocketFile::new(&at.path)?;
        if let Some(mode) = at.mode {
            fs::set_permissions(&at.path, fs::Permissions::from_mode(mode))?;
        }
        Ok((Listener::Unix(socket.listen(BACKLOG)?, name.clone()), file))
    };
    listen().map_err(|source| InputError::Listen { address: name.to_string(), source })
}

fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket is in its place; move it, or choose another Unix_Path",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The system's word for a missing directory is "no such file", which says nothing of a socket that is to be made.
fn explain(error: io::Error, path: &Path) -> io::Error {
    let missing = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty() && !dir.exists()).last();
    match missing {
        Some(dir) if error.kind() == io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("the directory {} does not exist", dir.display()))
        }
        _ => error,
    }
}

/// A socket file that this process made. It goes when this does.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: FileId,
    removed: bool,
}

/// Device, inode, and when it was made: an inode is given to a new file as soon as the old one is gone.
type FileId = (u64, u64, i64, i64);

fn id(file: &fs::Metadata) -> FileId {
    (file.dev(), file.ino(), file.mtime(), file.mtime_nsec())
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let id = id(&fs::symlink_metadata(path)?);
        Ok(Self { path: path.to_owned(), id, removed: false })
    }

    /// Takes the file away, unless somebody has put another one in its place.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.removed, true) {
            return Ok(());
        }
        match fs::symlink_metadata(&self.path) {
            Ok(there) if id(&there) == self.id => fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A start that failed behind this one: whoever cares is told of that.
        self.remove().ok();
    }
}
