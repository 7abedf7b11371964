//! From a TOML file to a draft of a runbook: everything that one file can tell by itself.

use std::collections::BTreeSet;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::command;
use crate::domain::document::{Fault, Fields, Page, Source};
use crate::domain::name::Slug;
use crate::domain::runbook::{Choice, Node, NodeKind, NodeRef, Runbook};
use crate::text::{Clean, Gate};

/// The most answers that a question may have: one key each.
const MOST_CHOICES: usize = 9;

/// A runbook that was read but not yet proved.
pub(super) struct Draft {
    /// The file's name.
    pub(super) file: Clean,
    /// Its heading, when all of it could be read.
    pub(super) heading: Option<Runbook>,
    /// Its id and start node with their lines, as far as they could be read.
    pub(super) id: Option<(Slug, usize)>,
    /// The start node and its line.
    pub(super) start: Option<(NodeRef, usize)>,
    /// Its nodes, the unreadable ones too.
    pub(super) nodes: Vec<DraftNode>,
}

/// A node that was read but not yet proved.
pub(super) struct DraftNode {
    /// Where it is.
    pub(super) at: NodeRef,
    /// Its line.
    pub(super) line: usize,
    /// Where it leads, with the lines that say so.
    pub(super) exits: Vec<(NodeRef, usize)>,
    /// It is an end, or what it is could not be read.
    pub(super) ends: bool,
    /// Some of its exits could not be read, so nobody knows what it reaches.
    pub(super) vague: bool,
    /// Signatures that lead here, with the node's line.
    pub(super) signatures: Vec<Slug>,
    /// The node itself, when all of it could be read.
    pub(super) node: Option<Node>,
}

/// Reads one file. The draft holds what could be read, the faults say what could not.
pub(super) fn draft(source: Source<'_>, gate: &Gate) -> (Draft, Vec<Fault>) {
    let (page, root) = Page::open(source, gate);
    let top = Fields::new(&page, root.get_ref(), 0..0, None);
    let line = |key| top.raw(key).map(|(_, at)| page.line(&at));
    let id: Option<Slug> = top.parsed("id");
    let title = top.text("title");
    let version: Option<u32> = top.number("version");
    let start: Option<Slug> = top.parsed("start");
    let own = id.clone().unwrap_or_else(unnamed);
    let start = start.map(|node| NodeRef { runbook: own.clone(), node });
    let nodes = match top.table("node") {
        Some(nodes) => nodes.named_tables().into_iter().filter_map(|entry| node(&page, &own, entry)).collect(),
        None => {
            top.fault(None, Clean::ours("there is no node"), Clean::ours("add `[node.ID]` tables"));
            vec![]
        }
    };
    let heading = match (id.clone(), title, version, start.clone()) {
        (Some(id), Some(title), Some(version), Some(start)) => {
            Some(Runbook { id, title, version, hash: hash(source.text, gate), start })
        }
        _ => None,
    };
    let id = id.zip(line("id"));
    let start = start.zip(line("start"));
    top.finish();
    (Draft { file: page.file.clone(), heading, id, start, nodes }, page.into_faults())
}

/// Stands for the id of a runbook that has none, so that its nodes can still be checked.
fn unnamed() -> Slug {
    "unnamed".parse().unwrap_or_else(|why| unreachable!("a literal id: {why}"))
}

fn hash(text: &str, gate: &Gate) -> Clean {
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    gate.clean(&hex)
}

fn node(page: &Page<'_>, runbook: &Slug, (id, at, fields): (&str, Range<usize>, Fields<'_, '_>)) -> Option<DraftNode> {
    let id: Slug = fields.parse(id, at.clone())?;
    let at_ref = NodeRef { runbook: runbook.clone(), node: id };
    let title = fields.text("title");
    let say = fields.text_or_empty("say");
    let stage = fields.word("stage", "stage");
    let show = fields.word_if_there("show", "pane");
    let signatures: Vec<Slug> =
        fields.strings("signatures").into_iter().filter_map(|(raw, at)| fields.parse(raw, at)).collect();
    let mut exits = Exits { runbook, fields: &fields, page, found: vec![], vague: false };
    let kind = kind(&fields, &mut exits);
    let (exits, vague) = (exits.found, exits.vague);
    fields.finish();
    let ends = matches!(kind, None | Some(NodeKind::End { .. })) && exits.is_empty();
    let node = match (title, stage, kind) {
        (Some(title), Some(stage), Some(kind)) => {
            Some(Node { at: at_ref.clone(), title, say, stage, show, signatures: signatures.clone(), kind })
        }
        _ => None,
    };
    Some(DraftNode { at: at_ref, line: page.line(&at), exits, ends, vague, signatures, node })
}

/// Collects where a node leads.
struct Exits<'a, 'p, 'd> {
    runbook: &'a Slug,
    fields: &'a Fields<'p, 'd>,
    page: &'a Page<'d>,
    found: Vec<(NodeRef, usize)>,
    vague: bool,
}

