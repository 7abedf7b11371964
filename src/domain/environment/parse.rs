//! Reads `lastgood.toml` and collects every fault with its line, its meaning and its remedy.
//!
//! No message ever repeats a value: an operator who pastes a password in the wrong place must
//! not find it in a pipeline's output.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::{ClusterConfig, Environment, ForwardTarget, GatewayConfig, Kind, LITELLM_PORT, SecretSource, StoreConfig};
use crate::domain::environment::section::{Reader, Section, suggest};
use crate::domain::name::{CacheNamespace, EnvName, Name, VarName};
use crate::domain::runbook::{Fault, Source};
use crate::text::{Clean, Gate, Secret};

const ENVIRONMENT_KEYS: [&str; 15] = [
    "kind",
    "context",
    "namespace",
    "kubeconfig",
    "workloads",
    "database",
    "gateway",
    "master_key",
    "redis",
    "redis_namespace",
    "lago",
    "runbook",
    "signatures",
    "backup_folder",
    "test_model",
];
const SECRET_KEYS: [&str; 4] = ["env", "file", "secret", "key"];
const STORE_KEYS: [&str; 5] = ["env", "file", "secret", "key", "via"];
const GATEWAY_KEYS: [&str; 5] = ["url", "via", "service", "workload", "port"];
const PORT_FORWARD: &str = "port-forward";

/// All environments of a file in its order, or all its faults.
pub(super) fn configuration(source: Source<'_>, gate: &Gate) -> Result<Vec<Environment>, Vec<Fault>> {
    let mut reader = Reader::new(source, gate);
    let (document, errors) = DeTable::parse_recoverable(source.text);
    reader.syntax(&errors);
    if !errors.is_empty() {
        return Err(reader.into_faults());
    }
    let mut top = Section::document(document.into_inner());
    reader.refuse_unknown(&top, &["env"]);
    let tables = reader.table(&mut top, "env").map(Section::into_entries).unwrap_or_default();
    let environments: Vec<_> =
        tables.into_iter().filter_map(|(name, value)| environment(&mut reader, &name, value)).collect();
    if environments.is_empty() && reader.sound() {
        reader.fault(
            0,
            Clean::ours("the file names no environment"),
            Clean::ours("add a table such as [env.staging], or let `lastgood init` write the file"),
        );
    }
    if reader.sound() { Ok(environments) } else { Err(reader.into_faults()) }
}

fn environment(
    reader: &mut Reader<'_>,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: Spanned<DeValue<'_>>,
) -> Option<Environment> {
    let at = key.span().start;
    let DeValue::Table(table) = value.into_inner() else {
        let name = reader.clean(key.get_ref());
        reader.fault(at, say!("env.{} is not a table", name), say!("write [env.{}] on a line of its own", name));
        return None;
    };
    let name = match key.get_ref().parse::<EnvName>() {
        Ok(name) => name,
        Err(bad) => {
            let raw = reader.clean(key.get_ref());
            reader.fault(
                at,
                say!("`{}` is not {}", raw, bad.what),
                say!("use {}: it is typed to arm the console", bad.rule),
            );
            return None;
        }
    };
    let mut section = Section::new(say!("env.{}", name), at, table);
    reader.refuse_unknown(&section, &ENVIRONMENT_KEYS);
    // A half-named cluster has its own fault; it should not bring a second one for each port-forward.
    let clustered = ["context", "namespace"].iter().any(|key| section.has(key));
    let environment = Environment {
        name,
        kind: kind(reader, &mut section),
        workloads: workloads(reader, &mut section, clustered),
        cluster: cluster(reader, &mut section),
        database: store(reader, &mut section, "database", "DATABASE_URL", clustered),
        gateway: gateway(reader, &mut section, clustered),
        master_key: master_key(reader, &mut section, clustered),
        cache_namespace: cache_namespace(reader, &mut section),
        cache: store(reader, &mut section, "redis", "REDIS_URL", clustered),
        billing: reader.switch(&mut section, "lago").unwrap_or(false),
        runbook: reader.path(&mut section, "runbook"),
        signatures: reader.path(&mut section, "signatures"),
        backup_folder: reader.path(&mut section, "backup_folder"),
        test_model: reader.identifier(&mut section, "test_model"),
    };
    let nothing = environment.cluster.is_none() && environment.database.is_none() && environment.gateway.is_none();
    if nothing && reader.sound() {
        reader.fault(
            at,
            say!("{} names nothing to work on", section.place()),
            Clean::ours("give it `context` and `namespace`, a `database`, or a `gateway`"),
        );
    }
    Some(environment)
}

