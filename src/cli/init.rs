//! Writes a commented `lastgood.toml` from what was found, and never over another file.

use std::io::{self, Write as _};
use std::path::Path;

use crate::cli::command::InitTo;
use crate::cli::output;
use crate::domain::environment::{ClusterConfig, Kind, LITELLM_PORT, SecretSource};
use crate::domain::name::EnvName;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::domain::workload::{Container, Discovered, EnvValue, Template};
use crate::text::{Clean, Gate};

/// What was found before the file is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where the kubeconfig leads; `None` without a cluster.
    pub cluster: Option<ClusterConfig>,
    /// LiteLLM Deployments, in the order in which they should go back.
    pub workloads: Vec<FoundWorkload>,
}

/// One Deployment that looks like LiteLLM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundWorkload {
    /// Which one, and why it looks like LiteLLM.
    pub discovered: Discovered,
    /// Its current template, where it could be read.
    pub template: Option<Template>,
}

/// Variables that hold the database's URL, the master key and the Redis URL in LiteLLM's own
/// documentation and Helm charts, most telling first.
const DATABASE: [&str; 1] = ["DATABASE_URL"];
const MASTER_KEY: [&str; 2] = ["LITELLM_MASTER_KEY", "PROXY_MASTER_KEY"];
const REDIS: [&str; 1] = ["REDIS_URL"];

impl Found {
    fn containers(&self) -> impl Iterator<Item = &Container> {
        self.workloads.iter().filter_map(|workload| workload.template.as_ref()?.main())
    }

    /// The Kubernetes Secret that the first of these variables comes from.
    fn secret(&self, variables: &[&str]) -> Option<SecretSource> {
        let mut values = variables.iter().flat_map(|name| self.containers().filter_map(|c| c.variable(name)));
        values.find_map(secret_reference)
    }

    /// The port that the gateway listens on: `--port`, else LiteLLM's own.
    fn port(&self) -> u16 {
        let told = |container: &Container| {
            let after = container.words.iter().skip_while(|word| word.as_str() != "--port").nth(1)?;
            after.as_str().parse().ok().filter(|port| *port != 0)
        };
        self.containers().next().and_then(told).unwrap_or(LITELLM_PORT)
    }
}

/// Reads `secret NAME key KEY`, the words of a variable that comes from a Kubernetes Secret.
pub fn secret_reference(value: &EnvValue) -> Option<SecretSource> {
    let EnvValue::From(words) = value else { return None };
    let words: Vec<_> = words.as_str().split_whitespace().collect();
    let ["secret", name, "key", key] = words[..] else { return None };
    Some(SecretSource::Secret { name: name.parse().ok()?, key: key.parse().ok()? })
}

/// The text of the file. It parses again as it stands, holds no secret, and explains each key.
pub fn init_text(found: &Found) -> String {
    let mut text = Text::default();
    text.comment("lastgood: the environments that the console works in, one table [env.NAME] each.");
    text.comment("No secret stands in this file: it says where each one is, as { env = \"VARIABLE\" },");
    text.comment("{ file = \"PATH\" } or { secret = \"NAME\", key = \"KEY\" } (a Kubernetes Secret).");
    text.blank();
    text.comment("The name is what you type to arm the console. Choose one that nobody types by accident.");
    text.line(&format!("[env.{}]", environment_name(found)));
    text.comment("production, staging or drill. Unknown is treated as production.");
    text.setting("kind", Kind::Production.word());
    text.blank();
    cluster(&mut text, found);
    database(&mut text, found);
    gateway(&mut text, found);
    others(&mut text, found);
    text.0
}

fn environment_name(found: &Found) -> String {
    let context = found.cluster.as_ref().map(|cluster| &cluster.context);
    context.map_or_else(|| "production".to_owned(), |context| EnvName::to_string(&super::config_file::name_of(context)))
}

