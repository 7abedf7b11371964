//! Error signatures: what a log line tells about the incident, as data, matched in one pass.
//!
//! Parsing is proving, as for runbooks: [`Signatures`] is made only by [`Signatures::parse`], so
//! an index that [`Signatures::find`] gave out always leads to an entry.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};

use crate::domain::name::Slug;
use crate::domain::runbook::{Fault, NodeRef, Source};
use crate::text::{Clean, Gate};

/// The signatures that the program brings along.
const BUNDLED: Source<'static> = Source { file: "signatures.toml", text: include_str!("../../assets/signatures.toml") };

/// How bad a matching line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Worth knowing.
    Warning,
    /// Looks alarming and is normal after a rollback.
    Expected,
}

/// One kind of log line and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its id, which runbook nodes name.
    pub id: Slug,
    /// A few words.
    pub title: Clean,
    /// How bad it is.
    pub severity: Severity,
    /// One such line since the revert fails the check of the logs.
    pub counts: bool,
    /// What it means, in one line.
    pub explain: Clean,
    /// What to do, in one line.
    pub remedy: Clean,
    /// The node that helps. Whether the node exists is proved where the runbooks are known.
    pub runbook: Option<NodeRef>,
}

/// What a literal of the automaton stands for.
#[derive(Clone, Copy, Debug)]
struct Pattern {
    signature: u16,
    whole: bool,
}

/// All signatures, compiled. Entries that stand first win.
#[derive(Clone, Debug)]
pub struct Signatures {
    entries: Vec<Signature>,
    also: Vec<Vec<String>>,
    patterns: Vec<Pattern>,
    matcher: AhoCorasick,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    signature: Vec<toml::Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Slug,
    title: String,
    #[serde(default, rename = "match")]
    any: Vec<String>,
    #[serde(default)]
    whole: Vec<String>,
    #[serde(default)]
    also: Vec<String>,
    severity: Severity,
    counts: bool,
    explain: String,
    remedy: String,
    runbook: Option<String>,
}

impl Signatures {
    /// The signatures that the program brings along.
    pub fn bundled() -> Self {
        Self::parse(BUNDLED, &Gate::default())
            .unwrap_or_else(|faults| unreachable!("the bundled signatures are proved by a test: {faults:?}"))
    }

    /// Reads and proves a file of signatures: unknown keys, entries without a text to match,
    /// empty texts, ids used twice and malformed runbook nodes are refused, all at once.
    pub fn parse(source: Source<'_>, gate: &Gate) -> Result<Self, Vec<Fault>> {
        Self::parse_all(&[source], gate)
    }

    /// The signatures of somebody's own file, then those that the program brings along. An entry
    /// of the file takes the place of the one with the same id.
    pub fn with_own(own: Source<'_>, gate: &Gate) -> Result<Self, Vec<Fault>> {
        Self::parse_all(&[own, BUNDLED], gate)
    }

    fn parse_all(sources: &[Source<'_>], gate: &Gate) -> Result<Self, Vec<Fault>> {
        let mut signatures = Self {
            entries: vec![],
            also: vec![],
            patterns: vec![],
            matcher: AhoCorasick::new([""; 0]).map_err(|why| unbuilt(sources, gate, &why))?,
        };
        let (mut faults, mut literals) = (Vec::new(), Vec::new());
        for source in sources {
            match entries(*source, gate) {
                Ok(entries) => {
                    for (signature, entry) in entries {
                        if signatures.by_id(&signature.id).is_none() {
                            signatures.push(signature, entry, &mut literals);
                        }
                    }
                }
                Err(found) => faults.extend(found),
            }
        }
        if u16::try_from(signatures.entries.len()).is_err() {
            let what = Clean::ours("more than 65535 signatures");
            faults.extend(sources.first().map(|source| fault(*source, gate, None, what, "split the file")));
        }
        match AhoCorasick::new(&literals) {
            Ok(matcher) => signatures.matcher = matcher,
            Err(why) => faults.extend(unbuilt(sources, gate, &why)),
        }
        if faults.is_empty() { Ok(signatures) } else { Err(faults) }
    }

    fn push(&mut self, signature: Signature, entry: Entry, literals: &mut Vec<String>) {
        // Saturation never shows: a file that long is refused.
        let index = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        for (texts, whole) in [(entry.any, false), (entry.whole, true)] {
            for text in texts {
                literals.push(text);
                self.patterns.push(Pattern { signature: index, whole });
            }
        }
        self.also.push(entry.also);
        self.entries.push(signature);
    }

    /// The first signature that the line belongs to. Ordinary lines cost one pass and no memory.
    pub fn find(&self, line: &str) -> Option<u16> {
        if !self.matcher.is_match(line) {
            return None;
        }
        self.matcher
            .find_overlapping_iter(line)
            .filter_map(|hit| self.patterns.get(hit.pattern().as_usize()).map(|pattern| (pattern, hit)))
            .filter(|(pattern, hit)| !pattern.whole || line.trim().len() == hit.len())
            .map(|(pattern, _)| pattern.signature)
            .filter(|&signature| self.also[usize::from(signature)].iter().all(|text| line.contains(text.as_str())))
            .min()
    }

    /// The entry of an index that [`Signatures::find`] of these same signatures gave out.
    ///
    /// # Panics
    /// For an index of other signatures.
    pub fn get(&self, index: u16) -> &Signature {
        &self.entries[usize::from(index)]
    }

    /// The entry with this id and its index.
    pub fn by_id(&self, id: &Slug) -> Option<(u16, &Signature)> {
        self.iter().find(|(_, signature)| signature.id == *id)
    }

    /// All entries with their indexes, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Signature)> {
        (0..=u16::MAX).zip(&self.entries)
    }
}