fn kind(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Kind {
    const WORDS: [&str; 3] = ["production", "staging", "drill"];
    let Some((word, at)) = reader.string(section, "kind") else { return Kind::Production };
    if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word) {
        return kind;
    }
    let hint = suggest(&word, &WORDS).map_or(Clean::default(), |near| say!("did you mean \"{}\"? ", near));
    reader.fault(
        at,
        say!("`kind` of {} is none of the three kinds", section.place()),
        say!("{}write \"production\", \"staging\" or \"drill\"", hint),
    );
    Kind::Production
}

fn cluster(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<ClusterConfig> {
    let named = ["context", "namespace", "kubeconfig"].iter().any(|key| section.has(key));
    if !named {
        return None;
    }
    for (key, why) in [
        ("context", "the current context of kubectl changes behind the console's back"),
        ("namespace", "namespaces are never listed"),
    ] {
        if !section.has(key) {
            reader.fault(
                section.at(),
                say!("{} has no `{}`, and {}", section.place(), key, why),
                say!("add {} = \"…\", or let `lastgood init` write what is current", key),
            );
        }
    }
    let context = reader.identifier(section, "context");
    let namespace = reader.identifier(section, "namespace");
    let kubeconfig = reader.path(section, "kubeconfig");
    Some(ClusterConfig { context: context?, namespace: namespace?, kubeconfig })
}

fn workloads(reader: &mut Reader<'_>, section: &mut Section<'_>, clustered: bool) -> Vec<Name> {
    if section.has("workloads") && !clustered {
        needs_cluster(reader, section, "workloads", "names Deployments");
    }
    let names: Vec<(Name, usize)> = reader.identifiers(section, "workloads");
    for (index, (name, at)) in names.iter().enumerate() {
        if names[..index].iter().any(|(before, _)| before == name) {
            reader.fault(
                *at,
                say!("`workloads` of {} names {} twice", section.place(), name),
                Clean::ours("name each Deployment once, in the order in which they go back"),
            );
        }
    }
    names.into_iter().map(|(name, _)| name).collect()
}

fn needs_cluster(reader: &mut Reader<'_>, section: &Section<'_>, key: &'static str, does: &'static str) {
    reader.fault(
        section.at_key(key),
        say!("`{}` of {} {}, but no cluster is named", key, section.place(), does),
        Clean::ours("add `context` and `namespace` to this environment"),
    );
}

/// A value that must be a table which names a source; a literal is a secret in the wrong place.
fn source_table<'t>(
    reader: &mut Reader<'_>,
    section: &mut Section<'t>,
    key: &'static str,
    variable: &'static str,
    keys: &'static [&'static str],
) -> Option<Section<'t>> {
    if let Some(literal) = section.literal(key) {
        refuse_literal(reader, section.at_key(key), &literal, section.place(), key, variable);
        section.drop_key(key);
        return None;
    }
    let mut inner = reader.table(section, key)?;
    if let Some(literal) = inner.literal("url") {
        refuse_literal(reader, inner.at_key("url"), &literal, section.place(), key, variable);
        inner.drop_key("url");
        return None;
    }
    reader.refuse_unknown(&inner, keys);
    Some(inner)
}

