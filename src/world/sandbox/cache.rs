//! The sandbox as a Redis: the keys that the scenario names, until they are deleted.

use tokio_util::sync::CancellationToken;

use super::Sandbox;
use super::memory::Deed;
use super::model::Model;
use super::staged::staged;
use crate::domain::cache::{
    Answers, CacheSurvey, ClearItem, ClearProgress, Clearance, Emptied, Product, Protected, too_old,
};
use crate::domain::confirm::Confirmed;
use crate::domain::gateway::CacheInfo;
use crate::domain::scenario::RedisPlan;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;
use crate::world::{Cache, Feed, Reply};

/// Parts of a clearance.
const STAGES: u64 = 5;

impl Sandbox {
    fn redis(&self) -> Result<&RedisPlan, Trouble> {
        let plan = self.scenario.gateway.cache.as_ref();
        plan.ok_or_else(|| Trouble::new(TroubleKind::Missing, Clean::ours("this drill has no Redis")))
    }
}

/// What lies in a Redis after what was done.
fn survey(plan: &RedisPlan, model: &Model) -> CacheSurvey {
    let left = |(namespace, keys): (&Option<_>, &u64)| Answers {
        namespace: namespace.clone(),
        keys: if model.cleared.contains(namespace) { 0 } else { *keys },
    };
    CacheSurvey {
        product: Product::Redis,
        version: plan.version.clone(),
        masters: None,
        answers: plan.answers.iter().map(left).filter(|answers| answers.keys > 0).collect(),
        protected: Protected::ALL.map(|kind| (kind, plan.protected.get(&kind).copied().unwrap_or(0))).to_vec(),
        warnings: too_old(Product::Redis, plan.version.as_str()).into_iter().collect(),
    }
}

fn keys(survey: &CacheSurvey) -> u64 {
    let answers = survey.answers.iter().map(|answers| answers.keys);
    answers.chain(survey.protected.iter().map(|(_, keys)| *keys)).sum()
}

impl Cache for Sandbox {
    fn info(&self) -> Reply<CacheInfo> {
        self.ask(|sandbox, model| {
            let survey = survey(sandbox.redis()?, model);
            Ok(CacheInfo { keys: Some(keys(&survey)), product: survey.product, version: survey.version, pong: true })
        })
    }

    fn survey(&self) -> Reply<CacheSurvey> {
        self.ask(|sandbox, model| Ok(survey(sandbox.redis()?, model)))
    }

    fn clear(&self, proof: Confirmed<Clearance>, stop: CancellationToken) -> Feed<ClearItem> {
        let clearing = Clearing { sandbox: self.clone(), proof, stop: stop.clone() };
        let item = move |stage| clearing.at_stage(stage).unwrap_or_else(ClearItem::Failed);
        staged(stop, |item| matches!(item, ClearItem::Progress(_)), item)
    }
}

struct Clearing {
    sandbox: Sandbox,
    proof: Confirmed<Clearance>,
    stop: CancellationToken,
}

impl Clearing {
    fn at_stage(&self, stage: u64) -> Result<ClearItem, Trouble> {
        let clearance = self.proof.subject();
        let plan = self.sandbox.redis()?;
        let survey = self.sandbox.look(|model, _| survey(plan, model));
        let (of, answers) = (keys(&survey), survey.answers_in(clearance.namespace.as_ref()));
        let share = |keys: u64| keys * stage / STAGES;
        if self.stop.is_cancelled() {
            let what = Clean::ours("cancelled; a drill deletes all of them at the end, so none is deleted");
            return Err(Trouble::new(TroubleKind::Cancelled, what).remedy(Clean::ours("clearing again begins anew")));
        }
        if stage < STAGES {
            return Ok(ClearItem::Progress(ClearProgress {
                looked_at: share(of),
                of,
                deleted: share(answers),
                counting: false,
            }));
        }
        let deed = Deed::ClearedCache { namespace: clearance.namespace.clone() };
        self.sandbox.act(|_, _| Ok((deed, ClearItem::Emptied(Emptied { deleted: answers, left: 0 }))))
    }
}
