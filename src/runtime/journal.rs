//! The journal file: one JSON object a line, appended and synced before the act it announces.
//!
//! Each line carries the format's version, a sequence number without a gap, the hash of the line
//! before, who and where. A torn last line is a crash and is cut off; anything else that does not
//! fit is refused with its number, because a journal that was changed proves nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::app::msg::{JournalNews, Msg};
use crate::domain::record::{Entry, FORMAT, Line};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::folder::{disk, host, private_folder};
use crate::text::{Clean, Gate};

/// The file's name in the incident's folder.
pub const FILE: &str = "journal.jsonl";

/// A journal that is open for writing, locked against a second console.
#[derive(Debug)]
pub struct Journal {
    sink: Sink,
    next: u64,
    prev: String,
    host: String,
    gate: Gate,
}

#[derive(Debug)]
enum Sink {
    File {
        file: File,
        path: PathBuf,
    },
    /// For commands that only look: nothing to remember.
    Nowhere,
}

impl Journal {
    /// Starts a journal in a new folder.
    ///
    /// # Errors
    /// [`TroubleKind::Disk`].
    pub fn create(folder: &Path, gate: &Gate) -> Result<Self, Trouble> {
        private_folder(folder, gate)?;
        let path = folder.join(FILE);
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|why| disk("start the journal", &path, &why, gate))?;
        lock(&file, &path, gate)?;
        Ok(Self { sink: Sink::File { file, path }, next: 0, prev: String::new(), host: host(), gate: gate.clone() })
    }

    /// Opens a journal to go on with it, and reads it back. A torn last line is cut off.
    ///
    /// # Errors
    /// [`TroubleKind::Busy`] when another console writes to it, [`TroubleKind::Invalid`] with the
    /// number of a line that does not fit, [`TroubleKind::NotFound`], [`TroubleKind::Disk`].
    pub fn open(folder: &Path, gate: &Gate) -> Result<(Self, Vec<Line>), Trouble> {
        let path = folder.join(FILE);
        let mut file = OpenOptions::new().read(true).append(true).open(&path).map_err(|why| match why.kind() {
            std::io::ErrorKind::NotFound => not_found(&path, gate),
            _ => disk("open the journal", &path, &why, gate),
        })?;
        lock(&file, &path, gate)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|why| disk("read the journal", &path, &why, gate))?;
        let Read { lines, whole, last } = parse(&bytes, &path, gate)?;
        if whole < bytes.len() {
            let cut = file
                .set_len(whole as u64)
                .and_then(|()| file.seek(SeekFrom::End(0)).map(drop))
                .and_then(|()| file.sync_data());
            cut.map_err(|why| disk("cut the torn last line off", &path, &why, gate))?;
        }
        let journal = Self {
            sink: Sink::File { file, path },
            next: lines.len() as u64,
            prev: last,
            host: host(),
            gate: gate.clone(),
        };
        Ok((journal, lines))
    }

    /// A journal that keeps nothing, for commands that only look.
    pub fn nowhere(gate: &Gate) -> Self {
        Self { sink: Sink::Nowhere, next: 0, prev: String::new(), host: host(), gate: gate.clone() }
    }

    /// Appends an entry and waits until it is on disk. Returns its sequence number.
    ///
    /// # Errors
    /// [`TroubleKind::Disk`]. The journal must not be written to any more then.
    pub fn append(&mut self, at: Timestamp, actor: String, entry: Entry) -> Result<u64, Trouble> {
        let seq = self.next;
        let line = Line { v: FORMAT, seq, prev: self.prev.clone(), at, actor, host: self.host.clone(), entry };
        let mut text = serde_json::to_string(&line).map_err(|why| {
            Trouble::new(
                TroubleKind::Invalid,
                say!("an entry cannot be written: {}", self.gate.clean(&why.to_string())),
            )
        })?;
        let hash = hash(text.as_bytes());
        text.push('\n');
        if let Sink::File { file, path } = &mut self.sink {
            let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
            written.map_err(|why| disk("write the journal", path, &why, &self.gate))?;
            // Before the first entry is told to be on disk, so is the file's name.
            if let (0, Some(Ok(folder))) = (seq, path.parent().map(File::open)) {
                folder.sync_all().map_err(|why| disk("sync the folder of", path, &why, &self.gate))?;
            }
        }
        self.next += 1;
        self.prev = hash;
        Ok(seq)
    }
}

/// Reads a journal without locking it: for lists and exports, also while a console writes to it.
///
/// # Errors
/// As [`Journal::open`], but for the lock.
pub fn read(folder: &Path, gate: &Gate) -> Result<Vec<Line>, Trouble> {
    let path = folder.join(FILE);
    let bytes = std::fs::read(&path).map_err(|why| match why.kind() {
        std::io::ErrorKind::NotFound => not_found(&path, gate),
        _ => disk("read the journal", &path, &why, gate),
    })?;
    parse(&bytes, &path, gate).map(|read| read.lines)
}

fn not_found(path: &Path, gate: &Gate) -> Trouble {
    Trouble::new(TroubleKind::NotFound, say!("there is no journal at {}", gate.clean(&path.display().to_string())))
        .remedy(Clean::ours("`lastgood incidents` lists those that there are"))
}

