//! Reads what the statements of a migration do. What is not recognised to its last word that
//! matters is [`Effect::Unread`], never guessed.
//!
//! Migrations are written by `prisma migrate diff` and then guarded by hand (`IF NOT EXISTS`,
//! `DO $$ … IF NOT EXISTS (…) THEN … $$`), so the forms are few. A general parser of SQL was tried
//! on every published file (sqlparser 0.62): it reads no `DO` block, and a block is where the
//! renames are.

use super::token::{Token, tokens};
use super::{Alteration, Effect};
use crate::domain::name::SqlName;
use crate::domain::schema::Object;

/// What a migration's file does, statement by statement.
pub fn effects(sql: &str) -> Vec<Effect> {
    match tokens(sql) {
        Some(tokens) => {
            tokens.split(|token| *token == Token::Sign(';')).filter(|one| !one.is_empty()).flat_map(top).collect()
        }
        None => vec![Effect::Unread],
    }
}

/// A statement outside any block.
fn top(tokens: &[Token]) -> Vec<Effect> {
    match tokens {
        [first, Token::Body(body), language @ ..] if first.is("DO") => match language {
            [] => block(body),
            [word, name] if word.is("LANGUAGE") && name.is("plpgsql") => block(body),
            _ => vec![Effect::Unread],
        },
        _ => statement(tokens, false),
    }
}

/// An anonymous block in PL/pgSQL (PostgreSQL's manual, chapter 43): the statements inside, those
/// below an `IF` or above an `EXCEPTION` marked as guarded.
fn block(body: &str) -> Vec<Effect> {
    read_block(body).unwrap_or_else(|| vec![Effect::Unread])
}

fn read_block(body: &str) -> Option<Vec<Effect>> {
    let tokens = tokens(body)?;
    // Declarations change nothing.
    let begins = tokens.iter().position(|token| token.is("BEGIN"))?;
    let mut rest = &tokens[begins..];
    let mut found = Vec::new();
    // Where each open `BEGIN` stands among what was found, and how many `IF`s are open.
    let mut open: Vec<usize> = Vec::new();
    let mut asked = 0usize;
    while let Some(first) = rest.first() {
        if first.is("BEGIN") {
            open.push(found.len());
            rest = &rest[1..];
        } else if first.is("IF") || first.is("ELSIF") || first.is("ELSEIF") {
            asked += usize::from(first.is("IF"));
            rest = after(rest, |token| token.is("THEN"))?;
        } else if first.is("ELSE") {
            rest = &rest[1..];
        } else if first.is("EXCEPTION") {
            found[*open.last()?..].iter_mut().for_each(guard);
            rest = &rest[1..];
        } else if first.is("WHEN") {
            rest = after(rest, |token| token.is("THEN"))?;
        } else if first.is("END") {
            if rest.get(1).is_some_and(|token| token.is("IF")) {
                asked = asked.checked_sub(1)?;
            } else {
                open.pop()?;
            }
            rest = after(rest, |token| *token == Token::Sign(';')).unwrap_or_default();
        } else {
            let end = rest.iter().position(|token| *token == Token::Sign(';'))?;
            let silent = ["NULL", "RAISE", "RETURN"].iter().any(|word| first.is(word));
            if !silent {
                found.extend(statement(&rest[..end], asked > 0));
            }
            rest = &rest[end + 1..];
        }
    }
    (open.is_empty() && asked == 0).then_some(found)
}

fn after(tokens: &[Token], end: impl Fn(&Token) -> bool) -> Option<&[Token]> {
    tokens.iter().position(end).map(|at| &tokens[at + 1..])
}

fn guard(effect: &mut Effect) {
    if let Effect::Create { guarded, .. } | Effect::Drop { guarded, .. } | Effect::Rename { guarded, .. } = effect {
        *guarded = true;
    }
}

/// One statement; `guarded` when a block asks first.
fn statement(tokens: &[Token], guarded: bool) -> Vec<Effect> {
    let mut effects = Reader { rest: tokens }.statement().unwrap_or_else(|| vec![Effect::Unread]);
    if guarded {
        effects.iter_mut().for_each(guard);
    }
    effects
}

struct Reader<'a> {
    rest: &'a [Token],
}

