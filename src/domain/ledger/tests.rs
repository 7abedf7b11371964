//! Small ledgers by hand: what is said about each row and why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::domain::catalog::{Found, Pin, Reading, Release, Startup};
use crate::domain::cluster::Fingerprint;
use crate::domain::name::SqlName;
use crate::domain::schema::Schema;
use crate::text::Gate;

fn sql(raw: &str) -> SqlName {
    raw.parse().unwrap()
}

/// `t` is a table, `t.c` a column, `i:x` an index.
fn object(raw: &str) -> Object {
    match (raw.strip_prefix("i:"), raw.split_once('.')) {
        (Some(index), _) => Object::Index(sql(index)),
        (None, Some((table, column))) => Object::Column(sql(table), sql(column)),
        (None, None) => Object::Table(sql(raw)),
    }
}

/// `+t` creates, `?+t` creates where it is missing, `-t` drops, `?-t` where it is there, `t>u`
/// renames, `~t` changes rows, `!` is not readable.
fn effect(raw: &str) -> Effect {
    let (guarded, rest) = raw.strip_prefix('?').map_or((false, raw), |rest| (true, rest));
    if let Some(raw) = rest.strip_prefix('+') {
        return Effect::Create { object: object(raw), guarded };
    }
    if let Some(raw) = rest.strip_prefix('-') {
        return Effect::Drop { object: object(raw), guarded };
    }
    if let Some(raw) = rest.strip_prefix('~') {
        return Effect::Data { table: sql(raw) };
    }
    match rest.split_once('>') {
        Some((old, new)) => Effect::Rename { object: object(old), to: sql(new), guarded },
        None => Effect::Unread,
    }
}

fn catalog(files: &[(&str, &str)]) -> Catalog {
    let version: PackageVersion = "0.4.100".parse().unwrap();
    let name = |raw: &str| raw.parse::<MigrationName>().unwrap();
    let editions = files.iter().map(|(raw, effects)| {
        let effects = effects.split_whitespace().map(effect).collect();
        (name(raw), vec![Edition { checksum: format!("sum of {raw}"), first: version, last: version, effects }])
    });
    let knows = |version: PackageVersion, files: &[(&str, &str)]| Package {
        version,
        migrations: files.iter().map(|(raw, _)| (name(raw), 0)).collect(),
        schema: Schema::default().into(),
    };
    let old: PackageVersion = "0.4.99".parse().unwrap();
    let first = files.len().min(1);
    let release = |version: &str, package| Release {
        version: version.parse().unwrap(),
        pin: Pin::Exactly(package),
        pods: Startup::Deploys,
        job: Startup::Deploys,
        reading: Reading::Read,
    };
    Catalog::new(
        vec![release("1.99.0", old), release("1.100.0", version)],
        vec![knows(old, &files[..first]), knows(version, files)],
        editions.collect::<BTreeMap<_, _>>(),
    )
}

fn row(at: i64, name: &str, state: RowState) -> Row {
    Row {
        id: format!("{at}-{}", name.len()).parse().unwrap(),
        name: name.parse().unwrap(),
        state,
        started_at: Timestamp::from_second(at).unwrap(),
        finished_at: None,
        rolled_back_at: None,
        steps: i32::from(state == RowState::Applied),
        checksum: say!("sum of {}", name.parse::<MigrationName>().unwrap()),
        logs: None,
        content: Fingerprint::new(&[0; 32], name.as_bytes()),
    }
}

fn live(objects: &str) -> LiveSchema {
    LiveSchema { objects: objects.split_whitespace().map(object).collect(), ..LiveSchema::default() }
}

fn compare(files: &[(&str, &str)], rows: Vec<Row>, live: &LiveSchema, target: &str) -> Ledger {
    let table = MigrationTable { rows, exists: true, ..MigrationTable::default() };
    let (catalog, target) = (catalog(files), target.parse().unwrap());
    Ledger::compare(Sources { table: &table, live: Some(live), catalog: &catalog, target: Some(&target), image: None })
}