fn refuse_literal(
    reader: &mut Reader<'_>,
    at: usize,
    literal: &str,
    place: &Clean,
    key: &'static str,
    variable: &'static str,
) {
    reader.learn(&Secret::new(literal));
    reader.fault(
        at,
        say!("`{}` of {} is written out, and this file must not hold a secret", key, place),
        say!(
            "say where it is: {} = {{ env = \"{}\" }}, {{ file = \"…\" }} or {{ secret = \"…\", key = \"…\" }}; \
             what was written here should be changed at its source",
            key,
            variable
        ),
    );
}

fn master_key(reader: &mut Reader<'_>, section: &mut Section<'_>, clustered: bool) -> Option<SecretSource> {
    let mut inner = source_table(reader, section, "master_key", "LITELLM_MASTER_KEY", &SECRET_KEYS)?;
    secret_source(reader, &mut inner, clustered)
}

fn store(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    variable: &'static str,
    clustered: bool,
) -> Option<StoreConfig> {
    let mut inner = source_table(reader, section, key, variable, &STORE_KEYS)?;
    let source = secret_source(reader, &mut inner, clustered);
    let via_port_forward = via(reader, &mut inner, clustered);
    Some(StoreConfig { source: source?, via_port_forward })
}

/// The namespace of the response cache, which is that of a Redis.
fn cache_namespace(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<CacheNamespace> {
    let at = section.at_key("redis_namespace");
    let namespace = reader.identifier(section, "redis_namespace")?;
    if !section.has("redis") {
        let what = say!("`redis_namespace` of {} without `redis`", section.place());
        reader.fault(at, what, Clean::ours("name the Redis: redis = { env = \"REDIS_URL\" }"));
    }
    Some(namespace)
}

/// True for `via = "port-forward"`, the only way there is besides the direct one.
fn via(reader: &mut Reader<'_>, section: &mut Section<'_>, clustered: bool) -> bool {
    if section.has("via") && !clustered {
        needs_cluster(reader, section, "via", "forwards a port");
    }
    let Some((word, at)) = reader.string(section, "via") else { return false };
    if word != PORT_FORWARD {
        reader.fault(
            at,
            say!("`via` of {} is not a way that exists", section.place()),
            say!("write via = \"{}\", or leave it out for a direct connection", PORT_FORWARD),
        );
    }
    true
}

fn secret_source(reader: &mut Reader<'_>, section: &mut Section<'_>, clustered: bool) -> Option<SecretSource> {
    let named: Vec<&'static str> = ["env", "file", "secret"].into_iter().filter(|key| section.has(key)).collect();
    let remedy = || Clean::ours("give exactly one of `env`, `file`, or `secret` with `key`");
    match named[..] {
        [] => {
            reader.fault(section.at(), say!("{} does not say where its value is", section.place()), remedy());
            return None;
        }
        [first, second, ..] => {
            reader.fault(
                section.at_key(second),
                say!("{} has two sources at once, `{}` and `{}`", section.place(), first, second),
                remedy(),
            );
            return None;
        }
        [_] => {}
    }
    if section.has("key") != section.has("secret") {
        let (there, gone) = if section.has("key") { ("key", "secret") } else { ("secret", "key") };
        reader.fault(
            section.at_key(there),
            say!("{} has `{}` without `{}`", section.place(), there, gone),
            Clean::ours("name both the Kubernetes Secret and the key in it: { secret = \"…\", key = \"…\" }"),
        );
        return None;
    }
    match named[0] {
        "env" => variable(reader, section).map(SecretSource::Env),
        "file" => reader.path(section, "file").map(SecretSource::File),
        _ => {
            if !clustered {
                needs_cluster(reader, section, "secret", "is read from Kubernetes");
            }
            let (name, key) = (reader.identifier(section, "secret"), reader.identifier(section, "key"));
            Some(SecretSource::Secret { name: name?, key: key? })
        }
    }
}

/// A variable of this process. Stricter than Kubernetes' names (POSIX.1-2024, 8.1): a key such
/// as `sk-…` must not pass for a name, because names are shown.
fn variable(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<VarName> {
    let (raw, at) = reader.string(section, "env")?;
    let posix = raw.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match raw.parse::<VarName>() {
        Ok(name) if posix => Some(name),
        _ => {
            reader.learn(&Secret::new(raw));
            reader.fault(
                at,
                say!("`env` of {} is not the name of an environment variable", section.place()),
                Clean::ours("write the variable's name, not its value: letters, digits and '_'"),
            );
            None
        }
    }
}

fn gateway(reader: &mut Reader<'_>, section: &mut Section<'_>, clustered: bool) -> Option<GatewayConfig> {
    if section.literal("gateway").is_some() {
        return url(reader, section, "gateway").map(GatewayConfig::Url);
    }
    let mut inner = reader.table(section, "gateway")?;
    reader.refuse_unknown(&inner, &GATEWAY_KEYS);
    let by_url = inner.has("url");
    let forwarded = ["via", "service", "workload", "port"].into_iter().find(|key| inner.has(key));
    match (by_url, forwarded) {
        (true, None) => url(reader, &mut inner, "url").map(GatewayConfig::Url),
        (true, Some(key)) => {
            reader.fault(
                inner.at_key(key),
                say!("{} has a `url` and `{}`, which belongs to a port-forward", inner.place(), key),
                Clean::ours("keep one: { url = \"…\" } or { service = \"…\", port = 4000 }"),
            );
            None
        }
        (false, Some(_)) => forward(reader, &mut inner, clustered),
        (false, None) => {
            reader.fault(
                inner.at(),
                say!("{} does not say how the gateway is reached", inner.place()),
                Clean::ours("write { url = \"https://…\" } or { service = \"…\", port = 4000 }"),
            );
            None
        }
    }
}

fn forward(reader: &mut Reader<'_>, section: &mut Section<'_>, clustered: bool) -> Option<GatewayConfig> {
    if section.has("via") {
        via(reader, section, clustered);
    } else if !clustered {
        reader.fault(
            section.at(),
            say!("{} forwards a port, but no cluster is named", section.place()),
            Clean::ours("add `context` and `namespace` to this environment"),
        );
    }
    let target = match (section.has("service"), section.has("workload")) {
        (true, false) => reader.identifier(section, "service").map(ForwardTarget::Service),
        (false, true) => reader.identifier(section, "workload").map(ForwardTarget::Workload),
        (both, _) => {
            let words = if both { "names a `service` and a `workload`" } else { "does not say what to forward to" };
            reader.fault(
                section.at(),
                say!("{} {}", section.place(), words),
                Clean::ours("give one: service = \"…\" or workload = \"…\""),
            );
            None
        }
    };
    let port = if section.has("port") { reader.port(section, "port") } else { Some(LITELLM_PORT) };
    Some(GatewayConfig::PortForward { target: target?, port: port? })
}

/// An address that may be shown: `http` or `https`, with a host and without a user or a password.
fn url(reader: &mut Reader<'_>, section: &mut Section<'_>, key: &'static str) -> Option<Url> {
    let (raw, at) = reader.string(section, key)?;
    let fault = match Url::parse(&raw) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => "is not an http or https address",
        Ok(url) if url.password().is_some() || !url.username().is_empty() => {
            reader.learn(&Secret::new(url.password().unwrap_or_else(|| url.username())));
            "holds a user or a password"
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => "has a query or a fragment",
        Ok(url) => return Some(url),
        Err(_) => "is not a URL",
    };
    reader.fault(
        at,
        say!("`{}` of {} {}", key, section.place(), fault),
        Clean::ours(
            "write the gateway's address alone, as \"https://llm.example.com\"; its key goes into `master_key`",
        ),
    );
    None
}

/// A path, and nothing that only looks like one.
pub(super) fn path(raw: &str) -> Option<PathBuf> {
    let plain = !raw.is_empty() && !raw.contains("://") && !raw.chars().any(char::is_control);
    plain.then(|| PathBuf::from(raw))
}