impl<'a> Reader<'a> {
    /// Takes these words where all of them are next.
    fn take(&mut self, words: &[&str]) -> bool {
        let fits = self.rest.len() >= words.len() && words.iter().zip(self.rest).all(|(word, token)| token.is(word));
        if fits {
            self.rest = &self.rest[words.len()..];
        }
        fits
    }

    fn sign(&mut self, sign: char) -> bool {
        let fits = self.rest.first() == Some(&Token::Sign(sign));
        if fits {
            self.rest = &self.rest[1..];
        }
        fits
    }

    /// A name, without the schema before it. Unquoted names are folded to lower case.
    fn name(&mut self) -> Option<SqlName> {
        loop {
            let (first, rest) = self.rest.split_first()?;
            let name = match first {
                Token::Quoted(name) => name.parse().ok()?,
                Token::Word(word) => word.to_lowercase().parse().ok()?,
                _ => return None,
            };
            self.rest = rest;
            if !self.sign('.') {
                return Some(name);
            }
        }
    }

    /// What stands in the parentheses that begin here, cut at its commas.
    fn list(&mut self) -> Option<Vec<&'a [Token]>> {
        if self.rest.first() != Some(&Token::Sign('(')) {
            return None;
        }
        let mut depth = 0usize;
        let end = self.rest.iter().position(|token| {
            depth += usize::from(*token == Token::Sign('('));
            depth -= usize::from(*token == Token::Sign(')'));
            depth == 0
        })?;
        let inside = &self.rest[1..end];
        self.rest = &self.rest[end + 1..];
        Some(parts(inside))
    }

    fn end<T>(&self, value: T) -> Option<T> {
        self.rest.is_empty().then_some(value)
    }

    fn statement(mut self) -> Option<Vec<Effect>> {
        if self.take(&["CREATE"]) {
            self.create()
        } else if self.take(&["ALTER", "TABLE"]) {
            self.alter_table()
        } else if self.take(&["ALTER", "INDEX"]) {
            let guarded = self.take(&["IF", "EXISTS"]);
            let object = Object::Index(self.name()?);
            let to = self.take(&["RENAME", "TO"]).then(|| self.name())??;
            self.end(vec![Effect::Rename { object, to, guarded }])
        } else if self.take(&["DROP"]) {
            self.drop()
        } else if self.take(&["UPDATE"]) || self.take(&["DELETE", "FROM"]) || self.take(&["INSERT", "INTO"]) {
            self.take(&["ONLY"]);
            Some(vec![Effect::Data { table: self.name()? }])
        } else if self.take(&["SELECT"]) {
            (self.rest == [Token::Number]).then(|| vec![Effect::Nothing])
        } else {
            let settles = ["SET", "BEGIN", "COMMIT"].iter().any(|word| self.take(&[word]));
            settles.then(|| vec![Effect::Nothing])
        }
    }

    fn create(mut self) -> Option<Vec<Effect>> {
        let replaces = self.take(&["OR", "REPLACE"]);
        if self.take(&["TABLE"]) {
            return self.create_table();
        }
        let made = |object, guarded| Some(vec![Effect::Create { object, guarded }]);
        if self.take(&["INDEX"]) || self.take(&["UNIQUE", "INDEX"]) {
            self.take(&["CONCURRENTLY"]);
            let guarded = self.take(&["IF", "NOT", "EXISTS"]);
            let index = Object::Index(self.name()?);
            self.take(&["ON"]).then(|| made(index, guarded))?
        } else if self.take(&["TYPE"]) {
            let name = Object::Type(self.name()?);
            self.take(&["AS", "ENUM"]).then(|| made(name, false))?
        } else if self.take(&["FUNCTION"]) {
            made(Object::Function(self.name()?), replaces)
        } else if self.take(&["TRIGGER"]) {
            let trigger = self.name()?;
            self.rest = after(self.rest, |token| token.is("ON"))?;
            made(Object::Trigger(self.name()?, trigger), replaces)
        } else {
            None
        }
    }

    /// A table comes with its columns, and with the index of each key.
    fn create_table(mut self) -> Option<Vec<Effect>> {
        let guarded = self.take(&["IF", "NOT", "EXISTS"]);
        let table = self.name()?;
        let elements = self.list()?;
        let mut objects = vec![Object::Table(table.clone())];
        for element in elements {
            let mut element = Reader { rest: element };
            if element.take(&["CONSTRAINT"]) {
                let name = element.name()?;
                objects.extend(element.constraint(&table, name)?);
            } else if element.take(&["PRIMARY", "KEY"]) {
                objects.extend(key(&table, format!("{}_pkey", table.as_str()))?);
            } else if ["UNIQUE", "FOREIGN", "CHECK", "EXCLUDE", "LIKE"].iter().any(|word| element.take(&[word])) {
                return None;
            } else {
                objects.extend(element.column(&table)?);
            }
        }
        self.end(objects.into_iter().map(|object| Effect::Create { object, guarded }).collect())
    }

    /// A column's definition: the column, and what it declares, under the names that PostgreSQL
    /// gives (`ChooseConstraintName`).
    fn column(&mut self, table: &SqlName) -> Option<Vec<Object>> {
        let column = self.name()?;
        let mut objects = vec![Object::Column(table.clone(), column.clone())];
        if self.rest.windows(2).any(|pair| pair[0].is("PRIMARY") && pair[1].is("KEY")) {
            objects.extend(key(table, format!("{}_pkey", table.as_str()))?);
        }
        if self.rest.iter().any(|token| token.is("UNIQUE")) {
            objects.extend(key(table, format!("{}_{}_key", table.as_str(), column.as_str()))?);
        }
        if self.rest.iter().any(|token| token.is("REFERENCES")) {
            let name = format!("{}_{}_fkey", table.as_str(), column.as_str());
            objects.push(Object::Constraint(table.clone(), name.parse().ok()?));
        }
        // The name of a constraint, and of a check that has none, is not read.
        let more = self.rest.iter().any(|token| token.is("CONSTRAINT") || token.is("CHECK"));
        (!more).then_some(objects)
    }

    fn constraint(&mut self, table: &SqlName, name: SqlName) -> Option<Vec<Object>> {
        if self.take(&["PRIMARY", "KEY"]) || self.take(&["UNIQUE"]) {
            key(table, name.as_str().to_owned())
        } else if self.take(&["FOREIGN", "KEY"]) || self.take(&["CHECK"]) {
            Some(vec![Object::Constraint(table.clone(), name)])
        } else {
            None
        }
    }

    fn alter_table(mut self) -> Option<Vec<Effect>> {
        let asks = self.take(&["IF", "EXISTS"]);
        self.take(&["ONLY"]);
        let table = self.name()?;
        if self.take(&["RENAME"]) {
            let object = if self.take(&["TO"]) {
                let to = self.name()?;
                return self.end(vec![Effect::Rename { object: Object::Table(table), to, guarded: asks }]);
            } else if self.take(&["CONSTRAINT"]) {
                Object::Constraint(table, self.name()?)
            } else {
                self.take(&["COLUMN"]);
                Object::Column(table, self.name()?)
            };
            let to = self.take(&["TO"]).then(|| self.name())??;
            return self.end(vec![Effect::Rename { object, to, guarded: false }]);
        }
        let actions = parts(self.rest).into_iter().map(|rest| Reader { rest }.action(&table));
        actions.collect::<Option<Vec<_>>>().map(|effects| effects.concat())
    }

    fn action(mut self, table: &SqlName) -> Option<Vec<Effect>> {
        if self.take(&["ADD", "CONSTRAINT"]) {
            let name = self.name()?;
            let objects = self.constraint(table, name)?;
            Some(objects.into_iter().map(|object| Effect::Create { object, guarded: false }).collect())
        } else if self.take(&["ADD", "COLUMN"]) {
            let guarded = self.take(&["IF", "NOT", "EXISTS"]);
            let objects = self.column(table)?;
            Some(objects.into_iter().map(|object| Effect::Create { object, guarded }).collect())
        } else if self.take(&["DROP", "COLUMN"]) {
            self.dropped(|name| Object::Column(table.clone(), name))
        } else if self.take(&["DROP", "CONSTRAINT"]) {
            self.dropped(|name| Object::Constraint(table.clone(), name))
        } else if self.take(&["ALTER", "COLUMN"]) {
            let object = Object::Column(table.clone(), self.name()?);
            let change = self.alteration()?;
            Some(vec![Effect::Alter { object, change }])
        } else {
            None
        }
    }

    /// The one thing that an action of `ALTER TABLE` drops.
    fn dropped(mut self, kind: impl Fn(SqlName) -> Object) -> Option<Vec<Effect>> {
        let guarded = self.take(&["IF", "EXISTS"]);
        let object = kind(self.name()?);
        self.take(&["RESTRICT"]);
        self.end(vec![Effect::Drop { object, guarded }])
    }

    fn alteration(&mut self) -> Option<Alteration> {
        if self.take(&["SET", "NOT", "NULL"]) {
            self.end(Alteration::NotNull)
        } else if self.take(&["DROP", "NOT", "NULL"]) {
            self.end(Alteration::Null)
        } else if self.take(&["SET", "DEFAULT"]) || self.take(&["DROP", "DEFAULT"]) {
            Some(Alteration::Default)
        } else if self.take(&["SET", "DATA", "TYPE"]) || self.take(&["TYPE"]) {
            self.name().map(Alteration::Type)
        } else {
            None
        }
    }

    fn drop(mut self) -> Option<Vec<Effect>> {
        let kind: fn(SqlName) -> Object = if self.take(&["TABLE"]) {
            Object::Table
        } else if self.take(&["INDEX"]) {
            self.take(&["CONCURRENTLY"]);
            Object::Index
        } else if self.take(&["TYPE"]) {
            Object::Type
        } else if self.take(&["TRIGGER"]) {
            let guarded = self.take(&["IF", "EXISTS"]);
            let trigger = self.name()?;
            let table = self.take(&["ON"]).then(|| self.name())??;
            return self.end(vec![Effect::Drop { object: Object::Trigger(table, trigger), guarded }]);
        } else {
            return None;
        };
        let guarded = self.take(&["IF", "EXISTS"]);
        let mut effects = vec![Effect::Drop { object: kind(self.name()?), guarded }];
        while self.sign(',') {
            effects.push(Effect::Drop { object: kind(self.name()?), guarded });
        }
        // What else `CASCADE` takes along is not written here.
        self.take(&["RESTRICT"]);
        self.end(effects)
    }
}