/// Every file applied in the order written.
fn applied(files: &[(&str, &str)], objects: &str) -> Ledger {
    let rows = files.iter().enumerate().map(|(at, (name, _))| row(at as i64, name, RowState::Applied)).collect();
    compare(files, rows, &live(objects), "1.100.0")
}

fn verbs(ledger: &Ledger) -> Vec<Verb> {
    ledger.rows.iter().map(|row| row.advice.verb).collect()
}

#[test]
fn an_applied_row_is_kept_while_what_it_made_is_there() {
    let files = [("1_t", "+t +t.a"), ("2 with spaces", "+t.b")];
    let ledger = applied(&files, "t t.a t.b");
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Keep]);
    assert!(ledger.rows.iter().all(|row| row.reality == Reality::There && !row.attention()));
    let why = "what it made is there; deleted, it runs again and stops at its statement 1: t.b is already there";
    assert_eq!(ledger.rows[1].advice.why.as_str(), why);
}

#[test]
fn a_row_whose_objects_are_gone_is_deleted_with_those_that_stand_on_it() {
    let files = [("1_t", "+t +t.a"), ("2_b", "+t.b"), ("3_u", "+u")];
    let ledger = applied(&files, "u");
    assert_eq!(verbs(&ledger), [Verb::Delete, Verb::Delete, Verb::Keep]);
    let why = ledger.rows[0].advice.why.as_str();
    assert!(why.starts_with("applied, but t and t.a are missing") && why.ends_with("only from a backup"), "{why}");
}

#[test]
fn what_a_later_row_dropped_or_renamed_is_not_missing() {
    let files = [("1_t", "+t +t.a +i:x"), ("2_gone", "-t.a"), ("3_new", "t>u"), ("4_index", "i:x>y")];
    let ledger = applied(&files, "u i:y");
    assert_eq!(verbs(&ledger), [Verb::Keep; 4]);
    // Out of order: rows ran in the order of their start, not of their names.
    let rows = vec![row(1, "2_gone", RowState::Applied), row(2, "1_t", RowState::Applied)];
    let ledger = compare(&[("1_t", "?+t ?+t.a"), ("2_gone", "?-t.a")], rows, &live("t"), "1.100.0");
    assert_eq!(ledger.rows[1].reality, Reality::Partly { missing: vec![object("t.a")], there: vec![object("t")] });
}

#[test]
fn a_part_that_is_missing_is_run_again_only_where_every_statement_asks_first() {
    let ledger = applied(&[("1_t", "+t"), ("2_ab", "?+t.a ?+t.b")], "t t.a");
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Delete]);
    let ledger = applied(&[("1_t", "+t"), ("2_ab", "+t.a +t.b")], "t t.a");
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Restore]);
    let ledger = applied(&[("1_t", "+t"), ("2_ai", "+t.a +i:x")], "t t.a");
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Investigate]);
    // CREATE TABLE IF NOT EXISTS brings no column back.
    let ledger = applied(&[("1_t", "?+t ?+t.a")], "t");
    assert_eq!(verbs(&ledger), [Verb::Restore]);
    // What a later row renames counts as made again once that one ran again too.
    let ledger = applied(&[("1_t", "?+t ?+t.a"), ("2_new", "?t.a>b")], "");
    assert_eq!(verbs(&ledger), [Verb::Delete, Verb::Delete]);
    // A second run that drops something is never proposed.
    let ledger = applied(&[("1_t", "+t"), ("2_swap", "?-t.a ?+t.b"), ("3_back", "?+t.a")], "t t.a");
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Investigate, Verb::Keep]);
}

