//! From a kubeconfig to two clients: one for requests, one for streams.
//!
//! kube 5 needs to be told three things. `default_retry` would send a PATCH again up to fifteen
//! times on 503; without `read_timeout` a silent server is waited for without end; and a
//! credential plugin is started on the operator's terminal unless `interactiveMode` is `Never`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::Status;

use super::errors;
use crate::domain::name::{ContextName, Name};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::{Clean, Gate, Secret};

/// The longest silence of a request.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait for a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest a credential plugin may take without a terminal. Some wait for a browser for ever.
const PLUGIN_LIMIT: Duration = Duration::from_secs(30);

/// Which cluster, and where in it.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The kubeconfig context; the current one where none is named. Fixed from then on.
    pub context: Option<ContextName>,
    /// The namespace; the context's where none is named, `default` where that has none.
    pub namespace: Option<Name>,
    /// The kubeconfig file; `$KUBECONFIG` or `~/.kube/config` where none is named. Where there is
    /// no such file, the service account of the pod that the console runs in.
    pub kubeconfig: Option<PathBuf>,
}

/// The credential plugin of a kubeconfig entry, and whether it may ask a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// It never asks (`interactiveMode: Never`).
    Silent,
    /// It asks where it has a terminal (`IfAvailable`, which is also meant where nothing is said, or
    /// `Always`).
    MayAsk,
}

/// What a connection is made of, before any request.
pub(super) struct Connection {
    pub(super) requests: Client,
    pub(super) streams: Client,
    pub(super) context: Option<ContextName>,
    pub(super) namespace: Name,
    pub(super) server: Clean,
}

/// The plugin that [`connect`] runs; `None` where the kubeconfig holds the credential, or has none.
pub(super) async fn plugin(options: &ConnectOptions, gate: &Gate) -> Result<Option<Plugin>, Trouble> {
    let (config, _) = configuration(options, gate).await?;
    let command = config.auth_info.auth_provider.is_some();
    Ok(match &config.auth_info.exec {
        Some(exec) if exec.interactive_mode != Some(ExecInteractiveMode::Never) => Some(Plugin::MayAsk),
        Some(_) => Some(Plugin::Silent),
        None => command.then_some(Plugin::Silent),
    })
}

/// Reads the configuration and builds both clients. Runs the credential plugin, without a terminal.
pub(super) async fn connect(options: ConnectOptions, gate: &Gate) -> Result<Connection, Trouble> {
    let (config, context) = configuration(&options, gate).await?;
    teach(gate, &config);
    let namespace = match options.namespace {
        Some(namespace) => namespace,
        None => namespace_of(&config)?,
    };
    let server = gate.clean(&config.cluster_url.to_string());
    let (requests, streams) = tokio::join!(
        client(with_plugin_mode(for_requests(config.clone()), ExecInteractiveMode::Never), gate),
        client(with_plugin_mode(for_streams(config), ExecInteractiveMode::Never), gate),
    );
    Ok(Connection { requests: requests?, streams: streams?, context, namespace, server })
}

/// Runs the credential plugin with the operator's terminal, for plugins that ask for a device
/// code or a password and keep what they got. The plugin's own cache serves [`connect`] after.
pub(super) async fn login(options: ConnectOptions, gate: &Gate) -> Result<(), Trouble> {
    let (config, _) = configuration(&options, gate).await?;
    if config.auth_info.exec.is_none() {
        return Err(Trouble::new(
            TroubleKind::Missing,
            Clean::ours("this kubeconfig entry has no credential plugin to log in with"),
        )
        .remedy(Clean::ours("renew the token or the certificate that it names")));
    }
    let config = with_plugin_mode(for_requests(config), ExecInteractiveMode::IfAvailable);
    build(config, gate).await.map(drop)
}

async fn configuration(options: &ConnectOptions, gate: &Gate) -> Result<(kube::Config, Option<ContextName>), Trouble> {
    let file = match &options.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let file = match file {
        Ok(file) => file,
        Err(why) if options.kubeconfig.is_none() && options.context.is_none() && is_absent(&why) => {
            let config = kube::Config::incluster().map_err(|inside| no_configuration(gate, &inside.to_string()))?;
            return Ok((config, None));
        }
        Err(why) => return Err(bad_kubeconfig(gate, &why)),
    };
    let context = options.context.as_ref().map(ToString::to_string).or_else(|| file.current_context.clone());
    let named = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(file, &named).await.map_err(|why| bad_kubeconfig(gate, &why))?;
    let config = without_idle_certificates(config);
    let context = context.map(|name| name.parse::<ContextName>()).transpose().map_err(|why| {
        Trouble::new(TroubleKind::Invalid, say!("the current context of the kubeconfig is {}: {}", why.what, why.rule))
    })?;
    Ok((config, context))
}

/// kube 5 reads every certificate authority of the machine for each client of an entry that names
/// none, a tenth of a second each, and fails where there are none. Without TLS nobody asks them.
fn without_idle_certificates(mut config: kube::Config) -> kube::Config {
    let tls = |url: &http::Uri| url.scheme() != Some(&http::uri::Scheme::HTTP);
    let anybody = tls(&config.cluster_url) || config.proxy_url.as_ref().is_some_and(tls);
    if !anybody && config.root_cert.is_none() {
        config.root_cert = Some(Vec::new());
    }
    config
}