fn cluster(text: &mut Text, found: &Found) {
    let Some(cluster) = &found.cluster else {
        text.comment("No kubeconfig was found. With a cluster:");
        text.comment("context = \"…\"");
        text.comment("namespace = \"litellm\"");
        text.comment("workloads = [\"litellm\"]");
        text.blank();
        return;
    };
    text.comment("Where it runs. The context is fixed at start and looked at again before each act.");
    text.setting("context", cluster.context.as_str());
    text.setting("namespace", cluster.namespace.as_str());
    if let Some(kubeconfig) = &cluster.kubeconfig {
        text.setting("kubeconfig", &kubeconfig.to_string_lossy());
    }
    text.blank();
    text.comment("The Deployments that one plan reverts, in this order.");
    for workload in &found.workloads {
        let Discovered { reference, because, .. } = &workload.discovered;
        text.comment(&format!("{}: {}", reference.name, because.first_line()));
    }
    if found.workloads.is_empty() {
        text.comment("None was found; while none is named, they are looked for by image and labels.");
        text.comment("workloads = [\"litellm\"]");
    } else {
        let names: Vec<_> = found.workloads.iter().map(|w| quoted(w.discovered.reference.name.as_str())).collect();
        text.line(&format!("workloads = [{}]", names.join(", ")));
    }
    text.blank();
}

fn database(text: &mut Text, found: &Found) {
    text.comment("LiteLLM's PostgreSQL, as a URL.");
    match found.secret(&DATABASE) {
        Some(source) => {
            text.comment("The Deployment takes it from here. Add via = \"port-forward\" when its host is a");
            text.comment("Service that this machine does not reach.");
            text.line(&format!("database = {}", inline(&source)));
        }
        // Something has to be there to work on.
        None if found.cluster.is_none() => text.line("database = { env = \"DATABASE_URL\" }"),
        None => {
            text.comment("database = { env = \"DATABASE_URL\" }");
            text.comment("database = { secret = \"litellm-db\", key = \"url\", via = \"port-forward\" }");
        }
    }
    text.comment("Where dumps go, from this file's folder on.");
    text.comment("backup_folder = \"backups\"");
    text.blank();
}

fn gateway(text: &mut Text, found: &Found) {
    text.comment("The gateway, by its address or through the cluster.");
    match found.workloads.first() {
        Some(first) if found.cluster.is_some() => {
            let name = quoted(first.discovered.reference.name.as_str());
            text.comment("gateway = { url = \"https://llm.example.com\" }");
            text.line(&format!("gateway = {{ workload = {name}, port = {} }}", found.port()));
        }
        _ => text.comment("gateway = { url = \"http://127.0.0.1:4000\" }"),
    }
    text.comment("The key that the checks use: the master key, or one that may list keys and teams.");
    match found.secret(&MASTER_KEY) {
        Some(source) if found.cluster.is_some() => text.line(&format!("master_key = {}", inline(&source))),
        _ => text.comment("master_key = { env = \"LITELLM_MASTER_KEY\" }"),
    }
    text.comment("The model that the test completion asks. Without it: the first one that the gateway lists.");
    text.comment("test_model = \"…\"");
    text.blank();
}

fn others(text: &mut Text, found: &Found) {
    text.comment("Redis, where the gateway uses one, as a URL.");
    match found.secret(&REDIS) {
        Some(source) if found.cluster.is_some() => text.line(&format!("redis = {}", inline(&source))),
        _ => text.comment("redis = { env = \"REDIS_URL\" }"),
    }
    text.comment("Usage events are sent to Lago.");
    text.comment("lago = true");
    text.comment("A runbook of your own; `lastgood runbook lint FILE` proves it.");
    text.comment("runbook = \"runbook.toml\"");
    text.comment("Log lines of your own that tell what is wrong, in the form of the embedded ones.");
    text.comment("signatures = \"signatures.toml\"");
}

