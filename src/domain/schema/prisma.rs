//! Reads `schema.prisma` (Prisma's schema reference): which tables, columns, indexes, constraints
//! and types a version of LiteLLM knows, under the names that Prisma gives them in PostgreSQL.

use std::collections::BTreeSet;
use std::fmt;

use super::{Object, Schema};
use crate::domain::name::SqlName;

/// Why a `schema.prisma` could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Unreadable {}

const SCALARS: [&str; 9] = ["String", "Boolean", "Int", "BigInt", "Float", "Decimal", "DateTime", "Json", "Bytes"];

/// The longest name in PostgreSQL, in bytes (`NAMEDATALEN` - 1).
const LONGEST: usize = 63;

/// Reads one schema.
///
/// # Errors
/// A line that is none of what a schema is made of; a type that is neither scalar, enum nor model.
pub fn read(text: &str) -> Result<Schema, Unreadable> {
    let blocks = blocks(text)?;
    let named = |kind: &str| -> BTreeSet<&str> {
        blocks.iter().filter(|block| block.kind == kind).map(|block| block.name).collect()
    };
    let (models, enums) = (named("model"), named("enum"));
    let mut objects = Vec::new();
    for block in &blocks {
        match block.kind {
            "model" => Model::read(block, &models, &enums)?.objects(&mut objects),
            "enum" => objects.push(Object::Type(sql(block.mapped()?.unwrap_or(block.name), block.line)?)),
            // Views are not created by Prisma; the others are for its client.
            _ => {}
        }
    }
    Ok(objects.into_iter().collect())
}

/// `kind name { lines }`
struct Block<'a> {
    kind: &'a str,
    name: &'a str,
    line: usize,
    lines: Vec<(usize, &'a str)>,
}

impl<'a> Block<'a> {
    /// The name that `@@map` gives.
    fn mapped(&self) -> Result<Option<&'a str>, Unreadable> {
        let map = self.lines.iter().find_map(|(number, line)| Some((*number, line.strip_prefix("@@map")?)));
        map.map(|(line, arguments)| string(arguments).ok_or(Unreadable { line, what: "@@map without a name" }))
            .transpose()
    }
}

/// Cuts the text into blocks, without comments and empty lines.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, Unreadable> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = without_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        match (open, line.strip_suffix('{')) {
            (true, _) if line == "}" => open = false,
            (true, _) => blocks.iter_mut().last().into_iter().for_each(|block| block.lines.push((number, line))),
            (false, Some(head)) => {
                let mut words = head.split_whitespace();
                let (Some(kind), Some(name), None) = (words.next(), words.next(), words.next()) else {
                    return Err(Unreadable { line: number, what: "not the head of a block" });
                };
                blocks.push(Block { kind, name, line: number, lines: Vec::new() });
                open = true;
            }
            (false, None) => return Err(Unreadable { line: number, what: "outside of any block" }),
        }
    }
    match (open, blocks.last()) {
        (true, Some(last)) => Err(Unreadable { line: last.line, what: "a block that does not end" }),
        _ => Ok(blocks),
    }
}

/// The line up to a `//` that stands in no string.
fn without_comment(line: &str) -> &str {
    let (mut inside, mut escaped, mut slash) = (false, false, None);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            '/' if !inside && slash == Some(at) => return &line[..at - 1],
            '/' if !inside => slash = Some(at + 1),
            _ => {}
        }
    }
    line
}

fn sql(raw: &str, line: usize) -> Result<SqlName, Unreadable> {
    raw.parse().map_err(|_| Unreadable { line, what: "a name that PostgreSQL does not take" })
}

/// What stands in the first pair of quotes.
fn string(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('"')?;
    rest.split_once('"').map(|(inside, _)| inside)
}

/// The value of `name: "value"` in an attribute's arguments.
fn argument<'a>(arguments: &'a str, name: &str) -> Option<&'a str> {
    arguments.match_indices(name).find_map(|(at, _)| {
        let starts = arguments[..at].ends_with(['(', ',', ' ']);
        let value = arguments[at + name.len()..].trim_start().strip_prefix(':')?.trim_start();
        (starts && value.starts_with('"')).then(|| string(value))?
    })
}