/// A key is a constraint, and an index of the same name. `None` for a name that PostgreSQL would
/// have to shorten.
fn key(table: &SqlName, name: String) -> Option<Vec<Object>> {
    let name: SqlName = name.parse().ok()?;
    Some(vec![Object::Index(name.clone()), Object::Constraint(table.clone(), name)])
}

/// Cut at the commas that stand in no parentheses and no brackets.
fn parts(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0i64;
    let cut = |token: &Token| {
        match token {
            Token::Sign('(' | '[') => depth += 1,
            Token::Sign(')' | ']') => depth -= 1,
            _ => {}
        }
        depth == 0 && *token == Token::Sign(',')
    };
    tokens.split(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sql: &str) -> Vec<String> {
        let told = |effect: &Effect| {
            let guarded = match effect {
                Effect::Create { guarded, .. } | Effect::Drop { guarded, .. } | Effect::Rename { guarded, .. } => {
                    *guarded
                }
                _ => false,
            };
            format!("{}{}", if guarded { "guarded " } else { "" }, effect.sentence())
        };
        effects(sql).iter().map(told).collect()
    }

    #[test]
    fn every_form_in_use_is_read() {
        let rows: [(&str, &[&str]); 23] = [
            (
                "CREATE TABLE t (a text REFERENCES u (a), PRIMARY KEY (a))",
                &[
                    "adds t",
                    "adds t.a",
                    "adds constraint t_a_fkey of t",
                    "adds index t_pkey",
                    "adds constraint t_pkey of t",
                ],
            ),
            (
                r#"CREATE TABLE IF NOT EXISTS "T" ("id" TEXT NOT NULL, "n" NUMERIC(4, 2) DEFAULT 0, CONSTRAINT "T_pkey" PRIMARY KEY ("id"))"#,
                &[
                    "guarded adds T",
                    "guarded adds T.id",
                    "guarded adds T.n",
                    "guarded adds index T_pkey",
                    "guarded adds constraint T_pkey of T",
                ],
            ),
            (
                "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE)",
                &[
                    "adds t",
                    "adds t.id",
                    "adds index t_pkey",
                    "adds constraint t_pkey of t",
                    "adds t.a",
                    "adds index t_a_key",
                    "adds constraint t_a_key of t",
                ],
            ),
            (
                r#"ALTER TABLE public."T" DROP COLUMN "a", ADD COLUMN IF NOT EXISTS "b" TEXT[] DEFAULT ARRAY['x', 'y']::TEXT[];"#,
                &["drops T.a", "guarded adds T.b"],
            ),
            (
                r#"ALTER TABLE "T" ADD CONSTRAINT "T_a_fkey" FOREIGN KEY ("a") REFERENCES "U"("a") ON DELETE SET NULL"#,
                &["adds constraint T_a_fkey of T"],
            ),
            (r#"ALTER TABLE "T" DROP CONSTRAINT IF EXISTS "T_a_fkey""#, &["guarded drops constraint T_a_fkey of T"]),
            (
                r#"ALTER TABLE "T" ALTER COLUMN "a" SET DATA TYPE BIGINT, ALTER COLUMN "b" DROP NOT NULL"#,
                &["changes the type of T.a to bigint", "allows null in T.b"],
            ),
            (r#"ALTER TABLE "T" ALTER COLUMN "a" SET NOT NULL"#, &["forbids null in T.a"]),
            (r#"ALTER TABLE "T" ALTER COLUMN "a" SET DEFAULT true"#, &["changes the default of T.a"]),
            (r#"ALTER TABLE "T" RENAME COLUMN "a" TO "b""#, &["renames T.a to b"]),
            (r#"ALTER TABLE IF EXISTS "T" RENAME TO "U""#, &["guarded renames T to U"]),
            (r#"ALTER INDEX IF EXISTS "i" RENAME TO "j""#, &["guarded renames index i to j"]),
            (r#"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "i" ON "T"("a")"#, &["guarded adds index i"]),
            (r#"DROP INDEX "i"; DROP INDEX IF EXISTS "j";"#, &["drops index i", "guarded drops index j"]),
            ("DROP TABLE a, b CASCADE", &["does something that could not be read"]),
            (r#"CREATE TYPE "S" AS ENUM ('A;', 'B')"#, &["adds type S"]),
            (
                "CREATE OR REPLACE FUNCTION f() RETURNS TRIGGER AS $$ BEGIN INSERT INTO t VALUES (1); END; $$ LANGUAGE plpgsql",
                &["guarded adds function f"],
            ),
            (
                r#"DROP TRIGGER IF EXISTS "g" ON "T"; CREATE TRIGGER "g" AFTER INSERT ON "T" FOR EACH STATEMENT EXECUTE PROCEDURE f()"#,
                &["guarded drops trigger g of T", "adds trigger g of T"],
            ),
            (r#"UPDATE "T" SET a = 1; DELETE FROM "U""#, &["changes rows of T", "changes rows of U"]),
            ("SELECT 1; SET LOCAL lock_timeout = '10s'", &["does nothing", "does nothing"]),
            ("SELECT drop_everything()", &["does something that could not be read"]),
            ("-- This is an empty migration.", &[]),
            ("VACUUM; 'open", &["does something that could not be read"]),
        ];
        for (sql, expected) in rows {
            assert_eq!(told(sql), expected, "{sql}");
        }
    }

    #[test]
    fn blocks_are_read_and_tell_what_asks_first() {
        let rows: [(&str, &[&str]); 7] = [
            (
                r#"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'x') THEN ALTER TABLE "T" DROP COLUMN "a"; END IF; END $$"#,
                &["guarded drops T.a"],
            ),
            (
                r#"DO $$ DECLARE n int; BEGIN ALTER TABLE "T" RENAME COLUMN "a" TO "b"; RAISE NOTICE 'x'; END; $$ LANGUAGE plpgsql"#,
                &["renames T.a to b"],
            ),
            (
                "DO $$ BEGIN CREATE TYPE s AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$",
                &["guarded adds type s"],
            ),
            (
                "DO $$ BEGIN IF true THEN DROP INDEX i; ELSE DROP INDEX j; END IF; DROP INDEX k; END $$",
                &["guarded drops index i", "guarded drops index j", "drops index k"],
            ),
            ("DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$", &["does something that could not be read"]),
            (
                "DO $$ BEGIN FOR r IN SELECT 1 LOOP DROP INDEX i; END LOOP; END $$",
                &["does something that could not be read"],
            ),
            ("DO $$ BEGIN IF true THEN DROP INDEX i; END $$", &["does something that could not be read"]),
        ];
        for (sql, expected) in rows {
            assert_eq!(told(sql), expected, "{sql}");
        }
    }
}
