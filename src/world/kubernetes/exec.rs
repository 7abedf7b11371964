//! What an image holds, told by the Python of one of its running containers.

use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, AttachParams, ListParams};
use tokio::io::AsyncReadExt as _;

use super::{Link, errors, objects};
use crate::domain::catalog::{Found, Listing, SCRIPT};
use crate::domain::cluster::ContainerStatus;
use crate::domain::name::Name;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// How long the command in the pod may take: Python starts and reads a few hundred small files.
const LIMIT: Duration = Duration::from_secs(20);
/// More than this is no list of migrations, in bytes.
const LARGEST: u64 = 4 << 20;
/// How much of a complaint is read, in bytes.
const COMPLAINT: u64 = 4 << 10;
/// Where LiteLLM's images have their Python: first on the path, then where no shell set one.
const PYTHONS: [&str; 3] = ["python3", "python", "/app/.venv/bin/python"];

/// How one command ended.
struct Ran {
    printed: Vec<u8>,
    complained: Vec<u8>,
    /// Why it failed, as the kubelet says it.
    failed: Option<String>,
}

/// Lists the migrations in a pod of the console's namespace. Starts one short process there, and
/// changes nothing.
pub(super) async fn listing(link: &Link, pod: &Name) -> Result<Listing, Trouble> {
    let container = container(link, pod).await?;
    let attempt = say!("list the migrations in pod/{}", pod);
    let mut last = None;
    for python in PYTHONS {
        let ran = tokio::time::timeout(LIMIT, run(link, pod, &container.name, python, &attempt)).await;
        let ran = ran.map_err(|_| errors::timed_out(&attempt, LIMIT))??;
        let Some(failed) = ran.failed else {
            let found = Found::read(&ran.printed, link.gate()).map_err(|bad| {
                Trouble::new(
                    TroubleKind::Invalid,
                    say!("what pod/{} printed is {}", pod, link.gate().clean(&bad.to_string())),
                )
            })?;
            let ContainerStatus { name, image, digest, .. } = container;
            return Ok(Listing { pod: pod.clone(), container: name, image, digest, found });
        };
        let complained = String::from_utf8_lossy(&ran.complained);
        let why = complained.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(&failed).to_owned();
        last = Some(link.gate().clean(&why));
        // A Python that ran and complained is the one; one that could not be started is not.
        if !complained.trim().is_empty() {
            break;
        }
    }
    let why = last.unwrap_or_else(|| Clean::ours("no Python was found in it"));
    Err(Trouble::new(TroubleKind::Invalid, say!("could not {}: {}", attempt, why))
        .remedy(Clean::ours("choose a pod that runs the gateway; without it the catalog says what was published")))
}

/// The container that runs the gateway, as the pod has it now.
async fn container(link: &Link, pod: &Name) -> Result<ContainerStatus, Trouble> {
    let api: Api<core::Pod> = link.api(&link.namespace);
    // A list of one: reading a pod by its name is a permission that nothing else here needs.
    let params = ListParams::default().fields(&format!("metadata.name={pod}"));
    let list = link.ask(&say!("find pod/{}", pod), api.list(&params)).await?;
    let found =
        list.items.iter().find(|each| each.metadata.name.as_deref() == Some(pod.as_str())).ok_or_else(|| {
            Trouble::new(TroubleKind::NotFound, say!("there is no pod {} in namespace {}", pod, link.namespace))
                .remedy(Clean::ours("the pods pane and `kubectl get pods` name them"))
        })?;
    let whole = |container: &&ContainerStatus| !container.init && container.started.is_some();
    let all = objects::containers(link.gate(), found);
    let running = || all.iter().filter(whole);
    let chosen = running().find(|container| container.image.is_litellm()).or_else(|| running().next());
    chosen.cloned().ok_or_else(|| {
        Trouble::new(TroubleKind::Invalid, say!("no container of pod/{} runs right now", pod))
            .remedy(Clean::ours("choose a pod that runs"))
    })
}

async fn run(link: &Link, pod: &Name, container: &Name, python: &str, attempt: &Clean) -> Result<Ran, Trouble> {
    let api: Api<core::Pod> = Api::namespaced(link.streams.clone(), link.namespace.as_str());
    let params = AttachParams::default().container(container.as_str()).stdin(false).stdout(true).stderr(true);
    let mut process = api
        .exec(pod.as_str(), [python, "-c", SCRIPT], &params)
        .await
        .map_err(|why| errors::trouble(link.gate(), attempt, &why))?;
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    let printed = async {
        let mut bytes = Vec::new();
        match stdout {
            Some(stdout) => stdout.take(LARGEST + 1).read_to_end(&mut bytes).await.map(|_| bytes),
            None => Ok(bytes),
        }
    };
    let complained = async {
        let mut bytes = Vec::new();
        if let Some(mut stderr) = stderr {
            // The rest is read too, or the pod would wait for a reader.
            let _ = (&mut stderr).take(COMPLAINT).read_to_end(&mut bytes).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        bytes
    };
    let ended = async {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    let (printed, complained, ended) = tokio::join!(printed, complained, ended);
    process.abort();
    let cut = |why: Clean| Trouble::new(TroubleKind::Unreachable, say!("could not {}: {}", attempt, why));
    let printed = printed.map_err(|why| cut(link.gate().clean(&why.to_string())))?;
    if printed.len() as u64 > LARGEST {
        return Err(Trouble::new(TroubleKind::Invalid, say!("could not {}: it prints without end", attempt)));
    }
    let status = ended.ok_or_else(|| cut(Clean::ours("the connection ended before the command did")))?;
    let failed = (status.status.as_deref() != Some("Success")).then(|| status.message.unwrap_or_default());
    Ok(Ran { printed, complained, failed })
}