/// The fields of the first list in square brackets; of each only its name (`at(sort: Desc)`).
fn fields(arguments: &str) -> Option<Vec<&str>> {
    let (_, rest) = arguments.split_once('[')?;
    let (list, _) = rest.split_once(']')?;
    let names = list.split(',').filter_map(|field| {
        let end = field.find('(').unwrap_or(field.len());
        let name = field[..end].trim();
        (!name.is_empty() && !name.contains([')', ':'])).then_some(name)
    });
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then_some(names)
}

/// The attribute `@name`, with what follows up to the next attribute.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.match_indices(name).find_map(|(at, _)| {
        let rest = &line[at + name.len()..];
        let whole = rest.is_empty() || rest.starts_with(['(', ' ']);
        (!line[..at].ends_with(['@', '.', '"']) && whole).then(|| match rest.strip_prefix('(') {
            Some(_) => &rest[..closing(rest)],
            None => "",
        })
    })
}

/// Behind the parenthesis that closes the first one.
fn closing(text: &str) -> usize {
    let (mut depth, mut inside) = (0i64, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => inside = !inside,
            '(' if !inside => depth += 1,
            ')' if !inside => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// A table: its columns by their field's name, and what is derived from them.
struct Model {
    table: SqlName,
    columns: Vec<(String, SqlName)>,
    keys: Vec<SqlName>,
    indexes: Vec<SqlName>,
    constraints: Vec<SqlName>,
}

impl Model {
    fn read(block: &Block<'_>, models: &BTreeSet<&str>, enums: &BTreeSet<&str>) -> Result<Self, Unreadable> {
        let table = sql(block.mapped()?.unwrap_or(block.name), block.line)?;
        let mut model =
            Model { table, columns: Vec::new(), keys: Vec::new(), indexes: Vec::new(), constraints: Vec::new() };
        for (line, text) in block.lines.iter().filter(|(_, text)| !text.starts_with("@@")) {
            let mut words = text.split_whitespace();
            let (Some(field), Some(kind)) = (words.next(), words.next()) else {
                return Err(Unreadable { line: *line, what: "a field without a type" });
            };
            // An attribute may follow the type without a space.
            let base = kind.split('@').next().unwrap_or_default().trim_end_matches(['?', '[', ']']);
            if SCALARS.contains(&base) || enums.contains(base) || base.starts_with("Unsupported(") {
                let column = attribute(text, "@map").and_then(string).unwrap_or(field);
                model.columns.push((field.to_owned(), sql(column, *line)?));
            } else if !models.contains(base) {
                return Err(Unreadable { line: *line, what: "a type that is neither scalar, enum nor model" });
            }
        }
        for (line, text) in &block.lines {
            model.derive(*line, text)?;
        }
        Ok(model)
    }

    /// Adds the indexes and constraints that a line brings.
    fn derive(&mut self, line: usize, text: &str) -> Result<(), Unreadable> {
        let unlisted = Unreadable { line, what: "an attribute without its fields" };
        let of = |kind: &str| text.strip_prefix(kind).filter(|rest| rest.starts_with(['(', ' ']));
        if let Some(arguments) = of("@@id") {
            let key = self.named(argument(arguments, "map"), &[], "_pkey", line)?;
            self.keys.push(key);
        } else if let Some((arguments, suffix)) =
            of("@@unique").map(|rest| (rest, "_key")).or_else(|| of("@@index").map(|rest| (rest, "_idx")))
        {
            let fields = fields(arguments).ok_or(unlisted)?;
            let index = self.named(argument(arguments, "map"), &fields, suffix, line)?;
            self.indexes.push(index);
        } else if !text.starts_with("@@") {
            let field = text.split_whitespace().next().unwrap_or_default();
            if let Some(arguments) = attribute(text, "@id") {
                let key = self.named(argument(arguments, "map"), &[], "_pkey", line)?;
                self.keys.push(key);
            }
            if let Some(arguments) = attribute(text, "@unique") {
                let index = self.named(argument(arguments, "map"), &[field], "_key", line)?;
                self.indexes.push(index);
            }
            if let Some(arguments) = attribute(text, "@relation").filter(|arguments| arguments.contains("fields")) {
                let fields = fields(arguments).ok_or(unlisted)?;
                let constraint = self.named(argument(arguments, "map"), &fields, "_fkey", line)?;
                self.constraints.push(constraint);
            }
        }
        Ok(())
    }

    /// The name that is given, or the one that Prisma derives: table, columns and suffix, of which
    /// the suffix stays whole (prisma-engines, `ConstraintNames`).
    fn named(&self, given: Option<&str>, fields: &[&str], suffix: &str, line: usize) -> Result<SqlName, Unreadable> {
        if let Some(given) = given {
            return sql(given, line);
        }
        let mut name = self.table.as_str().to_owned();
        for field in fields {
            let column = self.columns.iter().find(|(own, _)| own == field);
            let (_, column) = column.ok_or(Unreadable { line, what: "a field that the model does not have" })?;
            name.push('_');
            name.push_str(column.as_str());
        }
        name.truncate(name.floor_char_boundary(LONGEST - suffix.len()));
        sql(&(name + suffix), line)
    }

    fn objects(self, objects: &mut Vec<Object>) {
        let Model { table, columns, keys, indexes, constraints } = self;
        objects.push(Object::Table(table.clone()));
        objects.extend(columns.into_iter().map(|(_, column)| Object::Column(table.clone(), column)));
        objects.extend(keys.iter().cloned().chain(indexes).map(Object::Index));
        objects.extend(keys.into_iter().chain(constraints).map(|name| Object::Constraint(table.clone(), name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Vec<String>, String> {
        let schema = read(text).map_err(|why| why.to_string())?;
        Ok(schema.objects().map(Object::to_string).collect())
    }

    #[test]
    fn models_become_what_prisma_creates_for_them() {
        let text = r#"
            // A comment { with a brace
            generator client { 
              provider = "prisma-client-py" // http://x
            }
            enum State { 
              ON
              OFF
            }
            model Owner {
              id String @id @default(uuid())
              things Thing[]
            }
            model Thing {
              id    Int
              name  String @unique @map("title") // a name
              state State @default(ON)
              tags  String[]@default([])
              owner_id String?
              owner Owner? @relation(fields: [owner_id], references: [id], onDelete: Cascade)
              at DateTime @default(dbgenerated("now() // x"))
              @@id([id, name])
              @@index([name, at(sort: Desc)])
              @@index([at], map: "by_time")
              @@unique([owner_id, name], name: "client_only")
              @@map("things")
            }"#;
        let expected = [
            "Owner",
            "things",
            "Owner.id",
            "things.at",
            "things.id",
            "things.owner_id",
            "things.state",
            "things.tags",
            "things.title",
            "index Owner_pkey",
            "index by_time",
            "index things_owner_id_title_key",
            "index things_pkey",
            "index things_title_at_idx",
            "index things_title_key",
            "constraint Owner_pkey of Owner",
            "constraint things_owner_id_fkey of things",
            "constraint things_pkey of things",
            "type State",
        ];
        assert_eq!(told(text).unwrap(), expected);
    }

    #[test]
    fn long_names_keep_their_suffix() {
        let table = "T".repeat(40);
        let text = format!("model {table} {{\n id Int @id\n a_long_column_name_of_its_own Int @unique\n}}");
        let expected = format!("index {table}_a_long_column_name_key");
        assert_eq!(told(&text).unwrap().iter().find(|object| object.ends_with("_key")), Some(&expected));
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        let rows = [
            ("model T {\n id\n}", "line 2: a field without a type"),
            ("model T {\n id Strange\n}", "line 2: a type that is neither scalar, enum nor model"),
            ("model T {\n id Int @id", "line 1: a block that does not end"),
            ("x", "line 1: outside of any block"),
            ("model T {\n id Int @id\n @@index([no])\n}", "line 3: a field that the model does not have"),
            ("model T {\n id Int @id\n @@index(no)\n}", "line 3: an attribute without its fields"),
        ];
        for (text, expected) in rows {
            assert_eq!(told(text).unwrap_err(), expected);
        }
    }
}
