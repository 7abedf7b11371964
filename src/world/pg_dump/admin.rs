//! Making a new database, and taking away again what was made: nothing else on the server is touched.

use serde::Deserialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use crate::domain::name::DatabaseName;
use crate::domain::restore::remnant::{INCOMPLETE, Remnant, drop_command};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::postgres::connect::{Connector, quoted};
use crate::world::postgres::trouble;

/// How often the taking away is tried. The server itself waits five seconds each time for the
/// sessions of a program that was ended (`CountOtherDBBackends`).
const TRIES: u32 = 2;

/// What must be known of the server before a database is made on it.
pub(super) struct Live {
    /// `server_version`
    pub(super) version: Clean,
    /// Its major number.
    pub(super) major: u32,
    /// Bytes that the live database takes.
    pub(super) bytes: u64,
    /// The role that we are.
    pub(super) user: Clean,
    /// Roles that own tables of the live database, and to which ours cannot give any: only a
    /// superuser can for certain (PostgreSQL 15 and later ask for more than membership).
    pub(super) foreign_owners: Vec<Clean>,
    /// The live database has settings or grants of its own, which no dump of one database holds.
    pub(super) set_or_granted: bool,
    /// The live database's owner, where the new one can be given to it.
    owner: Option<String>,
    may_create: bool,
    locale: Locale,
}

/// How the live database sorts and encodes: a row of `pg_database`, whose columns differ by version.
#[derive(Deserialize)]
struct Locale {
    #[serde(skip)]
    encoding: String,
    datcollate: String,
    datctype: String,
    /// `c`, `i` (ICU) or `b` (built in); PostgreSQL 15 and later.
    datlocprovider: Option<String>,
    /// PostgreSQL 15 and 16.
    daticulocale: Option<String>,
    /// PostgreSQL 17 and later.
    datlocale: Option<String>,
}

impl Locale {
    /// The options of `CREATE DATABASE` that make one like it (PostgreSQL manual, CREATE DATABASE).
    fn options(&self) -> String {
        let mut options = format!(
            "TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            literal(&self.encoding),
            literal(&self.datcollate),
            literal(&self.datctype)
        );
        match (self.datlocprovider.as_deref(), self.datlocale.as_ref().or(self.daticulocale.as_ref())) {
            (Some("i"), Some(locale)) => {
                options.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(locale)));
            }
            (Some("b"), Some(locale)) => {
                options.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(locale)));
            }
            _ => {}
        }
        options
    }
}

/// A database that this restore made.
pub(super) struct Made {
    pub(super) name: DatabaseName,
    oid: i64,
}

