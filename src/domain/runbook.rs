//! Runbooks: decision trees written in TOML, proved sound when they are parsed.
//!
//! Parsing is proving: a [`Library`] has private fields and is made only by [`Library::parse`],
//! so the rest of the program may look nodes up without checking again. Every message names the
//! file, the node, and what to do.

mod bundled;
mod command;
mod parse;
mod prove;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use bundled::{RUNBOOKS, bundled_runbooks};
pub use command::{PLACEHOLDERS, Placeholder, fill};

pub use crate::domain::document::{Fault, Source};
use crate::domain::name::Slug;
use crate::domain::signature::Signature;
use crate::domain::step::{Fact, StepKind};
use crate::text::{Clean, Gate};

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
        /// It puts back what a target leans on: a write to a ConfigMap or a Secret meanwhile is the
        /// repair, and no drift.
        puts_back: bool,
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

    /// The answer that the facts suggest, from 0: the first one whose `when` is not empty and
    /// holds altogether. `None` when nothing is suggested, when this is no question, or when an
    /// answer further up may still turn out to hold (`holds` is `None` for what is not known):
    /// a later answer must not be suggested only because its evidence came first.
    pub fn suggested(&self, holds: impl Fn(Fact) -> Option<bool>) -> Option<usize> {
        let NodeKind::Ask { choices } = &self.kind else { return None };
        for (place, choice) in choices.iter().enumerate().filter(|(_, choice)| !choice.when.is_empty()) {
            let facts: Vec<Option<bool>> = choice.when.iter().map(|fact| holds(*fact)).collect();
            if facts.iter().all(|holds| *holds == Some(true)) {
                return Some(place);
            }
            if !facts.contains(&Some(false)) {
                return None;
            }
        }
        None
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

/// Runbooks that refer to nothing outside themselves, proved sound together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    first: Slug,
    runbooks: BTreeMap<Slug, Runbook>,
    nodes: BTreeMap<NodeRef, Node>,
}

impl Library {
    /// Parses runbooks and proves them sound together. The first source is where every incident
    /// starts, see [`Library::start`].
    ///
    /// # Errors
    /// Every fault of every file, in the order of the files and their lines.
    pub fn parse(sources: &[Source<'_>], gate: &Gate) -> Result<Self, Vec<Fault>> {
        let (drafts, mut faults): (Vec<_>, Vec<_>) = sources.iter().map(|source| parse::draft(*source, gate)).unzip();
        faults.push(prove::faults(&drafts));
        let mut faults: Vec<Fault> = faults.into_iter().flatten().collect();
        let runbooks: Vec<_> = drafts.iter().filter_map(|draft| draft.heading.clone()).collect();
        match runbooks.first() {
            Some(first) if faults.is_empty() => Ok(Self {
                first: first.id.clone(),
                runbooks: runbooks.into_iter().map(|runbook| (runbook.id.clone(), runbook)).collect(),
                nodes: drafts
                    .into_iter()
                    .flat_map(|draft| draft.nodes)
                    .filter_map(|draft| draft.node)
                    .map(|node| (node.at.clone(), node))
                    .collect(),
            }),
            _ => {
                let place = |file: &Clean| drafts.iter().position(|draft| &draft.file == file);
                faults.sort_by_key(|fault| (place(&fault.file), fault.line));
                Err(faults)
            }
        }
    }

    /// Parses one file of an author, which may refer to the bundled runbooks, or replace one by
    /// having its id.
    ///
    /// # Errors
    /// Every fault of the file, and of a bundled runbook that would not be sound any more.
    pub fn lint(file: &str, text: &str, gate: &Gate) -> Result<Runbook, Vec<Fault>> {
        let source = Source { file, text };
        let (draft, mut own) = parse::draft(source, gate);
        let Some(heading) = draft.heading.clone() else {
            own.extend(prove::faults(&[draft]));
            return Err(own);
        };
        let bundled = RUNBOOKS.iter().filter(|other| !bundled::is(other, &heading.id));
        let sources: Vec<Source<'_>> = bundled.copied().chain([source]).collect();
        Self::parse(&sources, gate).map(|_| heading)
    }

    /// The runbooks, by id.
    pub fn runbooks(&self) -> impl Iterator<Item = &Runbook> {
        self.runbooks.values()
    }

    /// One runbook.
    pub fn runbook(&self, id: &Slug) -> Option<&Runbook> {
        self.runbooks.get(id)
    }

    /// One node.
    pub fn node(&self, at: &NodeRef) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// Every node, by runbook and id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Where an incident starts: the start of the first runbook that was parsed.
    pub fn start(&self) -> &NodeRef {
        match self.runbooks.get(&self.first) {
            Some(runbook) => &runbook.start,
            None => unreachable!("parsing proved that the first runbook is there"),
        }
    }

    /// The node that a log signature leads straight to: one that names it, else the one that it
    /// names, where there is such a node.
    pub fn for_signature(&self, signature: &Signature) -> Option<&NodeRef> {
        let names = self.nodes.values().find(|node| node.signatures.contains(&signature.id));
        let named = || self.node(signature.runbook.as_ref()?);
        names.or_else(named).map(|node| &node.at)
    }
}

#[cfg(test)]
mod tests;
