//! The sandbox as a gateway: answers follow the pods that are ready.

use std::time::Duration;

use futures::FutureExt as _;

use super::Sandbox;
use super::memory::Deed;
use super::model::Model;
use super::parts::{Plan, batch_seconds, hash};
use crate::domain::gateway::{AdminUi, Completion, ModelHealth, Readiness, Settings, Vitals};
use crate::domain::name::{ModelName, RequestId};
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::{Gateway, Reply};

/// How long the gateway takes to answer.
const ANSWER: Duration = Duration::from_millis(40);
/// An asset that the admin UI's page names.
const ASSET: &str = "/litellm-asset-prefix/_next/static/chunks/main-app.js";

/// What a provider says to a call without a key.
const NO_CREDENTIALS: &str = "AuthenticationError: no API key was sent, the stored one could not be decrypted";

fn refused() -> Clean {
    Clean::ours("connection refused: no pod is ready")
}

fn unreachable() -> Trouble {
    Trouble::new(TroubleKind::Unreachable, say!("the gateway does not answer: {}", refused()))
        .remedy(Clean::ours("look at the pods"))
}

impl Sandbox {
    /// Asks after the time that an answer takes.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        see: impl FnOnce(&Self, &Model) -> Result<T, Trouble> + Send + 'static,
    ) -> Reply<T> {
        let sandbox = self.clone();
        async move {
            tokio::time::sleep(ANSWER).await;
            sandbox.look(|model, _| see(&sandbox, model))
        }
        .boxed()
    }
}

/// The template of the pod that answers.
fn serving(model: &Model) -> Result<&Plan, Trouble> {
    let pod = model.serving().ok_or_else(unreachable)?;
    Ok(&model.sets[model.pods[pod].set].plan)
}

fn version(plan: &Plan) -> Option<Clean> {
    plan.image.version().map(|version| say!("{}", version))
}

impl Gateway for Sandbox {
    fn vitals(&self) -> Reply<Vitals> {
        self.ask(|_, model| {
            Ok(match serving(model) {
                Ok(plan) => Vitals {
                    liveliness: Ok(200),
                    readiness: Ok(Readiness {
                        status: 200,
                        word: Clean::ours("healthy"),
                        db: Some(Clean::ours("connected")),
                    }),
                    version: version(plan),
                    allows_requests_without_db: Some(false),
                },
                Err(_) => Vitals {
                    liveliness: Err(refused()),
                    readiness: Err(refused()),
                    version: None,
                    allows_requests_without_db: None,
                },
            })
        })
    }

    fn settings(&self) -> Reply<Settings> {
        self.ask(|sandbox, model| {
            let plan = serving(model)?;
            let gateway = &sandbox.scenario.gateway;
            Ok(Settings {
                disable_spend_logs: Some(false),
                batch_write_seconds: Some(batch_seconds(plan)),
                callbacks: Some(gateway.callbacks.clone()),
                models: gateway.models.clone(),
            })
        })
    }

    fn model_health(&self) -> Reply<ModelHealth> {
        self.ask(|sandbox, model| {
            let unreadable = model.unreadable(serving(model)?);
            let models = u32::try_from(sandbox.scenario.gateway.models.len()).unwrap_or(u32::MAX);
            let (healthy, unhealthy) = if unreadable { (0, models) } else { (models, 0) };
            Ok(ModelHealth {
                status: 200,
                healthy,
                unhealthy,
                first_error: unreadable.then(|| Clean::ours(NO_CREDENTIALS)),
                from_background: Some(false),
            })
        })
    }

    fn complete(&self, model: ModelName) -> Reply<Completion> {
        let sandbox = self.clone();
        async move {
            tokio::time::sleep(ANSWER).await;
            sandbox.act(|world, now| {
                let plan = serving(world)?;
                if !sandbox.scenario.gateway.models.contains(&model) {
                    return Err(Trouble::new(TroubleKind::Invalid, say!("the gateway has no model {}", model))
                        .remedy(Clean::ours("choose one that the gateway lists")));
                }
                if world.unreadable(plan) {
                    return Err(Trouble::new(
                        TroubleKind::Refused,
                        say!("the gateway answered 401 for {}: {}", model, Clean::ours(NO_CREDENTIALS)),
                    )
                    .remedy(Clean::ours("look at LITELLM_SALT_KEY")));
                }
                if let Some(object) = world.lacks(plan) {
                    return Err(Trouble::new(
                        TroubleKind::Refused,
                        say!(
                            "the gateway answered 500 for {}: {} does not exist in the current database",
                            model,
                            object
                        ),
                    )
                    .remedy(Clean::ours("look at the migrations pane")));
                }
                let seed = hash(&format!("{} {now} {}", sandbox.scenario.id, world.asked.len()));
                let id: RequestId = format!("chatcmpl-drill-{seed:016x}").parse().map_err(|_| unreachable())?;
                let completion = Completion {
                    id: id.clone(),
                    model: model.clone(),
                    at: now,
                    dated: Some(now),
                    version: version(plan),
                    cost: Some(Clean::ours("1.35e-05")),
                };
                Ok((Deed::Completed { id, model: model.clone() }, completion))
            })
        }
        .boxed()
    }

    fn admin_ui(&self) -> Reply<AdminUi> {
        self.ask(|sandbox, model| {
            let gateway = &sandbox.scenario.gateway;
            Ok(match serving(model) {
                Ok(_) => AdminUi {
                    page: Ok(200),
                    asset: Some((Clean::ours(ASSET), Ok(200))),
                    keys: Ok(gateway.keys),
                    teams: Ok(gateway.teams),
                },
                Err(_) => {
                    AdminUi { page: Err(refused()), asset: None, keys: Err(unreachable()), teams: Err(unreachable()) }
                }
            })
        })
    }
}
