//! What the images really hold: running pods list their migrations when that is asked for, and
//! say in their logs how many they found.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::effect::{Effect, Look};
use crate::app::state::{State, Tone};
use crate::app::{migrations, preflight};
use crate::domain::catalog::{Known, Listing, Told};
use crate::domain::cluster::{Ask, ContainerStatus, Phase, Pod};
use crate::domain::image::Image;
use crate::domain::name::Name;
use crate::domain::record::Entry;
use crate::domain::trouble::Trouble;
use crate::text::{Clean, Many};

/// How many images are listed with one key.
const AT_ONCE: usize = 3;

/// What was learnt in this session, by image.
#[derive(Clone, Debug, Default)]
pub struct Learnt(BTreeMap<Clean, Told>);

impl Learnt {
    /// What the image of a container holds, as a pod with the same digest told it. Without a
    /// digest nothing is known: a tag can mean another image on another node.
    pub fn of(&self, digest: Option<&Clean>) -> Option<&Told> {
        self.0.get(digest?)
    }

    /// Everything that was told.
    pub fn all(&self) -> impl Iterator<Item = &Told> {
        self.0.values()
    }

    fn add(&mut self, told: Told) {
        // Without a digest it holds for this pod alone.
        let key = told.listing.digest.clone().unwrap_or_else(|| say!("pod/{}", told.listing.pod));
        self.0.insert(key, told);
    }
}

/// What the image of the version that will run next holds, where a pod of it told: that of the
/// first chosen target, or else of what is live.
pub fn next(state: &State) -> Option<&Listing> {
    let mut workloads = state.setting.workloads.iter().filter_map(|reference| state.workload(reference));
    let chosen = workloads.clone().find(|workload| state.incident.targets.contains_key(&workload.reference));
    let digest = match chosen {
        Some(workload) => preflight::aim(state, workload).filter(|(_, chosen)| *chosen)?.0.digest,
        None => workloads.find_map(|workload| workload.current())?.digest.as_ref(),
    };
    state.learnt.of(digest).map(|told| &told.listing)
}

/// The container of a pod that runs the gateway.
pub fn gateway(pod: &Pod) -> Option<&ContainerStatus> {
    let ordinary = || pod.containers.iter().filter(|container| !container.init);
    ordinary().find(|container| container.image.is_litellm()).or_else(|| ordinary().next())
}

/// The pods that would be asked: one that runs for each image, those that were not asked yet
/// before the others.
///
/// # Errors
/// Why none can be asked.
pub fn may(state: &State) -> Result<Vec<Name>, Clean> {
    if let Some(why) = &state.setting.missing.cluster {
        return Err(why.sentence());
    }
    let permissions = state.permissions.fresh().ok_or(Clean::ours("what is allowed here is not known yet"))?;
    for ask in Ask::EXEC {
        let allowed = permissions.iter().find(|permission| permission.ask == ask).and_then(|one| one.allowed);
        if allowed != Some(true) {
            let (verb, _, resource, sub) = ask.attributes();
            let stands = if allowed.is_none() { "not known to be allowed" } else { "not allowed" };
            return Err(say!("`{} {}/{}` is {}; go on without it, or ask for it", verb, resource, sub, stands));
        }
    }
    let mut pods: BTreeMap<(bool, Clean), Name> = BTreeMap::new();
    for pod in state.pods() {
        let running = pod.phase == Phase::Running && !pod.terminating;
        let Some(container) = gateway(pod).filter(|container| running && container.started.is_some()) else { continue };
        let asked = state.learnt.of(container.digest.as_ref()).is_some();
        let image = container.digest.clone().unwrap_or_else(|| say!("{}", container.image));
        pods.entry((asked, image)).or_insert_with(|| pod.name.clone());
    }
    if pods.is_empty() {
        return Err(Clean::ours("no pod of the gateway runs right now"));
    }
    Ok(pods.into_values().take(AT_ONCE).collect())
}

/// Asks a running pod of each image.
pub fn ask(state: &mut State) -> Vec<Effect> {
    let pods = match may(state) {
        Ok(pods) => pods,
        Err(why) => {
            state.tell(Tone::Warn, why);
            return Vec::new();
        }
    };
    let looks: Vec<Look> = pods.into_iter().map(Look::Listing).filter(|look| !state.looking(look)).collect();
    state.tell(Tone::Plain, say!("listing the migrations in {}", Many(looks.len(), "pod")));
    looks.into_iter().map(|look| state.look(look)).collect()
}

/// A pod answered, or could not.
pub fn seen(state: &mut State, result: Result<Box<Listing>, Trouble>) -> Vec<Effect> {
    match result {
        Err(why) => {
            state.tell(Tone::Warn, why.sentence());
            Vec::new()
        }
        Ok(listing) => {
            let told = Told::new(*listing, &state.setting.catalog);
            let words = words(&told);
            state.tell(if told.agreement.whole() { Tone::Good } else { Tone::Warn }, words.clone());
            Arc::make_mut(&mut state.setting).catalog.learn(told.clone());
            state.learnt.add(told);
            migrations::compare(state);
            // A process was started in a pod: whoever reads the journal later wants to know.
            vec![state.commit(Entry::Noted { words: say!("listed the migrations in a pod: {}", words).to_string() })]
        }
    }
}

/// A listing in one sentence.
pub fn words(told: &Told) -> Clean {
    say!("pod/{} ({}): {}", told.listing.pod, image(&told.listing), told.words)
}

fn image(listing: &Listing) -> Clean {
    match (listing.image.version(), &listing.digest) {
        (Some(version), _) => say!("LiteLLM {}", version),
        (None, Some(digest)) => short(digest),
        (None, None) => say!("{}", listing.image),
    }
}

/// As much of a digest as tells it from others.
fn short(digest: &Clean) -> Clean {
    digest.slice(0..digest.as_str().len().min(19)).unwrap_or_else(|| digest.clone())
}

/// What the pods logged about their migrations, against what their versions published: for each
/// version and count the words, and whether they agree. Only where the catalog can tell.
pub fn counted(state: &State) -> BTreeMap<Clean, bool> {
    let told = state.pods().into_iter().filter_map(|pod| {
        let image = &gateway(pod)?.image;
        compared(state, image, state.logs.counted(&pod.uid)?)
    });
    told.collect()
}

fn compared(state: &State, image: &Image, count: u32) -> Option<(Clean, bool)> {
    let catalog = &state.setting.catalog;
    let version = image.version()?;
    let (Known::Exactly(release) | Known::BuiltOn(release)) = catalog.release(&version) else { return None };
    let published: Vec<usize> = catalog.packages_of(release.pin).map(|package| package.migrations.len()).collect();
    let (least, most) = (published.iter().min()?, published.iter().max()?);
    let published = if least == most { say!("{}", most) } else { say!("{} to {}", least, most) };
    let agrees = usize::try_from(count).is_ok_and(|count| (*least..=*most).contains(&count));
    Some((
        say!("LiteLLM {} logged that it has {} migrations, and it was published with {}", version, count, published),
        agrees,
    ))
}
