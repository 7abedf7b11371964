//! The scenarios inside the binary.

use crate::domain::document::Source;
use crate::domain::scenario::Scenario;
use crate::text::Gate;

/// The bundled scenario files, from the first drill to the hardest.
pub const SCENARIOS: [Source<'static>; 8] = [
    Source { file: "assets/scenarios/bad-image.toml", text: include_str!("../../../assets/scenarios/bad-image.toml") },
    Source {
        file: "assets/scenarios/failed-migration.toml",
        text: include_str!("../../../assets/scenarios/failed-migration.toml"),
    },
    Source {
        file: "assets/scenarios/schema-trap.toml",
        text: include_str!("../../../assets/scenarios/schema-trap.toml"),
    },
    Source {
        file: "assets/scenarios/ledger-lies.toml",
        text: include_str!("../../../assets/scenarios/ledger-lies.toml"),
    },
    Source { file: "assets/scenarios/salt-key.toml", text: include_str!("../../../assets/scenarios/salt-key.toml") },
    Source { file: "assets/scenarios/slow-burn.toml", text: include_str!("../../../assets/scenarios/slow-burn.toml") },
    Source {
        file: "assets/scenarios/pending-helm.toml",
        text: include_str!("../../../assets/scenarios/pending-helm.toml"),
    },
    Source {
        file: "assets/scenarios/config-drift.toml",
        text: include_str!("../../../assets/scenarios/config-drift.toml"),
    },
];

/// The bundled scenarios, proved sound. `tests/assets.rs` proves that this cannot fail.
pub fn bundled_scenarios() -> Vec<Scenario> {
    let gate = Gate::default();
    let sound = |source: &Source<'_>| match Scenario::parse(*source, &gate) {
        Ok(scenario) => scenario,
        Err(faults) => unreachable!("a bundled scenario is not sound: {faults:?}"),
    };
    SCENARIOS.iter().map(sound).collect()
}