impl Live {
    /// Looks at the server through the live database.
    pub(super) async fn look(connection: &mut PgConnection, connector: &Connector) -> Result<Self, Trouble> {
        let doing = say!("the server of {} could not be looked at", connector.url().display());
        let of = |error| trouble::of(connector, &doing, &error);
        let row = sqlx::query(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int4, \
                    pg_catalog.pg_database_size(d.oid)::int8, r.rolname::text, r.rolsuper OR r.rolcreatedb, \
                    pg_catalog.pg_encoding_to_char(d.encoding)::text, to_jsonb(d)::text, \
                    ARRAY(SELECT DISTINCT pg_catalog.pg_get_userbyid(c.relowner)::text FROM pg_catalog.pg_class c \
                        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                        WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm') AND n.nspname !~ '^pg_' \
                          AND n.nspname <> 'information_schema' AND c.relowner <> r.oid AND NOT r.rolsuper ORDER BY 1), \
                    CASE WHEN r.rolsuper THEN pg_catalog.pg_get_userbyid(d.datdba)::text END, \
                    d.datacl IS NOT NULL \
                        OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase = d.oid) \
             FROM pg_catalog.pg_database d, pg_catalog.pg_roles r \
             WHERE d.datname = current_database() AND r.rolname = current_user",
        )
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(of)?;
        let gate = connector.gate();
        let number: i32 = row.try_get(1).map_err(of)?;
        let owners: Vec<String> = row.try_get(7).map_err(of)?;
        let mut locale: Locale = serde_json::from_str(row.try_get(6).map_err(of)?)
            .map_err(|why| Trouble::new(TroubleKind::Invalid, say!("{}: {}", doing, gate.clean(&why.to_string()))))?;
        locale.encoding = row.try_get(5).map_err(of)?;
        Ok(Self {
            version: gate.clean(row.try_get(0).map_err(of)?),
            major: super::major(number),
            bytes: row.try_get::<i64, _>(2).map_err(of)?.try_into().unwrap_or_default(),
            user: gate.clean(row.try_get(3).map_err(of)?),
            foreign_owners: owners.iter().map(|owner| gate.clean(owner)).collect(),
            may_create: row.try_get(4).map_err(of)?,
            owner: row.try_get(8).map_err(of)?,
            set_or_granted: row.try_get(9).map_err(of)?,
            locale,
        })
    }

    /// Whether a database of this name may be made.
    pub(super) async fn permits(
        &self,
        connection: &mut PgConnection,
        connector: &Connector,
        name: &DatabaseName,
    ) -> Result<(), Trouble> {
        if !self.may_create {
            let what = say!("the role {} may not create databases (it lacks CREATEDB); nothing was made", self.user);
            return Err(Trouble::new(TroubleKind::Forbidden, what)
                .remedy(say!("ALTER ROLE {} CREATEDB, as an administrator, or name a URL whose role may", self.user)));
        }
        match oid(connection, connector, name).await? {
            None => Ok(()),
            Some(_) => {
                let what = say!("a database {} is there already; it was left alone", name);
                Err(Trouble::new(TroubleKind::Refused, what)
                    .remedy(Clean::ours("choose another name; nothing is ever restored into a database that exists")))
            }
        }
    }

    /// Makes the database, empty, encoded and sorted like the live one.
    pub(super) async fn create(
        &self,
        connection: &mut PgConnection,
        connector: &Connector,
        name: &DatabaseName,
    ) -> Result<Made, Trouble> {
        let doing = say!("the database {} was not made", name);
        let owner = self.owner.as_ref().map_or(String::new(), |owner| format!(" OWNER {}", quoted(owner)));
        let sql = format!("CREATE DATABASE {}{owner} {}", quoted(name.as_str()), self.locale.options());
        if let Err(error) = connection.execute(AssertSqlSafe(sql)).await {
            let told = matches!(error, sqlx::Error::Database(_));
            let trouble = trouble::of(connector, &doing, &error);
            // The server said no; without its answer nobody knows.
            return Err(if told { trouble } else { unanswered(name, &trouble) });
        }
        match oid(connection, connector, name).await {
            Ok(Some(oid)) => Ok(Made { name: name.clone(), oid }),
            Ok(None) => Err(Trouble::new(TroubleKind::Changed, say!("{} was made and is gone again", name))),
            Err(why) => Err(unanswered(name, &why)),
        }
    }
}

fn unanswered(name: &DatabaseName, why: &Trouble) -> Trouble {
    Trouble::new(TroubleKind::Unknown, say!("CREATE DATABASE {} was sent and not answered: {}", name, why.what))
        .remedy(say!("look whether {} is there; if it is, it is empty: {}", name, drop_command(name)))
}

/// The number of a database; `None` where there is none of that name.
async fn oid(
    connection: &mut PgConnection,
    connector: &Connector,
    name: &DatabaseName,
) -> Result<Option<i64>, Trouble> {
    let doing = say!("the databases of {} could not be listed", connector.url().display());
    let query = sqlx::query_scalar("SELECT oid::int8 FROM pg_catalog.pg_database WHERE datname = $1");
    let found = query.bind(name.as_str()).persistent(false).fetch_optional(connection).await;
    found.map_err(|error| trouble::of(connector, &doing, &error))
}

/// What stands on the server under a name.
pub(super) async fn remnant(connector: &Connector, name: &DatabaseName) -> Result<Option<Remnant>, Trouble> {
    let mut connection = connector.connect("lastgood").await?;
    Ok(remnants(&mut connection, connector, Some(name)).await?.pop())
}

/// What stands on the server under a name; without one, every restore that never came to its end.
pub(super) async fn remnants(
    connection: &mut PgConnection,
    connector: &Connector,
    name: Option<&DatabaseName>,
) -> Result<Vec<Remnant>, Trouble> {
    let doing = say!("the databases of {} could not be listed", connector.url().display());
    let of = |error| trouble::of(connector, &doing, &error);
    let rows = sqlx::query(
        "SELECT d.datname::text, pg_catalog.shobj_description(d.oid, 'pg_database'), \
                CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT') \
                    THEN pg_catalog.pg_database_size(d.oid) ELSE 0 END::int8, \
                (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)::int8 \
         FROM pg_catalog.pg_database d \
         WHERE CASE WHEN $1::text IS NULL \
             THEN pg_catalog.shobj_description(d.oid, 'pg_database') LIKE $2::text || '%' \
             ELSE d.datname = $1 END ORDER BY 1",
    )
    .bind(name.map(DatabaseName::as_str))
    .bind(INCOMPLETE)
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(of)?;
    let mut found = Vec::new();
    for row in rows {
        // A name that is none of ours was not made by a restore of ours.
        let Ok(name) = row.try_get::<String, _>(0).map_err(of)?.parse() else { continue };
        let comment: Option<String> = row.try_get(1).map_err(of)?;
        found.push(Remnant {
            name,
            bytes: row.try_get::<i64, _>(2).map_err(of)?.try_into().unwrap_or_default(),
            comment: connector.gate().clean(&comment.unwrap_or_default()),
            sessions: row.try_get::<i64, _>(3).map_err(of)?.try_into().unwrap_or_default(),
        });
    }
    Ok(found)
}

impl Made {
    /// Says in the database's comment what it is, for whoever finds it.
    pub(super) async fn say(
        &self,
        connection: &mut PgConnection,
        connector: &Connector,
        words: &Clean,
    ) -> Result<(), Trouble> {
        let sql = format!("COMMENT ON DATABASE {} IS {}", quoted(self.name.as_str()), literal(words.as_str()));
        let said = connection.execute(AssertSqlSafe(sql)).await;
        let doing = say!("the database {} could not be commented", self.name);
        said.map(drop).map_err(|error| trouble::of(connector, &doing, &error))
    }

