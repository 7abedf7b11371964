//! Runbooks: decision trees written in TOML, proved sound when they are parsed.
//!
//! Parsing is proving: a [`Library`] has private fields and is made only by [`Library::parse`],
//! so the rest of the program may look nodes up without checking again. Every message names the
//! file, the node, and what to do.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::name::Slug;
use crate::domain::step::{Fact, StepKind};
use crate::text::Clean;

/// A node by runbook and id. Written `node` inside one runbook and `runbook:node` across two.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
pub struct NodeRef {
    /// The runbook.
    pub runbook: Slug,
    /// The node in it.
    pub node: Slug,
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.runbook, self.node)
    }
}

impl crate::text::Safe for NodeRef {}

/// The part of an incident that a node belongs to; drills are timed by these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Find out what kind of incident it is.
    Decide,
    /// Look before acting: checks, target, backup.
    Prepare,
    /// Change the world.
    Act,
    /// Prove that it is well again.
    Prove,
}

impl Stage {
    /// All four, in order.
    pub const ALL: [Stage; 4] = [Stage::Decide, Stage::Prepare, Stage::Act, Stage::Prove];

    /// The word for the clock.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Decide => "decide",
            Stage::Prepare => "prepare",
            Stage::Act => "act",
            Stage::Prove => "prove",
        }
    }
}

/// One answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The answer.
    pub say: Clean,
    /// Where it leads.
    pub goto: NodeRef,
    /// Facts that suggest it: all must hold.
    pub when: Vec<Fact>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A question with one to nine answers.
    Ask {
        /// The answers, keyed 1 to 9.
        choices: Vec<Choice>,
    },
    /// A step that the console carries out.
    Do {
        /// Which one.
        step: StepKind,
        /// Where to go when it is done.
        done: NodeRef,
        /// Where to go when it failed or cannot be done.
        failed: NodeRef,
    },
    /// A step that a person carries out elsewhere: the console shows the exact commands, asks
    /// what came of it, and writes the answer into the journal.
    Manual {
        /// Commands to copy, placeholders filled in when shown.
        commands: Vec<Clean>,
        /// What to write down (`the snapshot's identifier`); empty when nothing is asked.
        record: Clean,
        /// Where to go when it is done.
        done: NodeRef,
        /// Where to go when it failed or cannot be done.
        failed: NodeRef,
    },
    /// An end.
    End {
        /// True when the goal is reached here, provided the checklist is complete.
        reached: bool,
    },
}

/// A pane that a node brings forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Show {
    Pods,
    Logs,
    Revisions,
    Migrations,
    Checklist,
    Preflight,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it is.
    pub at: NodeRef,
    /// Its heading: a question, or what to do.
    pub title: Clean,
    /// Longer words.
    pub say: Clean,
    /// Which part of the incident it belongs to.
    pub stage: Stage,
    /// The pane to look at.
    pub show: Option<Show>,
    /// Ids of log signatures that lead straight here.
    pub signatures: Vec<Slug>,
    /// What it is.
    pub kind: NodeKind,
}

impl Node {
    /// The nodes that it leads to.
    pub fn exits(&self) -> Vec<&NodeRef> {
        match &self.kind {
            NodeKind::Ask { choices } => choices.iter().map(|choice| &choice.goto).collect(),
            NodeKind::Do { done, failed, .. } | NodeKind::Manual { done, failed, .. } => vec![done, failed],
            NodeKind::End { .. } => vec![],
        }
    }
}

/// One runbook's heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runbook {
    /// Its id.
    pub id: Slug,
    /// Its title.
    pub title: Clean,
    /// Its version, written into the journal.
    pub version: u32,
    /// SHA-256 of its file, written into the journal.
    pub hash: Clean,
    /// Where it starts.
    pub start: NodeRef,
}

/// One problem in a runbook file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: Clean,
    /// The line, where the parser knows it.
    pub line: Option<usize>,
    /// The node, where it is about one.
    pub node: Option<Clean>,
    /// What is wrong.
    pub what: Clean,
    /// What to do.
    pub remedy: Clean,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(node) = &self.node {
            write!(f, ": node {node}")?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

/// A runbook file before it is parsed.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file name for messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Runbooks that refer to nothing outside themselves, proved sound together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    runbooks: BTreeMap<Slug, Runbook>,
    nodes: BTreeMap<NodeRef, Node>,
}
