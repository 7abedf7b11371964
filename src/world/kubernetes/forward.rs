//! Port-forwards: a port of this machine whose connections end in a ready pod.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::core::Selector;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::{Link, connect, errors};
use crate::domain::cluster::WorkloadRef;
use crate::domain::name::Name;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

/// What is reached through a forwarded port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardTarget {
    /// A ready pod of a Deployment.
    Workload {
        /// The Deployment.
        workload: WorkloadRef,
        /// The port of the container.
        port: u16,
    },
    /// A ready pod behind a Service of the console's namespace.
    Service {
        /// The Service.
        name: Name,
        /// The port of the Service, which may lead to another port of the pod.
        port: u16,
    },
}

impl ForwardTarget {
    fn words(&self) -> Clean {
        match self {
            Self::Workload { workload, port } => say!("port {} of {}", port, workload),
            Self::Service { name, port } => say!("port {} of service/{}", port, name),
        }
    }
}

/// Why the last connection failed; shared between a listener and those who ask.
type LastTrouble = Arc<Mutex<Option<Trouble>>>;

/// The open listeners. Dropping them closes every forwarded port.
#[derive(Default)]
pub(super) struct Forwards(Mutex<HashMap<SocketAddr, (LastTrouble, AbortHandle)>>);

impl Forwards {
    pub(super) fn open(&self, link: &Link, target: ForwardTarget) -> Result<SocketAddr, Trouble> {
        let (listener, address) = listen().map_err(|why| {
            let why = link.gate().clean(&why.to_string());
            Trouble::new(TroubleKind::Disk, say!("could not listen on 127.0.0.1 for {}: {}", target.words(), why))
        })?;
        let last = LastTrouble::default();
        let task = tokio::spawn(serve(link.clone(), target, listener, Arc::clone(&last)));
        self.lock().insert(address, (last, task.abort_handle()));
        Ok(address)
    }

