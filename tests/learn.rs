//! Learning from running pods what their images hold: the script runs in a real Python over a real
//! package of LiteLLM's, behind a replayed `pods/exec`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/console.rs"]
mod console;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/kube_server.rs"]
mod kube_server;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/postgres.rs"]
mod postgres;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/prisma_packages.rs"]
mod prisma_packages;

use std::path::Path;
use std::process::Stdio;

use console::Console;
use kube_server::{Exec, KubeServer};
use lastgood::app::action::{Action, Pane};
use lastgood::app::msg::Msg;
use lastgood::domain::catalog::{Catalog, Listing, Told};
use lastgood::domain::record::Entry;
use lastgood::domain::trouble::{Trouble, TroubleKind};
use lastgood::text::Gate;
use lastgood::world::Cluster as _;
use lastgood::world::kubernetes::{ConnectOptions, Kubernetes};
use postgres::TestDatabase;
use serde_json::{Value, json};

const POD: &str = "litellm-abc-x2x4p";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A server with one pod: a gateway of this image, beside a container of somebody else's.
async fn server(image: &str) -> KubeServer {
    lastgood::world::tls::install_provider();
    let server = KubeServer::start().await;
    let state = json!({"running": {"startedAt": "2026-11-20T10:00:00Z"}});
    server.put(
        "pods",
        "llm",
        json!({
            "metadata": {"name": POD, "labels": {"app": "litellm"}},
            "spec": {"containers": [{"name": "proxy", "image": "envoy:1"}, {"name": "litellm", "image": image}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": "proxy", "image": "envoy:1", "imageID": "", "ready": true, "restartCount": 0, "state": state},
                {"name": "litellm", "image": image, "imageID": format!("ghcr.io/x@{DIGEST}"), "ready": true,
                 "restartCount": 0, "state": state},
            ]},
        }),
    );
    server
}

async fn port(server: &KubeServer) -> Kubernetes {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = Some(server.kubeconfig(folder.path(), "admin"));
    let options = ConnectOptions { kubeconfig, ..ConnectOptions::default() };
    Kubernetes::connect(options, Gate::default()).await.unwrap()
}

async fn listed(server: &KubeServer) -> Result<Listing, Trouble> {
    port(server).await.listing(&POD.parse().unwrap()).await
}

/// A copy of a package that can be changed.
fn copied(version: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("{}/.", prisma_packages::package(version).display());
    let copied = std::process::Command::new("cp").args(["-r", &from]).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

#[tokio::test]
async fn a_pod_lists_what_its_own_python_finds() {
    let server = server("ghcr.io/berriai/litellm:v1.81.0").await;
    server.runs(POD, "litellm", Exec::Runs("python3", prisma_packages::package("0.4.23")));
    let listing = listed(&server).await.unwrap();
    assert_eq!((listing.container.as_str(), listing.digest.as_ref().unwrap().as_str()), ("litellm", DIGEST));
    assert_eq!(listing.found.package, "0.4.23".parse().ok());
    assert!(listing.found.folder.as_str().ends_with("litellm_proxy_extras/migrations"));
    let told = Told::new(listing, Catalog::embedded());
    assert!(told.agreement.whole());
    assert_eq!(told.words.as_str(), "66 migrations, exactly those of package 0.4.23");
    // One process, with nothing to type into it.
    let asked = server.requests("GET", "/exec?");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("container=litellm&command=python3&command=-c&"), "{}", asked[0]);
    assert!(!asked[0].contains("stdin=true") && !asked[0].contains("tty=true"), "{}", asked[0]);
}