fn is_absent(why: &KubeconfigError) -> bool {
    match why {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(why, _) => why.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn no_configuration(gate: &Gate, inside: &str) -> Trouble {
    Trouble::new(
        TroubleKind::Missing,
        say!("there is no kubeconfig, and this is no pod of a cluster: {}", gate.clean(inside)),
    )
    .remedy(Clean::ours("set KUBECONFIG, or log in to the cluster once"))
}

fn bad_kubeconfig(gate: &Gate, why: &KubeconfigError) -> Trouble {
    let kind = if is_absent(why) { TroubleKind::Missing } else { TroubleKind::Invalid };
    Trouble::new(kind, say!("the kubeconfig cannot be used: {}", gate.clean(&why.to_string())))
        .remedy(Clean::ours("name a file and a context that exist: `kubectl config get-contexts` lists them"))
}

fn namespace_of(config: &kube::Config) -> Result<Name, Trouble> {
    let raw = if config.default_namespace.is_empty() { "default" } else { &config.default_namespace };
    raw.parse().map_err(|why: crate::domain::name::BadName| {
        Trouble::new(TroubleKind::Invalid, say!("the namespace of the kube context is not {}: {}", why.what, why.rule))
            .remedy(Clean::ours("name a namespace in the configuration"))
    })
}

/// Everything secret that the kubeconfig holds, so that no error and no log can show it.
fn teach(gate: &Gate, config: &kube::Config) {
    use kube::config::AuthInfo;
    let AuthInfo { token, password, client_key_data, .. } = &config.auth_info;
    for secret in [token, password, client_key_data].into_iter().flatten() {
        gate.learn(&Secret::new(secrecy::ExposeSecret::expose_secret(secret)));
    }
    for variable in config.auth_info.exec.iter().flat_map(|exec| exec.env.iter().flatten()) {
        let name = variable.get("name").map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        let secret = ["secret", "password", "token", "key"].iter().any(|word| name.contains(word));
        if let Some(value) = variable.get("value").filter(|_| secret) {
            gate.learn(&Secret::new(value.as_str()));
        }
    }
    if let Some(file) = &config.auth_info.token_file
        && let Ok(token) = std::fs::read_to_string(file)
    {
        gate.learn(&Secret::new(token.trim()));
    }
}

fn for_requests(mut config: kube::Config) -> kube::Config {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    config
}

fn for_streams(mut config: kube::Config) -> kube::Config {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = None;
    config
}

fn with_plugin_mode(mut config: kube::Config, mode: ExecInteractiveMode) -> kube::Config {
    if let Some(exec) = &mut config.auth_info.exec {
        exec.interactive_mode = Some(mode);
    }
    config
}

async fn client(config: kube::Config, gate: &Gate) -> Result<Client, Trouble> {
    let build = build(config, gate);
    tokio::time::timeout(PLUGIN_LIMIT, build).await.unwrap_or_else(|_| {
        Err(Trouble::new(
            TroubleKind::Unauthenticated,
            say!("the credential plugin of the kubeconfig gave no answer within {} s", PLUGIN_LIMIT.as_secs()),
        )
        .remedy(Clean::ours("log in on a plain terminal first")))
    })
}

/// Builds one client on a thread that may block: kube waits for the credential plugin there, and
/// its buffer needs a runtime to live in.
async fn build(config: kube::Config, gate: &Gate) -> Result<Client, Trouble> {
    // The one provider of the whole program; installed already wherever another client came first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Handle::current();
    let built = tokio::task::spawn_blocking(move || {
        let _inside = runtime.enter();
        Client::try_from(config)
    });
    let result = match built.await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Api(Status::failure("building the client failed", "Internal").boxed())),
    };
    result.map_err(|why| match why {
        kube::Error::Auth(_) => errors::trouble(gate, &Clean::ours("log in to the cluster"), &why)
            .remedy(Clean::ours("log in on a plain terminal first: run the plugin once, or `kubectl get pods`")),
        // Nothing was asked of the network yet: it is what the kubeconfig holds.
        why => errors::unusable(gate, &why),
    })
}

/// A random key for fingerprints that lives as long as the connection and is never stored.
pub(super) fn random_key() -> Result<Arc<[u8; 32]>, Trouble> {
    let mut key = [0; 32];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut key).map_err(|_| {
        Trouble::new(TroubleKind::Program, Clean::ours("this machine's random number generator gave nothing"))
    })?;
    Ok(Arc::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_says_a_word_is_told_as_such() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = kube::Config::new(format!("https://{}", silent.local_addr().unwrap()).parse().unwrap());
        config.root_cert = Some(Vec::new());
        let client = build(for_requests(config), &Gate::default()).await.unwrap();
        let why = client.apiserver_version().await.unwrap_err();
        let trouble = errors::trouble(&Gate::default(), &Clean::ours("read the server's version"), &why);
        assert_eq!(
            trouble.what.as_str(),
            "could not read the server's version: no connection to the API server within 5 s"
        );
    }
}
