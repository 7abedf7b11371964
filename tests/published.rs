//! The database and backup ports over LiteLLM's own published migrations.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/prisma_packages.rs"]
mod prisma_packages;

use std::collections::BTreeSet;

use futures::StreamExt as _;
use lastgood::domain::backup::{BackupItem, BackupOrder};
use lastgood::domain::confirm::{Confirm, Confirmed, Subject};
use lastgood::domain::ledger::Course;
use lastgood::domain::migration::{Deletion, Resolution, RowState};
use lastgood::domain::schema::Object;
use lastgood::text::{Clean, Gate};
use lastgood::world::pg_dump::PgDump;
use lastgood::world::postgres::Postgres;
use lastgood::world::{Backup as _, Database as _};
use postgres::TestDatabase;

const NEW: &str = "0.4.110";
const OLD: &str = "0.4.23";

fn confirmed<T: Subject>(subject: T) -> Confirmed<T> {
    let phrases = subject.phrases();
    Confirm::new(subject).answer_all(phrases.iter().map(Clean::as_str)).ok().unwrap()
}

#[tokio::test]
async fn the_ledger_of_the_published_migrations_is_read_repaired_and_dumped() {
    let (published, old) = (prisma_packages::migrations(NEW), prisma_packages::migrations(OLD));
    assert_eq!((published.len(), old.len()), (220, 66));
    let database = TestDatabase::with_table().await;
    let mut prisma = database.connect().await;
    prisma_packages::deploy(&mut prisma, &published).await;
    let port = Postgres::new(database.parsed(), None, Gate::default());

    let table = port.migrations().await.unwrap();
    assert_eq!((table.rows.len(), table.unreadable.len(), table.running()), (220, 0, false));
    assert!(table.rows.iter().all(|row| row.state == RowState::Applied && row.steps == 1));
    let shown: BTreeSet<_> = table.rows.iter().map(|row| (row.name.as_str(), row.checksum.as_str())).collect();
    let known: BTreeSet<_> = published.iter().map(|file| (file.name.as_str(), file.sha256.as_str())).collect();
    assert_eq!(shown, known);

    let live = port.schema().await.unwrap();
    let of = |wanted: fn(&Object) -> bool| live.objects.objects().filter(|object| wanted(object)).count();
    let tables = of(|object| matches!(object, Object::Table(_)));
    let columns = of(|object| matches!(object, Object::Column(..)));
    // The table of the migrations themselves is not among them.
    assert_eq!((tables, columns, live.invalid.len(), live.unreadable), (101, 1_265, 0, 0));

    // A file that is not safe to run twice fails half way, as in a re-upgrade after rows were deleted.
    let file = published.iter().find(|file| file.name.contains("add_agent_object_permissions_table")).unwrap();
    let id = prisma_packages::fail(&mut prisma, file).await.parse().unwrap();
    let table = port.migrations().await.unwrap();
    let failed: Vec<_> = table.failed().map(|row| row.id.clone()).collect();
    assert_eq!(failed, [id]);
    let row = &table.rows[0];
    assert_eq!((row.state, table.of_name(&row.name)), (RowState::Failed, 2));

    let folder = tempfile::tempdir().unwrap();
    let everything = "SELECT md5(string_agg(row_to_json(m)::text, '' ORDER BY id)) FROM _prisma_migrations m";
    let before = database.one(everything).await;
    let kept = port.resolve(confirmed(Resolution { row: row.clone() }), folder.path().into()).await.unwrap();
    assert_ne!(database.one(everything).await, before);
    port.restore(kept, folder.path().into()).await.unwrap();
    let kept = port
        .delete(confirmed(Deletion { row: row.clone(), again: Course::Untold }), folder.path().into())
        .await
        .unwrap();
    assert_eq!(port.migrations().await.unwrap().failed().count(), 0);
    // The other row of that name was applied before: it does not speak against the undo.
    port.restore(kept, folder.path().into()).await.unwrap();
    assert_eq!(database.one(everything).await, before);

    let order = BackupOrder { without_spend_logs: true, at: "2026-11-20T11:14:48Z".parse().unwrap() };
    let mut feed = PgDump::new(database.parsed(), None, Gate::default()).run(order, folder.path().into());
    let mut last = None;
    while let Some(item) = feed.next().await {
        last = Some(item);
    }
    let Some(BackupItem::Proved(proof)) = last else { panic!("{last:?}") };
    assert_eq!(proof.rows.len(), 101, "102 tables with Prisma's own, less the spend log");
    assert_eq!(proof.left_out.len(), 1);
    let head = published.last().map(|file| file.name.as_str());
    assert_eq!(proof.migration_head.as_ref().map(Clean::as_str), head);
}
