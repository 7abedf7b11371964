//! A real API server on loopback, where its programs are installed: etcd and kube-apiserver, with
//! RBAC and without controllers. They end with the value.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::json;

/// A running control plane.
pub struct Envtest {
    folder: tempfile::TempDir,
    port: u16,
    children: Vec<Child>,
}

impl Drop for Envtest {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where the programs are: `KUBEBUILDER_ASSETS`, else the place that kubebuilder's tools use.
pub fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let found = named.unwrap_or_else(|| PathBuf::from("/usr/local/kubebuilder/bin"));
    ["etcd", "kube-apiserver"].iter().all(|program| found.join(program).is_file()).then_some(found)
}

/// A plain client for one kubeconfig.
pub async fn client(path: &Path) -> kube::Client {
    let file = kube::config::Kubeconfig::read_from(path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Envtest {
    /// Starts both programs and waits until the API server is ready.
    pub async fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let [private, public] = signing_keys();
        std::fs::write(at("sa.key"), private).unwrap();
        std::fs::write(at("sa.pub"), public).unwrap();
        std::fs::write(
            at("tokens.csv"),
            "admin-bearer-token,admin,u1,system:masters\nviewer-bearer-token,viewer,u2,viewers\n",
        )
        .unwrap();
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let etcd_url = format!("http://127.0.0.1:{client}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let etcd = Command::new(programs.join("etcd"))
            .args(["--data-dir", &at("etcd"), "--unsafe-no-fsync", "--log-level", "error"])
            .args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("default={peer_url}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at("etcd.log")).unwrap())
            .spawn()
            .unwrap();
        let issuer = "https://kubernetes.default.svc.cluster.local";
        let server = Command::new(programs.join("kube-apiserver"))
            .args(["--etcd-servers", &etcd_url, "--bind-address", "127.0.0.1", "--secure-port", &port.to_string()])
            .args(["--cert-dir", &at("pki"), "--token-auth-file", &at("tokens.csv")])
            .args(["--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/16"])
            .args(["--endpoint-reconciler-type", "none", "--disable-admission-plugins", "ServiceAccount"])
            .args(["--service-account-issuer", issuer, "--service-account-key-file", &at("sa.pub")])
            .args(["--service-account-signing-key-file", &at("sa.key"), "--advertise-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at("apiserver.log")).unwrap())
            .spawn()
            .unwrap();
        let mut this = Self { port, children: vec![etcd, server], folder };
        this.wait_until_ready().await;
        this
    }

    async fn wait_until_ready(&mut self) {
        let client = self.client().await;
        for _ in 0..600 {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            if client.request_text(request).await.is_ok_and(|text| text == "ok") {
                return;
            }
            if self.children.iter_mut().any(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("apiserver.log")).unwrap_or_default();
        panic!("the API server did not become ready:\n{log}");
    }

    /// A kubeconfig for `admin` or `viewer`.
    pub fn kubeconfig(&self, folder: &Path, user: &str, namespace: &str) -> PathBuf {
        let path = folder.join(format!("{user}.yaml"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: replay\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{}', insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: u, user: {{token: {user}-bearer-token}}}}]\n\
             contexts: [{{name: replay, context: {{cluster: c, user: u, namespace: {namespace}}}}}]\n",
            self.port
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A plain client with all rights.
    pub async fn client(&self) -> kube::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = self.kubeconfig(self.folder.path(), "admin", "llm");
        client(&path).await
    }

    #[allow(dead_code)]
    /// Lets `viewer` read everything in the namespace but secrets, and change nothing.
    pub async fn let_viewer_read(&self) {
        // The built-in role `view` is filled by a controller that does not run here.
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "viewers"},
            "rules": [{
                "apiGroups": ["", "apps", "batch"], "verbs": ["get", "list", "watch"],
                "resources": ["pods", "pods/log", "services", "deployments", "replicasets", "jobs"],
            }],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "viewers"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewers"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}],
        });
        for (resource, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
            let request = http::Request::post(format!("/apis/rbac.authorization.k8s.io/v1/{resource}"))
                .header("content-type", "application/json")
                .body(serde_json::to_vec(&object).unwrap())
                .unwrap();
            self.client().await.request_text(request).await.unwrap();
        }
    }
}

/// A fresh pair of keys, private and public, for service account tokens that nobody will use.
fn signing_keys() -> [String; 2] {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ALGORITHM, EcdsaKeyPair, KeyPair as _};
    // The fixed beginning of a SubjectPublicKeyInfo for a point of P-256 (RFC 5480, section 2).
    const HEADER: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let random = SystemRandom::new();
    let private = EcdsaKeyPair::generate_pkcs8(&ALGORITHM, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ALGORITHM, private.as_ref(), &random).unwrap();
    let public = [&HEADER, pair.public_key().as_ref()].concat();
    let pem = |label: &str, bytes: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    [pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", &public)]
}