#[test]
fn what_nobody_can_read_is_unknown_and_never_an_alarm() {
    let ledger = applied(&[("1_t", "+t"), ("2_what", "!")], "t");
    assert!(matches!(ledger.rows[1].reality, Reality::Unknown { .. }) && !ledger.rows[1].attention());
    // It ran later and may have dropped the table: then the row before it is looked into, not deleted.
    let ledger = applied(&[("1_t", "+t"), ("2_what", "!")], "");
    assert_eq!(ledger.rows[0].advice.verb, Verb::Investigate);
    // A name of no release, as a baseline writes it.
    let rows = vec![Row { steps: 0, ..row(0, "0_init", RowState::Applied) }, row(1, "1_t", RowState::Applied)];
    let ledger = compare(&[("1_t", "+t")], rows, &live("t"), "1.100.0");
    assert!(ledger.rows[0].baselined && !ledger.rows[0].attention() && ledger.rows[0].brought_by.is_none());
    assert_eq!(ledger.rows[0].target_knows, Some(false));
    let rows = vec![row(1, "1_t", RowState::Applied)];
    let table = MigrationTable { rows, exists: true, ..MigrationTable::default() };
    let catalog = catalog(&[("1_t", "+t")]);
    let ledger = Ledger::compare(Sources { table: &table, live: None, catalog: &catalog, target: None, image: None });
    assert!(matches!(ledger.rows[0].reality, Reality::Unknown { .. }));
    assert_eq!((ledger.rows[0].target_knows, ledger.pending.len()), (None, 0));
}

#[test]
fn a_checksum_tells_who_wrote_the_row_and_is_no_alarm() {
    let mut other = row(0, "1_t", RowState::Applied);
    other.checksum = Clean::ours("another content");
    let ledger = compare(&[("1_t", "+t")], vec![other], &live("t"), "1.100.0");
    assert_eq!((ledger.rows[0].written_by, ledger.rows[0].attention()), (None, false));
    let ledger = applied(&[("1_t", "+t")], "t");
    assert_eq!(ledger.rows[0].written_by.map(|(first, _)| first.to_string()).as_deref(), Some("0.4.100"));
}

#[test]
fn failed_rows_are_resolved_or_marked_by_what_they_left() {
    let one = |effects: &str, steps: i32, objects: &str| {
        let rows = vec![Row { steps, ..row(0, "1_t", RowState::Failed) }];
        compare(&[("1_t", effects)], rows, &live(objects), "1.100.0").rows.remove(0).advice.verb
    };
    assert_eq!(one("+t +t.a", 0, ""), Verb::Resolve);
    assert_eq!(one("?+t ?+t.a", 0, "t t.a"), Verb::Resolve);
    assert_eq!(one("+t +t.a", 0, "t t.a"), Verb::MarkApplied);
    assert_eq!(one("?+t ?+t.a", 1, "t t.a"), Verb::MarkApplied);
    assert_eq!(one("+t +t.a", 0, "t"), Verb::Investigate);
    assert_eq!(one("?-t.a", 0, "t t.a"), Verb::Investigate);
    let rows = vec![row(0, "1_of_nobody", RowState::Failed)];
    assert_eq!(compare(&[], rows, &live(""), "1.100.0").rows[0].advice.verb, Verb::Resolve);
    let rows = vec![row(0, "1_i", RowState::Failed)];
    let broken = LiveSchema { invalid: [sql("x")].into(), ..live("i:x") };
    assert_eq!(compare(&[("1_i", "?+i:x")], rows, &broken, "1.100.0").rows[0].advice.verb, Verb::Investigate);
}

#[test]
fn what_the_target_would_run_is_told_with_what_is_there_already() {
    let files = [("1_t", "+t"), ("2_b", "+t.b"), ("3_sync", "?-t.a"), ("4_c", "?+t.c")];
    let rows = vec![row(0, "1_t", RowState::Applied), row(1, "4_c", RowState::RolledBack)];
    let ledger = compare(&files, rows, &live("t t.a t.b"), "1.100.0");
    let told: Vec<_> = ledger.pending.iter().map(|one| one.sentence().to_string()).collect();
    assert_eq!(
        told,
        [
            "not applied, but t.b exists; the target runs it and stops at its statement 1: t.b is already there",
            "not applied: the target runs it and drops t.a",
            "not applied: the target runs it and adds t.c",
        ]
    );
    let attention: Vec<_> = ledger.pending.iter().map(Pending::attention).collect();
    assert_eq!(attention, [true, true, false]);
}