/// The entries of one file, each with what it says, or everything that is wrong with them.
fn entries(source: Source<'_>, gate: &Gate) -> Result<Vec<(Signature, Entry)>, Vec<Fault>> {
    let file: File = toml::from_str(source.text).map_err(|why| {
        let line = why.span().map(|span| line_of(source.text, span.start));
        vec![fault(source, gate, line, gate.clean(why.message()), "correct the file")]
    })?;
    let (mut sound, mut faults, mut ids) = (Vec::new(), Vec::new(), HashSet::new());
    for spanned in file.signature {
        let line = line_of(source.text, spanned.span().start);
        let entry = spanned.into_inner();
        let first = ids.insert(entry.id.clone());
        match proved(&entry, first, gate) {
            Ok(signature) => sound.push((signature, entry)),
            Err(found) => {
                faults.extend(found.into_iter().map(|(what, remedy)| fault(source, gate, Some(line), what, remedy)));
            }
        }
    }
    if faults.is_empty() { Ok(sound) } else { Err(faults) }
}

/// The signature of an entry, or everything that is wrong with it and what to do.
fn proved(entry: &Entry, first: bool, gate: &Gate) -> Result<Signature, Vec<(Clean, &'static str)>> {
    let id = &entry.id;
    let mut faults = Vec::new();
    if !first {
        faults.push((say!("signature {}: the id is used twice", id), "rename one of the two"));
    }
    if entry.any.is_empty() && entry.whole.is_empty() {
        faults.push((say!("signature {}: nothing to match", id), "add a text to `match` or `whole`"));
    }
    if entry.any.iter().chain(&entry.whole).chain(&entry.also).any(|text| text.trim().is_empty()) {
        faults.push((say!("signature {}: an empty text would match every line", id), "remove it"));
    }
    let words = [("title", &entry.title), ("explain", &entry.explain), ("remedy", &entry.remedy)];
    for (name, _) in words.iter().filter(|(_, text)| text.trim().is_empty() || text.contains('\n')) {
        faults.push((say!("signature {}: `{}` is not one line of words", id, *name), "write one line"));
    }
    let runbook = entry.runbook.as_deref().map(node);
    if runbook == Some(None) {
        faults.push((say!("signature {}: `runbook` names no node", id), "write it as RUNBOOK:NODE"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Signature {
        id: id.clone(),
        title: gate.clean(&entry.title),
        severity: entry.severity,
        counts: entry.counts,
        explain: gate.clean(&entry.explain),
        remedy: gate.clean(&entry.remedy),
        runbook: runbook.flatten(),
    })
}

fn node(text: &str) -> Option<NodeRef> {
    let (runbook, node) = text.split_once(':')?;
    Some(NodeRef { runbook: runbook.parse().ok()?, node: node.parse().ok()? })
}

fn fault(source: Source<'_>, gate: &Gate, line: Option<usize>, what: Clean, remedy: &'static str) -> Fault {
    Fault { file: gate.clean(source.file), line, node: None, what, remedy: Clean::ours(remedy) }
}

fn unbuilt(sources: &[Source<'_>], gate: &Gate, why: &aho_corasick::BuildError) -> Vec<Fault> {
    let why =
        |source: &Source<'_>| fault(*source, gate, None, gate.clean(&why.to_string()), "use fewer or shorter texts");
    sources.first().map(why).into_iter().collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Secret;

    fn found(line: &str) -> Option<String> {
        let signatures = Signatures::bundled();
        signatures.find(line).map(|index| signatures.get(index).id.to_string())
    }

    fn refused(text: &str) -> Vec<String> {
        let faults = Signatures::parse(Source { file: "mine.toml", text }, &Gate::default()).unwrap_err();
        faults.iter().map(ToString::to_string).collect()
    }

    const GOOD: &str = "severity = 'error'\ncounts = true\nexplain = 'e'\nremedy = 'r'\n";

    #[test]
    fn lines_of_real_failures_are_recognised() {
        let rows = [
            ("Error: P3009", "p3009"),
            (
                "migrate found failed migrations in the target database, new migrations will not be applied. Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve",
                "p3009",
            ),
            ("Error: P3018", "p3018"),
            (
                "A migration failed to apply. New migrations cannot be applied before the error is recovered from. Read more",
                "p3018",
            ),
            (
                "The database schema is not empty. Read more about how to baseline an existing production database: https://pris.ly/d/migrate-baseline",
                "p3005",
            ),
            ("The migration `20250326162113_baseline` is already recorded as applied in the database.", "p3008"),
            (
                "Migration `x` cannot be rolled back because it was never applied to the database. Hint: did you",
                "p3011",
            ),
            ("Migration `x` cannot be rolled back because it is not in a failed state.", "p3012"),
            ("Error: P3017", "p3017"),
            ("Error: P1001: Can't reach database server at `db`:`5432`", "database-unreachable"),
            (
                "Context: Timed out trying to acquire a postgres advisory lock (SELECT pg_advisory_lock(72707369)). Elapsed: 10000ms.",
                "migration-lock",
            ),
            ("Database error code: 42P07", "already-exists-code"),
            ("ERROR: relation \"LiteLLM_Lens\" already exists", "already-exists"),
            ("ERROR: relation \"LiteLLM_DailyUserSpend\" does not exist", "relation-missing"),
            (r#"{"message": "ERROR: relation \"LiteLLM_X\" does not exist", "level": "ERROR"}"#, "relation-missing"),
            ("The table `public.LiteLLM_TagTable` does not exist in the current database.", "relation-missing"),
            ("column \"spec_path\" of relation \"LiteLLM_MCPServerTable\" does not exist", "relation-missing"),
            ("ERROR: column \"alias\" does not exist at character 8", "column-missing"),
            (
                "The column LiteLLM_DailyTeamSpend.mcp_namespaced_tool_name does not exist in the current database.",
                "column-missing",
            ),
            (
                "The column `LiteLLM_VerificationToken.budget_fallbacks` does not exist in the current database.",
                "column-missing",
            ),
            ("prisma.errors.X: ... 'error_code': 'P2022', 'meta'", "column-missing-code"),
            ("cached plan must not change result type", "stale-plan"),
            ("ERROR: deadlock detected", "deadlock"),
            ("ERROR: canceling statement due to lock timeout", "lock-timeout"),
            ("2026-11-20 11:49:18,208 - litellm_proxy_extras - INFO - Attempt 2 timed out", "migration-timeout"),
            ("ERROR: must be owner of table LiteLLM_TeamTable", "not-owner"),
            ("FATAL: sorry, too many clients already", "too-many-clients"),
            ("Error decrypting value for key: api_key, Did your master_key/salt key change recently? ", "salt-key"),
            ("Error: Decryption failed. Ciphertext failed verification", "salt-key"),
            (
                "RuntimeError: Migration completion could not be verified. LiteLLM startup has stopped.",
                "completion-unverified",
            ),
            (
                "Database migration failed and cannot be auto-recovered. Manual intervention required.",
                "cannot-auto-recover",
            ),
            (
                "🚨🚨🚨 prisma schema out of sync with db. Consider running these sql_commands to sync the two - ['DROP TABLE \"X\";']",
                "schema-out-of-sync",
            ),
            (
                "2026-11-20 11:49:18,208 - litellm_proxy_extras - WARNING - Database has 7 migration(s) applied that are NEWER than any migration this LiteLLM version ships.",
                "migrations-newer",
            ),
            ("Last State: Terminated, Reason: OOMKilled", "out-of-memory"),
            ("  Killed ", "out-of-memory"),
            ("Exception: Unable to find Prisma binaries. Please run 'prisma generate' first.", "prisma-binaries"),
            ("LiteLLM proxy refused to start: master key", "weak-master-key"),
            ("prisma.engine.errors.NotConnectedError: Not connected to the query engine", "query-engine"),
            ("ERROR:    Application startup failed. Exiting.", "startup-failed"),
            ("✅ Post-migration sanity check completed", "sanity-check-ran"),
            (
                "Migration 2025_x failed due to idempotent error (e.g., column already exists), resolving as applied",
                "self-healed-migration",
            ),
        ];
        // A poor password must not blank out what a signature matches on.
        let gate = Gate::knowing(["litellm", "postgres", "prisma", "hunter2hunter2"].map(Secret::new));
        for (line, expected) in rows {
            assert_eq!(found(line).as_deref(), Some(expected), "{line}");
            let told = format!("postgresql://litellm:litellm@db/x --master_key hunter2hunter2 {line}");
            assert_eq!(found(&gate.scrub(line)).as_deref(), Some(expected), "cleaned: {line}");
            if line.trim() != "Killed" {
                assert_eq!(found(&gate.scrub(&told)).as_deref(), Some(expected), "cleaned: {told}");
            }
        }
    }

    #[test]
    fn ordinary_lines_are_left_alone() {
        let rows = [
            "",
            "INFO:     Uvicorn running on http://0.0.0.0:4000 (Press CTRL+C to quit)",
            "220 migrations found in prisma/migrations",
            "No pending migrations to apply.",
            "Killed the idle connection",
            "the model gpt-9 does not exist",
            "key already exists in cache",
            "No pending migrations — skipping post-migration sanity check",
            "request chatcmpl-P3009x took 12 ms",
        ];
        for line in rows {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_expected_after_a_rollback_never_counts() {
        let signatures = Signatures::bundled();
        for (_, signature) in signatures.iter() {
            assert!(!(signature.severity == Severity::Expected && signature.counts), "{}", signature.id);
        }
        let (_, entry) = signatures.by_id(&"schema-out-of-sync".parse().unwrap()).unwrap();
        assert!(entry.remedy.as_str().contains("never run the commands"), "{}", entry.remedy);
    }

    #[test]
    fn a_faulty_file_is_refused_with_line_and_entry() {
        let entry = |id: &str, rest: &str| format!("[[signature]]\nid = '{id}'\ntitle = 't'\n{GOOD}{rest}\n");
        let rows = [
            (entry("a", "match = ['x']\ncolour = 'red'"), "mine.toml:9: unknown field `colour`"),
            (entry("a", ""), "mine.toml:1: signature a: nothing to match; add a text"),
            (entry("a", "match = ['x', ' ']"), "mine.toml:1: signature a: an empty text would match every line"),
            (entry("a", "match = ['x']\nrunbook = 'nowhere'"), "signature a: `runbook` names no node; write it as"),
            (
                entry("a", "match = ['x']") + &entry("a", "match = ['y']"),
                "mine.toml:9: signature a: the id is used twice",
            ),
            (entry("A b", "match = ['x']"), "not an id"),
            ("signature = 3".to_owned(), "mine.toml:1"),
        ];
        for (text, expected) in rows {
            let faults = refused(&text);
            assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?} lacks {expected}");
        }
    }

    #[test]
    fn own_entries_stand_before_the_bundled_ones_and_take_their_place() {
        let text = format!(
            "[[signature]]\nid = 'ours'\ntitle = 't'\n{GOOD}match = ['Error: P3009']\n\
             [[signature]]\nid = 'deadlock'\ntitle = 'our deadlock'\n{GOOD}match = ['deadlock in the ledger']\n"
        );
        let signatures = Signatures::with_own(Source { file: "ours.toml", text: &text }, &Gate::default()).unwrap();
        let id = |line: &str| signatures.find(line).map(|index| signatures.get(index).id.to_string());
        assert_eq!(id("Error: P3009").as_deref(), Some("ours"), "what stands first wins");
        assert_eq!(id("Error: P3018").as_deref(), Some("p3018"), "the bundled ones go on");
        assert_eq!(id("deadlock in the ledger").as_deref(), Some("deadlock"));
        assert_eq!(id("ERROR: deadlock detected"), None, "an entry of the same id is replaced");
        let faults = Signatures::with_own(Source { file: "ours.toml", text: "signature = 3" }, &Gate::default());
        assert!(faults.unwrap_err()[0].to_string().starts_with("ours.toml:1"));
    }

    #[test]
    fn every_fault_of_a_file_is_told_at_once() {
        let text = format!("[[signature]]\nid = 'a'\ntitle = 't'\n{GOOD}\n[[signature]]\nid = 'a'\ntitle = ''\n{GOOD}");
        assert_eq!(refused(&text).len(), 4);
    }
}