    /// Takes it away again, and nothing else: only the very database that was made, and only when
    /// nobody but our own programs uses it. In words: gone, or what is left.
    pub(super) async fn take_away(self, connector: &Connector) -> Clean {
        match self.taken_away(connector).await {
            Ok(()) => say!("the incomplete database {} was taken away again", self.name),
            Err(why) => say!(
                "the incomplete database {} is left on the server ({}); take it away with {}",
                self.name,
                why.what,
                drop_command(&self.name)
            ),
        }
    }

    async fn taken_away(&self, connector: &Connector) -> Result<(), Trouble> {
        let doing = say!("{} could not be taken away", self.name);
        let mut connection = connector.connect("lastgood").await?;
        let mut last = None;
        for _ in 0..TRIES {
            match oid(&mut connection, connector, &self.name).await? {
                None => return Ok(()),
                Some(oid) if oid == self.oid => {}
                Some(_) => {
                    return Err(Trouble::new(TroubleKind::Changed, Clean::ours("another database has its name now")));
                }
            }
            let sessions = sqlx::query(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                 WHERE datid = $1::int8::oid AND application_name LIKE 'lastgood%' AND usename = current_user",
            );
            // Sessions that end by themselves meanwhile are what is wanted.
            let _ = sessions.bind(self.oid).persistent(false).execute(&mut connection).await;
            match connection.execute(AssertSqlSafe(drop_command(&self.name).to_string())).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    let in_use = matches!(&error, sqlx::Error::Database(why) if why.code().as_deref() == Some("55006"));
                    let trouble = trouble::of(connector, &doing, &error);
                    if !in_use {
                        return Err(trouble);
                    }
                    last = Some(trouble);
                }
            }
        }
        Err(last.unwrap_or_else(|| Trouble::new(TroubleKind::Busy, doing)))
    }
}

/// An SQL string literal.
fn literal(text: &str) -> String {
    // With a backslash in it, the escape syntax means the same whatever the server's settings are.
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