fn lock(file: &File, path: &Path, gate: &Gate) -> Result<(), Trouble> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let what = say!("another console works on {}", gate.clean(&path.display().to_string()));
            Err(Trouble::new(TroubleKind::Busy, what)
                .remedy(Clean::ours("quit the other one first; `lastgood export` can read it meanwhile")))
        }
        Err(TryLockError::Error(why)) => Err(disk("lock the journal", path, &why, gate)),
    }
}

struct Read {
    lines: Vec<Line>,
    /// Bytes of whole lines.
    whole: usize,
    /// Hash of the last line.
    last: String,
}

fn hash(line: &[u8]) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(bytes: &[u8], path: &Path, gate: &Gate) -> Result<Read, Trouble> {
    let mut read = Read { lines: Vec::new(), whole: 0, last: String::new() };
    for (number, raw) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(text) = raw.strip_suffix(b"\n") else { break };
        let refuse = |why: Clean| {
            let what = say!("line {} of {} {}", number + 1, gate.clean(&path.display().to_string()), why);
            Trouble::new(TroubleKind::Invalid, what)
                .remedy(Clean::ours("the journal was changed or damaged; look at it with `less`"))
        };
        let line: Line = match serde_json::from_slice(text) {
            Ok(line) => line,
            // A crash can leave a whole line of garbage only at the very end of the file.
            Err(_) if read.whole + raw.len() == bytes.len() => break,
            Err(why) => return Err(refuse(say!("cannot be read: {}", gate.clean(&why.to_string())))),
        };
        if line.v > FORMAT {
            return Err(refuse(say!("has format {}, and this program knows {}; use a newer one", line.v, FORMAT)));
        }
        if line.seq != read.lines.len() as u64 {
            return Err(refuse(say!("has sequence number {} instead of {}", line.seq, read.lines.len())));
        }
        if line.prev != read.last {
            return Err(refuse(Clean::ours("does not follow from the line before")));
        }
        read.last = hash(text);
        read.whole += raw.len();
        read.lines.push(line);
    }
    Ok(read)
}

/// The task that writes the journal, one entry at a time, and acknowledges each.
#[derive(Debug)]
pub(in crate::runtime) struct JournalTask(mpsc::UnboundedSender<(Timestamp, String, Entry)>);

impl JournalTask {
    /// Starts it. It ends when nobody can write to it any more.
    pub fn start(journal: Journal, news: mpsc::UnboundedSender<Msg>) -> Self {
        let (sender, mut entries) = mpsc::unbounded_channel::<(Timestamp, String, Entry)>();
        tokio::spawn(async move {
            let mut journal = journal;
            while let Some((at, actor, entry)) = entries.recv().await {
                let written = tokio::task::spawn_blocking(move || {
                    let result = journal.append(at, actor, entry);
                    (journal, result)
                });
                let Ok((back, result)) = written.await else { break };
                journal = back;
                let broken = result.is_err();
                let told = match result {
                    Ok(seq) => JournalNews::Written(seq),
                    Err(why) => JournalNews::Broken(why),
                };
                if news.send(Msg::Journal(told)).is_err() || broken {
                    break;
                }
            }
        });
        Self(sender)
    }

    /// Hands an entry over. The answer comes as a message.
    pub fn write(&self, at: Timestamp, actor: String, entry: Entry) {
        // A task that ended has said that it is broken; nothing is written after that.
        let _ = self.0.send((at, actor, entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(words: &str) -> Entry {
        Entry::Noted { words: words.to_owned() }
    }

    fn written(folder: &Path, count: usize) {
        let mut journal = Journal::create(folder, &Gate::default()).unwrap();
        for i in 0..count {
            journal.append(Timestamp::UNIX_EPOCH, "me".to_owned(), noted(&i.to_string())).unwrap();
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("a");
        written(&at, 3);
        let (mut journal, lines) = Journal::open(&at, &Gate::default()).unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(journal.append(Timestamp::UNIX_EPOCH, "me".to_owned(), noted("3")).unwrap(), 3);
        assert_eq!(read(&at, &Gate::default()).unwrap().len(), 4);
    }

    #[test]
    fn a_torn_last_line_is_cut_off_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("a");
        written(&at, 3);
        let whole = std::fs::read(at.join(FILE)).unwrap();
        let two = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
        for cut in two..whole.len() {
            std::fs::write(at.join(FILE), &whole[..cut]).unwrap();
            let (journal, lines) = Journal::open(&at, &Gate::default()).unwrap();
            assert_eq!(lines.len(), 2, "cut at {cut}");
            drop(journal);
            assert_eq!(std::fs::metadata(at.join(FILE)).unwrap().len(), two as u64);
        }
    }

    #[test]
    fn a_changed_line_is_refused_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("a");
        written(&at, 3);
        let text = std::fs::read_to_string(at.join(FILE)).unwrap();
        std::fs::write(at.join(FILE), text.replacen("\"words\":\"0\"", "\"words\":\"9\"", 1)).unwrap();
        let refused = Journal::open(&at, &Gate::default()).unwrap_err();
        assert!(refused.what.as_str().contains("line 2"), "{}", refused.what);
        std::fs::write(at.join(FILE), text.replacen("{", "[", 1)).unwrap();
        let refused = Journal::open(&at, &Gate::default()).unwrap_err();
        assert!(refused.what.as_str().contains("line 1"), "{}", refused.what);
    }

    #[test]
    fn a_second_console_on_the_same_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("a");
        let _held = Journal::create(&at, &Gate::default()).unwrap();
        assert_eq!(Journal::open(&at, &Gate::default()).unwrap_err().kind, TroubleKind::Busy);
    }
}