#[tokio::test]
async fn an_image_that_was_built_from_something_else_is_told_apart() {
    let packages = copied("0.4.23");
    let migrations = packages.path().join("litellm_proxy_extras/migrations");
    let names: Vec<_> = prisma_packages::migrations("0.4.23").into_iter().map(|file| file.name).collect();
    std::fs::remove_dir_all(migrations.join(&names[1])).unwrap();
    std::fs::write(migrations.join(&names[2]).join("migration.sql"), "SELECT 1;\n").unwrap();
    std::fs::create_dir(migrations.join("20990101000000_of_our_own")).unwrap();
    std::fs::write(migrations.join("20990101000000_of_our_own/migration.sql"), "SELECT 1;\n").unwrap();
    std::fs::create_dir(migrations.join("20990102000000_without_a_file")).unwrap();
    // The folder in which the pod's process stands does not count: LiteLLM's images keep the
    // repository there. This server runs the command in `/`.
    let server = server(&format!("registry.internal/litellm:v1.81.0@{DIGEST}")).await;
    server.runs(POD, "litellm", Exec::Runs("python", packages.path().to_owned()));

    let listing = listed(&server).await.unwrap();
    let agreement = Told::new(listing, Catalog::embedded()).agreement;
    let of =
        |names: &[lastgood::domain::name::MigrationName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(of(&agreement.extra), ["20990101000000_of_our_own"]);
    assert_eq!(of(&agreement.lacks), [names[1].clone()]);
    assert_eq!(of(&agreement.other), [names[2].clone()]);
    // `python3` is not in this image: the next name was tried.
    assert_eq!(server.requests("GET", "/exec?").len(), 2);
}

#[tokio::test]
async fn a_pod_that_cannot_tell_says_why() {
    let server = server("ghcr.io/berriai/litellm:v1.81.0").await;
    let mut told = Vec::new();
    for exec in [
        Exec::Says(String::new(), String::new(), Some("exec: \"python3\": executable file not found in $PATH")),
        Exec::Says(String::new(), "Traceback\nthis Python has no litellm_proxy_extras\n".into(), Some("exit code 1")),
        Exec::Says("password=hunter22".into(), String::new(), None),
        Exec::Says("[1, 2".into(), String::new(), None),
    ] {
        server.runs(POD, "litellm", exec);
        let trouble = listed(&server).await.unwrap_err();
        assert_eq!(trouble.kind, TroubleKind::Invalid, "{}", trouble.sentence());
        told.push(trouble.what.to_string());
    }
    assert!(told[0].contains("executable file not found"), "{told:#?}");
    assert!(told[1].ends_with("this Python has no litellm_proxy_extras"), "{told:#?}");
    assert!(told[2].contains("is not a list of migrations") && !told[2].contains("hunter22"), "{told:#?}");

    server.deny("admin", "get", "pods/exec");
    let trouble = listed(&server).await.unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Forbidden, "{}", trouble.sentence());
    let missing = port(&server).await.listing(&"litellm-gone".parse().unwrap()).await.unwrap_err();
    assert_eq!(missing.kind, TroubleKind::NotFound, "{}", missing.sentence());
}

/// The program, in a folder with a configuration for this server.
async fn call(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_lastgood"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("KUBECONFIG", folder.join("admin.yaml"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_command_asks_first_and_tells_by_its_exit_code() {
    let server = server("ghcr.io/berriai/litellm:v1.82.6").await;
    let folder = tempfile::tempdir().unwrap();
    server.kubeconfig(folder.path(), "admin");
    let configuration = "[env.lab]\nkind = \"staging\"\ncontext = \"replay\"\nnamespace = \"llm\"\n";
    std::fs::write(folder.path().join("lastgood.toml"), configuration).unwrap();

    server.runs(POD, "litellm", Exec::Runs("python3", prisma_packages::package("0.4.60")));
    let (code, out, err) = call(folder.path(), &["catalog", "learn", "--pod", POD]).await;
    assert_eq!(code, 0, "{out}{err}");
    // A range is settled by the pod.
    assert!(out.contains("109 migrations, exactly those of package 0.4.60"), "{out}");

    server.runs(POD, "litellm", Exec::Runs("python3", prisma_packages::package("0.4.23")));
    let (code, out, err) = call(folder.path(), &["catalog", "learn", "--pod", POD, "--json"]).await;
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}{err}"));
    assert_eq!((code, &told["agreement"]["exactly"]), (1, &json!("0.4.23")), "{out}");

    let asked = server.requests("GET", "/exec?").len();
    server.deny("admin", "create", "pods/exec");
    let (code, out, err) = call(folder.path(), &["catalog", "learn", "--pod", POD]).await;
    assert!(out.is_empty() && err.contains("`create pods/exec` is not allowed, so nothing was started"), "{out}{err}");
    assert_eq!((code, server.requests("GET", "/exec?").len()), (3, asked), "{err}");
}