fn inline(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("{{ env = {} }}", quoted(name.as_str())),
        SecretSource::File(path) => format!("{{ file = {} }}", quoted(&path.to_string_lossy())),
        SecretSource::Secret { name, key } => {
            format!("{{ secret = {}, key = {} }}", quoted(name.as_str()), quoted(key.as_str()))
        }
    }
}

fn quoted(value: &str) -> String {
    toml::Value::from(value).to_string()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn comment(&mut self, words: &str) {
        self.line(&format!("# {words}"));
    }

    fn setting(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {}", quoted(value)));
    }

    fn blank(&mut self) {
        self.0.push('\n');
    }
}

/// Writes the text where it was asked for, and says so.
///
/// # Errors
/// As [`write_new`], and when standard output cannot be written.
pub fn init(to: &InitTo, found: &Found, gate: &Gate) -> Result<(), Trouble> {
    let text = init_text(found);
    let (said, place) = match to {
        InitTo::Stdout => (text, Clean::ours("standard output")),
        InitTo::File(path) => {
            write_new(path, &text, gate)?;
            let shown = gate.clean(&path.to_string_lossy());
            (format!("{shown} is written; read it, then try `lastgood preflight`\n"), shown)
        }
    };
    output::print(&said).map_err(|why| {
        Trouble::new(TroubleKind::Disk, say!("{} cannot be written: {}", place, gate.clean(&why.to_string())))
    })
}

