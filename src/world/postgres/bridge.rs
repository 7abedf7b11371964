//! A private Unix socket that leads to one TCP address, for one connection.
//!
//! It lets a TLS client keep the server's real name while it talks through a port-forward.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpStream, UnixListener};

/// How long the client may take to come.
const ACCEPT_LIMIT: Duration = Duration::from_secs(10);

/// The socket. Its folder goes when this is dropped; the connection through it stays.
pub(super) struct Bridge {
    folder: PathBuf,
}

impl Bridge {
    /// Listens for one connection, which is carried to the address. The client names the socket
    /// by its folder and by the port that it believes in, as libpq does.
    pub(super) async fn to(ip: IpAddr, port: u16, believed: u16) -> io::Result<Self> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let folder = std::env::temp_dir().join(format!("lastgood-{:016x}", u64::from_ne_bytes(random)));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let bridge = Self { folder };
        let listener = UnixListener::bind(bridge.folder.join(format!(".s.PGSQL.{believed}")))?;
        tokio::spawn(async move {
            // The client comes at once or gave up.
            if let Ok(Ok((mut near, _))) = tokio::time::timeout(ACCEPT_LIMIT, listener.accept()).await
                && let Ok(mut far) = TcpStream::connect((ip, port)).await
            {
                // Either end closing is the end of the connection; the client sees it as such.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
        Ok(bridge)
    }

    /// The folder of the socket.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
