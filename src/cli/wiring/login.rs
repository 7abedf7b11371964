//! The credential plugin of a kubeconfig, beside the screen: asked in silence first, because its
//! cached token mostly serves, and on the plain terminal when it does not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::domain::trouble::{Trouble, TroubleKind};
use crate::runtime::screen::{Errand, ErrandSender};
use crate::text::{Clean, Gate};
use crate::world::deferred::Deferred;
use crate::world::kubernetes::{ConnectOptions, Kubernetes};

/// How long a plugin that may ask somebody may take before it is taken to wait for somebody. Tools
/// of the large clouds answer from their cache within two seconds.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a failure stands before the plugin is asked again: many ask for the cluster at once.
const STANDS: Duration = Duration::from_secs(3);

/// The cluster, connected with when somebody first asks for it. `errands` lead to the screen of a
/// plugin that may ask; it gets the terminal once.
pub(super) fn beside_the_screen(
    options: ConnectOptions,
    errands: Option<ErrandSender>,
    gate: Gate,
) -> Deferred<Kubernetes> {
    let failed: Arc<Mutex<Option<(Instant, Trouble)>>> = Arc::default();
    let asked = Arc::new(AtomicBool::new(false));
    Deferred::new(move || {
        let (options, gate, failed) = (options.clone(), gate.clone(), Arc::clone(&failed));
        let (errands, asked) = (errands.clone(), Arc::clone(&asked));
        async move {
            let stands = failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((_, why)) = stands.filter(|(at, _)| at.elapsed() < STANDS) {
                return Err(why);
            }
            let errands = errands.filter(|_| !asked.load(Ordering::SeqCst));
            let result = match errands {
                None => Kubernetes::connect(options, gate).await,
                Some(errands) => with_terminal(options, errands, gate, &asked).await,
            };
            let why = result.as_ref().err().map(|why| (Instant::now(), why.clone()));
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = why;
            result
        }
        .boxed()
    })
}

async fn with_terminal(
    options: ConnectOptions,
    errands: ErrandSender,
    gate: Gate,
    asked: &AtomicBool,
) -> Result<Kubernetes, Trouble> {
    match tokio::time::timeout(SILENCE, Kubernetes::connect(options.clone(), gate.clone())).await {
        Ok(Err(why)) if why.kind == TroubleKind::Unauthenticated => {}
        Ok(result) => return result,
        Err(_) => {}
    }
    asked.store(true, Ordering::SeqCst);
    let (done, outcome) = oneshot::channel();
    let context = options.context.as_ref().map_or_else(|| Clean::ours("the cluster"), |name| say!("context {}", name));
    let words =
        say!("lastgood: the credential plugin of {} asks for this terminal; ctrl-c leaves the console", context);
    let (with, learning) = (options.clone(), gate.clone());
    let errand = Errand::new(words, async move {
        let _ = done.send(Kubernetes::login(with, &learning).await);
    });
    let gone = || Trouble::new(TroubleKind::Cancelled, Clean::ours("the console ends"));
    errands.send(errand).map_err(|_| gone())?;
    outcome.await.map_err(|_| gone())??;
    Kubernetes::connect(options, gate).await
}
