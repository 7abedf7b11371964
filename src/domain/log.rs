//! Log lines of the workload's pods: cleaned, matched and shared in immutable segments.

use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::name::{Name, Uid};
use crate::domain::trouble::Trouble;
use crate::text::Clean;

/// One container's stream of one pod.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogSource {
    /// The pod's UID: a later pod of the same name is another source.
    pub uid: Uid,
    /// The pod's name.
    pub pod: Name,
    /// The container's name.
    pub container: Name,
    /// The log of the container's previous run instead of the current one.
    pub previous: bool,
}

/// One line, or a mark of ours between lines.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// When the kubelet received it. Lines of a burst often share one timestamp.
    pub at: Timestamp,
    /// Whose line it is.
    pub source: Arc<LogSource>,
    /// The text without the timestamp.
    pub text: Clean,
    /// Index of the signature that matched, in the table in force.
    pub signature: Option<u16>,
    /// True for a mark of the console itself (reconnected, gap), which is no line of the pod.
    pub ours: bool,
}

/// A batch of lines that arrived together, never changed after.
pub type Segment = Arc<[LogLine]>;

/// What a log feed brings.
#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    /// The stream is open: from here on a silence is a silence.
    Following,
    /// Lines in the order of the stream.
    Lines(Segment),
    /// The stream ended because the container did.
    Ended,
    /// The stream is lost and will be opened again; why.
    Lost(Trouble),
}
