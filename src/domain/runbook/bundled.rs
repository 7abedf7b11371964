//! The runbooks inside the binary.

use crate::domain::name::Slug;
use crate::domain::runbook::{Library, Source};
use crate::text::Gate;

/// The bundled runbook files. The first one is where every incident starts.
pub const RUNBOOKS: [Source<'static>; 2] = [
    Source {
        file: "assets/runbooks/llm-rollback-strategy.toml",
        text: include_str!("../../../assets/runbooks/llm-rollback-strategy.toml"),
    },
    Source {
        file: "assets/runbooks/litellm-rollback.toml",
        text: include_str!("../../../assets/runbooks/litellm-rollback.toml"),
    },
];

/// The bundled runbooks, proved sound. `tests/assets.rs` proves that this cannot fail.
pub fn bundled_runbooks() -> Library {
    match Library::parse(&RUNBOOKS, &Gate::default()) {
        Ok(library) => library,
        Err(faults) => unreachable!(
            "a bundled runbook is not sound: {}",
            faults.iter().map(|fault| fault.to_string()).collect::<Vec<_>>().join("\n")
        ),
    }
}

/// Whether this bundled file is the runbook `id`: a bundled file is named after its runbook.
pub(super) fn is(source: &Source<'_>, id: &Slug) -> bool {
    source.file.strip_prefix("assets/runbooks/").and_then(|name| name.strip_suffix(".toml")) == Some(id.as_str())
}
