//! Reading what a schema holds from PostgreSQL's catalogue, in one query that takes no lock on
//! any table.

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::connect::Connector;
use super::migrations::TABLE;
use super::trouble::Stop;
use crate::domain::name::{BadName, SqlName};
use crate::domain::schema::{LiveSchema, Object};

/// Kind, table, name and validity of everything in the schema `$1`, but for the table `$2`.
/// What an extension owns (`pg_depend.deptype = 'e'`) belongs to no migration.
const QUERY: &str = "\
    WITH space AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1), \
    tables AS (SELECT c.oid, c.relname FROM pg_catalog.pg_class c JOIN space ON space.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND c.relname <> $2), \
    owned AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e') \
    SELECT 'table', NULL::text, relname::text, true FROM tables \
    UNION ALL SELECT 'column', t.relname::text, a.attname::text, true \
      FROM tables t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid WHERE a.attnum > 0 AND NOT a.attisdropped \
    UNION ALL SELECT 'index', t.relname::text, c.relname::text, i.indisvalid \
      FROM tables t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    UNION ALL SELECT 'constraint', t.relname::text, k.conname::text, true \
      FROM tables t JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid WHERE k.contype IN ('f', 'c', 'p', 'u', 'x') \
    UNION ALL SELECT 'trigger', t.relname::text, g.tgname::text, true \
      FROM tables t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid WHERE NOT g.tgisinternal \
    UNION ALL SELECT 'type', NULL, y.typname::text, true \
      FROM pg_catalog.pg_type y JOIN space ON space.oid = y.typnamespace \
      WHERE y.typtype = 'e' \
        AND ('pg_catalog.pg_type'::regclass, y.oid) NOT IN (SELECT classid, objid FROM owned) \
    UNION ALL SELECT 'function', NULL, p.proname::text, true \
      FROM pg_catalog.pg_proc p JOIN space ON space.oid = p.pronamespace \
      WHERE ('pg_catalog.pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM owned)";

pub(super) async fn read(connection: &mut PgConnection, connector: Connector) -> Result<LiveSchema, Stop> {
    let schema = connector.url().schema();
    let query = sqlx::query(QUERY).bind(schema.as_str()).bind(TABLE).persistent(false);
    let (mut objects, mut invalid, mut unreadable) = (Vec::new(), BTreeSet::new(), 0);
    for row in query.fetch_all(connection).await? {
        let Ok(object) = object(&row)? else {
            unreadable += 1;
            continue;
        };
        if let Object::Index(name) = &object
            && !row.try_get::<bool, _>(3)?
        {
            invalid.insert(name.clone());
        }
        objects.push(object);
    }
    Ok(LiveSchema { schema: say!("{}", schema), objects: objects.into_iter().collect(), invalid, unreadable })
}

/// One object, or why its name cannot be shown.
fn object(row: &PgRow) -> Result<Result<Object, BadName>, sqlx::Error> {
    let (kind, table, name): (&str, Option<&str>, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let read = || -> Result<Object, BadName> {
        let table = || table.unwrap_or_default().parse::<SqlName>();
        let name = name.parse::<SqlName>()?;
        Ok(match kind {
            "table" => Object::Table(name),
            "column" => Object::Column(table()?, name),
            "index" => Object::Index(name),
            "constraint" => Object::Constraint(table()?, name),
            "trigger" => Object::Trigger(table()?, name),
            "type" => Object::Type(name),
            _ => Object::Function(name),
        })
    };
    Ok(read())
}
