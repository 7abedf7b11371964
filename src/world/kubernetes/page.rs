//! One page of a list, parsed as it came: kube 5 copies an answer twice before it parses it, and a page
//! of pods is megabytes.

use futures::AsyncReadExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::Resource;
use kube::api::{Api, ListParams};
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Objects asked for at a time.
pub(super) const PAGE: u32 = 500;

/// Objects, and where the next ones begin.
#[derive(Deserialize)]
pub(super) struct Page<K> {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    /// Nothing where a server writes no list for an empty one.
    pub(super) items: Option<Vec<K>>,
}

/// Asks for the objects that these parameters describe.
pub(super) async fn page<K: Resource + Clone + DeserializeOwned>(
    api: &Api<K>,
    params: &ListParams,
) -> kube::Result<Page<K>> {
    let request = Request::new(api.resource_url()).list(params).map_err(kube::Error::BuildRequest)?;
    let mut answer = std::pin::pin!(api.clone().into_client().request_stream(request).await?);
    let mut text = Vec::new();
    answer.read_to_end(&mut text).await.map_err(kube::Error::ReadEvents)?;
    serde_json::from_slice(&text).map_err(kube::Error::SerdeError)
}
