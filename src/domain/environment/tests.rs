//! What a configuration file may say, and how each fault of it is told.

use super::*;

fn parse(text: &str) -> Result<Configuration, Vec<Fault>> {
    Configuration::parse(Source { file: "lastgood.toml", text }, &Gate::default())
}

fn faults(text: &str) -> Vec<String> {
    parse(text).map_or_else(|faults| faults.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

const FULL: &str = r#"
[env.production]
kind = "production"
context = "gke_acme_europe-west1_llm"
namespace = "llm"
kubeconfig = "/etc/kube/config"
workloads = ["litellm", "litellm-batch"]
database = { secret = "litellm-db", key = "url", via = "port-forward" }
gateway = { service = "litellm", port = 4001 }
master_key = { file = "keys/master" }
redis = { env = "REDIS_URL" }
lago = true
runbook = "runbooks/ours.toml"
backup_folder = "/var/backups/litellm"
test_model = "gpt-4o-mini"

[env.local]
kind = "drill"
database = { env = "DATABASE_URL" }
gateway = { url = "http://127.0.0.1:4000" }
"#;

#[test]
fn a_full_file_is_read_in_its_order() {
    let configuration = parse(FULL).unwrap();
    let [production, local] = configuration.environments() else { panic!("two environments") };
    assert_eq!((production.name.as_str(), production.kind), ("production", Kind::Production));
    assert_eq!((local.name.as_str(), local.kind), ("local", Kind::Drill));
    let cluster = production.cluster.as_ref().unwrap();
    assert_eq!((cluster.context.as_str(), cluster.namespace.as_str()), ("gke_acme_europe-west1_llm", "llm"));
    assert_eq!(production.workloads.iter().map(Name::as_str).collect::<Vec<_>>(), ["litellm", "litellm-batch"]);
    let secret = SecretSource::Secret { name: "litellm-db".parse().unwrap(), key: "url".parse().unwrap() };
    assert_eq!(production.database, Some(StoreConfig { source: secret, via_port_forward: true }));
    let target = ForwardTarget::Service("litellm".parse().unwrap());
    assert_eq!(production.gateway, Some(GatewayConfig::PortForward { target, port: 4001 }));
    assert_eq!(production.master_key, Some(SecretSource::File("keys/master".into())));
    assert!(production.billing && !local.billing);
    assert_eq!(local.cluster, None);
    assert!(matches!(&local.gateway, Some(GatewayConfig::Url(url)) if url.port() == Some(4000)));
    assert_eq!(configuration.find(&"local".parse().unwrap()), Some(local));
}

#[test]
fn an_environment_that_does_not_say_its_kind_is_production() {
    let configuration = parse("[env.x]\ndatabase = { env = \"DATABASE_URL\" }").unwrap();
    assert_eq!(configuration.environments()[0].kind, Kind::Production);
}

#[test]
fn sub_tables_read_as_inline_ones() {
    let text = "[env.a]\ncontext = 'c'\nnamespace = 'n'\n[env.a.database]\nenv = 'URL'\nvia = 'port-forward'\n\
                [env.a.gateway]\nworkload = 'litellm'";
    let configuration = parse(text).unwrap();
    assert!(configuration.environments()[0].database.as_ref().unwrap().via_port_forward);
    let target = ForwardTarget::Workload("litellm".parse().unwrap());
    assert_eq!(configuration.environments()[0].gateway, Some(GatewayConfig::PortForward { target, port: 4000 }));
}

/// Each row: a body of `[env.x]` from line 2 on, and the fault that it must bring.
const FAULTY: [(&str, &str); 34] = [
    ("databse = { env = 'U' }\nlago = true", "2: unknown key `databse` in env.x; did you mean `database`?"),
    ("cache = { env = 'U' }", "2: unknown key `cache` in env.x; did you mean `redis`?"),
    ("flux_capacitor = 1", "2: unknown key `flux_capacitor` in env.x; remove it; the keys here are kind, context"),
    ("database = { env = 'U', evn = 'V' }", "2: unknown key `evn` in env.x.database; did you mean `env`?"),
    ("kind = 'stagging'", "2: `kind` of env.x is none of the three kinds; did you mean \"staging\"? write"),
    ("kind = 1", "2: `kind` of env.x is not a string in quotes"),
    ("context = 'c'", "1: env.x has no `namespace`, and namespaces are never listed; add namespace"),
    ("namespace = 'n'", "1: env.x has no `context`, and the current context of kubectl changes"),
    ("kubeconfig = 'k'", "1: env.x has no `context`"),
    ("context = 'c'\nnamespace = 'N'", "3: `namespace` of env.x is not a Kubernetes name; write lower case"),
    ("workloads = ['a']", "2: `workloads` of env.x names Deployments, but no cluster is named; add `context`"),
    ("context='c'\nnamespace='n'\nworkloads = 'a'", "4: `workloads` of env.x is not a list"),
    ("context='c'\nnamespace='n'\nworkloads = []", "4: `workloads` of env.x is not a list with something in it"),
    ("context='c'\nnamespace='n'\nworkloads = ['a', 2]", "4: `workloads` of env.x is not a list of strings"),
    ("context='c'\nnamespace='n'\nworkloads = ['a',\n'a']", "5: `workloads` of env.x names a twice; name each"),
    ("database = { }", "2: env.x.database does not say where its value is; give exactly one of"),
    ("database = { env = 'A', file = 'b' }", "2: env.x.database has two sources at once, `env` and `file`; give"),
    ("context='c'\nnamespace='n'\ndatabase = { secret = 'a' }", "4: env.x.database has `secret` without `key`"),
    ("database = { env = 'A', key = 'b' }", "2: env.x.database has `key` without `secret`"),
    ("database = { secret = 'a', key = 'b' }", "2: `secret` of env.x.database is read from Kubernetes, but no cluster"),
    ("database = { env = 'A', via = 'port-forward' }", "2: `via` of env.x.database forwards a port, but no cluster"),
    ("context='c'\nnamespace='n'\ndatabase = { env = 'A', via = 'ssh' }", "4: `via` of env.x.database is not a way"),
    ("database = 'postgres://u:hunter22@h/d'", "2: `database` of env.x is written out, and this file must not hold"),
    ("database = { url = 'postgres://u:hunter22@h/d' }", "2: `database` of env.x is written out"),
    ("database = { env = 'postgres://u:hunter22@h/d' }", "2: `env` of env.x.database is not the name of an env"),
    ("database = { file = 'postgres://u:hunter22@h/d' }", "2: `file` of env.x.database is not the path of a file"),
    ("master_key = 'sk-hunter22'", "2: `master_key` of env.x is written out"),
    ("master_key = { env = 'sk-hunter22' }", "2: `env` of env.x.master_key is not the name of an env"),
    ("gateway = 'https://u:hunter22@h'", "2: `gateway` of env.x holds a user or a password; write the gateway's"),
    ("gateway = { url = 'ftp://h' }", "2: `url` of env.x.gateway is not an http or https address"),
    ("gateway = { url = 'http://h', port = 1 }", "2: env.x.gateway has a `url` and `port`, which belongs to a port-f"),
    ("gateway = { service = 'a', port = 1 }", "2: env.x.gateway forwards a port, but no cluster is named"),
    ("context='c'\nnamespace='n'\ngateway = { service = 'a', port = 70000 }", "4: `port` of env.x.gateway is not a p"),
    ("lago = 'yes'", "2: `lago` of env.x is not true or false"),
];

#[test]
fn every_fault_names_file_line_and_remedy_and_never_a_value() {
    for (body, expected) in FAULTY {
        let found = faults(&format!("[env.x]\n{body}"));
        let expected = format!("lastgood.toml:{expected}");
        assert!(found.iter().any(|fault| fault.starts_with(&expected)), "{body}\nwants {expected}\nfound {found:#?}");
        assert!(!found.iter().any(|fault| fault.contains("hunter22")), "{found:#?}");
        assert!(found.iter().all(|fault| fault.contains("; ")), "a remedy in each of {found:#?}");
    }
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_lines() {
    let found = faults("[env.x]\nkind = 'live'\nlgo = true\n[env.y]\ndatabase = { }\n[env.'z z']\n");
    let lines: Vec<_> = found.iter().filter_map(|fault| fault.split(':').nth(1)).collect();
    assert_eq!(lines, ["2", "3", "5", "6"], "{found:#?}");
}

#[test]
fn two_environments_of_one_name_are_refused() {
    let found = faults("[env.x]\nlago = true\n[env.x]\nlago = true\n");
    assert_eq!(found, ["lastgood.toml:3: `x` stands twice; keep one; two environments need two names"]);
    let found = faults("[env.x]\nlago = true\nlago = true\nkind = 'drill'\nkind = 'drill'\n");
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn files_without_an_environment_are_refused() {
    for empty in ["", "[env]\n", "# nothing\n"] {
        let found = faults(empty);
        assert!(found[0].contains("names no environment"), "{empty:?}: {found:?}");
    }
    assert!(faults("[env.x]\nkind = 'drill'")[0].contains("names nothing to work on"));
    assert!(faults("[environment.x]\nkind = 'drill'")[0].contains("unknown key `environment`"));
    assert!(faults("env = 3")[0].contains("is not a table"));
    assert!(faults("[env]\nx = 3")[0].contains("env.x is not a table"));
}

#[test]
fn broken_toml_is_told_without_its_text() {
    for broken in [
        "[env.x]\ndatabase = postgres://u:hunter22@h/d\n",
        "[env.x]\ndatabase = \"postgres://u:hunter22@h/d\n",
        "[env.x]\nmaster_key = sk-hunter22\n",
        "[env.x]\nmaster_key = \"\\qhunter22\"\n",
        "[env.x]\nhunter22hunter22\n",
    ] {
        let found = faults(broken);
        assert!(!found.is_empty(), "{broken}");
        assert!(found.iter().all(|fault| fault.starts_with("lastgood.toml:2: ")), "{found:#?}");
        assert!(!found.concat().contains("hunter22"), "{found:#?}");
    }
}

#[test]
fn a_literal_secret_is_masked_from_then_on() {
    let gate = Gate::default();
    let text = "[env.x]\nmaster_key = 'quite-a-secret'";
    assert!(Configuration::parse(Source { file: "f", text }, &gate).is_err());
    assert_eq!(gate.scrub("it was quite-a-secret"), "it was [masked]");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}", body in "[a-z_]{1,9} = [\\[{'\"]?[a-z=, '\"]{0,20}[\\]}'\"]?") {
        let _ = parse(&text);
        let _ = parse(&format!("[env.x]\n{body}"));
    }
}