#[test]
fn deleting_all_newer_rows_is_told_with_where_the_next_upgrade_stops() {
    let files = [("1_t", "+t"), ("2_b", "?+t.b"), ("3_c", "+t.c")];
    let rows = |at| (0..at).map(|at| row(at as i64, files[at].0, RowState::Applied)).collect::<Vec<_>>();
    let ledger = compare(&files, rows(3), &live("t t.b t.c"), "1.99.0");
    assert_eq!(ledger.ahead().count(), 2);
    let words = ledger.all_deleted_sentence().unwrap();
    assert_eq!(
        words.as_str(),
        "were all 2 newer rows deleted, the next upgrade stops at 3_c, statement 1: t.c is already there"
    );
    assert_eq!(compare(&files, rows(2), &live("t t.b"), "1.99.0").all_deleted, Setback::default());
}

#[test]
fn the_set_is_told_what_to_do_with_most_urgent_first() {
    let files = [("1_t", "+t"), ("2_b", "?+t.b"), ("3_c", "+t.c"), ("4_d", "+t.d")];
    let state = |at| if at == 3 { RowState::Failed } else { RowState::Applied };
    let rows = (0..4).map(|at| row(at as i64, files[at].0, state(at))).collect();
    let ledger = compare(&files, rows, &live("t t.c"), "1.99.0");
    let told: Vec<_> = ledger.counsel().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "clear the failed row first: nothing is applied before that (P3009)",
            "delete 1 row: what it made is gone, and the row keeps it gone",
            "keep the newer row: it disturbs no older version",
            "were all 2 newer rows deleted, the next upgrade stops at 3_c, statement 1: t.c is already there",
        ]
    );
    assert_eq!(applied(&files[..1], "t").counsel(), Vec::<Clean>::new());
}

#[test]
fn what_a_row_took_away_and_is_there_again_is_an_alarm() {
    let ledger = applied(&[("1_t", "+t +t.a"), ("2_drop", "?-t.a")], "t t.a");
    assert_eq!(verbs(&ledger), [Verb::Keep, Verb::Investigate]);
    assert!(matches!(&ledger.rows[1].reality, Reality::Remains { there } if there.len() == 1));
}

#[test]
fn rows_go_by_what_the_image_holds_where_a_pod_told_it() {
    let files = [("1_t", "+t"), ("2_b", "+t.b")];
    let rows = vec![row(0, "1_t", RowState::Applied), row(1, "2_b", RowState::Applied)];
    let table = MigrationTable { rows, exists: true, ..MigrationTable::default() };
    let (catalog, target) = (catalog(&files), "1.100.0".parse().unwrap());
    // Built from something else: without the second migration, with one of its own.
    let printed = format!(
        r#"{{"litellm": null, "package": null, "folder": "/x", "migrations": {{"1_t": "{0}", "3_own": "{0}"}}}}"#,
        "a".repeat(64)
    );
    let image = Listing {
        pod: "a".parse().unwrap(),
        container: "litellm".parse().unwrap(),
        image: "litellm:v1.100.0".parse().unwrap(),
        digest: None,
        found: Found::read(printed.as_bytes(), &Gate::default()).unwrap(),
    };
    let live = live("t t.b");
    let sources = Sources { table: &table, live: Some(&live), catalog: &catalog, target: Some(&target), image: None };
    let known = |sources| Ledger::compare(sources).rows.iter().map(|row| row.target_knows).collect::<Vec<_>>();
    assert_eq!(known(sources), [Some(true), Some(true)]);
    let sources = Sources { image: Some(&image), ..sources };
    assert_eq!(known(sources), [Some(true), Some(false)]);
    let pending: Vec<_> = Ledger::compare(sources).pending.iter().map(|one| one.sentence().to_string()).collect();
    assert_eq!(pending, ["not applied: the target runs it and nobody can tell what that comes to"]);
}
