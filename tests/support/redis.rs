//! A real redis-server on a free port, or none where the program is absent.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server, ended with the test.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts one with these further arguments. `None`, said loudly, without the program.
    pub fn start(test: &str, further: &[&str]) -> Option<Self> {
        let Ok(program) = which::which("redis-server").or_else(|_| which::which("valkey-server")) else {
            eprintln!("SKIPPED {test}: no redis-server on this machine (Debian package redis-server)");
            return None;
        };
        let address = free_port();
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(program)
            .current_dir(folder.path())
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
            .args(further)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        wait_until_it_listens(address, &mut child);
        Some(Self { address, child, _folder: folder })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn wait_until_it_listens(address: SocketAddr, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait().expect("its status") {
            panic!("redis-server ended with {status} before it listened on {address}");
        }
        assert!(Instant::now() < deadline, "redis-server does not listen on {address} after 10 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