/// Writes the file.
///
/// # Errors
/// [`TroubleKind::Refused`] when something stands there already, which stays as it is.
pub fn write_new(path: &Path, text: &str, gate: &Gate) -> Result<(), Trouble> {
    let shown = gate.clean(&path.to_string_lossy());
    let created = std::fs::File::options().write(true).create_new(true).open(path);
    match created.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all())) {
        Ok(()) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            Err(Trouble::new(TroubleKind::Refused, say!("{} is there already and was not changed", shown)).remedy(
                Clean::ours("choose another file with --output, or print the text with `--output -` and compare"),
            ))
        }
        Err(why) => {
            Err(Trouble::new(TroubleKind::Disk, say!("{} cannot be written: {}", shown, gate.clean(&why.to_string())))
                .remedy(Clean::ours("choose another file with --output")))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::cluster::WorkloadRef;
    use crate::domain::environment::{Configuration, Environment, ForwardTarget, GatewayConfig};
    use crate::domain::runbook::Source;
    use crate::domain::workload::EnvVar;

    use super::*;

    fn workload(name: &str, env: &[(&str, &'static str)], words: &[&'static str]) -> FoundWorkload {
        let env = env
            .iter()
            .map(|(name, from)| EnvVar { name: name.parse().unwrap(), value: EnvValue::From(Clean::ours(from)) });
        let container = Container {
            name: "litellm".parse().unwrap(),
            image: "ghcr.io/berriai/litellm:v1.80.0".parse().unwrap(),
            init: false,
            words: words.iter().copied().map(Clean::ours).collect(),
            env: env.collect(),
            env_from: vec![],
        };
        let reference = WorkloadRef { namespace: "llm".parse().unwrap(), name: name.parse().unwrap() };
        FoundWorkload {
            discovered: Discovered { reference, image: None, because: Clean::ours("its image\n[env.evil]") },
            template: Some(Template { containers: vec![container], ..Template::default() }),
        }
    }

    fn cluster(context: &str) -> Option<ClusterConfig> {
        let (context, namespace) = (context.parse().unwrap(), "llm".parse().unwrap());
        Some(ClusterConfig { context, namespace, kubeconfig: None })
    }

    fn parsed(found: &Found) -> Environment {
        let text = init_text(found);
        let source = Source { file: "lastgood.toml", text: &text };
        let configuration = Configuration::parse(source, &Gate::default())
            .unwrap_or_else(|faults| panic!("{}\n{text}", faults.iter().map(ToString::to_string).collect::<String>()));
        assert_eq!(configuration.environments().len(), 1, "{text}");
        configuration.environments()[0].clone()
    }

    #[test]
    fn what_was_found_is_what_the_file_says() {
        let env = [
            ("DATABASE_URL", "secret litellm-db key url"),
            ("PROXY_MASTER_KEY", "secret litellm-masterkey key masterkey"),
            ("REDIS_URL", "config map redis key url"),
        ];
        let first = workload("litellm", &env, &["--config", "/etc/c.yaml", "--port", "4001"]);
        let found =
            Found { cluster: cluster("kind-test"), workloads: vec![first, workload("litellm-batch", &[], &[])] };
        let environment = parsed(&found);
        assert_eq!((environment.name.as_str(), environment.kind), ("kind-test", Kind::Production));
        assert_eq!(environment.cluster, found.cluster);
        assert_eq!(environment.workloads.iter().map(|n| n.as_str()).collect::<Vec<_>>(), ["litellm", "litellm-batch"]);
        let secret =
            |name: &str, key: &str| SecretSource::Secret { name: name.parse().unwrap(), key: key.parse().unwrap() };
        assert_eq!(environment.database.map(|store| store.source), Some(secret("litellm-db", "url")));
        assert_eq!(environment.master_key, Some(secret("litellm-masterkey", "masterkey")));
        assert_eq!(environment.cache, None);
        let target = ForwardTarget::Workload("litellm".parse().unwrap());
        assert_eq!(environment.gateway, Some(GatewayConfig::PortForward { target, port: 4001 }));
    }

    #[test]
    fn little_or_nothing_found_is_still_a_sound_file() {
        let environment = parsed(&Found::default());
        assert_eq!(environment.name.as_str(), "production");
        assert!(environment.database.is_some() && environment.cluster.is_none());
        for context in ["a \"quoted\\ name", "arn:aws:eks:eu:1:cluster/llm", "生产", "][env.x]"] {
            let found = Found { cluster: cluster(context), workloads: vec![] };
            assert_eq!(parsed(&found).cluster, found.cluster);
        }
        // A Deployment without a readable template, or a cluster that went away meanwhile.
        let bare = FoundWorkload { template: None, ..workload("litellm", &[], &[]) };
        parsed(&Found { cluster: cluster("c"), workloads: vec![bare.clone()] });
        parsed(&Found { cluster: None, workloads: vec![bare] });
    }

    #[test]
    fn every_example_in_a_comment_is_a_key_that_exists() {
        let found = Found { cluster: cluster("c"), workloads: vec![workload("litellm", &[], &[])] };
        for comment in init_text(&found).lines().filter_map(|line| line.strip_prefix("# ")) {
            let Some((key, _)) = comment.split_once(" = ").filter(|(key, _)| !key.contains(' ')) else { continue };
            let text = format!("[env.x]\ncontext = 'c'\nnamespace = 'n'\n{comment}");
            let text = if ["context", "namespace"].contains(&key) { format!("[env.x]\n{comment}") } else { text };
            let result = Configuration::parse(Source { file: "f", text: &text }, &Gate::default());
            assert!(result.is_ok(), "{comment}: {result:?}");
        }
    }

    #[test]
    fn only_a_whole_secret_reference_is_one() {
        let reference = |words| secret_reference(&EnvValue::From(Clean::ours(words)));
        assert!(reference("secret litellm-db key DATABASE_URL").is_some());
        for words in ["secret litellm-db", "config map x key y", "secret A_B key y", "secret a key b or none", ""] {
            assert_eq!(reference(words), None, "{words}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lastgood.toml");
        assert!(write_new(&path, "one", &Gate::default()).is_ok());
        let refused = write_new(&path, "two", &Gate::default()).unwrap_err();
        assert_eq!(refused.kind, TroubleKind::Refused);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        let nowhere = write_new(&folder.path().join("no/such"), "x", &Gate::default()).unwrap_err();
        assert_eq!(nowhere.kind, TroubleKind::Disk);
    }
}