impl Exits<'_, '_, '_> {
    fn take(&mut self, from: &Fields<'_, '_>, key: &'static str) -> Option<NodeRef> {
        let exit = self.read(from, key);
        match &exit {
            Some((to, line)) => self.found.push((to.clone(), *line)),
            None => self.vague = true,
        }
        exit.map(|(to, _)| to)
    }

    fn read(&self, from: &Fields<'_, '_>, key: &'static str) -> Option<(NodeRef, usize)> {
        if !from.has(key) {
            from.fault(None, say!("`{}` is missing", key), say!("add `{} = \"NODE\"` or `\"RUNBOOK:NODE\"`", key));
            return None;
        }
        let (raw, at) = from.raw(key)?;
        let (runbook, node) = match raw.split_once(':') {
            Some((runbook, node)) => (self.fields.parse(runbook, at.clone())?, node),
            None => (self.runbook.clone(), raw),
        };
        let node = self.fields.parse(node, at.clone())?;
        Some((NodeRef { runbook, node }, self.page.line(&at)))
    }
}

/// What a node is: exactly one of `choices`, `do`, `manual` and `end`.
fn kind(fields: &Fields<'_, '_>, exits: &mut Exits<'_, '_, '_>) -> Option<NodeKind> {
    let kinds = ["choices", "do", "manual", "end"];
    let mut there = kinds.into_iter().filter(|key| fields.has(key));
    match (there.next(), there.next()) {
        (Some("choices"), None) => ask(fields, exits),
        (Some("do"), None) => {
            let step = fields.word("do", "step");
            let (done, failed) = (exits.take(fields, "done"), exits.take(fields, "failed"));
            Some(NodeKind::Do { step: step?, done: done?, failed: failed? })
        }
        (Some("manual"), None) => manual(fields, exits),
        (Some(_end), None) => {
            let (raw, at) = fields.raw("end")?;
            match raw {
                "reached" => Some(NodeKind::End { reached: true }),
                "not-reached" => Some(NodeKind::End { reached: false }),
                _ => {
                    fields.fault(
                        Some(at),
                        Clean::ours("this is no end"),
                        Clean::ours("use `reached` or `not-reached`"),
                    );
                    None
                }
            }
        }
        (None, _) => {
            fields.fault(
                None,
                Clean::ours("it does nothing"),
                Clean::ours("add exactly one of `choices`, `do`, `manual` and `end`"),
            );
            None
        }
        (Some(one), Some(other)) => {
            for key in ["done", "failed", "commands", "record", "puts_back"] {
                fields.has(key);
            }
            fields.fault(
                None,
                say!("it is two things at once, `{}` and `{}`", one, other),
                Clean::ours("keep exactly one of `choices`, `do`, `manual` and `end`"),
            );
            exits.vague = true;
            None
        }
    }
}

fn ask(fields: &Fields<'_, '_>, exits: &mut Exits<'_, '_, '_>) -> Option<NodeKind> {
    let written = fields.tables("choices");
    let count = written.len();
    if count == 0 || count > MOST_CHOICES {
        fields.fault(
            None,
            say!("a question has one to {} choices, this one has {}", MOST_CHOICES, count),
            Clean::ours("split the question, or make it a step or an end"),
        );
    }
    let mut labels = BTreeSet::new();
    let mut choices = Vec::new();
    for choice in written {
        let say = choice.text("say");
        let when = choice.words("when", "fact");
        let goto = exits.take(&choice, "goto");
        if let Some(say) = &say
            && !labels.insert(say.clone())
        {
            choice.fault(
                None,
                say!("two choices say `{}`", say),
                Clean::ours("give each choice of one question its own words"),
            );
        }
        choice.finish();
        if let (Some(say), Some(goto)) = (say, goto) {
            choices.push(Choice { say, goto, when });
        }
    }
    (choices.len() == count).then_some(NodeKind::Ask { choices })
}

fn manual(fields: &Fields<'_, '_>, exits: &mut Exits<'_, '_, '_>) -> Option<NodeKind> {
    if fields.flag("manual") == Some(false) {
        fields.fault(
            None,
            Clean::ours("`manual = false` says nothing"),
            Clean::ours("write `manual = true`, or make it another kind of node"),
        );
    }
    let mut commands = Vec::new();
    for (raw, at) in fields.strings("commands") {
        for word in command::unknown(raw) {
            let known: Vec<_> = command::PLACEHOLDERS.iter().map(|(word, _)| *word).collect();
            fields.fault(
                Some(at.clone()),
                say!("there is no placeholder `{}`", exits.page.clean(word)),
                say!("use one of {}", exits.page.clean(&known.join(", "))),
            );
        }
        commands.push(exits.page.clean(raw));
    }
    let record = fields.text_or_empty("record");
    let puts_back = fields.flag("puts_back").unwrap_or(false);
    let (done, failed) = (exits.take(fields, "done"), exits.take(fields, "failed"));
    Some(NodeKind::Manual { commands, record, puts_back, done: done?, failed: failed? })
}
