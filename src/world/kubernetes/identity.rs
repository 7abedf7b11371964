//! Which cluster this is, who it says we are, and what it lets us do.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};

use super::{Kubernetes, Link};
use crate::domain::cluster::{Ask, Identity, Permission};
use crate::domain::name::Uid;
use crate::domain::trouble::{Trouble, TroubleKind};
use crate::text::Clean;

impl Kubernetes {
    pub(super) async fn read_identity(&self) -> Result<Identity, Trouble> {
        let (version, user, cluster_uid) = tokio::join!(self.link.version(), self.link.user(), self.link.cluster_uid());
        // What everybody may read comes first: a login that is over is told by its own words.
        let (version, user, cluster_uid) = (version?, user?, cluster_uid?);
        self.shared.first_seen.get_or_init(|| cluster_uid.clone());
        Ok(Identity {
            context: self.shared.context.clone(),
            server: self.shared.server.clone(),
            cluster_uid,
            version,
            user,
        })
    }

    /// Refuses to go on when the address leads to another cluster than at first: a re-created
    /// cluster, a switched tunnel.
    pub(super) async fn same_cluster(&self) -> Result<(), Trouble> {
        let now = self.link.cluster_uid().await?;
        let first = self.shared.first_seen.get_or_init(|| now.clone());
        if *first == now {
            return Ok(());
        }
        Err(Trouble::new(
            TroubleKind::Changed,
            say!("{} is another cluster now than when the console started; nothing was applied", self.shared.server),
        )
        .remedy(Clean::ours("check the tunnel and the kube context, then start the console again")))
    }
}

impl Link {
    async fn version(&self) -> Result<Clean, Trouble> {
        let info = self.ask(&Clean::ours("read the server's version"), self.requests.apiserver_version()).await?;
        Ok(self.gate().clean(&info.git_version))
    }

    /// The user that the server sees. Servers before 1.28 and some proxies do not serve the
    /// review (API `authentication.k8s.io/v1` SelfSubjectReview): not knowing is no failure.
    async fn user(&self) -> Result<Clean, Trouble> {
        let api: Api<SelfSubjectReview> = Api::all(self.requests.clone());
        let (params, question) = (PostParams::default(), SelfSubjectReview::default());
        match self.ask(&Clean::ours("ask the cluster who we are"), api.create(&params, &question)).await {
            Ok(review) => Ok(review
                .status
                .and_then(|status| status.user_info)
                .and_then(|user| user.username)
                .map_or(Clean::ours("(the cluster did not say)"), |name| self.gate().clean(&name))),
            Err(why) if matches!(why.kind, TroubleKind::NotFound | TroubleKind::Forbidden) => {
                Ok(Clean::ours("(the cluster does not say)"))
            }
            Err(why) => Err(why),
        }
    }

    /// The UID of `kube-system` where it may be read, else of our namespace, else nothing.
    async fn cluster_uid(&self) -> Result<Option<Uid>, Trouble> {
        let api: Api<Namespace> = Api::all(self.requests.clone());
        for name in ["kube-system", self.namespace.as_str()] {
            match self.ask(&say!("read namespace {}", self.gate().clean(name)), api.get(name)).await {
                Ok(namespace) => return Ok(namespace.metadata.uid.and_then(|uid| uid.parse().ok())),
                Err(why) if matches!(why.kind, TroubleKind::Forbidden | TroubleKind::NotFound) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(None)
    }

    /// One SelfSubjectAccessReview. SelfSubjectRulesReview is not used: it is incomplete under
    /// webhook authorizers.
    pub(super) async fn permission(self, ask: Ask) -> Permission {
        let (verb, group, resource, subresource) = ask.attributes();
        let attributes = ResourceAttributes {
            namespace: Some(self.namespace.to_string()),
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: (!subresource.is_empty()).then(|| subresource.to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.requests.clone());
        let attempt = Clean::ours("ask the cluster for a permission");
        match self.ask(&attempt, api.create(&PostParams::default(), &review)).await {
            Err(why) => Permission { ask, allowed: None, reason: why.what },
            Ok(answer) => {
                let status = answer.status.unwrap_or_default();
                let failed = status.evaluation_error.filter(|why| !why.is_empty() && !status.allowed);
                let words = failed.as_deref().or(status.reason.as_deref()).unwrap_or_default();
                let reason = self.gate().clean(words);
                Permission { ask, allowed: Some(status.allowed), reason }
            }
        }
    }
}
