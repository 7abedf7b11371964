//! What it costs to compare the migration table with the database, on LiteLLM's full history:
//! `cargo bench --bench ledger`.
//!
//! The server is a real PostgreSQL of this program's own; the migrations are those of the published
//! package, applied as Prisma does it. A first look connects and unpacks the catalog; each later one
//! reads the rows and PostgreSQL's catalogue again, and compares.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends here")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/prisma_packages.rs"]
mod prisma_packages;

use std::time::{Duration, Instant};

use lastgood::domain::catalog::Catalog;
use lastgood::domain::image::Version;
use lastgood::domain::ledger::{Ledger, Sources};
use lastgood::text::Gate;
use lastgood::world::Database as _;
use lastgood::world::postgres::Postgres;
use postgres::TestDatabase;

/// The package with the longest history.
const PACKAGE: &str = "0.4.110";
/// A target that knows all of it, one that knows a third, and one that pins a range of packages.
const TARGETS: [&str; 3] = ["1.108.0", "1.81.0", "1.82.6"];
/// How often each is looked at.
const LOOKS: usize = 30;

/// How long the queries took, and the comparison.
async fn look(port: &Postgres, target: &Version) -> (Duration, Duration) {
    let began = Instant::now();
    let (table, live) = (port.migrations().await.unwrap(), port.schema().await.unwrap());
    let asked = began.elapsed();
    let catalog = Catalog::embedded();
    let sources = Sources { table: &table, live: Some(&live), catalog, target: Some(target), image: None };
    let ledger = Ledger::compare(sources);
    assert!(ledger.rows.len() > 200);
    (asked, began.elapsed() - asked)
}

#[tokio::main]
async fn main() {
    let database = TestDatabase::with_table().await;
    prisma_packages::deploy(&mut database.connect().await, &prisma_packages::migrations(PACKAGE)).await;
    println!("the {} migrations of package {PACKAGE}\n", prisma_packages::migrations(PACKAGE).len());
    println!("{:>10}  {:>22} {:>22} {:>22}", "target", "first look", "median look", "worst look");
    let words = |(asked, compared): (Duration, Duration)| {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        format!("{:.1} + {:.1} ms", milliseconds(asked), milliseconds(compared))
    };
    for target in TARGETS {
        let version: Version = target.parse().unwrap();
        let port = Postgres::new(database.parsed(), None, Gate::default());
        let first = look(&port, &version).await;
        let mut looks = Vec::new();
        for _ in 0..LOOKS {
            looks.push(look(&port, &version).await);
        }
        looks.sort_by_key(|(asked, compared)| *asked + *compared);
        println!("{target:>10}  {:>22} {:>22} {:>22}", words(first), words(looks[LOOKS / 2]), words(looks[LOOKS - 1]));
    }
    println!("\nasking + comparing; the first of all connects and unpacks the catalog");
}