    pub(super) fn trouble(&self, address: SocketAddr) -> Option<Trouble> {
        let open = self.lock();
        let (last, _) = open.get(&address)?;
        last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, (LastTrouble, AbortHandle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Forwards {
    fn drop(&mut self) {
        for (_, task) in self.lock().values() {
            task.abort();
        }
    }
}

/// Bound before anybody needs it, so that the address can be given away at once.
fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

async fn serve(link: Link, target: ForwardTarget, listener: TcpListener, last: LastTrouble) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        // A connection that was gone before it was accepted is nobody's trouble.
        let Ok((connection, _)) = accepted else { continue };
        let (link, target, last) = (link.clone(), target.clone(), Arc::clone(&last));
        open.spawn(async move {
            let outcome = forward(&link, &target, connection).await;
            *last.lock().unwrap_or_else(PoisonError::into_inner) = outcome.err();
        });
    }
}

/// Copies one connection until either side ends it.
async fn forward(link: &Link, target: &ForwardTarget, mut connection: TcpStream) -> Result<(), Trouble> {
    let (namespace, pod, port) = resolve(link, target).await?;
    let attempt = say!("forward to {} through pod/{}", target.words(), pod);
    let api: Api<core::Pod> = Api::namespaced(link.streams.clone(), namespace.as_str());
    let ports = [port];
    let opening = tokio::time::timeout(connect::READ_TIMEOUT, api.portforward(pod.as_str(), &ports));
    let mut forwarder = match opening.await {
        Ok(opened) => opened.map_err(|why| errors::trouble(link.gate(), &attempt, &why))?,
        Err(_) => return Err(errors::timed_out(&attempt, connect::READ_TIMEOUT)),
    };
    let (Some(mut stream), Some(refused)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
        return Err(Trouble::new(TroubleKind::Unreachable, say!("could not {}", attempt)));
    };
    let copied = async {
        // How the copy ends is the two ends' business: either may hang up at any time.
        let _ = tokio::io::copy_bidirectional(&mut connection, &mut stream).await;
        None
    };
    let failed = tokio::select! {
        biased;
        Some(why) = refused => Some(why),
        ended = copied => ended,
    };
    forwarder.abort();
    match failed {
        None => Ok(()),
        Some(why) => {
            let why = link.gate().clean(&why);
            Err(Trouble::new(TroubleKind::Unreachable, say!("could not {}: {}", attempt, why))
                .remedy(Clean::ours("check that something listens on that port in the pod")))
        }
    }
}

/// The pod and its port that a connection goes to now.
async fn resolve(link: &Link, target: &ForwardTarget) -> Result<(Name, Name, u16), Trouble> {
    match target {
        ForwardTarget::Workload { workload, port } => {
            let deployed = link.deployment(workload).await?;
            let pod = ready_pod(link, &workload.namespace, &deployed.selector, &target.words()).await?;
            Ok((workload.namespace.clone(), name_of(&pod, target)?, *port))
        }
        ForwardTarget::Service { name, port } => {
            let namespace = link.namespace.clone();
            let api: Api<core::Service> = link.api(&namespace);
            let service = link.ask(&say!("read service/{}", name), api.get(name.as_str())).await?;
            let spec = service.spec.unwrap_or_default();
            let selector = spec.selector.filter(|selector| !selector.is_empty()).ok_or_else(|| {
                Trouble::new(TroubleKind::Invalid, say!("service/{} leads to no pods: it has no selector", name))
                    .remedy(Clean::ours("connect to its address directly, without a port-forward"))
            })?;
            let selector = Selector::from_iter(selector).to_string();
            let pod = ready_pod(link, &namespace, &selector, &target.words()).await?;
            let port = target_port(link, &spec.ports.unwrap_or_default(), *port, &pod, target)?;
            Ok((namespace, name_of(&pod, target)?, port))
        }
    }
}

fn name_of(pod: &core::Pod, target: &ForwardTarget) -> Result<Name, Trouble> {
    pod.name_any()
        .parse()
        .map_err(|_| Trouble::new(TroubleKind::Invalid, say!("the pod behind {} has no readable name", target.words())))
}

/// The newest ready pod: after a revert that is one of the new template. Pods of Jobs carry the
/// same labels in LiteLLM's chart and serve nothing.
async fn ready_pod(link: &Link, namespace: &Name, selector: &str, of: &Clean) -> Result<core::Pod, Trouble> {
    let api: Api<core::Pod> = link.api(namespace);
    let pods = link.list(&say!("list the pods behind {}", of), &api, Some(selector)).await?;
    let count = pods.len();
    let ready = pods.into_iter().filter(is_ready);
    ready.max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0)).ok_or_else(|| {
        Trouble::new(TroubleKind::Unreachable, say!("none of the {} pods behind {} is ready", count, of))
            .remedy(Clean::ours("wait until a pod is ready, or look why none is"))
    })
}

fn is_ready(pod: &core::Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let of_job = pod.owner_references().iter().any(|owner| owner.kind == "Job");
    ready && !of_job && pod.metadata.deletion_timestamp.is_none()
}

/// The pod's port behind a Service's port: a number, a name, or the same.
fn target_port(
    link: &Link,
    ports: &[core::ServicePort],
    wanted: u16,
    pod: &core::Pod,
    target: &ForwardTarget,
) -> Result<u16, Trouble> {
    let invalid =
        |why: Clean| Trouble::new(TroubleKind::Invalid, say!("could not forward to {}: {}", target.words(), why));
    let port = ports
        .iter()
        .find(|port| port.port == i32::from(wanted))
        .ok_or_else(|| invalid(Clean::ours("the service has no such port")))?;
    let number = match &port.target_port {
        None => port.port,
        Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            let mut named = containers.flat_map(|container| container.ports.iter().flatten());
            let found = named.find(|port| port.name.as_deref() == Some(name.as_str()));
            found
                .map(|port| port.container_port)
                .ok_or_else(|| invalid(say!("the pod has no port named {}", link.gate().clean(name))))?
        }
    };
    u16::try_from(number).map_err(|_| invalid(say!("{} is no port", number)))
}
