//! Rust source as facts: which paths a file names, what it constructs, what it derives. Read from
//! tokens, so that neither comments and strings nor the layout of a line can mislead.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One fact about a file, and where it is.
#[derive(Clone, Debug)]
pub struct Found {
    pub line: usize,
    /// Inside code that only tests have.
    pub test: bool,
    /// The function around it.
    pub function: String,
    pub fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A path, resolved: `crate::…` for our own modules. A glob import ends with `*`.
    Path(Vec<String>),
    /// `Name(…)` or `Name { … }` where a value is made or a pattern is.
    Made(String, char),
    /// A name before parentheses: a call. True when nothing is in them.
    Called(String, bool),
    /// `.name(…)`. True when nothing is in the parentheses.
    Method(String, bool),
    /// `impl Trait for Name`.
    Impl(String, String),
    /// `#[derive(Trait)] struct Name`.
    Derived(String, String),
    /// `#[name…]`
    Attribute(String),
    /// `mod name;` that only tests have.
    TestModule(String),
}

/// Every fact of a file. `module` is where it stands: `["app", "acts"]` for `src/app/acts.rs`.
pub fn facts(text: &str, module: &[&str]) -> Vec<Found> {
    let stream: TokenStream = text.parse().expect("the file is Rust");
    let mut reader = Reader { found: Vec::new(), aliases: BTreeMap::new() };
    let place =
        Place { module: module.iter().map(ToString::to_string).collect(), test: false, function: String::new() };
    // Twice: a path may use a name that is imported further down.
    reader.read(stream.clone(), &place);
    reader.found.clear();
    reader.read(stream, &place);
    reader.found
}

#[derive(Clone)]
struct Place {
    module: Vec<String>,
    test: bool,
    function: String,
}

struct Reader {
    found: Vec<Found>,
    /// What a name stands for in this file.
    aliases: BTreeMap<String, Vec<String>>,
}

fn ident(tree: Option<&TokenTree>) -> Option<String> {
    match tree {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string().trim_start_matches("r#").to_owned()),
        _ => None,
    }
}

fn punct(tree: Option<&TokenTree>, c: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == c)
}

fn colons(trees: &[TokenTree], at: usize) -> bool {
    punct(trees.get(at), ':') && punct(trees.get(at + 1), ':')
}

fn group(tree: Option<&TokenTree>, delimiter: Delimiter) -> Option<TokenStream> {
    match tree {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group.stream()),
        _ => None,
    }
}

fn idents(stream: TokenStream) -> Vec<String> {
    stream.into_iter().filter_map(|tree| ident(Some(&tree))).collect()
}

/// `use`, `impl` and the like: after them a name is no value.
fn keyword(word: &str) -> bool {
    matches!(
        word,
        "struct" | "enum" | "union" | "trait" | "impl" | "for" | "fn" | "mod" | "dyn" | "match" | "if" | "while" | "in"
    )
}

impl Reader {
    fn tell(&mut self, tree: &TokenTree, place: &Place, fact: Fact) {
        let line = tree.span().start().line;
        self.found.push(Found { line, test: place.test, function: place.function.clone(), fact });
    }

