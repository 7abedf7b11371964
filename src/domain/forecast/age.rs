//! The age of images against each other: what is left to go by where the catalog cannot speak.

use std::cmp::Ordering;

use crate::domain::cluster::WorkloadRef;
use crate::domain::image::{Image, Version};
use crate::text::Clean;

/// The newest gateway image that is known to have run against this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// Every image on record has a version, and this is the newest one.
    Known(Image),
    /// At least one image on record does not tell its version.
    Untold(Image),
    /// Two images on record tell versions of which nobody knows which is newer, as `v1.81.0` and
    /// somebody's own `v1.81.0-bad`.
    Unordered(Image, Image),
    /// A workload that shares the database is not seen right now.
    Unseen(WorkloadRef),
    /// Nothing is on record.
    Nothing,
}

impl Newest {
    /// The newest of all the gateway images on record: templates of all revisions, pods, and
    /// whatever else was seen. One image that does not tell makes the answer [`Newest::Untold`].
    pub fn of<'a>(images: impl IntoIterator<Item = &'a Image>) -> Self {
        let mut newest = Newest::Nothing;
        for image in images {
            let Some(version) = told_version(image) else { return Newest::Untold(image.clone()) };
            newest = match newest {
                Newest::Known(before) => match told_version(&before).and_then(|v| v.partial_cmp(&version)) {
                    Some(Ordering::Less) => Newest::Known(image.clone()),
                    Some(_) => Newest::Known(before),
                    None => return Newest::Unordered(before, image.clone()),
                },
                _ => Newest::Known(image.clone()),
            };
        }
        newest
    }
}

/// The version that an image tells. Only LiteLLM's own repositories number their tags by LiteLLM's
/// versions; somebody else's `gateway:2.5.0` tells nothing.
pub(super) fn told_version(image: &Image) -> Option<Version> {
    if image.is_litellm() { image.version() } else { None }
}

/// Whether an image is certainly not older than the newest on record: the words for it, or why not.
pub(super) fn not_older(image: &Image, newest: &Newest) -> Result<Clean, Clean> {
    let newest = match newest {
        Newest::Known(image) => image,
        Newest::Untold(image) => return Err(say!("the age of {} on record cannot be told from its tag", image)),
        Newest::Unordered(one, other) => return Err(unordered(one, other)),
        Newest::Unseen(workload) => {
            return Err(say!("{} is not seen right now, so the newest image is not known", workload));
        }
        Newest::Nothing => return Err(Clean::ours("no image is on record to compare with")),
    };
    let versions = told_version(image).zip(told_version(newest));
    match versions.as_ref().map(|(a, b)| a.partial_cmp(b)) {
        Some(Some(Ordering::Less)) => Err(say!("{} is older than {}", image, newest)),
        Some(Some(_)) => Ok(Clean::ours("the image is not older than the newest on record")),
        Some(None) => Err(unordered(image, newest)),
        None => Err(say!("the age of {} cannot be told from its tag", image)),
    }
}

/// Two versions without an order.
pub fn unordered(one: &Image, other: &Image) -> Clean {
    say!("which of {} and {} is newer cannot be told from their tags", one, other)
}
