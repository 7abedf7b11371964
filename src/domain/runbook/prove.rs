//! What must hold between the nodes of all runbooks: no way leads nowhere, and every way ends.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Draft, DraftNode};
use crate::domain::document::Fault;
use crate::domain::name::Slug;
use crate::domain::runbook::NodeRef;
use crate::text::Clean;

/// The faults of the drafts together.
pub(super) fn faults(drafts: &[Draft]) -> Vec<Fault> {
    let graph = Graph::of(drafts);
    let mut faults = duplicate_ids(drafts);
    faults.extend(duplicate_signatures(drafts));
    faults.extend(graph.missing_starts());
    faults.extend(graph.dangling());
    faults.extend(graph.unreachable());
    faults.extend(graph.endless());
    faults
}

struct Graph<'a> {
    drafts: &'a [Draft],
    nodes: BTreeMap<&'a NodeRef, (&'a Draft, &'a DraftNode)>,
}

impl<'a> Graph<'a> {
    fn of(drafts: &'a [Draft]) -> Self {
        let nodes =
            drafts.iter().flat_map(|draft| draft.nodes.iter().map(move |node| (&node.at, (draft, node)))).collect();
        Self { drafts, nodes }
    }

    fn missing_starts(&self) -> Vec<Fault> {
        let starts = self.drafts.iter().filter_map(|draft| draft.start.as_ref().map(|start| (draft, start)));
        starts
            .filter(|(_, (start, _))| !self.nodes.contains_key(start))
            .map(|(draft, (start, line))| Fault {
                file: draft.file.clone(),
                line: Some(*line),
                node: None,
                what: say!("the start node `{}` does not exist", start.node),
                remedy: say!("add `[node.{}]`, or name another start", start.node),
            })
            .collect()
    }

    fn dangling(&self) -> Vec<Fault> {
        let exits = self
            .nodes
            .values()
            .flat_map(|(draft, node)| node.exits.iter().map(move |(to, line)| (*draft, *node, to, *line)));
        exits
            .filter(|(_, _, to, _)| !self.nodes.contains_key(to))
            .map(|(draft, node, to, line)| Fault {
                file: draft.file.clone(),
                line: Some(line),
                node: Some(say!("{}", node.at.node)),
                what: say!("it leads to `{}`, which does not exist", to),
                remedy: say!("add that node, or name another one"),
            })
            .collect()
    }

    /// Nodes that no start and no signature leads to. Not told while some exits are unreadable.
    fn unreachable(&self) -> Vec<Fault> {
        if self.nodes.values().any(|(_, node)| node.vague) {
            return vec![];
        }
        let starts = self.drafts.iter().filter_map(|draft| draft.start.as_ref().map(|(start, _)| start));
        let linked = self.nodes.values().filter(|(_, node)| !node.signatures.is_empty()).map(|(_, node)| &node.at);
        let mut reached: BTreeSet<&NodeRef> = BTreeSet::new();
        let mut open: Vec<&NodeRef> = starts.chain(linked).collect();
        while let Some(at) = open.pop() {
            if let Some((_, node)) = self.nodes.get(at)
                && reached.insert(at)
            {
                open.extend(node.exits.iter().map(|(to, _)| to));
            }
        }
        self.fault_where(
            |node| !reached.contains(&node.at),
            "nothing leads here",
            "lead a choice, a step or a signature here, or remove it",
        )
    }

    /// Nodes from which no way leads to an end.
    fn endless(&self) -> Vec<Fault> {
        let mut ending: BTreeSet<&NodeRef> = BTreeSet::new();
        loop {
            let more: Vec<_> = self
                .nodes
                .values()
                .map(|(_, node)| *node)
                .filter(|node| !ending.contains(&node.at))
                .filter(|node| {
                    let leads_on = |to: &NodeRef| ending.contains(to) || !self.nodes.contains_key(to);
                    node.ends || node.vague || node.exits.iter().any(|(to, _)| leads_on(to))
                })
                .collect();
            if more.is_empty() {
                break;
            }
            ending.extend(more.into_iter().map(|node| &node.at));
        }
        self.fault_where(
            |node| !ending.contains(&node.at),
            "no way leads from here to an end",
            "lead one of its exits to a node with `end`",
        )
    }

    fn fault_where(&self, wrong: impl Fn(&DraftNode) -> bool, what: &'static str, remedy: &'static str) -> Vec<Fault> {
        self.nodes
            .values()
            .filter(|(_, node)| wrong(node))
            .map(|(draft, node)| Fault {
                file: draft.file.clone(),
                line: Some(node.line),
                node: Some(say!("{}", node.at.node)),
                what: Clean::ours(what),
                remedy: Clean::ours(remedy),
            })
            .collect()
    }
}

fn duplicate_ids(drafts: &[Draft]) -> Vec<Fault> {
    let mut seen: BTreeMap<&Slug, &Draft> = BTreeMap::new();
    let mut faults = Vec::new();
    for draft in drafts {
        let Some((id, line)) = &draft.id else { continue };
        if let Some(first) = seen.get(id) {
            faults.push(Fault {
                file: draft.file.clone(),
                line: Some(*line),
                node: None,
                what: say!("the id `{}` is taken by {}", id, first.file),
                remedy: Clean::ours("give this runbook an id of its own"),
            });
        } else {
            seen.insert(id, draft);
        }
    }
    faults
}

fn duplicate_signatures(drafts: &[Draft]) -> Vec<Fault> {
    let mut seen: BTreeMap<&Slug, &NodeRef> = BTreeMap::new();
    let mut faults = Vec::new();
    for (draft, node) in drafts.iter().flat_map(|draft| draft.nodes.iter().map(move |node| (draft, node))) {
        for signature in &node.signatures {
            if let Some(first) = seen.insert(signature, &node.at) {
                faults.push(Fault {
                    file: draft.file.clone(),
                    line: Some(node.line),
                    node: Some(say!("{}", node.at.node)),
                    what: say!("the signature `{}` already leads to {}", signature, first),
                    remedy: Clean::ours("name each signature at one node only"),
                });
            }
        }
    }
    faults
}