    fn read(&mut self, stream: TokenStream, place: &Place) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        let mut derived: Vec<String> = Vec::new();
        let mut only_tests = false;
        while at < trees.len() {
            let here = Place { test: place.test || only_tests, ..place.clone() };
            let tree = &trees[at];
            if punct(Some(tree), '#')
                && let Some(inner) = group(trees.get(at + 1), Delimiter::Bracket)
            {
                let words = idents(inner.clone());
                let name = words.first().cloned().unwrap_or_default();
                let inside: Vec<String> = inner
                    .clone()
                    .into_iter()
                    .filter_map(|t| group(Some(&t), Delimiter::Parenthesis))
                    .flat_map(idents)
                    .collect();
                match name.as_str() {
                    "cfg" if inside == ["test"] => only_tests = true,
                    "test" => only_tests = true,
                    "derive" => derived.extend(inside),
                    _ => {}
                }
                self.tell(tree, &here, Fact::Attribute(name));
                at += 2;
                continue;
            }
            let word = ident(Some(tree));
            match word.as_deref() {
                Some("use") => {
                    at = self.import(&trees, at + 1, &here);
                    (derived, only_tests) = (Vec::new(), false);
                    continue;
                }
                Some("mod") if ident(trees.get(at + 1)).is_some() => {
                    let name = ident(trees.get(at + 1)).unwrap_or_default();
                    if let Some(body) = group(trees.get(at + 2), Delimiter::Brace) {
                        let mut inner = here.clone();
                        inner.module.push(name);
                        self.read(body, &inner);
                    } else if here.test {
                        self.tell(tree, &here, Fact::TestModule(name));
                    }
                    at += 3;
                    (derived, only_tests) = (Vec::new(), false);
                    continue;
                }
                Some("impl") => self.implementation(&trees, at, &here),
                Some("struct" | "enum") => {
                    let name = ident(trees.get(at + 1)).unwrap_or_default();
                    for one in derived.drain(..) {
                        self.tell(tree, &here, Fact::Derived(one, name.clone()));
                    }
                }
                Some("fn") => {
                    let name = ident(trees.get(at + 1)).unwrap_or_default();
                    let end = (at + 2..trees.len())
                        .find(|i| punct(trees.get(*i), ';') || group(trees.get(*i), Delimiter::Brace).is_some())
                        .unwrap_or(trees.len() - 1);
                    let inner = Place { function: name, ..here.clone() };
                    let item: TokenStream = trees[at + 2..=end.max(at + 1)].iter().cloned().collect();
                    self.read(item, &inner);
                    at = end + 1;
                    (derived, only_tests) = (Vec::new(), false);
                    continue;
                }
                _ => {}
            }
            if word.is_some() {
                at = self.path(&trees, at, &here);
                continue;
            }
            if let TokenTree::Group(inner) = tree {
                self.read(inner.stream(), &here);
                if inner.delimiter() == Delimiter::Brace {
                    (derived, only_tests) = (Vec::new(), false);
                }
            }
            if punct(Some(tree), ';') {
                (derived, only_tests) = (Vec::new(), false);
            }
            at += 1;
        }
    }

    /// A path in code, and what is done with its last name.
    fn path(&mut self, trees: &[TokenTree], from: usize, place: &Place) -> usize {
        let mut path = vec![ident(trees.get(from)).unwrap_or_default()];
        let mut at = from + 1;
        while colons(trees, at) {
            let Some(next) = ident(trees.get(at + 2)) else { break };
            path.push(next);
            at += 3;
        }
        let tree = &trees[from];
        let method = from > 0 && punct(trees.get(from - 1), '.') && !(from > 1 && punct(trees.get(from - 2), '.'));
        let last = path.last().cloned().unwrap_or_default();
        let parentheses = group(trees.get(at), Delimiter::Parenthesis);
        let braces = group(trees.get(at), Delimiter::Brace).is_some();
        let before = from.checked_sub(1).and_then(|i| trees.get(i));
        let returned = punct(before, '>') && from > 1 && punct(trees.get(from - 2), '-');
        let named = returned || ident(before).is_some_and(|word| keyword(&word));
        if let Some(inside) = parentheses {
            let empty = inside.is_empty();
            let fact = if method { Fact::Method(last.clone(), empty) } else { Fact::Called(last.clone(), empty) };
            self.tell(tree, place, fact);
            if !method && !named {
                self.tell(tree, place, Fact::Made(last.clone(), '('));
            }
        } else if braces && !named {
            self.tell(tree, place, Fact::Made(last, '{'));
        }
        if path.len() > 1 {
            let resolved = self.resolved(path, place);
            self.tell(tree, place, Fact::Path(resolved));
        }
        at
    }

    fn implementation(&mut self, trees: &[TokenTree], at: usize, place: &Place) {
        let head: Vec<&TokenTree> = trees[at + 1..]
            .iter()
            .take_while(|tree| group(Some(tree), Delimiter::Brace).is_none() && !punct(Some(tree), ';'))
            .collect();
        let Some(middle) = head.iter().position(|tree| ident(Some(tree)).as_deref() == Some("for")) else { return };
        // The last name of the path counts, without its own parameters.
        let path = head[middle + 1..].iter().take_while(|tree| ident(Some(tree)).is_some() || punct(Some(tree), ':'));
        let of = path.filter_map(|tree| ident(Some(tree))).last();
        for one in head[..middle].iter().filter_map(|tree| ident(Some(tree))) {
            self.tell(&trees[at], place, Fact::Impl(one, of.clone().unwrap_or_default()));
        }
    }

    /// A `use`, expanded. Answers where it ends.
    fn import(&mut self, trees: &[TokenTree], from: usize, place: &Place) -> usize {
        let end = (from..trees.len()).find(|i| punct(trees.get(*i), ';')).unwrap_or(trees.len());
        self.branch(&trees[from..end], &[], place);
        end + 1
    }

    fn branch(&mut self, trees: &[TokenTree], prefix: &[String], place: &Place) {
        let mut path = prefix.to_vec();
        let mut at = if colons(trees, 0) { 2 } else { 0 };
        loop {
            if let Some(inner) = group(trees.get(at), Delimiter::Brace) {
                let inner: Vec<TokenTree> = inner.into_iter().collect();
                for part in inner.split(|tree| punct(Some(tree), ',')).filter(|part| !part.is_empty()) {
                    self.branch(part, &path, place);
                }
                return;
            }
            if punct(trees.get(at), '*') {
                path.push("*".to_owned());
                break;
            }
            let Some(word) = ident(trees.get(at)) else { break };
            if word != "self" || path.is_empty() {
                path.push(word);
            }
            at += 1;
            if !colons(trees, at) {
                break;
            }
            at += 2;
        }
        let Some(tree) = trees.first() else { return };
        let renamed = (ident(trees.get(at)).as_deref() == Some("as")).then(|| ident(trees.get(at + 1))).flatten();
        let resolved = self.resolved_import(path, place);
        if let Some(name) = renamed.or_else(|| resolved.last().cloned()).filter(|name| name != "*" && name != "_") {
            self.aliases.insert(name, resolved.clone());
        }
        self.tell(tree, place, Fact::Path(resolved));
    }

    fn resolved_import(&self, path: Vec<String>, place: &Place) -> Vec<String> {
        let aliased = path.first().filter(|_| path.len() > 1).and_then(|first| self.aliases.get(first)).cloned();
        match aliased {
            // An alias that stands for itself (`use serde; use serde::Serialize`) leads nowhere else.
            Some(alias) if alias != path[..1] => [alias, path[1..].to_vec()].concat(),
            _ => rooted(path, place),
        }
    }

    fn resolved(&self, path: Vec<String>, place: &Place) -> Vec<String> {
        match path.first().and_then(|first| self.aliases.get(first)) {
            Some(alias) => [alias.clone(), path[1..].to_vec()].concat(),
            None => rooted(path, place),
        }
    }
}

/// `crate`, `self`, `super` and our own name, told as `crate::…`.
fn rooted(path: Vec<String>, place: &Place) -> Vec<String> {
    let mut module = place.module.clone();
    let mut rest = path.as_slice();
    match rest.first().map(String::as_str) {
        Some("crate" | "lastgood") => (module, rest) = (Vec::new(), &rest[1..]),
        Some("self") => rest = &rest[1..],
        Some("super") => {}
        _ => return path,
    }
    while rest.first().is_some_and(|word| word == "super") {
        module.pop();
        rest = &rest[1..];
    }
    [vec!["crate".to_owned()], module, rest.to_vec()].concat()
}