#[tokio::test]
async fn the_rows_go_by_what_a_pod_holds_when_they_are_told_to() {
    let server = server("ghcr.io/berriai/litellm:v1.81.0").await;
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::with_table().await);
    server.kubeconfig(folder.path(), "admin");
    std::fs::write(folder.path().join("db.url"), database.url()).unwrap();
    let configuration = "[env.lab]\nkind = \"staging\"\ncontext = \"replay\"\nnamespace = \"llm\"\n\
                         database = { file = \"db.url\" }\n";
    std::fs::write(folder.path().join("lastgood.toml"), configuration).unwrap();
    prisma_packages::deploy(&mut database.connect().await, &prisma_packages::migrations("0.4.23")).await;
    // One of its rows is of a migration that the image lacks.
    let packages = copied("0.4.23");
    let names: Vec<_> = prisma_packages::migrations("0.4.23").into_iter().map(|file| file.name).collect();
    std::fs::remove_dir_all(packages.path().join("litellm_proxy_extras/migrations").join(&names[5])).unwrap();
    server.runs(POD, "litellm", Exec::Runs("python3", packages.path().to_owned()));

    let newer = |out: &str| -> Vec<Value> {
        let rows: Vec<Value> = serde_json::from_str(out).unwrap();
        let newer = rows.into_iter().filter(|row| row["ledger"]["target_knows"] == json!(false));
        newer.map(|row| row["name"].clone()).collect()
    };
    let list = ["migrations", "list", "--next", "1.81.0", "--json"];
    let (code, out, err) = call(folder.path(), &list).await;
    assert_eq!((code, newer(&out)), (0, vec![]), "{err}");
    assert!(server.requests("GET", "/exec?").is_empty(), "it asks a pod only when it is told to");
    for list in [[&list[..], &["--learn", POD]].concat(), vec!["migrations", "list", "--learn", POD, "--json"]] {
        let (code, out, err) = call(folder.path(), &list).await;
        assert_eq!((code, newer(&out)), (0, vec![json!(names[5])]), "{err}");
        assert!(err.contains(&format!("1 of it missing ({})", names[5])), "{err}");
    }
    let (code, out, err) = call(folder.path(), &["migrations", "list", "--next", "1.82.6", "--learn", POD]).await;
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("runs LiteLLM 1.81.0, and --next says 1.82.6"), "{err}");
}

#[tokio::test(start_paused = true)]
async fn the_key_of_the_migrations_pane_lists_what_runs_and_writes_it_down() {
    let mut console = Console::drill("slow-burn").await;
    console.wait("the permissions", |state| state.permissions.fresh().is_some() && !state.pods().is_empty()).await;
    console.press("<esc>").await;
    console.send(Msg::Do(Action::PaneMigrations)).await;
    assert_eq!(console.state().view.focus, Pane::Migrations);
    console.press("l").await;
    console.wait("a listing", |state| state.learnt.all().next().is_some()).await;
    assert!(console.notice().contains("migrations, exactly those of package"), "{}", console.notice());
    console.shows("exactly those of package");
    let noted = console.entries().into_iter().any(|entry| match entry {
        Entry::Noted { words } => words.starts_with("listed the migrations in a pod: pod/"),
        _ => false,
    });
    assert!(noted);
}
