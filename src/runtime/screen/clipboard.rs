//! Copying over SSH and in tmux, without claiming more than is known.

use std::process::Stdio;

use base64::Engine as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::runtime::screen::writer::Writer;
use crate::text::Clean;

/// The most that common terminals take in one OSC 52 sequence, in encoded bytes.
const MOST: usize = 74_994;

/// Copies text: into tmux's buffer where we run in tmux, which passes it on to the terminal; by
/// OSC 52 elsewhere. Terminals do not confirm OSC 52, so the words do not either.
pub(super) async fn copy(text: &Clean, writer: &Writer) -> Result<Clean, Clean> {
    if std::env::var_os("TMUX").is_some() {
        return match tmux(text).await {
            Ok(()) => Ok(Clean::ours("copied into tmux's buffer: paste with prefix ]")),
            Err(()) => Err(Clean::ours("tmux did not take the copy; select the text with the mouse instead")),
        };
    }
    let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_str());
    if encoded.len() > MOST {
        return Err(say!("{} bytes are too many for the terminal's clipboard", text.as_str().len()));
    }
    writer.write(format!("\x1b]52;c;{encoded}\x07").into_bytes());
    Ok(Clean::ours("sent to the terminal's clipboard (OSC 52); some terminals ignore it"))
}

async fn tmux(text: &Clean) -> Result<(), ()> {
    let mut child = Command::new("tmux")
        .args(["load-buffer", "-w", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(drop)?;
    let mut stdin = child.stdin.take().ok_or(())?;
    stdin.write_all(text.as_str().as_bytes()).await.map_err(drop)?;
    drop(stdin);
    let status =
        tokio::time::timeout(std::time::Duration::from_secs(2), child.wait()).await.map_err(drop)?.map_err(drop)?;
    if status.success() { Ok(()) } else { Err(()) }
}
